"""Folds a batch in slices short enough that heartbeats, web and revocation stay alive."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from streams.engine.fold import TICK_TOPIC, NewerFormat
from streams.engine.header import StateHeader, split_value, state_of, wants_nothing
from streams.engine.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from streams.engine.broadcast import Broadcast
    from streams.engine.fold import Folded, Out, Processor, Record
    from streams.engine.instruments import Instruments
    from streams.engine.store import Store

_SMALLEST, _LARGEST = 16, 1_000
_UNSEEN = 0.000_5
"""So many seconds a record is thought to take until a batch was seen: those of an order do."""


class FoldFailed(Exception):
    """The fold raised something nobody foresaw."""


@dataclass
class Gathered:
    """What the slices of one batch came to."""

    olds: dict[bytes, bytes | None] = field(default_factory=dict)
    states: dict[bytes, bytes | None] = field(default_factory=dict)
    timers: dict[bytes, datetime | None] = field(default_factory=dict)
    waits: dict[bytes, Sequence[bytes]] = field(default_factory=dict)
    outs: list[Out] = field(default_factory=list)
    dead: list[tuple[Record, str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    ticked: dict[bytes, set[bytes]] = field(default_factory=dict)

    def view(self, keys: Iterable[bytes]) -> dict[bytes, bytes | None]:
        """Return the states of *keys* as the slices before left them."""
        states, olds = self.states, self.olds
        return {key: states[key] if key in states else state_of(olds[key]) for key in keys}

    def absorb(self, folded: Folded) -> None:
        """Add what one slice came to."""
        self.states.update(folded.states)
        self.outs.extend(folded.outs)
        self.dead.extend(folded.dead)
        self.counts.update(folded.counts)
        self.timers.update(folded.timers)
        self.waits.update(folded.waits)

    def tick(self, records: Sequence[Record]) -> None:
        """Remember which timers are used up by *records*; a label waits on until the fold says otherwise."""
        for record in records:
            if record.topic == TICK_TOPIC:
                self.ticked.setdefault(record.key, set()).add(record.value)

    def load(self, store: Store, keys: Iterable[bytes]) -> None:
        """Read the stored values of *keys*, each named once, that were not read yet."""
        missing = [key for key in keys if key not in self.olds]
        if missing:
            self.olds.update(zip(missing, store.get_many(missing), strict=True))

    def changes(self, store: Store, epoch: int, position: int) -> Iterator[Change]:
        """Yield what must be written: states, timers or waits that differ from what is stored."""
        special = self.timers.keys() | self.waits.keys() | self.ticked.keys()
        keys = (*self.states, *(special - self.states.keys()))
        self.load(store, keys)
        states, olds = self.states, self.olds
        plain = StateHeader(epoch, position)  # most states wait for nothing: one header does for all of them
        packed = plain.pack()
        for key in keys:
            old = olds[key]
            if key not in special and (old is None or wants_nothing(old)):
                state = states[key]
                if state != state_of(old):
                    yield Change(key, None, plain, packed, state)
                continue
            before, known = split_value(old) if old is not None else (None, None)
            state = states.get(key, known)
            due, waits = before[2:] if before is not None else (0, ())
            if key in special:
                due, waits = self._due(key, due), self._waits(key, waits)
            if state == known and (before is None or before[2:] == (due, waits)):
                continue
            if due or waits:
                header = StateHeader(epoch, position, due, waits)
                yield Change(key, before, header, header.pack(), state)
            else:
                yield Change(key, before, plain, packed, state)

    def _due(self, key: bytes, before: int) -> int:
        if key in self.timers:
            at = self.timers[key]
            return 0 if at is None else max(1, int(at.timestamp() * 1000))
        return 0 if b"" in self.ticked.get(key, ()) else before

    def _waits(self, key: bytes, before: tuple[bytes, ...]) -> tuple[bytes, ...]:
        return tuple(self.waits[key]) if key in self.waits else before


class Folder:
    """Runs one processor; the size of a slice follows how long the last one took.

    What a batch has of one key goes in one slice: a fold that works once per state has then work once per batch.
    """

    def __init__(
        self,
        processor: Processor,
        broadcast: Broadcast,
        instruments: Instruments,
        now: Callable[[], datetime],
        cpu_slice: float,
    ) -> None:
        self._processor = processor
        self._broadcast = broadcast
        self._instruments = instruments
        self._now = now
        self._cpu_slice = cpu_slice
        self._slice = 64
        self._each = _UNSEEN

    def fitting(self, seconds: float) -> int:
        """Return how many records can be folded in *seconds*, as the last batch went."""
        return int(seconds / self._each)

    async def fold(self, partition: int, records: Sequence[Record], store: Store) -> Gathered:
        """Return what *records* do; raises FoldFailed for any exception of the fold but NewerFormat."""
        gathered, at, spent, records = Gathered(), 0, 0.0, grouped(records)
        while at < len(records):
            part = records[at : _end(records, at + self._slice)]
            started = time.perf_counter()
            gathered.tick(part)
            gathered.absorb(self._fold_slice(partition, part, store, gathered, self._broadcast.values))
            took = time.perf_counter() - started
            self._instruments.fold_seconds.observe(took)
            self._adapt(len(part), took)
            at += len(part)
            spent += took
            await asyncio.sleep(0)
        if at:
            self._each = max(spent, 1e-6) / at
        return gathered

    def _fold_slice(
        self,
        partition: int,
        part: Sequence[Record],
        store: Store,
        gathered: Gathered,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        try:
            keys = dict.fromkeys(self._processor.keys(part))
            gathered.load(store, keys)
            return self._processor.fold(partition, part, gathered.view(keys), self._now(), broadcast)
        except NewerFormat:
            raise
        except Exception as error:
            kind = type(error).__name__
            self._instruments.fold_errors.labels(self._processor.name, kind).inc()
            raise FoldFailed(f"{kind} in {self._processor.name}") from error

    def _adapt(self, records: int, took: float) -> None:
        fitting = int(records * self._cpu_slice / max(took, 1e-6))
        self._slice = max(_SMALLEST, min(_LARGEST, fitting, self._slice * 2))


def grouped(records: Sequence[Record]) -> Sequence[Record]:
    """Return *records* with those of one key side by side, in their order; keys as they came first."""
    of: dict[bytes, list[Record]] = {}
    for record in records:
        of.setdefault(record.key, []).append(record)
    return records if len(of) == len(records) else list(chain.from_iterable(of.values()))


def _end(records: Sequence[Record], end: int) -> int:
    """Return where a slice may end that has at least the records before *end*: where another key begins."""
    while 0 < end < len(records) and records[end].key == records[end - 1].key:
        end += 1
    return end
