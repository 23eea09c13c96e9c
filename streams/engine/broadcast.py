"""Small compacted topics that every worker reads whole: handed to folds as values, their changes tick who waits."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.engine.fold import wait_label
from streams.engine.recovery import reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiokafka import AIOKafkaConsumer

    from streams.engine.settings import WorkerSettings

_log = structlog.get_logger(__name__)


class Broadcast:
    """The newest value per key of each broadcast topic, and in which order labels changed."""

    def __init__(self, settings: WorkerSettings, partitions: Callable[[str], Awaitable[int]]) -> None:
        self._settings = settings
        self._partitions = partitions
        self.on_change: Callable[[], None] = lambda: None
        self._values: dict[str, dict[bytes, bytes]] = {topic: {} for topic in settings.broadcast_topics}
        self._changed: dict[bytes, int] = {}
        self._where: dict[bytes, tuple[str, int]] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.version = 0
        self.ready = asyncio.Event()

    @property
    def values(self) -> Mapping[str, Mapping[bytes, bytes]]:
        """Return topic → key → value as of now; live, to be read without awaiting in between."""
        return self._values

    def changed_since(self, version: int) -> list[bytes]:
        """Return the labels that changed after *version*, oldest change first."""
        found = []
        for label in reversed(self._changed):
            if self._changed[label] <= version:
                break
            found.append(label)
        return found[::-1]

    def reached(self) -> dict[str, int]:
        """Return how far each "topic/partition" is read."""
        return {_name(tp): position for tp, position in self._positions.items()}

    def changed_beyond(self, reached: Mapping[str, int]) -> list[bytes]:
        """Return the labels whose last change lies at or behind *reached*."""
        return [label for label, (source, offset) in self._where.items() if offset >= reached.get(source, 0)]

    def put(self, topic: str, key: bytes, value: bytes | None, at: tuple[str, int] = ("", 0)) -> None:
        """Take one record of a broadcast topic; equal values change nothing."""
        values = self._values[topic]
        if values.get(key) == value:
            return
        if value is None:
            del values[key]
        else:
            values[key] = value
        self.version += 1
        label = wait_label(topic, key)
        self._changed.pop(label, None)
        self._changed[label] = self.version
        self._where[label] = at

    async def start(self) -> None:
        """Read every topic to its end, then follow it."""
        if not self._values:
            self.ready.set()
            return
        self._task = asyncio.create_task(self._follow())
        await self.ready.wait()

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while True:
            try:
                await self._tail()
            except KafkaError as error:
                _log.warning("broadcast.interrupted", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _tail(self) -> None:
        async with reading(self._settings, "broadcast") as consumer:
            ends = await self._seek(consumer)
            while True:
                for tp in list(ends):
                    if await consumer.position(tp) >= ends[tp]:
                        del ends[tp]
                if not ends:
                    self.ready.set()
                self._take(await consumer.getmany(timeout_ms=500 if self.ready.is_set() else 50))

    async def _seek(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        tps = [
            TopicPartition(topic, partition)
            for topic in self._values
            for partition in range(await self._partitions(topic))
        ]
        consumer.assign(tps)
        begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        for tp in tps:
            known = self._positions.get(tp, 0)
            consumer.seek(tp, begins[tp] if known > ends[tp] else max(known, begins[tp]))
        return dict(ends)

    def _take(self, polled: Mapping[TopicPartition, list[Any]]) -> None:
        before = self.version
        for tp, records in polled.items():
            for record in records:
                self.put(tp.topic, record.key or b"", record.value, (_name(tp), record.offset))
            self._positions[tp] = records[-1].offset + 1
        if self.version != before:
            self.on_change()


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}/{tp.partition}"
