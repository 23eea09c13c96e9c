"""Where every order stands, read from Kafka: once, or as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.core import consumers, topics
from app.kafka import refused, security
from schemas.order_state import PublicOrder

_DECODER = msgspec.json.Decoder(PublicOrder)


def all_orders(settings: Settings) -> Iterable[PublicOrder]:
    """Return the newest state of every order."""
    return asyncio.run(read_orders(settings)).values()


def watch(settings: Settings, tell: Callable[[PublicOrder], None]) -> None:
    """Tell of every change as it happens, until interrupted."""

    async def follow() -> None:
        async for _, order in states(settings, follow=True):
            if order is not None:
                tell(order)

    asyncio.run(follow())


async def read_orders(settings: Settings) -> dict[str, PublicOrder]:
    """Return the newest state of every order, key -> state, read to the topic's present end."""
    found: dict[str, PublicOrder] = {}
    async for key, order in states(settings, follow=False):
        if order is None:
            found.pop(key, None)
        else:
            found[key] = order
    return found


async def states(settings: Settings, *, follow: bool) -> AsyncIterator[tuple[str, PublicOrder | None]]:
    """Yield key and state: all there are, or with *follow* those that come; ConfigError when Kafka does not answer."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, **security(settings.kafka))
    try:
        await consumer.start()
        topic = settings.topics.prefix + topics.ORDER_STATES
        places = [TopicPartition(topic, number) for number in range(settings.kafka.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        if not follow:
            # seek_to_beginning() is only asked for in the background: the position would still be the end.
            for place, begin in (await consumer.beginning_offsets(places)).items():
                consumer.seek(place, begin)
        while follow or any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record.key.decode(), None if record.value is None else _DECODER.decode(record.value)
    except KafkaError as error:
        raise await refused(settings.kafka) from error
    finally:
        await consumers.stop(consumer)
