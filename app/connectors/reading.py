"""The source agent of one connection: hints are read, sweeps find what no webhook told."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
import structlog

from app.connectors.known import Known
from app.connectors.silence import Silence
from app.core.errors import AuthError, DecodeError, O2CError, RetryableError
from app.core.limits import AGE
from app.core.mistakes import OVER_DATA, fault
from app.core.talk import Request, Response, Talk
from schemas.commands import SWEEP
from schemas.events import ASKED_FOR, GAP, SWEPT, TIE, UNTOLD, ChangeEvent, Hint, Version
from schemas.refs import ObjectRef
from schemas.soundness import check_event
from schemas.trace import new_trace, trace_id
from streams.sources.base import Source

log = structlog.get_logger(__name__)
_BATCH_PAUSE = 0.02
_AT_ONCE = 100
"""Hints per pass: the next pass begins with what became urgent meanwhile."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_LATE, _SOONEST = 0.25, 30.0
"""Part of the pause between sweeps, and seconds of it, that no gap in what was told shortens: calls are counted."""
FAULTS = OVER_DATA
"""What a mistake in a source raises: one bad record must not stop the connection."""
T = TypeVar("T")
Send = Callable[[Request], Awaitable[Response]]


class Cursor(msgspec.Struct, frozen=True):
    """Where a sweep goes on: *within* the pass that is under way, else where the last clean one said."""

    value: str
    complete_up_to: datetime | None = None
    within: str = ""
    since: str = ""
    """The connection's option by which the pass under way began."""


async def _unheard() -> None:
    """Do nothing about it."""


def _led_to(event: ChangeEvent, hint: Hint) -> ChangeEvent:
    return msgspec.structs.replace(event, origin="sweep") if hint.reason == SWEPT else event


def _told(event: ChangeEvent, trace: str, told_at: datetime) -> ChangeEvent:
    """Return *event* with the trace that led to it, or a new one where nobody told, and when o2c learned of it."""
    return msgspec.structs.replace(event, trace=event.trace or trace or new_trace(), told_at=event.told_at or told_at)


def _hinted(hint: Hint, told_at: datetime) -> Hint:
    return msgspec.structs.replace(hint, trace=hint.trace or new_trace(), told_at=hint.told_at or told_at)


def _turn(hint: Hint) -> float:
    """Return when it is a hint's turn; like a request it is never overtaken for longer than its steps of priority."""
    told = 0.0 if hint.told_at is None else hint.told_at.timestamp()
    return told + AGE * hint.priority


def _less_urgent(hint: Hint) -> Hint:
    return msgspec.structs.replace(hint, priority=max(SWEEP, hint.priority))


def _since(hint: Hint, first: Hint | None) -> Hint:
    """Return *hint* as answering what *first* told, as urgent as either."""
    if first is None or first.told_at is None:
        return hint
    priority = min(hint.priority, first.priority)
    return msgspec.structs.replace(hint, trace=first.trace, told_at=first.told_at, priority=priority)


async def _nothing(_hint: Hint, _why: str) -> None:
    return


def _uncounted(_source: str) -> None:
    """Nobody counts echoes."""


