"""Conversations of one connection's writes: journal rows, natural keys, and nothing sent that is not on disk."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec

from app.core.errors import AuthError, O2CError, RejectedError, RetryableError, UncertainError
from app.core.talk import Request, Response, Talk
from schemas.commands import LIVE, Command
from sinks.base import Sink, Written
from sinks.delivery.journal import Journal
from sinks.delivery.ports import Ledger, Lost, Sender
from sinks.delivery.row import (
    MEMBER,
    Row,
    answers,
    confirmed,
    idempotency_key,
    intent,
    remembered,
    same_bytes,
    too_large,
)

T = TypeVar("T")
_ENCODE = msgspec.json.Encoder().encode
_MANY = 1_000
"""Natural keys of which it is remembered who let go of them last, before the list is gone through."""
Make = Callable[[], Talk[T]]


class _Again(O2CError):
    """Somebody held the natural key since the talk began: what it looked up may be out of date."""


class Told(NamedTuple):
    """When a write ended, as numbers of its owner: what it shows is no newer, however late it is told."""

    epoch: int
    look: int
    stamp: int


class Conversation(msgspec.Struct, eq=False):
    """One run of a talk for one command or batch."""

    command: str
    members: tuple[str, ...] = ()
    priority: int = LIVE
    flows: frozenset[str] = frozenset()
    """Whose writes these are."""
    began: int = 0
    steps: dict[str, int] = {}
    """How often each step was asked for in this run: a second one is another request."""
    faithful: bool = True
    """False once bytes of an earlier try were sent instead of those that were built now."""
    told: Told | None = None
    """When the newest reply came, where every step was answered from the journal; None once one was sent."""
    sent: bool = False
    """Whether any request of this run left for the platform: what it shows then is newer than the journal."""


class Writing:
    """Answers the requests of talks; every mutating one has its own journal row, acknowledged before it leaves."""

    def __init__(
        self,
        sink: Sink,
        send: Sender,
        ledger: Ledger,
        journal: Journal,
        *,
        epoch: int,
        now: Callable[[], float],
        settle: float,
        owns: Callable[[], bool],
        barred: Callable[[frozenset[str]], str],
    ) -> None:
        """*owns* tells whether the lease is still held, *barred* why nothing of some flows may leave.

        *settle* is in seconds.
        """
        self._barred = barred
        self._sink, self._send, self._ledger, self.journal = sink, send, ledger, journal
        self._epoch, self._now, self._settle, self._owns = epoch, now, settle, owns
        self._keys = WeakValueDictionary[str, asyncio.Lock]()
        """Of the natural keys in use: who holds or awaits one keeps it alive."""
        self._released: dict[str, tuple[int, str]] = {}
        """Natural key -> when it was last released, and by which command; see `_release`."""
        self._many = _MANY
        self._runs: set[Conversation] = set()
        self._ticks = 0
        self._offset = 0
        self._looks = 0

    def next_offset(self) -> int:
        """Return a number above that of every row and result so far."""
        self._offset += 1
        return self._offset

    def next_look(self) -> int:
        """Return the number of the look that begins (a read) or ended (a write) now."""
        self._looks += 1
        return self._looks

    def _numbered(self, row: Row) -> Row:
        return msgspec.structs.replace(row, epoch=self._epoch, look=self.next_look(), stamp=self.next_offset())

    async def talk(self, run: Conversation, make: Make[T]) -> T:
        """Return what the talk that *make* begins comes to; it is begun again when it looked too early."""
        self._runs.add(run)
        try:
            while True:
                run.began, run.steps = self._ticks, {}
                try:
                    return await self._once(run, make())
                except _Again:
                    continue
        finally:
            self._runs.discard(run)

    async def _once(self, run: Conversation, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                try:
                    response = await self._exchange(run, request)
                except (_Again, Lost):
                    talk.close()
                    raise
                except O2CError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(response)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _exchange(self, run: Conversation, request: Request) -> Response:
        if request.priority != run.priority:
            request = msgspec.structs.replace(request, priority=run.priority)
        if not request.mutates:
            return await self._send(request, "")
        if not request.lock:
            return await self._mutate(run, request)
        lock = self._keys.setdefault(request.lock, asyncio.Lock())
        async with lock:
            released, by = self._released.get(request.lock, (-1, ""))
            if released > run.began and by != run.command:
                raise _Again("The natural key was held meanwhile.")
            try:
                return await self._mutate(run, request)
            finally:
                self._release(request.lock, run.command)

    def _release(self, key: str, command: str) -> None:
        """Note who let go of *key*, and forget now and then what every talk under way began after."""
        self._ticks += 1
        self._released[key] = (self._ticks, command)
        if len(self._released) > self._many:
            first = min(run.began for run in self._runs)
            self._released = {key: left for key, left in self._released.items() if left[0] > first}
            self._many = max(_MANY, 2 * len(self._released))

    async def _mutate(self, run: Conversation, request: Request) -> Response:
        count = run.steps[request.step] = run.steps.get(request.step, 0) + 1
        if count > 1:
            request = msgspec.structs.replace(request, step=f"{request.step}#{count}")
        known = self.journal.get(run.command, request.step)
        if known is not None and known.state == "confirmed":
            run.faithful = run.faithful and answers(known, request)
            run.told = _newest(run, known)
            return remembered(known)
        self._check_once(request, known)
        if request.lock and request.shared and (made := self._made_by_another(run, request)) is not None:
            return made
        row = intent(run.command, request, self._epoch, self._now(), known, run.members)
        request, faithful = same_bytes(row, request)
        run.faithful = run.faithful and faithful
        if too_large(row):
            raise RejectedError(f"A request to {self._sink.platform.title} is larger than the journal holds.")

        left = False

        async def before() -> None:
            """Make the intent durable, then look at the lease: the last thing before the socket write."""
            nonlocal row, left
            if reason := self._barred(run.flows):
                raise RetryableError(reason)
            row = msgspec.structs.replace(row, at=self._now())
            await self.keep(row)
            self._check_lease()
            left = True

        key = idempotency_key(run.command, request.step, row.attempt)
        try:
            response = await self._send(request, key, before)
        except UncertainError:
            await self.keep(msgspec.structs.replace(row, state="uncertain", at=self._now()))
            raise
        except (RetryableError, AuthError):
            if left:  # what an earlier try did stays unknown although this one certainly did nothing
                await self.keep(known if known is not None and known.is_open else _not_done(row))
            raise
        run.sent, run.told = True, None
        await self.keep(self._after(row, response))
        return response

    def _check_once(self, request: Request, known: Row | None) -> None:
        """Refuse to send again what may have been done where no read tells; its row is settled with the refusal."""
        if request.once and known is not None and known.is_open:
            name = self._sink.platform.title
            raise RejectedError(f"{name} may have done it and nobody can tell: look there, retry if it did not.")

    def _made_by_another(self, run: Conversation, request: Request) -> Response | None:
        """Return the reply that another command got for the same find-or-create, while searches may not show it yet."""
        lag = self._sink.platform.consistency.search_lag_seconds
        for row in self.journal.locked_by(request.lock, run.command):
            if row.is_open and self._now() < row.at + self._settle:
                raise RetryableError(f"An earlier {row.step} of {self._sink.connection.name} is not settled yet.")
            same = (row.method, row.path, row.step) == (request.method, request.path, request.step)
            if row.state == "confirmed" and same and self._now() < row.at + lag:
                return remembered(row)
        return None

    def _after(self, row: Row, response: Response) -> Row:
        """Return what is kept of a reply.

        One that no row can hold is as if it were lost: who runs the talk again asks the platform instead.
        """
        error = self._sink.classify(response, mutating=True)
        if error is None and not too_large(done := self._numbered(confirmed(row, response))):
            return done
        if error is None or isinstance(error, UncertainError):
            return msgspec.structs.replace(row, state="uncertain", at=self._now(), status=response.status)
        return msgspec.structs.replace(_not_done(row), status=response.status)

    def _check_lease(self) -> None:
        if not self._owns():
            raise Lost("The connection belongs to another worker now.")

    async def keep(self, row: Row) -> None:
        """Make *row* durable as this owner's, unless somebody else owns the connection by now."""
        self._check_lease()
        row = msgspec.structs.replace(row, epoch=self._epoch)
        self.journal.put(row)
        self._offset = max(self._offset, await self._ledger.keep_row(row))

    async def settle(self, command: str) -> None:
        """Close the rows of *command* whose fate was learned by asking."""
        for row in self.journal.unresolved(command):
            if row.members:
                await self.keep(Row(command=command, step=MEMBER, epoch=self._epoch, state="settled"))
            else:
                await self.keep(msgspec.structs.replace(row, state="settled"))

    async def refute(self, command: str) -> None:
        """Take the open rows of a set for not done: a re-read showed so, and it is built anew on what is there now."""
        for row in self.journal.unresolved(command):
            await self.keep(_not_done(row))

    async def reopen(self, command: str) -> None:
        """Take back that a batch did nothing for *command*: the next one is about to try, and may be cut off."""
        row = self.journal.get(command, MEMBER)
        if row is not None and row.state == "not_done":
            await self.keep(msgspec.structs.replace(row, state="intent", epoch=self._epoch, at=self._now()))

    async def keep_part(self, command: Command, part: Written | O2CError) -> Told | None:
        """Write down what a batch did for one of its members and return when; nothing when nobody knows."""
        row = Row(
            command=command.id,
            step=MEMBER,
            epoch=self._epoch,
            state="not_done",
            at=self._now(),
            digest=command.digest,
        )
        if isinstance(part, Written):
            reply = base64.b64encode(_ENCODE(part)).decode()
            row = self._numbered(msgspec.structs.replace(row, state="confirmed", reply=reply))
        elif isinstance(part, UncertainError):
            return None
        await self.keep(row)
        return _told(row)

    def part(self, command: Command, run: Conversation) -> Written | None:
        """Return what a batch made of *command* earlier, None when it made nothing or there was none.

        *run* learns when, and whether the same was asked for: a later wish under the same id was not what was sent.
        """
        row = self.journal.get(command.id, MEMBER)
        if row is None or row.state != "confirmed":
            return None
        written = msgspec.json.decode(base64.b64decode(row.reply), type=Written)
        run.faithful, run.told = row.digest == command.digest, _told(row)
        return written

    async def expire(self, before: float, waits: Callable[[str], bool]) -> int:
        """Forget writes that ended before *before*; return how many rows that were."""
        keys = self.journal.outdated(before, waits)
        for key in keys:
            self._check_lease()
            self.journal.drop(key)
            await self._ledger.drop_rows([key])
        return len(keys)

    async def forget(self, command: str) -> None:
        """Forget the rows of *command*."""
        if keys := self.journal.forget(command):
            await self._ledger.drop_rows(keys)


def _told(row: Row) -> Told | None:
    return Told(row.epoch, row.look, row.stamp) if row.look else None


def _newest(run: Conversation, row: Row) -> Told | None:
    found = _told(row)
    if run.sent or found is None:
        return None
    return found if run.told is None else max(run.told, found)


def _not_done(row: Row) -> Row:
    return msgspec.structs.replace(row, state="not_done", body="")
