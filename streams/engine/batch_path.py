"""The batch path of one table partition: fold, ship, write, and only then let the offsets move."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from aiokafka import TopicPartition

from streams.engine.fold import TICK_TOPIC, Fenced, NewerFormat, Record, Unwritable
from streams.engine.folding import Folder, FoldFailed, Gathered
from streams.engine.header import EPOCH_KEY, HEADER, StateHeader, header_of, state_of, unpack_header
from streams.engine.partitioner import partition_of
from streams.engine.recovery import apply, read_range
from streams.engine.ship import parcels_of
from streams.engine.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from streams.engine.broadcast import Broadcast
    from streams.engine.fold import Processor
    from streams.engine.instruments import Instruments
    from streams.engine.settings import WorkerSettings
    from streams.engine.ship import Addressed, Landed, Shipper
    from streams.engine.store import Store

_log = structlog.get_logger(__name__)
_IDLE = 5.0
ORIGIN = "o2c-origin"
FORWARDED = "o2c-forwarded"


class Guard(Protocol):
    """Knows whether this worker still is a member of its group."""

    async def check(self, generation: int) -> None:
        """Return when the group was heard of lately in *generation*; raise Fenced when it moved on."""
        ...

    def current(self, generation: int) -> bool:
        """Return whether *generation* still is the group's."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What all partitions of one worker share."""

    settings: WorkerSettings
    shipper: Shipper
    broadcast: Broadcast
    instruments: Instruments
    guard: Guard
    now: Callable[[], datetime]
    cpu: asyncio.Lock


