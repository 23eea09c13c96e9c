"""The console role: the read model of all orders and its HTTP API."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from functools import partial

import structlog
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.connectors.gauges import Lag
from app.console.feed import Feed
from app.console.server import Api
from app.console.store import Store
from app.console.telling import Teller
from app.core.metrics import new_metrics
from app.kafka import no_answer, reached
from app.roles.status_page import add_status_routes, serve

log = structlog.get_logger(__name__)
_SWITCH = 0.0005
"""Seconds (Python's own: 0.005) for which the thread that reads may keep those waiting that answer."""


async def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; ConfigError when Kafka does not answer at the start.

    1 when reading Kafka failed in a way that only a restart mends.
    """
    await reached(settings.kafka)
    sys.setswitchinterval(_SWITCH)
    modes = {f"mode/{flow.name}": flow.mode for flow in settings.flows}
    async with contextlib.AsyncExitStack() as stack:
        store = Store(settings.data_dir / "console" / f"{settings.worker}.sqlite", modes)
        stack.callback(store.close)
        feed, teller = Feed(settings, store), Teller(settings)
        stack.push_async_callback(feed.stop)
        await feed.start()
        stack.push_async_callback(teller.stop)
        try:
            await teller.start()
        except KafkaError as error:
            raise no_answer(settings.kafka) from error
        metrics = new_metrics()
        lag = Lag(metrics)
        for place in feed.places():
            lag.show(place.topic.removeprefix(settings.topics.prefix), place.partition, partial(feed.behind, place))
        tasks = [asyncio.create_task(feed.follow()), asyncio.create_task(feed.watch())]
        app = Api(settings, store, teller, metrics, lambda: feed.made).app()
        add_status_routes(app, metrics, live=partial(_broken, tasks), ready=feed.wrong)
        runner, _ = await serve(app, settings.console.host, settings.console.port)
        stack.push_async_callback(runner.cleanup)
        if not settings.console.api_keys:
            log.warning("console.no_keys", why="[console] names no api_keys: nobody can ask it anything.")
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for name, why in _broken(tasks).items():
            log.error("console.failed", part=name, error=why)
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
        return 0 if stopped.is_set() else 1


def _broken(tasks: list[asyncio.Task[None]]) -> dict[str, str]:
    """Return what the reading of Kafka ended with: only a restart helps."""
    ended = [repr(task.exception()) for task in tasks if task.done() and not task.cancelled()]
    return {"reading": ", ".join(ended)} if ended else {}
