"""The owner of one connection: takes commands, makes each effect happen once, answers every command with one result.

Intent before effect: the journal row of a mutating request is acknowledged by Kafka before its socket write. After a
time-out, a reset or a crash the platform is asked by natural key, after its settle time and twice, before the same
bytes are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
import structlog

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
    UnsupportedError,
)
from app.core.talk import Request, Response, Talk
from schemas.commands import Command, Outcome, Pair, Result
from schemas.events import ChangeEvent, Version
from schemas.projection import project
from schemas.refs import ObjectRef
from sinks.base import Sink, Written
from sinks.delivery.inbox import Inbox, Waiting
from sinks.delivery.journal import Row, confirmed, idempotency_key, intent, remembered, row_key, unresolved

log = structlog.get_logger(__name__)
T = TypeVar("T")
_PROBES = 2
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_DEADLINE = 24 * 3600.0


class Ledger(Protocol):
    """What the owner writes durably; every method returns after the broker's acknowledgement."""

    async def keep_row(self, row: Row) -> int:
        """Store a journal row and return its offset."""

    async def drop_rows(self, keys: list[str]) -> None:
        """Forget rows of a write that has its result."""

    async def keep_command(self, command: Command) -> None:
        """Store a waiting command."""

    async def drop_command(self, command: str) -> None:
        """Forget a command."""

    async def publish_result(self, result: Result) -> None:
        """Publish a result, keyed by order."""

    async def publish_event(self, event: ChangeEvent) -> None:
        """Publish what a system shows after a write."""

    async def dead_letter(self, command: Command, reason: str) -> None:
        """Publish a command that was refused for good."""


class Sender(Protocol):
    """Sends one request with auth and quota; raises the errors of `app.core.errors`."""

    async def __call__(self, request: Request, key: str) -> Response:
        """Return the reply; *key* is the idempotency key."""


class Uncertainty(UncertainError):
    """A mutating request without an answer: the write must be settled before anything is sent again."""