def _unasked() -> None:
    """Nobody wants to know."""


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
        failed: Callable[[AuthError], None],
        well: asyncio.Event | None = None,
        known: Known | None = None,
        put_aside: Callable[[Hint, str], Awaitable[None]] = _nothing,
        echo: Callable[[str], None] = _uncounted,
    ) -> None:
        """Take *number* for numbering looks; *cursors* are those an earlier owner stored.

        *known* must hear of what writes published as well; *put_aside* gets hints that lead to something unreadable,
        *echo* the connection where that was typed of which a look shows only what was written.
        """
        self._source, self._send, self._publish = source, send, publish
        self._epoch, self._number = epoch, number
        self._keep_cursor, self._cursors = keep_cursor, cursors
        self._failed, self._put_aside, self._echo = failed, put_aside, echo
        self._well = well or asyncio.Event()
        if well is None:
            self._well.set()
        self._wanted: dict[str, Hint] = {}
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._wake, self._lost = asyncio.Event(), asyncio.Event()
        self._known = Known() if known is None else known
        self._began = datetime.now(UTC)
        self.read_by_hint = 0
        self._silence = Silence(time.time)
        self.silent = _unasked
        """Called when webhooks seem to tell nothing any more."""
        self.blind = _unheard
        """Called when no list tells what was deleted since the last pass."""

    def want(self, hint: Hint, read: Callable[[], None] = _unasked) -> None:
        """Read the hinted object soon, then call *read*.

        A second hint for it costs no second read, and the first was told first. One that says that nobody had told of
        what a sweep found costs none at all, and one that says that deliveries were lost brings the next sweep forward.
        """
        if hint.reason == GAP:
            self._lost.set()
            read()
            return
        if hint.reason == UNTOLD:
            self._silence.untold(hint.object)
            read()
            return
        if hint.reason not in ASKED_FOR:
            self._silence.told()
        self._waiting.setdefault(hint.object.key, []).append(read)
        told = _hinted(hint, datetime.now(UTC))
        self._wanted[hint.object.key] = _since(told, self._wanted.get(hint.object.key))
        self._wake.set()

    async def run(self) -> None:
        """Read what is hinted at until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._wake.wait()
            await self._well.wait()
            await asyncio.sleep(_BATCH_PAUSE)
            self._wake.clear()
            rest = await self._read_wanted()
            if not rest:
                pause = _FIRST_PAUSE
                if self._wanted:
                    self._wake.set()
                continue
            for hint in rest:
                self._wanted[hint.object.key] = _since(self._wanted.get(hint.object.key, hint), hint)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            self._wake.set()

    async def _read_wanted(self) -> list[Hint]:
        """Read the most urgent of what was hinted at so far and say so; return what must be tried again."""
        hints = sorted(self._wanted.values(), key=_turn)[:_AT_ONCE]
        for hint in hints:
            del self._wanted[hint.object.key]
        waiting = {hint.object.key: self._waiting.pop(hint.object.key, []) for hint in hints}
        rest: list[Hint] = []
        for batch in self._batches(hints):
            again = await self.read_all(batch)
            rest += again
            for key in {hint.object.key for hint in batch} - {hint.object.key for hint in again}:
                for read in waiting.pop(key, ()):
                    read()
        for key, reads in waiting.items():
            self._waiting.setdefault(key, []).extend(reads)
        return rest

    async def read_all(self, hints: Sequence[Hint]) -> list[Hint]:
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
            except (O2CError, *FAULTS) as error:
                again += await self._one_by_one(batch, error)
        return again

    async def _one_by_one(self, batch: Sequence[Hint], error: Exception) -> list[Hint]:
        """Read each object of a failed batch by itself, so that only the bad one is left out."""
        if len(batch) > 1:
            return [left for hint in batch for left in await self.read_all([hint])]
        where = {"connection": self._source.connection.name, "type": batch[0].object.type}
        why = fault(error)
        log.warning("read.refused", **where, id=batch[0].object.id, why=why, trace_id=trace_id(batch[0].trace))
        await self._put_aside(batch[0], why)
        return []

    def _batches(self, hints: Sequence[Hint]) -> list[list[Hint]]:
        alike: dict[tuple[str, bool], list[Hint]] = {}
        for hint in hints:
            alike.setdefault((hint.object.type, hint.reason == TIE), []).append(hint)
        found: list[list[Hint]] = []
        for (type_, _), same in alike.items():
            size = self._source.read_batch.get(type_, 1)
            found += [same[start : start + size] for start in range(0, len(same), size)]
        return found

    async def _read(self, hints: Sequence[Hint]) -> None:
        number, began = self._number(), datetime.now(UTC)
        talk = self._source.read(hints[0]) if len(hints) == 1 else self._source.read_many(hints)
        events = await self._talk(talk, min(hint.priority for hint in hints))
        asked = {hint.object.key: hint for hint in hints}
        told = [asked.get(event.object.key, hints[0]) for event in events]
        stamped = [
            _led_to(_told(event, hint.trace, hint.told_at or began), hint)
            for event, hint in zip(events, told, strict=True)
        ]
        await self._publish_all([event for event in stamped if self._tells(event, asked)], number)
        for hint in hints:
            log.info("read", connection=hint.object.connection, type=hint.object.type, trace_id=trace_id(hint.trace))

    def _tells(self, event: ChangeEvent, asked: Mapping[str, Hint]) -> bool:
        """Tell whether *event*, shown by a read of what was *asked* for, is to be told: it is new, or the stream waits.

        A tie concerns its object alone: what else its record shows the gateway has told before, unknown to us.
        """
        reasons = {hint.reason for hint in asked.values()} & ASKED_FOR
        if reasons - {TIE}:
            return True
        hint = asked.get(event.object.key)
        if hint is not None and hint.reason == TIE:
            return True
        return self._is_new(event) and (not reasons or hint is not None or self._known.knows(event.object))

    def _is_new(self, event: ChangeEvent) -> bool:
        return self._known.is_new(event) or self._is_echo(event.object)

    def _is_newer(self, hint: Hint) -> bool:
        return self._known.is_newer(hint) or self._is_echo(hint.object)

    def _is_echo(self, ref: ObjectRef) -> bool:
        """Count a look that shows nothing new, where it is the first one at what we wrote; it is never news."""
        if source := self._known.echoed(ref):
            self._echo(source)
        return False

    async def _publish_all(self, events: Sequence[ChangeEvent], number: int) -> None:
        numbered = [self._numbered(event, number) for event in events if await self._is_sound(event)]
        await asyncio.gather(*(self._publish(event) for event in numbered))
        for event in numbered:
            self._known.note(event)
            if event.origin == "sweep":
                self._silence.found(event)

    async def _is_sound(self, event: ChangeEvent) -> bool:
        """Tell whether *event* names and counts what can be named and counted; else it is put aside."""
        try:
            check_event(event)
        except DecodeError as error:
            log.warning("read.unsound", connection=event.object.connection, type=event.object.type, why=str(error))
            await self._put_aside(Hint(tenant=event.tenant, object=event.object, reason="read"), str(error))
            return False
        return True

    def _numbered(self, event: ChangeEvent, number: int) -> ChangeEvent:
        version = Version(native=event.version.native, read=True, epoch=self._epoch, seq=number)
        return msgspec.structs.replace(event, version=version)

    async def _talk(self, talk: Talk[T], priority: int) -> T:
        try:
            request = next(talk)
            while True:
                try:
                    response = await self._send(msgspec.structs.replace(request, priority=priority))
                except O2CError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(response)
        except StopIteration as done:
            result: T = done.value
            return result

    # -- sweeps -------------------------------------------------------------------------------------------------------

    async def sweep_forever(self, seconds: float) -> None:
        """Walk every sweep of the source each *seconds*; a failed one is tried again, its cursor stays.

        Where deliveries were lost the next one begins after a quarter of that, when late ones have had their time.
        """
        soonest = max(seconds * _LATE, min(seconds, _SOONEST))
        while True:
            self._lost.clear()
            if self._silence.judged():
                self.silent()
            for name in self._source.sweeps():
                await self._well.wait()
                await self._guarded_sweep(name)
            await asyncio.sleep(soonest)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds - soonest):
                    await self._lost.wait()

    async def _guarded_sweep(self, name: str) -> None:
        try:
            await self.sweep(name)
        except AuthError as error:
            self._failed(error)
        except (O2CError, *FAULTS) as error:
            log.warning("sweep.later", connection=self._source.connection.name, sweep=name, why=fault(error))
            if name in self._cursors and not isinstance(error, RetryableError):  # its place may be what is refused
                self._cursors[name] = msgspec.structs.replace(self._cursors[name], within="")

    async def sweep(self, name: str) -> None:
        """Walk one sweep to its end, from where it broke off.

        A place is kept once every record before it was acknowledged, the cursor moves once the pass was clean.
        """
        before = self._cursors.get(name, Cursor(""))
        since = self._source.connection.options.get("since", "")
        cursor, more = (before.within if before.since == since else "") or before.value, True
        while more:
            number, began = self._number(), datetime.now(UTC)
            page = await self._talk(self._source.sweep(name, cursor, datetime.now(UTC)), SWEEP)
            mark = before.complete_up_to
            fresh = [self._found(event, mark) for event in page.events if self._is_new(event)]
            await self._publish_all([_told(event, "", began) for event in fresh], number)
            newer = [self._due(_hinted(hint, began), mark) for hint in page.hints if self._is_newer(hint)]
            if await self.read_all(newer):
                raise RetryableError(f"The sweep {name} could not read all that it found.")
            if page.blind:
                await self.blind()
            cursor, more = page.cursor, page.more
            if page.complete_up_to is not None:
                await self._keep(name, Cursor(cursor, page.complete_up_to))
            elif more:
                await self._keep(name, Cursor(before.value, mark, cursor, since))

    async def _keep(self, name: str, cursor: Cursor) -> None:
        self._cursors[name] = cursor
        await self._keep_cursor(name, cursor)

    def _found(self, event: ChangeEvent, mark: datetime | None) -> ChangeEvent:
        """Return *event* as found by a sweep where it changed since the last pass and no hint told of it, else as read.

        Whether a webhook told of it the stream knows: those that are complete records pass the connectors by.
        """
        # Vendors name whole seconds: what changed in that of the last pass came after it, or would not be new.
        second = None if mark is None else mark.replace(microsecond=0)
        late = second is not None and (event.changed_at is None or event.changed_at >= second)
        swept = late and event.object.key not in self._wanted
        return msgspec.structs.replace(event, origin="sweep" if swept else "read")

    def _due(self, hint: Hint, mark: datetime | None) -> Hint:
        """Return *hint*, which a sweep gave, as nothing urgent; what it leads to was found by the sweep."""
        swept = mark is not None and not hint.reason and hint.object.key not in self._wanted
        return _less_urgent(msgspec.structs.replace(hint, reason=SWEPT if swept else hint.reason))

    @property
    def sweeps(self) -> bool:
        """Tell whether the platform can be walked at all."""
        return bool(self._source.sweeps())

    def age(self) -> float:
        """Return the seconds since everything was seen; a sweep that never ended counts from when this owner began."""
        cursors = (self._cursors.get(name) for name in self._source.sweeps())
        marks = [(cursor and cursor.complete_up_to) or self._began for cursor in cursors]
        return (datetime.now(UTC) - min(marks, default=self._began)).total_seconds()
