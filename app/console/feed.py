"""Kafka into the read model: first all there is, with progress, then what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.console.batch import READ
from app.console.records import Entry
from app.console.store import KEPT_SECONDS, Store
from app.core import consumers
from app.core.errors import ConfigError
from app.core.topics import TOPICS
from app.kafka import refused, security

log = structlog.get_logger(__name__)
_AT_ONCE, _BESIDE_ANSWERS = 2_000, 500
"""Records taken together: few where people wait for answers meanwhile."""
_POLL_MS = 300
_PAUSE = 0.2
"""Seconds in which records gather: many small batches cost more than one."""
_ASK, _SILENT = 2.0, 10.0
_TELL = 5.0
_FORGET = 3_600.0


class Feed:
    """Reads every partition of its topics from the beginning; nothing is committed, so any number may run."""

    def __init__(self, settings: Settings, store: Store, names: Sequence[str] = READ, *, quiet: bool = False) -> None:
        """Nothing is read before `start`; *quiet* logs nothing: a command prints its answer alone."""
        self._quiet = quiet
        self._prefix, self._store, self._names = settings.topics.prefix, store, names
        self._kafka, self._partitions = settings.kafka, settings.kafka.partitions
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", **security(settings.kafka)
        )
        self._goal: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._at: dict[TopicPartition, int] = {}
        self._heard = time.monotonic()
        self.made = False
        """All that was there at the start is in the model."""

    async def start(self) -> None:
        """Find what there is; ConfigError when Kafka or a topic is missing."""
        try:
            await self._consumer.start()
            known = await self._consumer.topics()
        except KafkaError as error:
            raise await refused(self._kafka) from error
        if missing := [name for name in self._names if self._prefix + name not in known]:
            raise ConfigError(f"The topic {self._prefix}{missing[0]} is missing; run `o2c topics apply`.")
        single = {topic.name for topic in TOPICS if topic.single}
        places = [
            TopicPartition(self._prefix + name, number)
            for name in self._names
            for number in range(1 if name in single else self._partitions)
        ]
        self._consumer.assign(places)
        self._at = await self._consumer.beginning_offsets(places)
        for place, begin in self._at.items():
            self._consumer.seek(place, begin)
        self._goal = self._ends = await self._consumer.end_offsets(places)

    async def stop(self) -> None:
        """Disconnect."""
        await consumers.stop(self._consumer)

    async def fill(self) -> None:
        """Read to what was the end at the start, and say how far it is."""
        began = told = time.monotonic()
        total = self.left()
        while self.left():
            await self.take()
            if time.monotonic() - told > _TELL and not self._quiet:
                told = time.monotonic()
                log.info("console.reading", done=total - self.left(), of=total)
        self.made = True
        if not self._quiet:
            log.info("console.made", records=total, seconds=round(time.monotonic() - began, 1))

    def left(self) -> int:
        """Return how many records of the start are not read yet."""
        return sum(max(0, end - self._at[place]) for place, end in self._goal.items())

    def behind(self, place: TopicPartition) -> int:
        """Return how many records of a partition are not read yet."""
        return max(0, self._ends[place] - self._at[place])

    def places(self) -> Iterable[TopicPartition]:
        """Return what is read."""
        return self._ends.keys()

    async def take(self, most: int = _AT_ONCE) -> int:
        """Put what came into the model; return how many records that were."""
        polled = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=most)
        entries = [self._entry(record) for found in polled.values() for record in found]
        if entries:
            unreadable = await asyncio.to_thread(self._store.apply, entries)
            if unreadable and not self._quiet:
                log.info("console.unreadable", records=unreadable)
        # A compacted topic may end in records that are no more: the consumer alone knows that it passed them.
        for place in self._at if not self.made else polled:
            self._at[place] = await self._consumer.position(place)
        return len(entries)

    def _entry(self, record: ConsumerRecord) -> Entry:
        topic = record.topic.removeprefix(self._prefix)
        return Entry(topic, record.key or b"", record.value, record.headers, record.timestamp)

    async def follow(self) -> None:
        """Fill, then take what comes until cancelled."""
        await self.fill()
        forgot = time.monotonic()
        while True:
            if await self.take(_BESIDE_ANSWERS) < _BESIDE_ANSWERS:
                await asyncio.sleep(_PAUSE)
            if time.monotonic() - forgot > _FORGET:
                forgot = time.monotonic()
                await asyncio.to_thread(self._store.forget, time.time() - KEPT_SECONDS)

    async def watch(self) -> None:
        """Ask Kafka for the ends of what is read, until cancelled: whether it answers, and how far behind we are."""
        while True:
            await asyncio.sleep(_ASK)
            try:
                self._ends = await asyncio.wait_for(self._consumer.end_offsets(list(self._at)), _SILENT)
            except (KafkaError, TimeoutError) as error:
                log.info("console.kafka_silent", why=type(error).__name__)
            else:
                self._heard = time.monotonic()
                self._at = {place: await self._consumer.position(place) for place in self._at}

    def wrong(self) -> dict[str, str]:
        """Return what is not well."""
        found = {}
        if not self.made:
            found["model"] = f"Still reading: {self.left()} records of those at the start are left."
        if time.monotonic() - self._heard > _SILENT:
            found["kafka"] = "Kafka does not answer: what is told may be old."
        return found
