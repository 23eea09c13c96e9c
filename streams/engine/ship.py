"""Ships a batch's records to Kafka and says where they landed once all of them are acknowledged."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CorruptRecordException,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from app.core.errors import ConfigError
from streams.engine.fold import Unwritable

if TYPE_CHECKING:
    from app.core.metrics import Metrics
    from streams.engine.settings import WorkerSettings

_REFUSALS = (CorruptRecordException, MessageSizeTooLargeError, RecordListTooLargeError)
_OVERHEAD = 128


class Landed(NamedTuple):
    """Where a part of a batch landed."""

    offset: int
    records: int


Address = tuple[str, int]
Parcel = list[tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]]
"""Records of one address: key, value and headers, which aiokafka wants as a list."""
Parcels = dict[Address, Parcel]


class Shipper:
    """A producer that sends whole batches and knows nothing of linger, callbacks or single records."""

    def __init__(self, settings: WorkerSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._ack = metrics.ack
        self._partitions: dict[str, int] = {}
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect; must run in the loop that ships."""
        settings = self._settings
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap,
            client_id=f"{settings.name}-ship",
            acks="all",
            enable_idempotence=True,  # a late retry of an old batch must never land behind a newer one
            compression_type=settings.compression,
            max_batch_size=settings.produce_batch,
            max_request_size=settings.max_record + settings.produce_batch,
            request_timeout_ms=int(settings.produce_timeout * 1000),
            **settings.security,
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of *topic*."""
        if topic not in self._partitions:
            found = await self._connected().partitions_for(topic)
            if not found:
                raise ConfigError(f"Topic {topic} does not exist; run `o2c topics apply` first.")
            self._partitions[topic] = len(found)
        return self._partitions[topic]

    def check(self, key: bytes | None, value: bytes | None, headers: int) -> None:
        """Raise Unwritable when Kafka would refuse such a record; *headers* is their size."""
        size = len(key or b"") + len(value or b"") + headers + _OVERHEAD
        if size > self._settings.max_record:
            raise Unwritable(f"A record of {size} bytes exceeds the limit of {self._settings.max_record}.")

    async def ship(self, parcels: Parcels) -> dict[Address, list[Landed]]:
        """Send all *parcels* and return when every record is acknowledged by all in-sync replicas.

        Raises Unwritable when the broker refuses a record for good, KafkaError when it cannot be reached in
        time. In both cases some of the records may have been written.
        """
        started = time.perf_counter()
        jobs = [asyncio.ensure_future(self._send(*address, parcel)) for address, parcel in parcels.items()]
        answers = await asyncio.gather(*jobs, return_exceptions=True)
        self._ack.observe(time.perf_counter() - started)
        for answer in answers:
            if isinstance(answer, _REFUSALS):
                raise Unwritable(f"The broker refused a record: {type(answer).__name__}.") from answer
            if isinstance(answer, (InvalidTopicError, TopicAuthorizationFailedError)):
                raise ConfigError(f"The broker refuses a topic: {type(answer).__name__}.") from answer
            if isinstance(answer, BaseException):
                raise answer
        return {place: parts for place, parts in zip(parcels, answers, strict=True) if isinstance(parts, list)}

    async def _send(self, topic: str, partition: int, parcel: Parcel) -> list[Landed]:
        producer, futures, at = self._connected(), [], 0
        timestamp = int(time.time() * 1000)
        while at < len(parcel):
            builder, first = producer.create_batch(), at
            while at < len(parcel):
                key, value, headers = parcel[at]
                if builder.append(key=key, value=value, timestamp=timestamp, headers=headers) is None:
                    break
                at += 1
            if at == first:
                raise MessageSizeTooLargeError
            futures.append((await producer.send_batch(builder, topic, partition=partition), at - first))
        return [Landed((await future).offset, count) for future, count in futures]

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise KafkaError("The shipper is not connected.")
        return self._producer
