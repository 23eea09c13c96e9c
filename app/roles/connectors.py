"""The connectors role: owns connections by partition, reads and writes for them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import msgspec
import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from app.config.model import ResolvedConnection, Settings
from app.connectors.bus import Bus, group_of, partition_of
from app.connectors.desk import Desk
from app.connectors.gauges import Lag
from app.connectors.lease import Lease
from app.connectors.rows import least_epoch
from app.connectors.unread import Offsets
from app.core import consumers, topics
from app.core.auth import Vault
from app.core.faultpoints import around
from app.core.metrics import Metrics, new_metrics
from app.core.mistakes import fault
from app.deliveries.translator import Translator
from app.gateway.publisher import KafkaPublisher
from app.kafka import no_answer, reached, security
from app.roles.gateway import served
from app.roles.status_page import add_status_routes, serve
from app.subscribing.keeping import Kept
from app.subscribing.registering import Registrar
from app.world import router
from schemas.broadcast import Fact
from schemas.commands import Command, Result
from schemas.errors import misfit
from schemas.events import Hint

log = structlog.get_logger(__name__)
_POLL_MS = 500
_SESSION_MS = 10_000
_MARGIN = 3.0
_FACTS_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_STUMBLES = 5
"""How often in a row the group may answer what nobody expects, before the process ends."""
_READY_SECONDS = 1.0
"""How long records that were polled wait for desks that start: who does not poll hears of no error of the group."""


class Office(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The desks of the partitions that this process owns."""

    def __init__(self, settings: Settings, bus: Bus, metrics: Metrics) -> None:
        self._settings, self._bus, self._metrics = settings, bus, metrics
        self._vault = Vault(settings.key.get_secret_value())
        self.lease = Lease(_SESSION_MS / 1000 - _MARGIN, time.monotonic)
        self.paused: dict[str, bool] = {}
        self._registered: dict[str, str] = {}
        """Connection -> where a person registered its webhooks."""
        self._modes = {flow.name: str(flow.mode) for flow in settings.flows}
        self._said: dict[str, str] = {}
        """Flow -> mode set at run time; overrides the configuration's."""
        self.desks: dict[str, Desk] = {}
        self.lag = Lag(metrics)
        self.ready = asyncio.Event()
        self.unstarted: BaseException | None = None
        """Why the desks of the last assignment could not start."""
        self.offsets = Offsets[TopicPartition](time.monotonic)
        self.generation = 0
        """Grows with every rebalance: what was polled before one is polled again."""

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Stop every desk: what comes back starts again with a higher epoch."""
        del revoked
        self.ready.clear()
        self.unstarted = None
        self.generation += 1
        self.offsets = Offsets(time.monotonic)
        desks, self.desks = self.desks, {}
        self.lag.close()
        await asyncio.gather(*(desk.stop() for desk in desks.values()))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start a desk for every connection whose partition is ours now; the first commit proves it (see `take`)."""
        wanted = self._bus.prefix + topics.COMMANDS
        mine = {place.partition for place in assigned if place.topic == wanted}
        desks = [
            Desk(resolved, self._bus, self._vault, self._metrics, self.lease, self.live, kept=self._kept(resolved))
            for resolved in self._settings.connections
            if partition_of(resolved.connection.name, self._bus.partitions) in mine
        ]
        started = await asyncio.gather(*(desk.start() for desk in desks), return_exceptions=True)
        failed = [error for error in started if isinstance(error, BaseException)]
        if failed:  # aiokafka would log it and go on: our connections would be nobody's
            await asyncio.gather(*(desk.stop() for desk in desks))
            self.unstarted = failed[0]
            return
        self.desks = {desk.name: desk for desk in desks}
        for partition in mine:
            self.lag.show(self._bus.prefix + topics.INBOX, partition, partial(self._waiting, partition))
        for name in self.desks:
            self.obey(name, paused=self.paused.get(name, False))
        self.ready.set()
        log.info("connectors.assigned", connections=sorted(self.desks))

    def _kept(self, resolved: ResolvedConnection) -> Kept:
        name = resolved.connection.name
        return Kept(partial(Registrar, self._settings, resolved), lambda: self._registered.get(name, ""))

    def _waiting(self, partition: int) -> int:
        return sum(desk.waiting for desk in self.desks.values() if desk.partition == partition)

    def obey(self, name: str, *, paused: bool) -> None:
        """Pause a connection, or let it go on, as people decided."""
        self.paused[name] = paused
        if (desk := self.desks.get(name)) is not None:
            desk.pause(paused=paused)

    def live(self, flow: str) -> bool:
        """Tell whether *flow* may write; what names no flow that is known may."""
        return (self._said.get(flow) or self._modes.get(flow, "live")) == "live"

    def told(self, key: bytes, value: bytes | None) -> None:
        """Take a broadcast fact; only what people say at run time matters here."""
        kind, _, name = key.decode("utf-8", "replace").partition("/")
        if kind not in {"paused", "mode", "webhooks"}:
            return
        try:
            said = "" if value is None else msgspec.json.decode(value, type=Fact).value
        except msgspec.MsgspecError as error:  # what was said before still holds
            log.warning("facts.unreadable", subject=name, why=misfit(error))
            return
        if kind == "paused":
            self.obey(name, paused=bool(said))
        elif kind == "webhooks":
            self._registered[name] = said
        else:
            self._set_mode(name, said)

    def _set_mode(self, flow: str, mode: str) -> None:
        before = self.live(flow)
        self._said[flow] = mode
        if self.live(flow) != before:
            for desk in self.desks.values():
                desk.flow_changed(flow)

    async def unknown(self, command: Command) -> None:
        """Answer a command for a connection that is not configured (any more)."""
        reason = f"There is no connection {command.connection}."
        result = Result(
            command=command.id, order=command.order, write=command.write, tenant=command.tenant,
            connection=command.connection, account=command.account, capability=command.capability,
            outcome="rejected", canonical=command.canonical, digest=command.digest, generation=command.generation,
            reason=reason,
            epoch=least_epoch(time.time()), trace=command.trace, told_at=command.told_at,
        )  # fmt: skip
        await self._bus.send(topics.RESULTS, result.order.encode(), msgspec.json.encode(result))

    async def unreadable(self, topic: str, value: bytes | None, error: Exception) -> None:
        """Put what is no command or hint aside, with its reason."""
        await self._bus.dead_letter(topic.encode(), value, reason="unreadable", detail=misfit(error), origin=topic)

    def wrong(self) -> dict[str, str]:
        """Return what is not well, per connection."""
        found = {} if self.ready.is_set() else {"group": "No partitions are assigned yet."}
        if isinstance(self.unstarted, KafkaError):
            found["group"] = "Kafka did not answer when connections were to be taken over; it is tried again."
        elif self.unstarted is not None:
            found["group"] = f"What is stored of a connection cannot be used: {fault(self.unstarted)}"
        if not self.lease.held():
            found["kafka"] = "Kafka has not confirmed the membership lately: nothing is written."
        for name, desk in self.desks.items():
            if desk.stopped:
                found[name] = desk.stopped
            elif not desk.identified.is_set():
                found[name] = "The account was not verified yet."
        return found

    def broken(self) -> dict[str, str]:
        """Return desks whose work ended, or that could not begin it: only a restart helps."""
        failures: dict[str, BaseException | None] = {name: desk.failure() for name, desk in self.desks.items()}
        if not isinstance(self.unstarted, KafkaError):
            failures["group"] = self.unstarted
        return {name: fault(failure) for name, failure in failures.items() if failure is not None}


