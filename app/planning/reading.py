"""The states of all orders, as the streams keep them, and what people said at run time: read from Kafka alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.config.model import Settings
from app.connectors.bus import Bus
from app.core import consumers, topics
from app.core.errors import ConfigError
from app.kafka import security
from app.planning.drafting import Drafts
from app.planning.plan import Plan
from app.world import world as configured_world
from schemas.flow import Flow
from schemas.state import FORMAT, OrderState
from streams.engine.fold import NewerFormat
from streams.engine.header import EPOCH_KEY, HEADER, SEEN_KEY, unpack_header
from streams.order.plan.begin import EVER
from streams.order.world import World
from streams.processors.stored import Stored
from streams.processors.world import Worlds

_POLL_MS = 500
_FETCH = 4 * 1024 * 1024
_STATE = Stored(OrderState, FORMAT)
_NOBODY = (0, 0)


async def read_world(settings: Settings) -> World:
    """Return the configured world with what was said at run time laid over it, as every worker has it."""
    kafka = settings.kafka
    bus = Bus(kafka.bootstrap, settings.topics.prefix, kafka.partitions, security(kafka))
    return Worlds(configured_world(settings)).now(await bus.read_all(topics.BROADCAST, 0))


async def read_plans(
    settings: Settings,
    world: World,
    flows: Collection[Flow],
    told: Callable[[int], None] = lambda _count: None,
    since: datetime = EVER,
) -> list[Plan]:
    """Return the plans of *flows* by what the streams know now; *told* hears how many orders were looked at."""
    drafts = Drafts(world, flows, datetime.now(UTC), since)
    count = 0
    async for state in read_states(settings):
        drafts.add(state)
        count += 1
        told(count)
    return drafts.plans()


async def read_states(settings: Settings) -> AsyncIterator[OrderState]:
    """Yield the state of every order, partition by partition, each read to its present end."""
    kafka, topic = settings.kafka, settings.topics.prefix + topics.ORDERS_CHANGELOG
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=_FETCH,
        **security(kafka),
    )  # fmt: skip
    try:
        await consumer.start()
        for number in range(kafka.partitions):
            for key, value in (await _newest(consumer, TopicPartition(topic, number))).items():
                yield _state(key, value)
    finally:
        await consumers.stop(consumer)


async def _newest(consumer: AIOKafkaConsumer, place: TopicPartition) -> dict[bytes, bytes]:
    """Return the states of one partition; what a worker wrote that had lost it already does not count."""
    consumer.assign([place])
    end = (await consumer.end_offsets([place]))[place]
    consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
    found: dict[bytes, tuple[tuple[int, int], bytes | None]] = {}
    while await consumer.position(place) < end:
        for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
            if record.key in (EPOCH_KEY, SEEN_KEY):
                continue
            packed = dict(record.headers).get(HEADER)
            stamp = unpack_header(packed)[:2] if packed else _NOBODY
            if stamp >= found.get(record.key, (_NOBODY, None))[0]:
                found[record.key] = (stamp, record.value)
    return {key: value for key, (_, value) in found.items() if value is not None}


def _state(key: bytes, value: bytes) -> OrderState:
    try:
        return _STATE.read(value)
    except NewerFormat as error:
        why = f"Order {key.decode()} was stored by a newer o2c; update this one, then plan again."
        raise ConfigError(why) from error
