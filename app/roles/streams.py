"""The streams role: Faust workers that hold the state of orders and links."""

from __future__ import annotations

import gc
import itertools
from collections import defaultdict
from collections.abc import Iterable

from app.config.model import Settings
from app.core import topics
from app.core.metrics import Metrics, new_metrics
from app.kafka import reached, security
from app.world import unseen, world
from schemas.connection import Connection
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker
from streams.processors.links import Links
from streams.processors.orders import Orders

_COLLECTED = (20_000, 20, 20)
"""Python's own thresholds (700, 10, 10) look through fresh facts and states, which form no cycles, again and again."""


def worker_settings(settings: Settings) -> WorkerSettings:
    """Return what the engine is told."""
    prefix = settings.topics.prefix
    return WorkerSettings(
        bootstrap=settings.kafka.bootstrap,
        group=f"{prefix}o2c-streams",
        name=settings.worker,
        data_dir=settings.data_dir / settings.worker,
        broadcast_topics=(prefix + topics.BROADCAST,),
        dead_letters=prefix + topics.DEAD_LETTERS,
        security=security(settings.kafka),
        standby_replicas=settings.streams.standbys,
        web_host=settings.streams.host,
        web_port=settings.streams.port or None,
    )


async def run(settings: Settings) -> int:
    """Work until SIGTERM; ConfigError when Kafka does not answer at the start.

    A failure of the engine ends the process with 1, so that the supervisor restarts it.
    """
    await reached(settings.kafka)
    prefix = settings.topics.prefix
    gc.freeze()  # what is imported stays
    gc.set_threshold(*_COLLECTED)
    known = unseen(world(settings))
    worker = create_worker(
        worker_settings(settings),
        [Orders(known, prefix), Links(prefix)],
        begun(new_metrics(), known.facts.connections.values()),
    )
    return await worker.run()


def begun(metrics: Metrics, connections: Iterable[Connection]) -> Metrics:
    """Begin what is counted per connection at 0: a panel shows nothing, and an alert no increase, of a first count."""
    for tenant in _by_tenant(connections).values():
        for name in tenant:
            metrics.healed_by_sweep.labels(name)
        for typed_in, told_by in itertools.permutations(tenant, 2):
            metrics.echoes.labels(typed_in, told_by)
    return metrics


def _by_tenant(connections: Iterable[Connection]) -> dict[str, list[str]]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for one in connections:
        names[one.tenant].append(one.name)
    return names