async def run(settings: Settings) -> int:
    """Work until SIGTERM; ConfigError when Kafka does not answer at the start.

    1 when a connection's work failed in a way that only a restart mends.
    """
    kafka, prefix = settings.kafka, settings.topics.prefix
    await reached(kafka)
    metrics = new_metrics()
    bus = Bus(kafka.bootstrap, prefix, kafka.partitions, security(kafka), metrics, router(settings))
    office = Office(settings, bus, metrics)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=group_of(prefix), enable_auto_commit=False,
        auto_offset_reset="earliest", partition_assignment_strategy=(RangePartitionAssignor,),
        group_instance_id=settings.worker, session_timeout_ms=_SESSION_MS, heartbeat_interval_ms=1_000,
        metadata_max_age_ms=consumers.NEW_LEADER_MS, **security(kafka),
    )  # fmt: skip
    translator = Translator(
        served(settings),
        # What a batch means is published at once: waiting for more would only be late.
        KafkaPublisher(kafka.bootstrap, prefix, security(kafka), router(settings), step="translated", linger_ms=0),
        metrics,
        prefix,
    )
    try:
        await bus.start()
        await consumer.start()
        await translator.start(kafka.bootstrap, settings.worker, security(kafka))
        for key, value in (await bus.read_all(topics.BROADCAST, 0)).items():  # before anything is written
            office.told(key, value)
    except KafkaError as error:
        await _left(consumer, translator, bus)
        raise no_answer(kafka) from error
    app = web.Application()
    add_status_routes(app, metrics, live=office.broken, ready=lambda: office.wrong() | translator.wrong())
    runner, _ = await serve(app, settings.connectors.host, settings.connectors.port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    read = [prefix + topics.COMMANDS, prefix + topics.HINTS]
    consumer.subscribe(read, listener=office)
    facts = asyncio.create_task(_obey_facts(bus, office))
    translating = asyncio.create_task(translator.run())
    stopping = asyncio.create_task(stopped.wait())
    stumbles = 0
    try:
        while not stopped.is_set() and not office.broken() and not translating.done():
            if office.unstarted is not None:
                log.warning("connectors.later", why=fault(office.unstarted))
                await _join_again(consumer, office, read)
            taking = asyncio.ensure_future(take(consumer, office, prefix))
            await asyncio.wait({taking, stopping, translating}, return_when=asyncio.FIRST_COMPLETED)
            stumbles = await _stumbled(taking, stumbles)
        for name, why in office.broken().items():
            log.error("connection.failed", connection=name, error=why)
    finally:
        stopping.cancel()
        facts.cancel()
        translating.cancel()
        _, failed = await asyncio.gather(facts, translating, return_exceptions=True)
        if isinstance(failed, Exception):
            log.error("deliveries.failed", error=fault(failed))
        await office.on_partitions_revoked(())
        await _left(consumer, translator, bus)
        await runner.cleanup()
    return 0 if stopped.is_set() else 1


async def _left(consumer: AIOKafkaConsumer, translator: Translator, bus: Bus) -> None:
    await consumers.stop(consumer)
    await translator.stop()
    await bus.stop()


async def _stumbled(taking: asyncio.Future[None], before: int) -> int:
    """End *taking* and return how often in a row the group answered what nobody expects; raise what ends the process.

    aiokafka joins again by itself, and has no class of its own for it (seen: UnknownError of SyncGroup); where no
    broker answered, a consumer was seen to raise a CancelledError that nobody asked for.
    """
    if not taking.done():
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        return before
    error = KafkaError("cancelled by nobody") if taking.cancelled() else taking.exception()
    if error is None:
        return 0
    if type(error) is not KafkaError or before + 1 >= _STUMBLES:
        raise error
    log.warning("group.again", why=fault(error))
    await asyncio.sleep(_AGAIN_SECONDS)
    return before + 1


async def _join_again(consumer: AIOKafkaConsumer, office: Office, read: list[str]) -> None:
    """Take the group's partitions anew: desks take a higher epoch only while the group says that they are theirs."""
    consumer.unsubscribe()
    await office.on_partitions_revoked(())
    await asyncio.sleep(_AGAIN_SECONDS)
    consumer.subscribe(read, listener=office)


async def _obey_facts(bus: Bus, office: Office) -> None:
    """Obey what people say at run time as soon as it is there."""
    while True:
        try:
            async for key, value in bus.follow(topics.BROADCAST):
                office.told(key, value)
        except KafkaError as error:
            log.info("facts.later", why=type(error).__name__)
            await asyncio.sleep(_FACTS_SECONDS)


async def take(consumer: AIOKafkaConsumer, office: Office, prefix: str) -> None:
    """Move commands into inboxes and hints to readers, then the offsets of what is durable or read.

    The commit also renews the lease.
    """
    generation = office.generation
    polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=500)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            await office.ready.wait()
    desks, offsets, ready = office.desks, office.offsets, office.ready.is_set()
    if ready and office.generation == generation:
        taken = [
            _hand_over(office, desks, place.topic.removeprefix(prefix), one, partial(offsets.unread, place, one.offset))
            for place, found in polled.items()
            for one in found
        ]
        await asyncio.gather(*taken)
    if (
        not ready or office.generation != generation
    ):  # what old desks accepted meanwhile may be missing from the new ones' inboxes
        for place in consumer.assignment() & polled.keys():
            consumer.seek(place, polled[place][0].offset)
        return
    for place, found in polled.items():
        offsets.took(place, found[-1].offset)
    began, let_go, member = office.lease.now(), offsets.let_go, _membership(consumer)
    try:
        reached = offsets.to_commit() or {place: await consumer.position(place) for place in consumer.assignment()}
        if member < 0 or not reached:  # aiokafka asks no broker where there is nothing to commit
            return
        async with around("offsets", "connectors"):
            await consumer.commit(reached)
    except KafkaError as error:  # after a rebalance the next owner takes them again, which is harmless
        log.info("commit.failed", why=type(error).__name__)
    else:
        if _membership(consumer) == member:
            office.lease.renew(began)
        if offsets.let_go > let_go:
            log.warning("hints.let_go", hints=offsets.let_go - let_go, why="They could not be read for too long.")
        await _show_lag(consumer, office)


