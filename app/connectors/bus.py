"""Kafka as the connectors use it: durable rows per connection, results and events out; nothing else is a database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2
from aiokafka.structs import ConsumerRecord

from app.core import consumers, topics
from app.core.faultpoints import around
from app.core.metrics import Metrics, new_metrics
from schemas.broadcast import Fact
from schemas.cloudevents import encode
from schemas.events import ChangeEvent
from schemas.facts import type_names
from schemas.platform import Platform

_ENCODE = msgspec.json.Encoder().encode
_POLL_MS = 500
_FETCH = 4 * 1024 * 1024
_BATCH = 256 * 1024
"""Everything of a connection goes to one partition: many senders wait for each other where a batch is soon full."""
Headers = Sequence[tuple[str, bytes]]


def partition_of(connection: str, partitions: int) -> int:
    """Return the partition of a connection, as Kafka's default partitioner has it for keys equal to its name."""
    return int(murmur2(connection.encode()) & 0x7FFFFFFF) % partitions


def group_of(prefix: str) -> str:
    """Return the consumer group of the connectors."""
    return f"{prefix}o2c-connectors"


class Bus:
    """One idempotent producer, and readers of whole partitions."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str,
        partitions: int,
        security: dict[str, Any],
        metrics: Metrics | None = None,
        routed: Callable[[ChangeEvent], ChangeEvent] = lambda event: event,
    ) -> None:
        """*partitions* is the count of every topic keyed by connection.

        *routed* names the order of an event that tells it by itself.
        """
        self._routed = routed
        self._metrics = metrics or new_metrics()
        self.prefix, self.partitions = prefix, partitions
        self._bootstrap, self._security = bootstrap, security
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect the producer."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=5, max_batch_size=_BATCH,
            compression_type="snappy",
            request_timeout_ms=30_000, max_request_size=topics.LARGEST_LETTER, **self._security,
        )  # fmt: skip
        await self._producer.start()

    async def stop(self) -> None:
        """Send what waits and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, partition: int | None = None, headers: Headers = ()
    ) -> int:
        """Write one record and return its offset once every in-sync replica has it."""
        if self._producer is None:
            raise RuntimeError("start() comes first")
        began = time.perf_counter()
        sent = await self._producer.send_and_wait(
            self.prefix + topic, value, key=key, partition=partition, headers=list(headers)
        )
        self._metrics.ack.observe(time.perf_counter() - began)
        return int(sent.offset)

    async def dead_letter(self, key: bytes, value: bytes | None, *, reason: str, detail: str, origin: str) -> None:
        """Put aside what nobody can use, with its reason and the topic it came from."""
        headers = (("reason", reason.encode()), ("detail", detail.encode()), (topics.ORIGIN_TOPIC, origin.encode()))
        await self.send(topics.DEAD_LETTERS, key, value, headers=headers)
        self._metrics.dead_letters.labels(reason).inc()

    async def read_all(self, topic: str, partition: int) -> dict[bytes, bytes]:
        """Return the newest value per key of one partition, read to its present end."""
        found: dict[bytes, bytes] = {}
        async for key, value in self.records(topic, [partition]):
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found

    async def records(
        self, topic: str, partitions: Iterable[int] | None = None
    ) -> AsyncIterator[tuple[bytes, bytes | None]]:
        """Yield every key and value of *partitions* (all), each read to its present end; a key's newest comes last."""
        async for record in self.entries(topic, partitions):
            yield record.key, record.value

    async def entries(self, topic: str, partitions: Iterable[int] | None = None) -> AsyncIterator[ConsumerRecord]:
        """Yield every record of *partitions* (all), each read to its present end."""
        async with self._reading() as consumer:
            for partition in range(self.partitions) if partitions is None else partitions:
                place = TopicPartition(self.prefix + topic, partition)
                consumer.assign([place])
                end = (await consumer.end_offsets([place]))[place]
                consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
                while await consumer.position(place) < end:
                    for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
                        yield record

    async def follow(self, topic: str) -> AsyncGenerator[tuple[bytes, bytes | None], None]:
        """Yield the newest value of every key of a topic of one partition, then what comes, until cancelled.

        What was said earlier of a key is passed over: a connection that is paused must not go on for a moment.
        """
        async with self._reading() as consumer:
            place = TopicPartition(self.prefix + topic, 0)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
            newest: dict[bytes, bytes | None] = {}
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
                    newest[record.key] = record.value
            for key, value in newest.items():
                yield key, value
            while True:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
                    yield record.key, record.value

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[AIOKafkaConsumer]:
        # "earliest": aiokafka looks up where to begin in the background, which may undo an explicit seek; both agree.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=_FETCH,
            **self._security,
        )  # fmt: skip
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumers.stop(consumer)

    async def publish_event(self, event: ChangeEvent, platform: Platform) -> None:
        """Publish a change event on its side's topic."""
        canonical = canonical_type(event, platform)
        key, headers, value = encode(self._routed(event), canonical)
        async with around("event", event.object.connection):
            await self.send(topics.side_topic(canonical), key, value, headers=headers)

    async def broadcast(self, fact: Fact) -> None:
        """Tell every worker a fact."""
        await self.send(topics.BROADCAST, fact.key, _ENCODE(fact))


def canonical_type(event: ChangeEvent, platform: Platform) -> str:
    """Return order, invoice, ... of *event*."""
    if event.facts is not None:
        return type(event.facts).__name__.lower()
    found = platform.objects.get(event.object.type, "")
    return found if found in type_names else "order"
