"""Where the machine's records lie: a log in memory, or a real Kafka of which everything is read along."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.core import consumers
from app.core.metrics import new_metrics
from streams.engine.recovery import reading
from streams.engine.settings import WorkerSettings
from streams.engine.ship import Landed, Shipper
from streams.engine.topics import TopicSpec, apply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from streams.engine.ship import Address, Parcel


class Entry(NamedTuple):
    """A record as consumers of aiokafka give it."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int = 0


class Logs(Protocol):
    """What the machine needs of a broker; `history` holds everything that was ever appended."""

    history: dict[Address, list[Entry]]
    prefix: str

    async def start(self, partitions: Mapping[str, int], folder: Path) -> None: ...

    async def stop(self) -> None: ...

    async def ship(self, parcels: dict[Address, Parcel]) -> dict[Address, list[Landed]]: ...

    def reading(self, settings: WorkerSettings, purpose: str) -> contextlib.AbstractAsyncContextManager[Any]: ...

    async def refresh(self) -> None:
        """Bring `history` up to date."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None: ...

    async def committed(self, tp: TopicPartition) -> int: ...

    async def turn(self) -> None:
        """Let everybody else run for a moment."""

    def compact(self, address: Address) -> None:
        """Keep the last record of each key, where that can be asked for."""


class Memory:
    """Appends are acknowledged in the next turn of the loop; compaction leaves holes."""

    prefix = ""

    def __init__(self) -> None:
        self.history: dict[Address, list[Entry]] = defaultdict(list)
        self.kept: dict[Address, list[Entry]] = defaultdict(list)
        self._committed: dict[TopicPartition, int] = {}

    async def start(self, partitions: Mapping[str, int], folder: Path) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def ship(self, parcels: dict[Address, Parcel]) -> dict[Address, list[Landed]]:
        await asyncio.sleep(0)
        landed: dict[Address, list[Landed]] = {}
        for address, parcel in parcels.items():
            start = len(self.history[address])
            new = [Entry(*address, start + n, k or b"", v, tuple(headers)) for n, (k, v, headers) in enumerate(parcel)]
            self.history[address] += new
            self.kept[address] += new
            landed[address] = [Landed(start, len(parcel))]
        return landed

    @contextlib.asynccontextmanager
    async def reading(self, settings: WorkerSettings, purpose: str) -> AsyncIterator[MemoryConsumer]:
        yield MemoryConsumer(self)

    async def refresh(self) -> None:
        pass

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await asyncio.sleep(0)
        self._committed.update(offsets)

    async def committed(self, tp: TopicPartition) -> int:
        return self._committed.get(tp, 0)

    async def turn(self) -> None:
        await asyncio.sleep(0)

    def compact(self, address: Address) -> None:
        last = {entry.key: entry.offset for entry in self.kept[address]}
        end = len(self.history[address]) - 1
        self.kept[address] = [e for e in self.kept[address] if last[e.key] == e.offset or e.offset == end]


class MemoryConsumer:
    """Reads `Memory` as far as recovery asks for."""

    def __init__(self, logs: Memory) -> None:
        self._logs = logs
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def assign(self, tps: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._logs.history[tp.topic, tp.partition]) for tp in tps}

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    def pause(self, tp: TopicPartition) -> None:
        self._paused.add(tp)

    def highwater(self, tp: TopicPartition) -> int | None:
        return len(self._logs.history[tp.topic, tp.partition])

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def getmany(self, *, timeout_ms: int, max_records: int = 500) -> dict[TopicPartition, list[Entry]]:
        await asyncio.sleep(0)
        found: dict[TopicPartition, list[Entry]] = {}
        for tp in self._positions.keys() - self._paused:
            address = (tp.topic, tp.partition)
            left = [e for e in self._logs.kept[address] if e.offset >= self._positions[tp]]
            if left:
                found[tp] = left[:max_records]
            more = len(left) > max_records
            self._positions[tp] = found[tp][-1].offset + 1 if more else len(self._logs.history[address])
        if not found:
            await asyncio.sleep(0.001)
        return found


class Kafka:
    """A real broker: the engine's own shipper and consumers, and a reader that follows all topics for the checks."""

    def __init__(self, bootstrap: str) -> None:
        self.prefix = f"machine-{uuid.uuid4().hex[:8]}-"
        self.history: dict[Address, list[Entry]] = defaultdict(list)
        self._bootstrap = bootstrap

    async def start(self, partitions: Mapping[str, int], folder: Path) -> None:
        await apply(self._bootstrap, [TopicSpec(name, count, 1) for name, count in partitions.items()])
        self._settings = WorkerSettings(bootstrap=self._bootstrap, group="", name="machine", data_dir=folder)
        self._shipper = Shipper(self._settings, new_metrics())
        await self._shipper.start()
        self._tps = [TopicPartition(name, n) for name, count in partitions.items() for n in range(count)]
        self._reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=f"{self.prefix}group",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
        )
        await self._reader.start()
        self._reader.assign(self._tps)

    async def stop(self) -> None:
        await consumers.stop(self._reader)
        await self._shipper.stop()

    async def ship(self, parcels: dict[Address, Parcel]) -> dict[Address, list[Landed]]:
        return await self._shipper.ship(parcels)

    def reading(self, settings: WorkerSettings, purpose: str) -> contextlib.AbstractAsyncContextManager[Any]:
        return reading(self._settings, purpose)

    async def refresh(self) -> None:
        ends = await self._reader.end_offsets(self._tps)
        while any(len(self.history[tp.topic, tp.partition]) < end for tp, end in ends.items()):
            for tp, records in (await self._reader.getmany(timeout_ms=100)).items():
                self.history[tp.topic, tp.partition] += [
                    Entry(tp.topic, tp.partition, r.offset, r.key or b"", r.value, tuple(r.headers)) for r in records
                ]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._reader.commit(dict(offsets))

    async def committed(self, tp: TopicPartition) -> int:
        return int(await self._reader.committed(tp) or 0)

    async def turn(self) -> None:
        await asyncio.sleep(0.005)

    def compact(self, address: Address) -> None:
        """Nobody can ask a broker for it."""