def _membership(consumer: AIOKafkaConsumer) -> int:
    """Return the group's generation in which the broker knows *consumer*, -1 while it does not.

    A group that lost all its members takes offsets from anybody: then a commit alone proves nothing.
    """
    return int(consumer._coordinator.generation)  # noqa: SLF001  nothing public tells it


async def _show_lag(consumer: AIOKafkaConsumer, office: Office) -> None:
    """Show what was not polled yet, as of the last fetch, and what was not read yet of the hints that were."""
    done = office.offsets.to_commit()
    ends = {place: end for place in consumer.assignment() if (end := consumer.highwater(place)) is not None}
    for place, end in ends.items():
        try:
            at = done[place] if place in done else await consumer.position(place)
        except KafkaError:  # moved away meanwhile
            return
        office.lag.show(place.topic, place.partition, partial(float, max(0, end - at)))


async def _hand_over(
    office: Office,
    desks: Mapping[str, Desk],
    topic: str,
    record: ConsumerRecord,
    hold: Callable[[], Callable[[], None]],
) -> None:
    """Give a record to its desk; *hold* keeps its offset back until the function that it returns is called."""
    try:
        if topic == topics.COMMANDS:
            command = msgspec.json.decode(record.value or b"", type=Command)
            if (desk := desks.get(command.connection)) is not None:
                await desk.accept(command, record.timestamp / 1000, record.headers)
            else:
                await office.unknown(command)
        else:
            hint = msgspec.json.decode(record.value or b"", type=Hint)
            if (desk := desks.get(hint.object.connection)) is not None:
                desk.want(hint, hold())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        await office.unreadable(topic, record.value, error)
