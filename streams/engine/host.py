"""Faust as host: membership, assignment, changelog topics, web. Its data path is replaced by ours.

Everything that is private in Faust or aiokafka and used by the engine is used here, and
tests/contract/test_faust_internals.py asserts that it is still there.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import quote

import faust
import structlog
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.engine.fold import Fenced
from streams.engine.lean import as_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiokafka import AIOKafkaConsumer

    from streams.engine.fold import Processor
    from streams.engine.settings import WorkerSettings

_log = structlog.get_logger(__name__)
_FETCH_WAIT = 0.5
_FULL_WAIT = 0.005


class Guest(Protocol):
    """What the engine does when its host tells it something."""

    def hungry(self) -> set[TP]:
        """Return the source partitions to fetch from."""
        ...

    def offer(self, records: Mapping[TP, Sequence[Any]]) -> None:
        """Take fetched records."""
        ...

    def revoking(self) -> None:
        """Take no more records from now on."""
        ...

    async def quiesce(self) -> None:
        """Finish or cancel what is in flight and commit."""
        ...

    async def commit(self) -> bool:
        """Commit finished offsets."""
        ...

    async def assigned(self, actives: set[TP], standbys: set[TP], generation: int) -> None:
        """Start to own *actives* and to follow *standbys*."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class HostThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread; remembers when the group was last heard of."""

    app: HostApp
    heard = 0.0
    _fetching: asyncio.Future[Any] | None = None

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = int(self.app.settings.fetch_max_wait * 1000)  # noqa: SLF001  no setting
        consumer._isolation_level = "read_committed"  # noqa: SLF001  no setting: what a producer took back never was
        return consumer

    async def on_start(self) -> None:
        """Start the consumer, have it give the engine's records, and listen to its heartbeats."""
        await super().on_start()
        as_records(self._ensure_consumer())
        coordinator = self._ensure_consumer()._coordinator  # noqa: SLF001  nothing public tells of heartbeats
        beat = coordinator._do_heartbeat  # noqa: SLF001  same

        async def heartbeat() -> bool:
            alive = bool(await beat())
            if alive:
                self.heard = now_with_suspend()
            return alive

        coordinator._do_heartbeat = heartbeat  # noqa: SLF001  same

    async def _fetch_records(self, consumer: AIOKafkaConsumer, *given: Any, **named: Any) -> Any:  # noqa: ANN401  Faust's signature
        """Fetch under one assignment alone.

        A fetch of aiokafka that waits while the group rebalances goes on with the next assignment: it would take its
        first records, move its positions past them, and hand them to a loop that has to drop them.
        """
        self._fetching = asyncio.ensure_future(super()._fetch_records(consumer, *given, **named))
        await asyncio.wait([self._fetching])
        return {} if self._fetching.cancelled() else self._fetching.result()

    def forget_fetch(self) -> None:
        """End a fetch under way, which loses nothing: it takes records only in the moment when it returns."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """End a fetch that began after the revocation and before the flow was stopped; then go on as Faust does."""
        self.forget_fetch()
        await super().on_partitions_assigned(assigned, generation_id)

    def stay(self) -> None:
        """Count as polling while there is no room or recovery runs; being stuck is for the health probe to see."""
        with self._ensure_consumer()._subscription.fetch_context():  # noqa: SLF001  nothing public resets the idle time
            pass

    def ended(self) -> BaseException | None:
        """Return what ended the work with the group, of which nothing is heard again; None while it goes on."""
        coordinator = None if self._consumer is None else self._consumer._coordinator  # noqa: SLF001  nothing public tells
        if coordinator is None:  # the consumer is made, and not started yet
            return None
        task = coordinator._coordination_task  # noqa: SLF001  same
        return task.exception() if task.done() and not task.cancelled() else None

    def generation(self) -> int:
        """Return the group's generation as the coordinator knows it now; -1 when it has none."""
        return int(self._ensure_consumer()._coordinator.generation)  # noqa: SLF001  Faust's copy is set later

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, in the consumer's own loop; False when the group moved on or the broker is away."""
        return bool(await self.call_thread(self._commit_offsets, offsets))

    async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        try:
            await self._ensure_consumer().commit({driver.ensure_aiokafka_TP(tp): at for tp, at in offsets.items()})
        except (CommitFailedError, IllegalStateError):
            return False
        except KafkaError as error:
            _log.warning("commit.failed", error=type(error).__name__)
            return False
        return True

    async def committed(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return committed offsets, 0 where there is none."""
        found: dict[TP, int] = await self.call_thread(self._committed, list(tps))
        return found

    async def _committed(self, tps: list[TP]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        return {tp: await consumer.committed(driver.ensure_aiokafka_TP(tp)) or 0 for tp in tps}

    async def positions(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Return what is fetched next, also where no record lies there; what is not assigned any more is left out."""
        try:
            found: dict[TP, int] = await self.call_thread(self._positions, list(tps))
        except RuntimeError:
            if not self.method_queue.loop.is_closed():
                raise
            return {}  # the worker is being stopped, and this thread is first
        return found

    async def _positions(self, tps: list[TP]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        mine = consumer.assignment()
        return {tp: await consumer.position(at) for tp in tps if (at := driver.ensure_aiokafka_TP(tp)) in mine}

    async def silence(self, tps: Iterable[TP]) -> None:
        """Never fetch *tps*; changelogs are read by recovery's own consumer."""
        await self.call_thread(self._silence, list(tps))

    async def _silence(self, tps: list[TP]) -> None:
        self._ensure_consumer().pause(*[driver.ensure_aiokafka_TP(tp) for tp in tps])


class HostConsumer(driver.Consumer):
    """Faust's consumer with our drain loop and our commits."""

    app: HostApp
    _thread: HostThread

    def _new_consumer_thread(self) -> HostThread:
        return HostThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def thread(self) -> HostThread:
        """Return the consumer's thread."""
        return self._thread

    async def _drain_messages(self, fetcher: Any) -> None:  # noqa: ANN401  Faust's signature
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001  as in Faust's loop
                await self._feed()
        except self.consumer_stopped_errors:
            if not self.app.should_stop:
                raise

    async def _feed(self) -> None:
        guest = self.app.guest
        hungry = guest.hungry() if self.flow_active else set()
        if not hungry:
            self._thread.stay()
            await asyncio.sleep(_FULL_WAIT)
            return
        turn = self.app.turn
        records = await self._getmany(hungry, _FETCH_WAIT)
        if turn == self.app.turn and self.flow_active:
            guest.offer(records)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ANN401, FBT001, FBT002  Faust's signature
        """Commit what the engine finished; called by Faust's own timer."""
        del topics, start_new_transaction
        return bool(await self.app.guest.commit())

    async def wait_empty(self) -> None:
        """Let the engine finish; called before partitions are given back."""
        await self.app.guest.quiesce()

    async def verify_all_partitions_active(self) -> None:
        """Leave liveness to the engine's own probe: Faust's reads counters that the batch path never sets."""


class HostTransport(driver.Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = HostConsumer


class HostTables(TableManager):
    """Knows the changelogs for the assignor; recovery is the engine's."""

    app: HostApp

    async def on_start(self) -> None:
        """Register the changelog topics, so that they are assigned along with their sources."""
        self._tables_finalized.set()
        for table in self.values():
            self.app.topics.add(table.changelog_topic)
        self._tables_registered.set()

    async def wait_until_recovery_completed(self) -> bool:
        """Return at once: web and timers run during recovery, and readiness says when it is over."""
        return False

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop the intake."""
        del revoked
        self.app.guest.revoking()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Hand the new assignment to the engine and let the consumer fetch again."""
        del revoked, newly_assigned
        app, changelogs = self.app, self.changelog_topics
        assignor, thread = app.assignor, app.thread
        thread.heard = now_with_suspend()
        await thread.silence(tp for tp in assigned if tp.topic in changelogs)
        await app.guest.assigned(assignor.assigned_actives(), assignor.assigned_standbys(), generation_id)
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()  # noqa: SLF001  as Faust's own recovery does

    async def on_stop(self) -> None:
        """Let go of everything; nothing of Faust's recovery ever ran."""
        await self.app._fetcher.stop()  # noqa: SLF001  as Faust's own
        await self.app.guest.close()


class HostBoot(BootStrategy):
    """Starts no producer of Faust's: everything written goes through the shipper."""

    enable_kafka_producer = False


class HostApp(faust.App):
    """A Faust app whose guest is the engine."""

    BootStrategy = HostBoot
    guest: Guest
    settings: WorkerSettings
    turn = 0

    def _new_transport(self) -> HostTransport:
        return HostTransport(self.conf.broker_consumer, self)

    @property
    def thread(self) -> HostThread:
        """Return the thread of our consumer."""
        return cast("HostConsumer", self.consumer).thread

    def let_go(self) -> BaseException | None:
        """Return why the group will never assign anything here again; None while it may."""
        return None if self._consumer is None else self.thread.ended()

    def on_rebalance_start(self) -> None:
        """Invalidate fetches under way; called in the consumer's thread, before anything else."""
        self.turn += 1
        self.thread.forget_fetch()
        super().on_rebalance_start()

    def on_rebalance_return(self) -> None:
        """End the rebalance here: Faust would wait for its own recovery."""
        super().on_rebalance_return()
        self.on_rebalance_end()


class GroupGuard:
    """Tells whether this worker may still write for a generation of its group."""

    def __init__(self, app: HostApp, settings: WorkerSettings) -> None:
        self._app = app
        self._patience = settings.session_timeout * settings.heartbeat_grace

    def current(self, generation: int) -> bool:
        """Return whether *generation* still is the group's."""
        return bool(self._app.thread.generation() == generation)

    async def check(self, generation: int) -> None:
        """Wait until the group was heard of lately: a worker that slept may have lost its partitions."""
        thread = self._app.thread
        while now_with_suspend() - thread.heard > self._patience:
            if not self.current(generation):
                break
            await asyncio.sleep(0.05)
        if not self.current(generation):
            raise Fenced("The generation of the group changed.")


def now_with_suspend() -> float:
    """Return a monotonic time that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def create_host(settings: WorkerSettings, processors: Sequence[Processor], partitions: Mapping[str, int]) -> HostApp:
    """Return the Faust app that hosts *processors*; their tables have *partitions* by name."""
    web: dict[str, Any] = {"web_port": settings.web_port, "web_host": settings.web_host, "web_bind": settings.web_host}
    app = HostApp(
        settings.group,
        broker=";".join(f"kafka://{server}" for server in settings.bootstrap.split(",")),
        env_prefix="O2C_FAUST_",
        TableManager=HostTables,
        store="memory://",
        datadir=settings.data_dir / "faust",
        processing_guarantee="at_least_once",
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.name if settings.static_membership else None,
        consumer_max_fetch_size=settings.max_fetch_size,
        broker_session_timeout=settings.session_timeout,
        broker_request_timeout=settings.request_timeout,
        broker_heartbeat_interval=settings.heartbeat_interval,
        broker_max_poll_interval=settings.max_poll_interval,
        broker_max_poll_records=settings.max_poll_records,
        broker_commit_interval=settings.commit_interval,
        broker_client_id=settings.name,
        stream_wait_empty=True,
        stream_recovery_delay=0,
        table_standby_replicas=settings.standby_replicas,
        # By name alone: a static member that comes back on another port is given the assignment of before, and Faust
        # gives up where the address in it is not its own.
        canonical_url=f"worker:/{quote(settings.name, safe='')}",
        web_enabled=settings.web_port is not None,
        web_tables_enabled=False,
        web_router_enabled=False,
        cython_optimizations=False,
        **_credentials(settings.security),
        **({} if settings.web_port is None else web),
    )
    app.settings = settings
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    for processor in processors:
        count = partitions[processor.name]
        for name in processor.topics:
            app.topics.add(app.topic(name, **raw))
        app.Table(
            processor.name,
            partitions=count,
            changelog_topic=app.topic(processor.changelog, partitions=count, compacting=True, **raw),
        )
    return app


def _credentials(security: Mapping[str, Any]) -> dict[str, Any]:
    context = security.get("ssl_context")
    if security.get("sasl_mechanism"):
        sasl = faust.SASLCredentials(
            username=security.get("sasl_plain_username"),
            password=security.get("sasl_plain_password"),
            mechanism=security["sasl_mechanism"],
            ssl_context=context,
        )
        return {"broker_credentials": sasl}
    return {"broker_credentials": faust.SSLCredentials(context)} if context is not None else {}
