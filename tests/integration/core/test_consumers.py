"""A consumer of a real Kafka ends while one of its fetches waits to be tried again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import RequestTimedOutError

from app.core import consumers

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
_LONG = 60_000


@asynccontextmanager
async def _whose_fetch_waits(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer whose last fetch was not answered in time; the next try is a minute off."""
    topic = f"ending-{uuid.uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, retry_backoff_ms=_LONG, auto_offset_reset="earliest")
    await consumer.start()
    send, failed = consumer._client.send, asyncio.Event()

    async def late(node: int, request: Any, **more: Any) -> Any:
        if "Fetch" in type(request).__name__:
            failed.set()
            raise RequestTimedOutError
        return await send(node, request, **more)

    consumer.assign([TopicPartition(topic, 0)])
    await consumer.position(TopicPartition(topic, 0))
    consumer._client.send = late
    consumer.seek(TopicPartition(topic, 0), 0)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(consumer.getone(), 1)
    await failed.wait()
    yield consumer


def _connections(consumer: AIOKafkaConsumer) -> list[bool]:
    return [one.connected() for one in consumer._client._conns.values()]


async def test_what_aiokafka_lets_out_is_no_cancellation_of_ours(kafka: str) -> None:
    async with _whose_fetch_waits(kafka) as consumer:
        assert any(_connections(consumer))
        await consumers.stop(consumer)
        assert not any(_connections(consumer))


async def test_who_is_cancelled_while_a_consumer_ends_stays_so(kafka: str) -> None:
    async def end(consumer: AIOKafkaConsumer) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await consumers.stop(consumer)

    async with _whose_fetch_waits(kafka) as consumer:
        ending = asyncio.create_task(end(consumer))
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.wait([ending])
        assert ending.cancelled()
        assert not any(_connections(consumer))


async def test_aiokafka_still_does_it(kafka: str) -> None:
    """Red once it does not: then `app.core.consumers` has nothing left to do."""
    async with _whose_fetch_waits(kafka) as consumer:
        with pytest.raises(asyncio.CancelledError):
            await consumer.stop()
        await consumer._client.close()
