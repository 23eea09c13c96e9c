"""The streams role: Faust workers that hold the state of orders and links."""

from __future__ import annotations

from app import platforms
from app.config.model import Settings
from app.core import topics
from app.roles.gateway import security
from schemas.flow import Facts
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker
from streams.order.world import World
from streams.processors.links import Links
from streams.processors.orders import Orders


def world(settings: Settings) -> World:
    """Return the configured world of the pure core."""
    connections = {resolved.connection.name: resolved.connection for resolved in settings.connections}
    used = {connection.platform for connection in connections.values()}
    return World(
        facts=Facts(connections=connections, flows=settings.flows),
        platforms={slug: platforms.load(slug).platform for slug in used},
    )


async def run(settings: Settings) -> int:
    """Work until SIGTERM; a failure of the engine ends the process with 1, so that the supervisor restarts it."""
    prefix = settings.topics.prefix
    worker_settings = WorkerSettings(
        bootstrap=settings.kafka.bootstrap,
        group=f"{prefix}o2c-streams",
        name=settings.worker,
        data_dir=settings.data_dir / settings.worker,
        broadcast_topics=(prefix + topics.BROADCAST,),
        dead_letters=prefix + topics.DEAD_LETTERS,
        security=security(settings.kafka),
        web_host=settings.streams.host,
        web_port=settings.streams.port or None,
    )
    worker = create_worker(worker_settings, [Orders(world(settings), prefix), Links(prefix)])
    return await worker.run()
