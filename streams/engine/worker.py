"""One stream worker: Faust with our engine as its guest, from start to a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from aiokafka.errors import KafkaError

from app.core.metrics import CONTENT_TYPE, new_metrics
from app.core.mistakes import fault
from streams.engine.broadcast import Broadcast
from streams.engine.engine import Engine
from streams.engine.health import Health, Verdict
from streams.engine.host import GroupGuard, create_host
from streams.engine.instruments import Instruments
from streams.engine.premises import occupied
from streams.engine.ship import Shipper
from streams.engine.surroundings import Surroundings
from streams.engine.topics import require_equal_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from faust.web import Request, Response, View

    from app.core.metrics import Metrics
    from streams.engine.fold import Processor
    from streams.engine.host import HostApp
    from streams.engine.settings import WorkerSettings

_log = structlog.get_logger(__name__)
_POLL = 0.2


class Worker:
    """Runs processors until told to stop; the exit code says whether that went well."""

    def __init__(
        self,
        settings: WorkerSettings,
        processors: Sequence[Processor],
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._processors = processors
        self._metrics = metrics
        self._instruments = Instruments(metrics)
        self._now = now
        self._stop = asyncio.Event()
        self.engine: Engine | None = None
        self._health: Health | None = None

    def stop(self) -> None:
        """Ask for a clean stop."""
        self._stop.set()

    def live(self) -> Verdict:
        """Return whether restarting would not help."""
        return self._health.live() if self._health is not None else Verdict(ok=True)

    def ready(self) -> Verdict:
        """Return whether everything assigned is being processed."""
        return self._health.ready() if self._health is not None else Verdict(ok=False, reasons=("starting",))

    async def run(self, *, signals: bool = True) -> int:
        """Work until SIGTERM, SIGINT, `stop` or a failure; return 0 only after a clean stop."""
        if signals:
            self._listen()
        with occupied(self._settings.data_dir):
            return await self._shipping()

    async def _shipping(self) -> int:
        shipper = Shipper(self._settings, self._metrics)
        try:
            await shipper.start()
            return await self._hosted(shipper)
        except KafkaError as error:
            _log.error("worker.broker", error=repr(error))
            return 1
        finally:
            await shipper.stop()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            os._exit(2)  # a second signal exits at once
        self._stop.set()

    async def _hosted(self, shipper: Shipper) -> int:
        partitions = await self._prepare(shipper)
        app = create_host(self._settings, self._processors, partitions)
        broadcast = Broadcast(self._settings, shipper.partitions)
        around = Surroundings(
            settings=self._settings,
            shipper=shipper,
            broadcast=broadcast,
            instruments=self._instruments,
            guard=GroupGuard(app, self._settings),
            now=self._now,
            cpu=asyncio.Lock(),
        )
        engine = self.engine = Engine(app, self._processors, partitions, around)
        app.guest = engine
        broadcast.on_change = engine.broadcast_changed
        self._health = Health(engine, around)
        self._serve(app)
        await broadcast.start()
        watching = asyncio.create_task(self._health.watch())
        try:
            return await self._until_stopped(app, engine)
        finally:
            watching.cancel()
            await broadcast.stop()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _prepare(self, shipper: Shipper) -> dict[str, int]:
        partitions: dict[str, int] = {}
        for processor in self._processors:
            names = (*processor.topics, processor.changelog)
            counts = {name: await shipper.partitions(name) for name in names}
            partitions[processor.name] = require_equal_partitions(counts, processor.name)
        await shipper.partitions(self._settings.dead_letters)
        return partitions

    async def _until_stopped(self, app: HostApp, engine: Engine) -> int:
        starting = asyncio.create_task(app.start())
        while not (self._stop.is_set() or app.should_stop or engine.failure.done() or app.let_go()):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _POLL)
            if starting.done() and starting.exception() is not None:
                break
        code = self._verdict(app, engine, starting)
        try:
            async with asyncio.timeout(self._settings.stop_deadline):
                await app.stop()
                await engine.close()
        except TimeoutError:
            _log.error("stop.timeout", after=self._settings.stop_deadline)
            return 1
        finally:
            starting.cancel()
            await asyncio.wait([starting])
        return code

    def _verdict(self, app: HostApp, engine: Engine, starting: asyncio.Task[None]) -> int:
        failure = engine.failure.result() if engine.failure.done() else app.crash_reason or app.let_go()
        if failure is None and starting.done():
            failure = starting.exception()
        if failure is None and not app.should_stop:
            return 0
        _log.error("worker.failed", error=None if failure is None else fault(failure), exc_info=failure)
        return 1

    def _serve(self, app: HostApp) -> None:
        if self._settings.web_port is None:
            return

        def page(path: str, verdict: Callable[[], Verdict]) -> None:
            async def view(web: View, request: Request) -> Response:
                del request
                found = verdict()
                body = {"ok": found.ok, "reasons": found.reasons}
                return web.json(body, status=HTTPStatus.OK if found.ok else HTTPStatus.SERVICE_UNAVAILABLE)

            app.page(path)(view)

        page("/health/live", self.live)
        page("/health/ready", self.ready)

        async def metrics(web: View, request: Request) -> Response:
            del request
            return web.bytes(self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

        app.page("/metrics")(metrics)


def create_worker(
    settings: WorkerSettings,
    processors: Sequence[Processor],
    metrics: Metrics | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Worker:
    """Return a worker; must be called where its event loop runs."""
    return Worker(settings, processors, metrics or new_metrics(), now)
