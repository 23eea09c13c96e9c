"""Takes deliveries off their topic and publishes what they mean; their offsets move once that is acknowledged.

At least once: what a crash repeats has the same ids, and nobody counts it twice. Deliveries of one address lie in one
partition and are published in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from app.connectors.gauges import Lag
from app.core import consumers, topics
from app.core.errors import DecodeError
from app.core.faultpoints import around
from app.core.metrics import Metrics
from app.deliveries.gaps import counted
from app.deliveries.record import decoded, letter_headers
from app.deliveries.translating import Meaning, meaning
from app.gateway.addresses import Addresses
from app.gateway.publisher import KafkaPublisher
from schemas.trace import trace_id

log = structlog.get_logger(__name__)
_OUTCOMES = ("accepted", "ignored", "unreadable")
_POLL_MS = 500
_AT_ONCE = 200
_IN_A_ROW = 16
"""Translated before others have their turn: a few milliseconds."""
_SESSION_MS = 10_000
_PAUSE = 1.0
"""Seconds before deliveries are taken again whose meaning Kafka did not acknowledge."""
_LAST_BATCH = 5.0
"""Seconds for which partitions that move away wait for what was taken from them."""


def group_of(prefix: str) -> str:
    """Return the consumer group of the translators."""
    return f"{prefix}o2c-deliveries"


class Taken(msgspec.Struct, frozen=True):
    """A record, and what it means."""

    record: Any
    meaning: Meaning
    platform: str = "unknown"
    trace: str = ""


class Translator(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One member of the group; each has whole addresses."""

    def __init__(self, addresses: Addresses, publisher: KafkaPublisher, metrics: Metrics, prefix: str = "") -> None:
        """Translate what came in at *addresses*."""
        self._addresses, self._publisher, self._metrics = addresses, publisher, metrics
        self._topic, self._group = prefix + topics.DELIVERIES, group_of(prefix)
        self._consumer: AIOKafkaConsumer | None = None
        self._lag = Lag(metrics)
        self._done: dict[TopicPartition, int] = {}
        self._last: dict[bytes, int] = {}
        """Highest number of an event by address, where the vendor counts."""
        self._busy = asyncio.Lock()
        self._failed = ""
        slugs = {address.platform.slug for address in addresses.values()}
        for slug, outcome in itertools.product(slugs, _OUTCOMES):
            metrics.deliveries.labels(slug, outcome)  # at 0: an alert sees no increase in what begins with its first

    async def start(self, bootstrap: str, worker: str | None, security: dict[str, Any]) -> None:
        """Join the group; KafkaError when Kafka does not answer."""
        await self._publisher.start()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=self._group, group_instance_id=worker, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=_SESSION_MS, heartbeat_interval_ms=1_000,
            metadata_max_age_ms=consumers.NEW_LEADER_MS, **security,
        )  # fmt: skip
        await self._consumer.start()
        self._consumer.subscribe([self._topic], listener=self)

    async def stop(self) -> None:
        """Leave; what was taken and not committed is taken again by the next owner."""
        if self._consumer is not None:
            await consumers.stop(self._consumer)
        await self._publisher.stop()
        self._lag.close()

    def wrong(self) -> dict[str, str]:
        """Return why deliveries wait."""
        return {"deliveries": self._failed} if self._failed else {}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let what was taken be published and committed: the next owner's must not come before it."""
        del revoked
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_BATCH), self._busy:
                pass
        self._lag.close()
        self._done.clear()
        self._last.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on where the group is."""

    async def run(self) -> None:
        """Translate until cancelled; what Kafka cannot do now is begun again a little later."""
        while True:
            try:
                await self.step()
            except KafkaError as error:
                await self._again(error)
            except asyncio.CancelledError as error:
                # aiokafka was seen to raise it where nobody cancelled, when it was stopped while no broker answered.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                await self._again(error)

    async def _again(self, error: BaseException) -> None:
        self._failed = f"Kafka does not give deliveries now ({type(error).__name__})."
        log.warning("deliveries.again", why=self._failed)
        await asyncio.sleep(_PAUSE)

    async def step(self) -> None:
        """Take what there is, publish what it means, and commit; or begin again with it a little later."""
        if self._consumer is None:
            raise RuntimeError("start() comes first")
        polled: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
            timeout_ms=_POLL_MS, max_records=_AT_ONCE
        )
        if not polled:
            return
        done = {place: found[-1].offset + 1 for place, found in polled.items()}
        try:
            async with self._busy:
                await self._translated([record for records in polled.values() for record in records])
                async with around("deliveries"):
                    await self._consumer.commit(done)
        except KafkaError as error:
            self._failed = f"What deliveries mean was not acknowledged ({type(error).__name__})."
            log.warning("deliveries.again", why=self._failed)
            for place in self._consumer.assignment() & polled.keys():
                self._consumer.seek(place, polled[place][0].offset)
            await asyncio.sleep(_PAUSE)
            return
        self._failed = ""
        self._done |= done
        for place in done:
            self._lag.show(place.topic, place.partition, partial(self._waiting, place))

    async def _translated(self, records: Sequence[ConsumerRecord]) -> None:
        taken, last = [], dict(self._last)
        for number, record in enumerate(records, 1):
            taken.append(self._taken(record, last))
            if not number % _IN_A_ROW:
                await asyncio.sleep(0)  # connections have their turn
        await self._publish([one for one in taken if not one.meaning.unreadable])
        self._last = last
        for one in taken:
            if one.meaning.unreadable:
                await self._put_aside(one, one.meaning.unreadable)
        for one in taken:
            said = one.meaning
            self._metrics.deliveries.labels(one.platform, said.outcome).inc()
            counts = {"events": len(said.events), "hints": len(said.hints)}
            log.info("delivery", platform=one.platform, outcome=said.outcome, trace_id=trace_id(one.trace), **counts)

    def _taken(self, record: ConsumerRecord, last: dict[bytes, int]) -> Taken:
        try:
            delivery = decoded(record)
        except DecodeError as error:
            return Taken(record, Meaning(outcome="unreadable", unreadable=str(error)))
        address = self._addresses.get((delivery.owner, delivery.name))
        if address is None:
            why = f"There is no connection behind /hooks/{delivery.owner}/{delivery.name} any more."
            return Taken(record, Meaning(outcome="unreadable", unreadable=why), trace=delivery.trace)
        said, count = meaning(address, delivery), counted(address, delivery, last.get(address.key))
        if count.last is not None:
            last[address.key] = count.last
        if count.hints:
            log.warning("deliveries.gap", platform=address.platform.slug, trace_id=trace_id(delivery.trace))
            said = msgspec.structs.replace(said, hints=(*said.hints, *count.hints))
        return Taken(record, said, address.platform.slug, delivery.trace)

    async def _publish(self, taken: Sequence[Taken]) -> None:
        """Publish what all mean at once; where an event is larger than its topic allows, one after the other."""
        events = [event for one in taken for event in one.meaning.events]
        hints = [hint for one in taken for hint in one.meaning.hints]
        try:
            await self._publisher.publish(events, hints)
        except MessageSizeTooLargeError:
            if len(taken) == 1:
                await self._put_aside(taken[0], "An event of it is larger than its topic allows.")
                return
            for one in taken:
                await self._publish([one])

    async def _put_aside(self, one: Taken, why: str) -> None:
        log.warning("delivery.unreadable", platform=one.platform, why=why, trace_id=trace_id(one.trace))
        headers = [*one.record.headers, *letter_headers(why, f"hook:{one.platform}")]
        await self._publisher.dead_letter(one.record.key, one.record.value, headers)
        self._metrics.dead_letters.labels("unreadable").inc()

    def _waiting(self, place: TopicPartition) -> float:
        """Return what was not translated yet, as of the last fetch."""
        end = self._consumer and self._consumer.highwater(place)
        return max(0.0, (end or 0.0) - self._done.get(place, 0))