class Owner:
    """One connection's writes. `run` works until cancelled."""

    def __init__(
        self,
        sink: Sink,
        send: Sender,
        ledger: Ledger,
        *,
        epoch: int,
        now: Callable[[], float],
        journal: dict[str, Row] | None = None,
        owns: Callable[[], bool] = lambda: True,
        concurrency: int = 8,
        settle: float | None = None,
        count: Callable[[Command, Outcome], None] = lambda _command, _outcome: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*journal* is what an earlier owner left; *settle* overrides the platform's settle time (seconds)."""
        self._sink, self._send, self._ledger = sink, send, ledger
        self._epoch, self._now, self._owns = epoch, now, owns
        self._journal: dict[str, Row] = journal if journal is not None else {}
        self._settle = sink.platform.consistency.settle_seconds if settle is None else settle
        self._count, self._sleep = count, sleep
        self.inbox = Inbox()
        self._slots = concurrency
        self._locked: set[str] = set()
        self._busy: set[str] = set()
        self._keys: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._offset = 0
        self.seq = 0
        self.stopped = ""
        self.outage = 0
        self.paused = False

    # -- in -----------------------------------------------------------------------------------------------------------

    async def accept(self, command: Command) -> None:
        """Make *command* durable; what it supersedes gets its result."""
        superseded = self.inbox.add(command, frozenset(self._busy))
        await self._ledger.keep_command(command)
        for old in superseded:
            await self._answer(old, "superseded", "A newer value replaced it before it was sent.")
        self._wake.set()

    def restore(self, command: Command) -> None:
        """Take a command that an earlier owner left in the inbox."""
        self.inbox.add(command)
        self._wake.set()

    def stop_writing(self, reason: str) -> None:
        """Answer everything `deferred` with *reason* until the connection is well again."""
        self.stopped = reason
        self.outage += 1
        self._wake.set()

    async def run(self) -> None:
        """Write what waits, many entities at once, one write at a time per entity."""
        try:
            while True:
                await self._start_what_is_ready()
                await self._until_woken()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start_what_is_ready(self) -> None:
        while len(self._tasks) < self._slots and not self.paused:
            waiting = self.inbox.ready(self._now(), frozenset(self._locked))
            if waiting is None:
                return
            self._locked.add(waiting.command.entity)
            self._busy.add(waiting.command.id)
            task = asyncio.create_task(self._deliver(waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _until_woken(self) -> None:
        at = self.inbox.next_at()
        self._wake.clear()
        pause = None if at is None or self.paused else max(0.02, min(1.0, at - self._now()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), pause)

    # -- one command --------------------------------------------------------------------------------------------------

    async def _deliver(self, waiting: Waiting) -> None:
        command = waiting.command
        try:
            if self.stopped:
                await self._answer(command, "deferred", self.stopped)
            else:
                await self._attempt(waiting)
        finally:
            self._locked.discard(command.entity)
            self._busy.discard(command.id)
            self._wake.set()

    async def _attempt(self, waiting: Waiting) -> None:
        command = waiting.command
        try:
            written = await self._written(waiting)
        except (RetryableError, UncertainError) as error:
            await self._later(waiting, error)
        except ConflictError as error:
            await self._answer(command, "stale", str(error))
        except UnsupportedError as error:
            await self._answer(command, "unsupported", str(error))
        except AuthError as error:
            self.stop_writing(str(error))
            await self._answer(command, "deferred", str(error))
        except (RejectedError, DecodeError, DuplicateError) as error:
            await self._ledger.dead_letter(command, str(error))
            await self._answer(command, "rejected", str(error))
        else:
            if written is not None:
                await self._confirm(command, written)

    async def _written(self, waiting: Waiting) -> Written | None:
        """Return what the platform holds now; None when the command was answered or put off on the way."""
        command = waiting.command
        open_rows = unresolved(self._journal, command.id)
        if open_rows and not await self._settled(waiting, open_rows):
            return None
        asks = command.kind != "set" and (bool(open_rows) or command.presence == "unknown")
        if asks and (found := await self._talk(command, self._sink.probe(command))) is not None and found.complete:
            return found
        if command.kind == "set" and command.base and await self._stale(command):
            return None
        try:
            return await self._talk(command, self._sink.write(command))
        except DuplicateError:
            found = await self._talk(command, self._sink.probe(command))
            if found is None:
                raise
            return found

    async def _settled(self, waiting: Waiting, rows: list[Row]) -> bool:
        """Tell whether a negative answer counts by now: settle time over, and asked once before."""
        command, now = waiting.command, self._now()
        ready = max(row.at for row in rows) + self._settle
        found = await self._talk(command, self._sink.probe(command)) if command.kind != "set" else None
        if found is not None and found.complete:
            await self._confirm(command, found)
            return False
        if now < ready:
            self.inbox.change(msgspec.structs.replace(waiting, not_before=min(ready, now + self._settle / 2)))
            return False
        if waiting.probes + 1 < _PROBES and command.kind != "set":
            pause = now + min(1.0, self._settle)
            self.inbox.change(msgspec.structs.replace(waiting, not_before=pause, probes=waiting.probes + 1))
            return False
        return True

    async def _stale(self, command: Command) -> bool:
        """Tell whether somebody changed what the set is based on; then the command is answered."""
        shown = await self._talk(command, self._sink.reread(command))
        if shown is None:
            await self._answer(command, "stale", "The object is gone.")
            return True
        fields = project(shown.facts)
        changed = {
            name: fields[name]
            for name, pair in command.base.items()
            if name in fields and fields[name] not in {pair.made, command.fields.get(name)}
        }
        if not changed:
            return False
        await self._publish_shown(command, shown)
        await self._answer(command, "stale", f"{', '.join(sorted(changed))} was edited there meanwhile.", shown=changed)
        return True

    # -- talking ------------------------------------------------------------------------------------------------------

    async def _talk(self, command: Command, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                try:
                    response = await self._exchange(command, request)
                except O2CError as error:
                    request = talk.throw(error)
                else:
                    request = talk.send(response)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _exchange(self, command: Command, request: Request) -> Response:
        if not request.mutates:
            return await self._send(request, "")
        if not request.lock:
            return await self._mutate(command, request)
        async with self._keys.setdefault(request.lock, asyncio.Lock()):
            return await self._mutate(command, request)

    async def _mutate(self, command: Command, request: Request) -> Response:
        key = row_key(command.id, request.step)
        known = self._journal.get(key)
        if known is not None and known.state == "confirmed":
            return remembered(known)
        row = intent(command.id, request, self._epoch, self._now(), known)
        await self._keep(row)
        if not self._owns():
            raise RetryableError("The connection belongs to another worker now.")
        try:
            response = await self._send(request, idempotency_key(command.id, request.step, row.attempt))
        except UncertainError:
            await self._keep(msgspec.structs.replace(row, state="uncertain", at=self._now()))
            raise
        except RetryableError:
            await self._keep(msgspec.structs.replace(row, state="not_done"))
            raise
        await self._keep(self._after(row, response))
        return response

    def _after(self, row: Row, response: Response) -> Row:
        error = self._sink.classify(response, mutating=True)
        if error is None:
            return confirmed(row, response)
        if isinstance(error, UncertainError):
            return msgspec.structs.replace(row, state="uncertain", at=self._now(), status=response.status)
        return msgspec.structs.replace(row, state="not_done", status=response.status)

    async def _keep(self, row: Row) -> None:
        self._journal[row_key(row.command, row.step)] = row
        self._offset = await self._ledger.keep_row(row)

    # -- out ----------------------------------------------------------------------------------------------------------

    async def _later(self, waiting: Waiting, error: O2CError) -> None:
        now = self._now()
        first = waiting.first_tried or now
        if now - first > _DEADLINE:
            await self._ledger.dead_letter(waiting.command, str(error))
            outcome: Outcome = "uncertain" if isinstance(error, UncertainError) else "rejected"
            await self._answer(waiting.command, outcome, f"Given up: {error}", keep_rows=outcome == "uncertain")
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**waiting.tries) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        if isinstance(error, RateLimited) and error.retry_after is not None:
            pause = error.retry_after
        later = msgspec.structs.replace(
            waiting, tries=waiting.tries + 1, not_before=now + pause, first_tried=first, probes=0
        )
        self.inbox.change(later)
        log.info("write.later", command=waiting.command.id, why=str(error), seconds=round(pause, 2))

    async def _confirm(self, command: Command, written: Written) -> None:
        look = await self._publish_shown(command, written)
        await self._answer(command, "confirmed", "", written=written, look=look)

    async def _publish_shown(self, command: Command, written: Written) -> tuple[int, int]:
        for shown in (written, *written.also):
            self.seq += 1
            if shown.facts is None:
                continue
            await self._ledger.publish_event(
                ChangeEvent(
                    tenant=command.tenant,
                    object=self._ref(shown),
                    facts=shown.facts,
                    version=Version(native=shown.native, read=True, epoch=self._epoch, seq=self.seq),
                    mirror_of=shown.mark or (command.mark if shown is written and command.kind != "set" else None),
                    origin="write",
                    order=command.order,
                    trace=command.trace,
                )
            )
        return (self._epoch, self.seq)

    def _ref(self, written: Written) -> ObjectRef:
        return ObjectRef(self._sink.connection.name, self._sink.connection.account, written.type, written.id)

    async def _answer(
        self,
        command: Command,
        outcome: Outcome,
        reason: str,
        *,
        written: Written | None = None,
        look: tuple[int, int] = (0, 0),
        shown: Mapping[str, str] | None = None,
        keep_rows: bool = False,
    ) -> None:
        self._offset += 1
        result = Result(
            command=command.id,
            order=command.order,
            write=command.write,
            tenant=command.tenant,
            connection=command.connection,
            account=command.account,
            capability=command.capability,
            outcome=outcome,
            digest=command.digest,
            generation=command.generation,
            bound=None if written is None or command.kind == "set" else self._ref(written),
            made=_made(command, written),
            shown=dict(shown or {}),
            reason=reason,
            outage=self.outage,
            look=look,
            epoch=self._epoch,
            offset=self._offset,
            trace=command.trace,
        )
        await self._ledger.publish_result(result)
        self.inbox.remove(command.id)
        await self._ledger.drop_command(command.id)
        if not keep_rows and command.kind == "set":
            await self._forget(command)
        self._count(command, outcome)

    async def _forget(self, command: Command) -> None:
        """Forget the rows of a set; those of creates and appends stay: their id decides whether they were done."""
        keys = [key for key, row in self._journal.items() if row.command == command.id]
        for key in keys:
            del self._journal[key]
        if keys:
            await self._ledger.drop_rows(keys)


def _made(command: Command, written: Written | None) -> dict[str, Pair]:
    """Return base pairs: what was sent and what the system made of it, only for fields that it shows."""
    if written is None or written.facts is None:
        return {}
    made = project(written.facts)
    return {name: Pair(sent, made[name]) for name, sent in command.fields.items() if name in made}
