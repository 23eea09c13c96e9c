"""The connectors role: owns connections by partition, reads and writes for them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable

import msgspec
import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.connectors.bus import Bus, partition_of
from app.connectors.desk import Desk
from app.core import topics
from app.core.auth import Vault
from app.core.errors import ConfigError
from app.core.metrics import Metrics, new_metrics
from app.roles.gateway import security
from app.roles.status_page import add_status_routes, serve
from schemas.commands import Command
from schemas.events import Hint

log = structlog.get_logger(__name__)
_POLL_MS = 500


class Office(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """The desks of the partitions that this process owns."""

    def __init__(self, settings: Settings, bus: Bus, metrics: Metrics) -> None:
        self._settings, self._bus, self._metrics = settings, bus, metrics
        self._vault = Vault(settings.key.get_secret_value())
        self.desks: dict[str, Desk] = {}
        self.ready = False

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Stop every desk: what comes back starts again with a higher epoch."""
        del revoked
        self.ready = False
        desks, self.desks = self.desks, {}
        await asyncio.gather(*(desk.stop() for desk in desks.values()))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start a desk for every connection whose partition is ours now."""
        wanted = self._bus.prefix + topics.COMMANDS
        mine = {place.partition for place in assigned if place.topic == wanted}
        desks = [
            Desk(resolved, self._bus, self._vault, self._metrics)
            for resolved in self._settings.connections
            if partition_of(resolved.connection.name, self._bus.partitions) in mine
        ]
        await asyncio.gather(*(desk.start() for desk in desks))
        self.desks = {desk.name: desk for desk in desks}
        self.ready = True
        log.info("connectors.assigned", connections=sorted(self.desks))

    def wrong(self) -> dict[str, str]:
        """Return what is not well, per connection."""
        found = {} if self.ready else {"group": "No partitions are assigned yet."}
        for name, desk in self.desks.items():
            if desk.owner is not None and desk.owner.stopped:
                found[name] = desk.owner.stopped
            elif not desk.identified.is_set():
                found[name] = "The account was not verified yet."
        return found

    def broken(self) -> dict[str, str]:
        """Return desks whose work ended: only a restart helps."""
        failures = {name: desk.failure() for name, desk in self.desks.items()}
        return {name: repr(failure) for name, failure in failures.items() if failure is not None}


async def run(settings: Settings) -> int:
    """Work until SIGTERM; 1 when a connection's work failed in a way that only a restart mends."""
    kafka, prefix = settings.kafka, settings.topics.prefix
    bus = Bus(kafka.bootstrap, prefix, kafka.partitions, security(kafka))
    metrics = new_metrics()
    office = Office(settings, bus, metrics)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=f"{prefix}o2c-connectors", enable_auto_commit=False,
        auto_offset_reset="earliest", partition_assignment_strategy=(RangePartitionAssignor,),
        group_instance_id=settings.worker, session_timeout_ms=10_000, heartbeat_interval_ms=1_000, **security(kafka),
    )  # fmt: skip
    try:
        await bus.start()
        await consumer.start()
    except KafkaError as error:
        raise ConfigError(f"Kafka does not answer at {kafka.bootstrap}; run `o2c kafka status`.") from error
    app = web.Application()
    add_status_routes(app, metrics, live=office.broken, ready=office.wrong)
    runner, _ = await serve(app, settings.connectors.host, settings.connectors.port)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    consumer.subscribe([prefix + topics.COMMANDS, prefix + topics.HINTS], listener=office)
    try:
        while not stopped.is_set() and not office.broken():
            await _take(consumer, office, prefix)
    finally:
        await office.on_partitions_revoked(())
        await consumer.stop()
        await bus.stop()
        await runner.cleanup()
    for name, why in office.broken().items():
        log.error("connection.failed", connection=name, error=why)
    return 0 if stopped.is_set() else 1


async def _take(consumer: AIOKafkaConsumer, office: Office, prefix: str) -> None:
    """Move commands into inboxes and hints to readers, then their offsets."""
    polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=500)
    offsets: dict[TopicPartition, int] = {}
    for place, records in polled.items():
        for record in records:
            await _hand_over(office, place.topic.removeprefix(prefix), record.value)
        offsets[place] = records[-1].offset + 1
    if offsets:
        try:
            await consumer.commit(offsets)
        except KafkaError as error:  # after a rebalance the next owner takes them again, which is harmless
            log.info("commit.failed", why=type(error).__name__)


async def _hand_over(office: Office, topic: str, value: bytes) -> None:
    if topic == topics.COMMANDS:
        command = msgspec.json.decode(value, type=Command)
        desk = office.desks.get(command.connection)
        if desk is not None:
            await desk.accept(command)
        return
    hint = msgspec.json.decode(value, type=Hint)
    desk = office.desks.get(hint.object.connection)
    if desk is not None:
        desk.want(hint)
