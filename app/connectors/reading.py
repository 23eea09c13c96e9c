"""The source agent of one connection: hints are read, sweeps find what no webhook told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import structlog

from app.core.errors import AuthError, O2CError, RetryableError
from app.core.metrics import Metrics
from app.core.talk import Request, Response, Talk
from schemas.events import ChangeEvent, Hint, Version
from streams.sources.base import Source

log = structlog.get_logger(__name__)
_BATCH_PAUSE = 0.02
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
T = TypeVar("T")
Send = Callable[[Request], Awaitable[Response]]


class Cursor(msgspec.Struct, frozen=True):
    """Where a sweep goes on."""

    value: str
    complete_up_to: datetime | None = None


class Reader:
    """Reads hinted objects, coalesced, and walks what changed.

    Every read is numbered when it starts, every write when it ends: of a read that overlaps a write the write wins.
    """

    def __init__(
        self,
        source: Source,
        send: Send,
        publish: Callable[[ChangeEvent], Awaitable[None]],
        *,
        epoch: int,
        number: Callable[[], int],
        keep_cursor: Callable[[str, Cursor], Awaitable[None]],
        cursors: dict[str, Cursor],
        metrics: Metrics,
        failed: Callable[[AuthError], None],
    ) -> None:
        """Take *number* for numbering looks; *cursors* are those an earlier owner stored."""
        self._source, self._send, self._publish = source, send, publish
        self._epoch, self._number = epoch, number
        self._keep_cursor, self._cursors = keep_cursor, cursors
        self._metrics, self._failed = metrics, failed
        self._wanted: dict[str, Hint] = {}
        self._wake = asyncio.Event()
        self.read_by_hint = 0
        self.healed_by_sweep = 0

    def want(self, hint: Hint) -> None:
        """Read the hinted object soon; a second hint for it costs no second read."""
        self._wanted[hint.object.key] = hint
        self._wake.set()

    async def run(self) -> None:
        """Read what is hinted at until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._wake.wait()
            await asyncio.sleep(_BATCH_PAUSE)
            self._wake.clear()
            hints, self._wanted = list(self._wanted.values()), {}
            rest = await self._read_all(hints)
            if not rest:
                pause = _FIRST_PAUSE
                continue
            for hint in rest:
                self._wanted.setdefault(hint.object.key, hint)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            self._wake.set()

    async def _read_all(self, hints: Sequence[Hint]) -> list[Hint]:
        """Read *hints* in batches and return those that must be tried again."""
        again: list[Hint] = []
        for batch in self._batches(hints):
            try:
                await self._read(batch)
                self.read_by_hint += len(batch)
            except AuthError as error:
                self._failed(error)
                again += batch
            except RetryableError as error:
                log.info("read.later", connection=self._source.connection.name, why=str(error))
                again += batch
            except O2CError as error:
                log.warning("read.refused", connection=self._source.connection.name, why=str(error), objects=len(batch))
        return again

    def _batches(self, hints: Sequence[Hint]) -> list[list[Hint]]:
        by_type: dict[str, list[Hint]] = {}
        for hint in hints:
            by_type.setdefault(hint.object.type, []).append(hint)
        found: list[list[Hint]] = []
        for type_, same in by_type.items():
            size = self._source.read_batch.get(type_, 1)
            found += [same[start : start + size] for start in range(0, len(same), size)]
        return found

    async def _read(self, hints: Sequence[Hint]) -> None:
        number = self._number()
        talk = self._source.read(hints[0]) if len(hints) == 1 else self._source.read_many(hints)
        await self._publish_all(await self._talk(talk), number, hints[0].trace)

    async def _publish_all(self, events: Sequence[ChangeEvent], number: int, trace: str = "") -> None:
        await asyncio.gather(*(self._publish(self._numbered(event, number, trace)) for event in events))

    def _numbered(self, event: ChangeEvent, number: int, trace: str) -> ChangeEvent:
        version = Version(native=event.version.native, read=True, epoch=self._epoch, seq=number)
        return msgspec.structs.replace(event, version=version, trace=event.trace or trace)

    async def _talk(self, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                try:
                    response = await self._send(request)
                except O2CError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(response)
        except StopIteration as done:
            result: T = done.value
            return result

    # -- sweeps -------------------------------------------------------------------------------------------------------

    async def sweep_forever(self, seconds: float) -> None:
        """Walk every sweep of the source each *seconds*; a failed one is tried again, its cursor stays."""
        while True:
            for name in self._source.sweeps():
                await self._guarded_sweep(name)
            await asyncio.sleep(seconds)

    async def _guarded_sweep(self, name: str) -> None:
        try:
            await self.sweep(name)
        except AuthError as error:
            self._failed(error)
        except O2CError as error:
            log.info("sweep.later", connection=self._source.connection.name, sweep=name, why=str(error))

    async def sweep(self, name: str) -> None:
        """Walk one sweep to its end; the cursor moves once every record was acknowledged and the pass was clean."""
        cursor = self._cursors.get(name, Cursor("")).value
        more = True
        while more:
            number = self._number()
            page = await self._talk(self._source.sweep(name, cursor, datetime.now(UTC)))
            await self._publish_all(page.events, number)
            if await self._read_all(page.hints):
                raise RetryableError(f"The sweep {name} could not read all that it found.")
            self.healed_by_sweep += len(page.events) + len(page.hints)
            cursor, more = page.cursor, page.more
            if page.complete_up_to is not None:
                self._cursors[name] = Cursor(cursor, page.complete_up_to)
                await self._keep_cursor(name, self._cursors[name])
        self._show_age()

    def _show_age(self) -> None:
        marks = [cursor.complete_up_to for cursor in self._cursors.values() if cursor.complete_up_to]
        if marks:
            age = (datetime.now(UTC) - min(marks)).total_seconds()
            self._metrics.complete_up_to_age.labels(self._source.connection.name).set(age)