class PartitionPath:
    """Owns one partition of one table from activation to revocation; at most one batch is in flight."""

    def __init__(
        self,
        processor: Processor,
        partition: int,
        *,
        partitions: int,
        store: Store,
        generation: int,
        committed: Mapping[str, int],
        around: Surroundings,
    ) -> None:
        self.processor = processor
        self.partition = partition
        self._partitions = partitions
        self.store = store
        self.generation = generation
        self.state = "starting"
        self.changelog = TopicPartition(processor.changelog, partition)
        self.done = dict(committed)
        self._read = dict(committed)
        self._around = around
        settings = around.settings
        self._settings = settings
        self._folder = Folder(processor, around.broadcast, around.instruments, around.now, settings.cpu_slice)
        self._pending: deque[Record] = deque()
        self._ticks: deque[Record] = deque()
        self._seen = 0
        self._tail = 0
        self._wake = asyncio.Event()
        self._stopping = False

    # ------------------------------------------------------------------------------------------- intake

    @property
    def hungry(self) -> bool:
        """Whether more records should be fetched."""
        return self.state == "running" and len(self._pending) < 2 * self._settings.max_batch

    def offer(self, records: Sequence[Any]) -> None:
        """Take fetched records of one source topic; those below the read position are dropped."""
        topic = records[0].topic
        at = self._read[topic]
        for r in records:
            if r.offset >= at:
                record = Record(topic, r.partition, r.offset, r.key or b"", r.value or b"", r.headers, r.timestamp)
                self._pending.append(record)
        self._read[topic] = max(at, records[-1].offset + 1)
        self._wake.set()

    def wake(self) -> None:
        """Look whether there is something to do."""
        self._wake.set()

    def tail_seen(self, end: int) -> None:
        """Take note that the changelog ends at *end*; if that is not our doing it is looked into."""
        self._tail = end
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch in flight, then end."""
        self._stopping = True
        self._wake.set()

    # ---------------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Process until stopped, fenced, or faced with a state of a newer format."""
        try:
            await self._claim()
            self._seen = self._around.broadcast.version
            self._await_labels(self.store.labels())
            self.state = "running"
            while not self._stopping:
                batch, ticks = self._next()
                if batch or ticks:
                    await self._step(batch, ticks)
                elif self._tail > self.store.position:
                    await self._repair(self.store.position, self._tail)
                    self._tail = 0
                else:
                    await self._sleep()
        except Fenced as error:
            self._end("fenced", str(error))
            self._around.instruments.fenced.inc()
        except NewerFormat as error:
            self._end("stopped", str(error))
        except asyncio.CancelledError:
            self._end("cancelled", "")
            raise
        else:
            self.state = "ended"

    def _end(self, state: str, why: str) -> None:
        self.state = state
        _log.error("partition.ended", table=self.processor.name, partition=self.partition, state=state, why=why)

    async def _sleep(self) -> None:
        self._wake.clear()
        now = int(self._around.now().timestamp() * 1000)
        wait = min(_IDLE, max(0.01, (self.store.next_due - now) / 1000))
        try:
            await asyncio.wait_for(self._wake.wait(), wait)
        except TimeoutError:
            return

    def _next(self) -> tuple[list[Record], list[Record]]:
        version = self._around.broadcast.version
        if version != self._seen:
            labels = self._around.broadcast.changed_since(self._seen)
            self._seen = version
            self._await_labels(labels)
        pending, limit = self._pending, self._settings.max_batch
        batch = [pending.popleft() for _ in range(min(len(pending), limit))]
        ticks = [self._ticks.popleft() for _ in range(min(len(self._ticks), self._settings.tick_batch))]
        if not ticks:
            now = int(self._around.now().timestamp() * 1000)
            keys = self.store.due(now, self._settings.tick_batch)
            ticks = [Record(TICK_TOPIC, self.partition, -1, key, b"", (), now) for key in keys]
        return batch, ticks

    def _await_labels(self, labels: Sequence[bytes]) -> None:
        now = int(self._around.now().timestamp() * 1000)
        self._ticks.extend(
            Record(TICK_TOPIC, self.partition, -1, key, label, (), now)
            for label in labels
            for key in self.store.waiting(label)
        )

    async def _step(self, batch: list[Record], ticks: list[Record]) -> None:
        position = self._position(batch)
        self._around.instruments.shared.batch_size.observe(len(batch) + len(ticks))
        if foreign := [record for record in batch if self._foreign(record)]:
            await self._forward(foreign)
            batch_here = [record for record in batch if not self._foreign(record)]
        else:
            batch_here = batch
        await self._process(batch_here + ticks, position)
        if not self._around.guard.current(self.generation):
            raise Fenced("The group moved on while a batch was in flight.")
        for record in batch:
            self.done[record.topic] = record.offset + 1

    def _foreign(self, record: Record) -> bool:
        """Whether a producer partitioned *record* differently; what was forwarded once stays where it is."""
        home = partition_of(record.key, self._partitions) if record.key else self.partition
        return home != self.partition and all(name != FORWARDED for name, _ in record.headers)

    async def _forward(self, records: Sequence[Record]) -> None:
        """Send *records* to where their keys belong; acknowledged like everything else before offsets move."""
        addressed: list[Addressed] = [
            (
                (record.topic, partition_of(record.key, self._partitions)),
                record.key,
                record.value,
                (*record.headers, (FORWARDED, b"1")),
            )
            for record in records
        ]
        await self._commit([], addressed)
        for record in records:
            self._around.instruments.shared.events.labels(record.topic, "forwarded").inc()

    def _position(self, batch: Sequence[Record]) -> int:
        reached = {record.topic: record.offset + 1 for record in batch}
        return sum({**self.done, **reached}.values())

    # ------------------------------------------------------------------------------------------ a batch

    async def _process(self, records: list[Record], position: int) -> None:
        try:
            async with self._around.cpu:
                gathered = await self._folder.fold(self.partition, records, self.store)
            await self._settle(gathered, position)
        except (FoldFailed, Unwritable) as error:
            keys = list(dict.fromkeys(record.key for record in records))
            if len(keys) == 1:
                await self._quarantine(records, error, position)
                return
            first = set(keys[: len(keys) // 2])
            await self._process([r for r in records if r.key in first], position)
            await self._process([r for r in records if r.key not in first], position)

    async def _quarantine(self, records: list[Record], error: Exception, position: int) -> None:
        cause = error.__cause__ or error
        _log.error("key.quarantined", table=self.processor.name, error="".join(traceback.format_exception(cause)))
        reason = "oversize" if isinstance(error, Unwritable) else "quarantined"
        gathered = Gathered()
        gathered.tick(records)
        gathered.dead = [(record, reason, str(error)) for record in records]
        await self._settle(gathered, position)

    async def _settle(self, gathered: Gathered, position: int) -> None:
        """Make *gathered* durable: Kafka first, acknowledged, then the store."""
        changes = list(gathered.changes(self.store, self.store.epoch, position))
        addressed: list[Addressed] = []
        origin = f"{self.processor.name}/{self.partition}/{self.store.epoch}/{position}".encode()
        shipper = self._around.shipper
        for change in changes:
            shipper.check(change.key, change.state, len(change.packed))
        for out in gathered.outs:
            shipper.check(out.key, out.value, sum(len(k) + len(v) for k, v in out.headers) if out.headers else 0)
            headers = (*out.headers, (ORIGIN, origin))
            addressed.append((await shipper.address(out), out.key, out.value, headers))
        dead = await shipper.partitions(self._settings.dead_letters)
        addressed.extend(self._dead_letters(gathered, dead))
        await self._commit(changes, addressed)
        self._count(gathered)

    async def _commit(self, changes: list[Change], addressed: list[Addressed]) -> None:
        """Ship what others read, then the changelog, then write the store; each waits for the one before.

        Were the changelog acknowledged alone, recovery would know the events, and a replay would emit nothing.
        """
        if not (changes or addressed):
            return
        await self._ship(addressed)
        landed = await self._ship(list(self._changelog_records(changes)))
        gaps, position = self._gaps(landed)
        self.store.write(changes, position, self.store.epoch)
        for start, end in gaps:
            await self._repair(start, end)

    async def _ship(self, addressed: list[Addressed]) -> list[Landed]:
        """Return where the changelog's records landed."""
        if not addressed:
            return []
        await self._around.guard.check(self.generation)
        landed = await self._around.shipper.ship(parcels_of(addressed))
        if not self._around.guard.current(self.generation):
            raise Fenced("The group moved on before the records were acknowledged.")
        return landed.get((self.changelog.topic, self.partition), [])

    def _changelog_records(self, changes: Sequence[Change]) -> Iterator[Addressed]:
        address = (self.changelog.topic, self.partition)
        for change in changes:
            yield address, change.key, change.state, ((HEADER, change.packed),)

    def _dead_letters(self, gathered: Gathered, partitions: int) -> Iterator[Addressed]:
        for record, reason, detail in gathered.dead:
            address = (self._settings.dead_letters, partition_of(record.key, partitions))
            yield address, record.key, record.value, (*record.headers, *_origin(record, reason, detail))

    def _count(self, gathered: Gathered) -> None:
        shared = self._around.instruments.shared
        for name, count in gathered.counts.items():
            topic, _, outcome = name.rpartition("/")
            shared.events.labels(topic or self.processor.name, outcome).inc(count)
        for _, reason, _ in gathered.dead:
            shared.dead_letters.labels(reason).inc()

    # ------------------------------------------------------------------- who else writes this changelog

    def _gaps(self, landed: Sequence[Landed]) -> tuple[list[tuple[int, int]], int]:
        """Return offset ranges that others wrote into our changelog, and where it stands now."""
        gaps: list[tuple[int, int]] = []
        expected = self.store.position
        for offset, records in landed:
            if offset < 0:  # the broker had it already and does not say where: read again later
                return gaps, self.store.position
            if offset > expected:
                gaps.append((expected, offset))
            expected = offset + records
        return gaps, expected

    async def _claim(self) -> None:
        """Own the changelog: from here on, whatever somebody of a lower epoch wrote behind our states is undone."""
        while not await self._marked():
            pass
        outlived, self.store.outlived = sorted(self.store.outlived), set()
        await self._rewrite(outlived)

    async def _marked(self) -> bool:
        """Write an epoch above every other; False when another worker did the same in the same moment."""
        epoch, expected = self.store.epoch + 1, self.store.position
        marker = (EPOCH_KEY, self._settings.name.encode(), ((HEADER, StateHeader(epoch, 0).pack()),))
        landed = (await self._ship([((self.changelog.topic, self.partition), *marker)]))[-1]
        if landed.offset == expected:
            self.store.write([], expected + 1, epoch)
            return True
        if landed.offset < expected:
            return False
        records = await read_range(self._settings, self.changelog, expected, landed.offset + 1)
        apply(self.store, records, landed.offset + 1, durable=True)
        return all(_epoch(record) < epoch for record in records[:-1])

    async def _repair(self, start: int, end: int) -> None:
        """Re-append our state wherever somebody of a lower epoch wrote behind it."""
        stale: dict[bytes, None] = {}
        for record in await read_range(self._settings, self.changelog, start, end):
            epoch = _epoch(record)
            if epoch > self.store.epoch:
                raise Fenced("The changelog has a newer owner.")
            if epoch < self.store.epoch and record.key != EPOCH_KEY:
                stale[record.key] = None
        if end > self.store.position:
            self.store.write([], end, self.store.epoch)
        await self._rewrite(list(stale))

    async def _rewrite(self, keys: list[bytes]) -> None:
        if not keys:
            return
        self._around.instruments.foreign.inc(len(keys))
        _log.warning("changelog.repaired", table=self.processor.name, partition=self.partition, keys=len(keys))
        await self._commit(list(self._rewritten(keys)), [])

    def _rewritten(self, keys: list[bytes]) -> Iterator[Change]:
        position = self._position(())
        for key, old in zip(keys, self.store.get_many(keys), strict=True):
            before = header_of(old) if old is not None else None
            header = (before or StateHeader(0, 0))._replace(epoch=self.store.epoch, position=position)
            yield Change(key, before, header, header.pack(), state_of(old))


def _epoch(record: Any) -> int:  # noqa: ANN401  aiokafka ships no types
    packed = dict(record.headers).get(HEADER)
    return unpack_header(packed).epoch if packed else 0


def _origin(record: Record, reason: str, detail: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("reason", reason.encode()),
        ("detail", detail[:1_000].encode()),
        ("origin-topic", record.topic.encode()),
        ("origin-partition", str(record.partition).encode()),
        ("origin-offset", str(record.offset).encode()),
        ("origin-timestamp", str(record.timestamp).encode()),
    )
