"""One partition of a changelog and its store, owned by one worker at a time; who else writes to it is undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import TopicPartition

from app.core.faultpoints import around
from streams.engine.fold import Fenced
from streams.engine.header import EPOCH_KEY, HEADER, SEEN_KEY, StateHeader, header_of, state_of, unpack_header
from streams.engine.recovery import apply, read_range
from streams.engine.store import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from streams.engine.ship import Landed, Parcel, Parcels
    from streams.engine.store import Store
    from streams.engine.surroundings import Surroundings

_log = structlog.get_logger(__name__)


class Changelog:
    """Writes what a batch came to, in the order that a crash forgives: others first, then the log, then the store."""

    def __init__(
        self,
        table: str,
        tp: TopicPartition,
        store: Store,
        generation: int,
        *,
        around: Surroundings,
        position: Callable[[], int],
    ) -> None:
        self._table = table
        self._tp = tp
        self._store = store
        self._generation = generation
        self._around = around
        self._position = position

    async def commit(self, changes: list[Change], outs: Parcels) -> None:
        """Ship what others read, then the changelog, then write the store; each waits for the one before.

        Were the changelog acknowledged alone, recovery would know the events, and a replay would emit nothing.
        """
        if not (changes or outs):
            return
        async with around("outs", self._table):
            await self.ship(outs)
        async with around("changelog", self._table):
            landed = await self.ship(self._states(changes))
        position, stale = await self._reached(landed)
        async with around("store", self._table):
            self._store.write(changes, position, self._store.epoch, outlived=stale)
        await self._rewrite(stale)

    def _states(self, changes: Sequence[Change]) -> Parcels:
        headers = {packed: [(HEADER, packed)] for packed in {change.packed for change in changes}}
        states: Parcel = [(change.key, change.state, headers[change.packed]) for change in changes]
        return {self._tp: states} if states else {}

    async def ship(self, parcels: Parcels) -> list[Landed]:
        """Return where the changelog's records landed."""
        if not parcels:
            return []
        await self._around.guard.check(self._generation)
        landed = await self._around.shipper.ship(parcels)
        if not self._around.guard.current(self._generation):
            raise Fenced("The group moved on before the records were acknowledged.")
        return landed.get(self._tp, [])

    async def _reached(self, landed: Sequence[Landed]) -> tuple[int, list[bytes]]:
        """Return where our changelog stands now, and the keys of which somebody older wrote in between.

        What others wrote is read before the store takes note of the position: were a newer owner among them, the
        store would pass over states that it never saw, and miss them when the partition comes back.
        """
        expected, stale = self._store.position, dict[bytes, None]()
        for offset, records in landed:
            if offset < 0:  # the broker had it already and does not say where: read again later
                return self._store.position, list(stale)
            if offset > expected:
                stale |= await self._stale(expected, offset)
            expected = offset + records
        return expected, list(stale)

    async def claim(self) -> None:
        """Own the changelog: from here on, whatever somebody of a lower epoch wrote behind our states is undone."""
        while not await self._marked():
            pass
        await self._rewrite(sorted(self._store.outlived))

    async def _marked(self) -> bool:
        """Write an epoch above every other; False when another worker did the same in the same moment."""
        epoch, expected = self._store.epoch + 1, self._store.position
        marker = (EPOCH_KEY, self._around.settings.name.encode(), [(HEADER, StateHeader(epoch, 0).pack())])
        landed = (await self.ship({self._tp: [marker]}))[-1]
        if landed.offset == expected:
            self._store.write([], expected + 1, epoch)
            return True
        if landed.offset < expected:
            return False
        records = await read_range(self._around.settings, self._tp, expected, landed.offset + 1)
        apply(self._store, records, landed.offset + 1)
        return all(_epoch(record) < epoch for record in records[:-1])

    async def repair(self, start: int, end: int) -> None:
        """Re-append our state wherever somebody of a lower epoch wrote behind it."""
        stale = await self._stale(start, end)
        if end > self._store.position:
            self._store.write([], end, self._store.epoch, outlived=stale)
        await self._rewrite(list(stale))

    async def _stale(self, start: int, end: int) -> dict[bytes, None]:
        """Return the keys that somebody of a lower epoch wrote; raise Fenced where a higher one did."""
        stale: dict[bytes, None] = {}
        for record in await read_range(self._around.settings, self._tp, start, end):
            epoch = _epoch(record)
            if epoch > self._store.epoch:
                raise Fenced("The changelog has a newer owner.")
            if epoch < self._store.epoch and record.key not in (EPOCH_KEY, SEEN_KEY):
                stale[record.key] = None
        return stale

    async def _rewrite(self, keys: list[bytes]) -> None:
        if not keys:
            return
        self._around.instruments.foreign.inc(len(keys))
        _log.warning("changelog.repaired", table=self._table, partition=self._tp.partition, keys=len(keys))
        await self.commit(list(self._rewritten(keys)), {})

    def _rewritten(self, keys: list[bytes]) -> Iterator[Change]:
        position = self._position()
        for key, old in zip(keys, self._store.get_many(keys), strict=True):
            before = header_of(old) if old is not None else None
            header = (before or StateHeader(0, 0))._replace(epoch=self._store.epoch, position=position)
            yield Change(key, before, header, header.pack(), state_of(old))

    async def note(self, seen: bytes) -> None:
        """Remember, for whoever owns this partition next, that every change up to *seen* has ticked."""
        header = StateHeader(self._store.epoch, 0).pack()
        landed = await self.ship({self._tp: [(SEEN_KEY, seen, [(HEADER, header)])]})
        position, stale = await self._reached(landed)
        self._store.write([], position, self._store.epoch, outlived=stale, seen=seen)
        await self._rewrite(stale)


def _epoch(record: Any) -> int:  # noqa: ANN401  aiokafka ships no types
    packed = dict(record.headers).get(HEADER)
    return unpack_header(packed).epoch if packed else 0
