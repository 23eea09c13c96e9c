"""Writes what the gateway received to Kafka and waits for every acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber

from app.core import topics
from app.core.faultpoints import around
from app.core.topics import side_topic
from schemas.cloudevents import encode
from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef
from streams.engine.partitioner import partition_of

log = structlog.get_logger(__name__)
_ENCODE = msgspec.json.Encoder().encode
_PATIENCE = 3.0
PRODUCER = MappingProxyType(
    {
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": "snappy",
        "linger_ms": 5,
        "max_batch_size": 256 * 1024,
        "max_request_size": topics.LARGEST_LETTER,  # a body too large for any topic but dead-letters must get there
        "request_timeout_ms": 30_000,
    }
)
"""aiokafka's arguments, without where Kafka is."""
Headers = Sequence[tuple[str, bytes]]
Record = tuple[str, bytes, bytes, Headers]
"""Topic, key, value and headers."""


class KafkaPublisher:
    """A publisher on one idempotent producer; at least once, acknowledged by all in-sync replicas."""

    def __init__(
        self,
        bootstrap: str,
        prefix: str = "",
        security: Mapping[str, Any] | None = None,
        routed: Callable[[ChangeEvent], ChangeEvent] = lambda event: event,
        step: str = "intake",
        **more: Any,  # noqa: ANN401 - whatever aiokafka takes
    ) -> None:
        """*prefix* stands before every topic name; *security* are aiokafka's TLS and SASL arguments.

        *routed* names the order of an event that tells it by itself; *step* is the fault point around what it does;
        *more* stands instead of what PRODUCER says.
        """
        self._routed, self._step = routed, step
        self._prefix = prefix
        self._settings: dict[str, Any] = {"bootstrap_servers": bootstrap, **PRODUCER, **(security or {}), **more}
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        """Topic -> how many it has; counts never change (`app.core.topics`)."""
        self._changing = asyncio.Lock()
        self._ending = set[asyncio.Task[None]]()

    async def start(self) -> None:
        """Connect; raises KafkaConnectionError when nobody answers."""
        self._producer = AIOKafkaProducer(**self._settings)
        await self._producer.start()

    async def stop(self) -> None:
        """Send what waits and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def answers(self) -> bool:
        """Ask Kafka who leads our topics; False when nobody says so within a few seconds."""
        if self._producer is None:
            return False
        try:
            return bool(await asyncio.wait_for(self._producer.client.force_metadata_update(), _PATIENCE))
        except (KafkaError, TimeoutError):
            return False

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        """Publish to the topics of each object's side, hints keyed by connection."""
        records = [self._event(event) for event in events]
        records += [(topics.HINTS, hint.object.connection.encode(), _ENCODE(hint), ()) for hint in hints]
        async with around(self._step):
            await self._send(records)

    def _event(self, event: ChangeEvent) -> Record:
        canonical = canonical_type(event)
        key, headers, value = encode(self._routed(event), canonical)
        return side_topic(canonical), key, value, headers

    async def keep(self, key: bytes, body: bytes, headers: Headers) -> None:
        """Publish a delivery as it came, in the order of those of its *key*."""
        async with around(self._step):
            await self._acknowledged(self._handed_over(topics.DELIVERIES, key, body, headers))

    async def dead_letter(self, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Put aside what nobody can read."""
        await self._send([(topics.DEAD_LETTERS, key or b"", value or b"", headers)])

    async def _send(self, records: Iterable[Record]) -> None:
        await self._acknowledged(self._all_handed_over(records))

    async def _acknowledged(self, handing_over: Coroutine[None, None, asyncio.Future[Any]]) -> None:
        producer = self._producer
        try:
            await (await handing_over)
        except OutOfOrderSequenceNumber:
            await self._begin_anew(producer)
            raise

    async def _all_handed_over(self, records: Iterable[Record]) -> asyncio.Future[Any]:
        """Hand all records over before any is waited for: none needs a task of its own."""
        return asyncio.gather(*[await self._handed_over(*record) for record in records])

    async def _begin_anew(self, lost: AIOKafkaProducer | None) -> None:
        """Take a new producer instead of one that Kafka believes no more.

        Where a batch expired while no broker took it, its numbers are missing, and aiokafka goes on counting for ever.
        """
        async with self._changing:
            if lost is None or id(lost) != id(self._producer):  # somebody did meanwhile
                return
            fresh = AIOKafkaProducer(**self._settings)
            try:
                await fresh.start()
            except KafkaError:  # the next who sends tries again
                await fresh.stop()
                return
            self._producer = fresh
            self._partitions.clear()
        log.warning("kafka.new_producer")
        ending = asyncio.create_task(lost.stop())  # whatever it still holds is refused: nobody waits for that
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _handed_over(self, topic: str, key: bytes, value: bytes, headers: Headers) -> asyncio.Future[Any]:
        if (producer := self._producer) is None:
            raise RuntimeError("start() comes first")
        name = self._prefix + topic
        if name not in self._partitions:
            producer.client.add_topic(name)  # else `answers` asks about every topic that Kafka has
            self._partitions[name] = len(await producer.partitions_for(name))
        partition = partition_of(key, self._partitions[name])
        sent: asyncio.Future[Any] = await producer.send(
            name, value, key=key, headers=list(headers), partition=partition
        )
        return sent


def canonical_type(event: ChangeEvent) -> str:
    """Return order, invoice, ... of *event*; a deletion without facts is named by its object type."""
    if event.facts is not None:
        return type(event.facts).__name__.lower()
    return _by_object(event.object)


def _by_object(ref: ObjectRef) -> str:
    known = ("invoice", "payment", "credit", "shipment", "customer", "payout")
    return next((name for name in known if name in ref.type.lower()), "order")
