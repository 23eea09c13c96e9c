"""The batch path of one table partition: fold, ship, write, and only then let the offsets move."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

import structlog
from aiokafka import TopicPartition

from app.core.mistakes import traced
from app.core.topics import ORIGIN_TOPIC
from schemas.trace import HEADER, trace_id
from streams.engine.changelog import Changelog
from streams.engine.fold import ECHO, HEALED, TICK_TOPIC, Fenced, NewerFormat, Record, Unwritable
from streams.engine.folding import Folder, FoldFailed, Gathered
from streams.engine.origin import ORIGIN, Origin
from streams.engine.partitioner import Home, partition_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.engine.fold import Out, Processor
    from streams.engine.ship import Parcels
    from streams.engine.store import Store
    from streams.engine.surroundings import Surroundings

_log = structlog.get_logger(__name__)
_IDLE = 5.0
_NOTE_EVERY = 5.0
_ALWAYS = 1_000
"""So many records go together however slowly they are folded: the ways to Kafka and back would cost more."""
FORWARDED = "o2c-forwarded"


class _NotBegun(Exception):
    """The partition is given back, and nothing of its batch was folded."""


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
        share: float = 1.0,
    ) -> None:
        """Begin with what was *committed*; *share* of the worker's room for records is this partition's."""
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
        self.log = Changelog(
            processor.name, self.changelog, store, generation, around=around, position=lambda: self._position({})
        )
        settings = around.settings
        self._settings = settings
        self._most = min(settings.max_batch, max(_ALWAYS, int(settings.max_waiting * share)))
        self._room = settings.max_waiting_bytes * share
        self._waiting = 0
        self._folder = Folder(processor, around.broadcast, around.instruments, around.now, settings.cpu_slice)
        self._home = Home(partition, partitions)
        self._pending: deque[Record] = deque()
        self._ticks: deque[Record] = deque()
        self._seen = 0
        self._reached = b""
        self._noted_at = 0.0
        self._tail = 0
        self._wake = asyncio.Event()
        self._stopping = False

    # ------------------------------------------------------------------------------------------- intake

    @property
    def hungry(self) -> bool:
        """Whether more records should be fetched."""
        if self.state != "running" or self._waiting >= self._room:
            return False
        return len(self._pending) < max(self._limit, 2 * min(self._limit, _ALWAYS))

    def offer(self, records: Sequence[Record]) -> None:
        """Take fetched records of one source topic; those below the read position are dropped."""
        topic = records[0].topic
        at = self._read[topic]
        if records[0].offset < at:
            records = [record for record in records if record.offset >= at]
        if records:
            self._pending.extend(records)
            self._waiting += _bytes(records)
            self._read[topic] = records[-1].offset + 1
        self._wake.set()

    def rests(self, topic: str) -> bool:
        """Whether everything that was fetched of *topic* is done."""
        return self.done[topic] == self._read[topic]

    def wake(self) -> None:
        """Look whether there is something to do."""
        self._wake.set()

    def tail_seen(self, end: int) -> None:
        """Take note that the changelog ends at *end*; if that is not our doing it is looked into."""
        self._tail = end
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch in flight, unless it waits for its fold to begin, then end."""
        self._stopping = True
        self._wake.set()

    # ---------------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Process until stopped, fenced, or faced with a state of a newer format."""
        try:
            await self.log.claim()
            self._catch_up()
            self.state = "running"
            while not self._stopping:
                batch, ticks = self._next()
                if batch or ticks:
                    await self._step(batch, ticks)
                    await self._note(_NOTE_EVERY)
                elif self._tail > self.store.position:
                    await self.log.repair(self.store.position, self._tail)
                    self._tail = 0
                else:
                    await self._note(0)
                    await self._sleep()
            await self._note(0)
        except _NotBegun:
            self.state = "ended"
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

    def _catch_up(self) -> None:
        """Tick whoever waits for a change that the owners before did not see."""
        broadcast = self._around.broadcast
        self._seen = broadcast.version
        self._await_labels(broadcast.changed_beyond(json.loads(self.store.seen or b"{}")))
        self._reached = json.dumps(broadcast.reached(), sort_keys=True).encode()

    async def _note(self, every: float) -> None:
        """Note how far the broadcast topics have ticked, unless ticks are under way or it was just done."""
        if self._ticks or self._reached == (self.store.seen or b"{}"):
            return
        if (now := time.monotonic()) - self._noted_at >= every:
            self._noted_at = now
            await self.log.note(self._reached)

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
            self._reached = json.dumps(self._around.broadcast.reached(), sort_keys=True).encode()
            self._await_labels(labels)
        batch = self._taken()
        ticks = [self._ticks.popleft() for _ in range(min(len(self._ticks), self._settings.tick_batch))]
        if not ticks:
            now = int(self._around.now().timestamp() * 1000)
            keys = self.store.due(now, self._settings.tick_batch)
            ticks = [Record(TICK_TOPIC, self.partition, -1, key, b"", (), now) for key in keys]
        return batch, ticks

    @property
    def _limit(self) -> int:
        return min(self._most, max(_ALWAYS, self._folder.fitting(self._settings.batch_seconds)))

    def _taken(self) -> list[Record]:
        pending, limit = self._pending, self._limit
        if len(pending) > limit:
            batch = [pending.popleft() for _ in range(limit)]
        else:
            batch = list(pending)
            pending.clear()
        self._waiting -= _bytes(batch)
        return batch

    def _await_labels(self, labels: Sequence[bytes]) -> None:
        now = int(self._around.now().timestamp() * 1000)
        self._ticks.extend(
            Record(TICK_TOPIC, self.partition, -1, key, label, (), now)
            for label in labels
            for key in self.store.waiting(label)
        )

    async def _step(self, batch: list[Record], ticks: list[Record]) -> None:
        reached = self._ends(batch)
        position = self._position(reached)
        self._around.instruments.shared.batch_size.observe(len(batch) + len(ticks))
        here = batch
        if foreign := self._foreign(batch):
            await self._forward(foreign)
            away = {(record.topic, record.offset) for record in foreign}
            here = [record for record in batch if (record.topic, record.offset) not in away]
        await self._process(here + ticks, position)
        if not self._around.guard.current(self.generation):
            raise Fenced("The group moved on while a batch was in flight.")
        self.done.update(reached)

    def _ends(self, batch: Sequence[Record]) -> dict[str, int]:
        """Return where each topic of *batch* goes on behind it."""
        reached: dict[str, int] = {}
        for record in reversed(batch):
            if record.topic not in reached:
                reached[record.topic] = record.offset + 1
                if len(reached) == len(self.done):
                    break
        return reached

    def _foreign(self, batch: Sequence[Record]) -> list[Record]:
        """Return what a producer partitioned differently; what was forwarded once stays where it is."""
        strange = self._home.strangers({record.key for record in batch})
        if not strange:
            return []
        return [
            record for record in batch if record.key in strange and all(name != FORWARDED for name, _ in record.headers)
        ]

    async def _forward(self, records: Sequence[Record]) -> None:
        """Send *records* to where their keys belong; acknowledged like everything else before offsets move."""
        parcels: Parcels = defaultdict(list)
        for record in records:
            place = record.topic, partition_of(record.key, self._partitions)
            parcels[place].append((record.key, record.value, [*record.headers, (FORWARDED, b"1")]))
        await self.log.commit([], parcels)
        for record in records:
            self._around.instruments.shared.events.labels(record.topic, "forwarded").inc()

    def _position(self, reached: Mapping[str, int]) -> int:
        return sum({**self.done, **reached}.values())

    # ------------------------------------------------------------------------------------------ a batch

    async def _process(self, records: list[Record], position: int) -> None:
        """Fold *records* and make what comes of them durable; a record that no fold can bear is put aside alone."""
        error = await self._failure(records, position)
        if error is None:
            return
        if len(records) == 1:
            await self._quarantine(records, error, position)
            return
        for part in _halves(records):
            await self._process(part, position)

    async def _failure(self, records: list[Record], position: int) -> FoldFailed | Unwritable | None:
        """Return why nothing came of *records*, None when all is durable."""
        try:
            async with self._around.cpu:
                if self._stopping:
                    raise _NotBegun
                gathered = await self._folder.fold(self.partition, records, self.store)
            await self._settle(gathered, position)
        except (FoldFailed, Unwritable) as error:
            return error
        return None

    async def _quarantine(self, records: list[Record], error: Exception, position: int) -> None:
        cause = error.__cause__ or error
        _log.error("key.quarantined", table=self.processor.name, error=traced(cause))
        reason = "oversize" if isinstance(error, Unwritable) else "quarantined"
        gathered = Gathered()
        gathered.tick(records)
        gathered.dead = [(record, reason, str(error)) for record in records]
        await self._settle(gathered, position)

    async def _settle(self, gathered: Gathered, position: int) -> None:
        """Make *gathered* durable: Kafka first, acknowledged, then the store."""
        changes = list(gathered.changes(self.store, self.store.epoch, position))
        check = self._around.shipper.check
        for change in changes:
            check(change.key, change.state, len(change.packed))
        parcels = await self._parcels(gathered.outs, position)
        await self._add_dead_letters(gathered, parcels)
        await self.log.commit(changes, parcels)
        self._count(gathered)
        self._tell(gathered)

    async def _parcels(self, outs: Sequence[Out], position: int) -> Parcels:
        """Return *outs* by where they go; each says what it came of."""
        shipper = self._around.shipper
        parcels: Parcels = defaultdict(list)
        counts = {topic: await shipper.partitions(topic) for topic in {out.topic for out in outs}}
        origin = ORIGIN, Origin(self.processor.name, self.partition, self.store.epoch, position).pack()
        alone, home = [origin], self._home
        for out in outs:
            topic, key, value, headers = out.topic, out.key, out.value, out.headers
            shipper.check(key, value, sum(len(k) + len(v) for k, v in headers) if headers else 0)
            partition = home.place(key or b"", counts[topic]) if out.partition is None else out.partition
            parcels[topic, partition].append((key, value, [*headers, origin] if headers else alone))
        return parcels

    def _tell(self, gathered: Gathered) -> None:
        """Log one line per batch with the traces of what it wrote: a line per record would cost more than the fold."""
        traces = {value for out in gathered.outs for name, value in out.headers if name == HEADER}
        if traces:
            ids = sorted(trace_id(value.decode("ascii", "replace")) for value in traces)
            where = {"table": self.processor.name, "partition": self.partition}
            _log.info("batch", **where, written=len(gathered.outs), trace_ids=ids)

    async def _add_dead_letters(self, gathered: Gathered, parcels: Parcels) -> None:
        topic = self._settings.dead_letters
        partitions = await self._around.shipper.partitions(topic)
        for record, reason, detail in gathered.dead:
            headers = [*record.headers, *_origin(record, reason, detail)]
            parcels[topic, partition_of(record.key, partitions)].append((record.key, record.value, headers))

    def _count(self, gathered: Gathered) -> None:
        shared = self._around.instruments.shared
        for name, count in gathered.counts.items():
            topic, _, outcome = name.rpartition("/")
            if outcome == HEALED:
                shared.healed_by_sweep.labels(topic).inc(count)
                continue
            if outcome == ECHO:
                shared.echoes.labels(*topic.split(">")).inc(count)
                continue
            shared.events.labels(topic or self.processor.name, outcome).inc(count)
        for record, reason, _ in gathered.dead:
            shared.events.labels(record.topic, reason).inc()
            shared.dead_letters.labels(reason).inc()


def _halves(records: list[Record]) -> tuple[list[Record], list[Record]]:
    """Return *records* in two parts: by their keys, as long as there are several, then as they came."""
    keys = list(dict.fromkeys(record.key for record in records))
    if len(keys) == 1:
        middle = len(records) // 2
        return records[:middle], records[middle:]
    first = set(keys[: len(keys) // 2])
    return [one for one in records if one.key in first], [one for one in records if one.key not in first]


def _bytes(records: Sequence[Record]) -> int:
    return sum([len(record.value) for record in records])


def _origin(record: Record, reason: str, detail: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("reason", reason.encode()),
        ("detail", detail[:1_000].encode()),
        (ORIGIN_TOPIC, record.topic.encode()),
        ("origin-partition", str(record.partition).encode()),
        ("origin-offset", str(record.offset).encode()),
        ("origin-timestamp", str(record.timestamp).encode()),
    )
