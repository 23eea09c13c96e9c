"""The owner of one connection: takes commands, makes each effect happen once, answers every command with one result.

Intent before effect: the journal row of a mutating request is acknowledged by Kafka before its socket write. After a
time-out, a reset or a crash the platform is asked by natural key, after its settle time and twice, before the same
bytes are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections.abc import Callable, Sequence

import msgspec
import structlog

from app.core.errors import (
    AuthError,
    ConfigError,
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
from schemas.commands import BACKFILL, SWEEP, Command, Outcome
from schemas.refs import ObjectRef
from sinks.base import Sink, Written
from sinks.delivery.answers import Answers
from sinks.delivery.circuit import Cause, Circuit
from sinks.delivery.doubts import Doubts, asking
from sinks.delivery.gathering import Gathering
from sinks.delivery.inbox import Inbox, Lane, Waiting
from sinks.delivery.journal import Journal
from sinks.delivery.ports import Ledger, Lost, Sender
from sinks.delivery.reasons import without_people
from sinks.delivery.row import KEPT_SECONDS, batch_id, doubted
from sinks.delivery.writing import Conversation, Writing

log = structlog.get_logger(__name__)
_SUPERSEDED = "A newer value replaced it before it was sent."
_LAPSED = 0.2
"""Seconds until an owner without a lease looks whether it is back."""
_TOGETHER = 3
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_DEADLINE = 24 * 3600.0
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)
"""What a mistake in a sink raises: one poisoned command must not stop the others."""


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
        journal: Journal | None = None,
        circuit: Circuit | None = None,
        owns: Callable[[], bool] = lambda: True,
        concurrency: int = 8,
        settle: float | None = None,
        count: Callable[[Command, Outcome], None] = lambda _command, _outcome: None,
        unseen: Callable[[ObjectRef], None] = lambda _ref: None,
    ) -> None:
        """*journal* is what earlier owners left; *settle* overrides the platform's settle time (seconds).

        *count* hears of every result, *unseen* of each object that was written without being shown.
        """
        self.live: Callable[[str], bool] = lambda _flow: True
        """Tells whether a flow may write: what it asked for waits otherwise, see `flow_changed`."""
        self._held_flows: set[str] = set()
        """Flows that are live again, and of which the inbox may hold what was planned before they were stopped."""
        self._sink, self._ledger, self._now = sink, ledger, now
        self._settle = sink.platform.consistency.settle_seconds if settle is None else settle
        self.circuit = circuit or Circuit(epoch)
        self.inbox = Inbox(lambda command: self.live(command.flow) and command.flow not in self._held_flows)
        self._writing = Writing(
            sink,
            send,
            ledger,
            Journal() if journal is None else journal,
            epoch=epoch,
            now=now,
            settle=self._settle,
            owns=owns,
            barred=self._barred,
        )
        self.answers = Answers(
            sink, ledger, self._writing, self.inbox, self.circuit, epoch=epoch, count=count, unseen=unseen
        )
        self._doubts = Doubts(sink, self._writing, self.answers, self.inbox, settle=self._settle, now=now)
        self._slots = concurrency
        self._gathering = Gathering(self.inbox, sink.batch, now)
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._failure: BaseException | None = None
        self._owns = owns
        self._draining = False
        self._paused = False
        self._superseded: list[Command] = []

    # -- in -----------------------------------------------------------------------------------------------------------

    async def accept(self, command: Command, sent_at: float = math.inf) -> None:
        """Make *command* durable; what it supersedes gets its result. *sent_at*: when its record was written."""
        command = doubted(command, sent_at, self._now())
        superseded = self.inbox.add(command, self._fixed)
        await self._ledger.keep_command(self.inbox.stored(command))
        for old in superseded:
            await self.answers.give(old, "superseded", _SUPERSEDED)
        self._wake.set()

    async def tidy(self) -> int:
        """Forget what was done long ago, so that the journal stays bounded; return how many rows that were."""
        try:
            return await self._writing.expire(self._now() - KEPT_SECONDS, self.inbox.__contains__)
        except Lost:
            return 0

    def restore(self, command: Command) -> None:
        """Take a command that an earlier owner left in the inbox, where it has a place if it is `Stored`."""
        self._superseded += self.inbox.add(command, self._fixed)
        self._wake.set()

    async def _answer_superseded(self) -> None:
        """Answer what an earlier owner kept, and the newer value as well."""
        while self._superseded and self._owns() and not self._draining:
            await self.answers.give(self._superseded[0], "superseded", _SUPERSEDED)
            del self._superseded[0]

    def _fixed(self, command: str) -> bool:
        """Tell whether *command* is under way or its intent is written: then it stays as it is."""
        return command in self._busy or bool(self._writing.journal.unresolved(command))

    def stop_writing(self, reason: str, cause: Cause = "credential") -> None:
        """Answer everything `deferred` with *reason* until the connection is well again."""
        if self.circuit.open(reason, self._now(), cause):
            log.warning("circuit.open", connection=self._sink.connection.name, why=reason, outage=self.circuit.number)
        self._wake.set()

    def go_on(self) -> int:
        """End an outage; return the number up to which everything deferred may be planned again."""
        number = self.circuit.well()
        self._wake.set()
        return number

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and give what is under way *seconds* to end: its intents then need no asking."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    def pause(self, *, paused: bool) -> None:
        """Hold every write, or let them go again; people pause connections."""
        if self._paused and not paused:
            self.inbox.begin_anew()
        self._paused = paused
        self._wake.set()

    def flow_changed(self, flow: str) -> None:
        """Hold what waits of *flow*, which was stopped, or answer it `deferred`, now that it may write again.

        What was planned before a stop is not written after it: the order may have changed, and a person saw a plan.
        """
        if self.live(flow):
            self._held_flows.add(flow)
        self.inbox.look_again()
        self._wake.set()

    async def _plan_afresh(self) -> None:
        for flow in sorted(self._held_flows) if self._owns() and not self._draining else ():
            held = [one for one in self.inbox.commands() if one.flow == flow and not self._fixed(one.id)]
            reason = f"The flow {flow} was stopped meanwhile; it is planned afresh."
            await asyncio.gather(*(self.answers.give(command, "deferred", reason) for command in held))
            self._held_flows.discard(flow)
            self.inbox.begin_anew(flow)

    def _barred(self, flows: frozenset[str]) -> str:
        """Return why nothing of *flows* may leave right now, "" when it may."""
        stopped = next((f"The flow {flow} is not live." for flow in sorted(flows) if not self.live(flow)), "")
        return self.circuit.reason or ("The connection is paused." if self._paused else stopped)

    # -- the loop -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what waits, many entities at once, one write at a time per entity."""
        try:
            while self._failure is None:
                await self._plan_afresh()
                await self._answer_superseded()
                looked = self._now()
                self._start_what_is_ready()
                await self._until_woken(looked)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def _start_what_is_ready(self) -> None:
        while (left := self._slots + 1 - len(self._tasks)) > 0 and self._may_begin():
            now = math.inf if self.circuit.is_open else self._now()
            # One place is kept for what is more urgent than back-fill, which may be under way for long.
            waiting = self.inbox.take(now, self._open, BACKFILL if left > 1 else SWEEP)
            if waiting is None:
                return
            self._begin([waiting, *self._companions(waiting)])

    def _open(self, lane: Lane) -> bool:
        """Tell whether *lane* may go; in an outage each command is answered at once."""
        return self.circuit.is_open or self._gathering.may_go(lane)

    def _may_begin(self) -> bool:
        """Tell whether anything may begin now; a lease that lapsed comes back unless the connection went elsewhere."""
        return self._owns() and not self._draining and (self.circuit.is_open or not self._paused)

    def _companions(self, first: Waiting) -> list[Waiting]:
        """Return what can go, or be asked about, in one request with *first*: next in line, of the same capability."""
        sizes, suits = (self._sink.asks, self._askable) if self._askable(first) else (self._sink.batch, self._batchable)
        size = sizes.get(first.command.capability, 1)
        if self.circuit.is_open or size == 1 or not suits(first):
            return []
        return self.inbox.take_like(first, self._now(), size - 1, suits)

    def _askable(self, waiting: Waiting) -> bool:
        """Tell whether an earlier life of ours may have made it, and nothing that is known of any try."""
        command = waiting.command
        creates = command.kind != "set" and not command.bound_id and command.presence == "unknown"
        return creates and not waiting.alone and not self._writing.journal.rows(command.id)

    def _batchable(self, waiting: Waiting) -> bool:
        command = waiting.command
        if not waiting.lane[1]:
            return False
        journal = self._writing.journal
        # What a batch is known not to have done goes together again, but not for ever: its replies are remembered.
        again = waiting.tries < _TOGETHER and not journal.unresolved(command.id)
        return all(row.state == "not_done" or (again and row.members) for row in journal.rows(command.id))

    def _begin(self, batch: Sequence[Waiting]) -> None:
        self._busy |= {waiting.command.id for waiting in batch}
        self._gathering.begin(batch[0].lane)
        task = asyncio.create_task(self._deliver(batch))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
        self._wake.set()

    async def _until_woken(self, looked: float) -> None:
        """Wait for something to do; *looked*: when it was last looked whether something may begin."""
        self._wake.clear()
        now = self._now()
        due = [*self._gathering.due(looked), *(at for at in [self.inbox.next_at()] if at is not None)]
        pause = max(0.02, min(1.0, min(due) - now)) if due and not self._paused else None
        if not self._owns():
            pause = _LAPSED
        with contextlib.suppress(TimeoutError):
            # Not wait_for: that of Python 3.11 loses a cancellation that comes together with the wake-up.
            async with asyncio.timeout(pause):
                await self._wake.wait()

    # -- one command, or one batch ------------------------------------------------------------------------------------

    async def _deliver(self, batch: Sequence[Waiting]) -> None:
        try:
            if self.circuit.is_open:
                for waiting in batch:
                    await self.answers.give(waiting.command, "deferred", self.circuit.reason)
            elif len(batch) > 1 and self._askable(batch[0]):
                await self._ask_many(batch)
            elif len(batch) > 1:
                await self._attempt_many(batch)
            else:
                await self._attempt(batch[0])
        except Lost:
            log.warning("lease.lapsed", connection=self._sink.connection.name)
        finally:
            self._gathering.end(batch[0].lane)
            self._busy -= {waiting.command.id for waiting in batch}
            for waiting in batch:
                self.inbox.release(waiting.command.entity)
            self._wake.set()

    async def _attempt(self, waiting: Waiting) -> None:
        run = asking(waiting.command)
        try:
            written = await self._written(waiting, run)
        except Lost:
            raise
        except O2CError as error:
            await self._failed(waiting, error)
        except _FAULTS as error:
            log.exception("write.fault", command=waiting.command.id)
            await self._failed(waiting, _fault(error))
        else:
            if written is not None:
                await self.answers.confirm(waiting.command, written, faithful=run.faithful, told=run.told)

    async def _ask_many(self, batch: Sequence[Waiting]) -> None:
        """Ask together what the platform has of *batch*; what it lacks goes on as surely absent, with others."""
        try:
            await self._doubts.sorted_out(batch)
        except Lost:
            raise
        except (RetryableError, AuthError) as error:
            for waiting in batch:
                await self._failed(waiting, error)
        except (O2CError, *_FAULTS) as error:
            log.warning("asking.alone", connection=self._sink.connection.name, why=type(error).__name__)
            for waiting in batch:
                self.inbox.change(msgspec.structs.replace(waiting, alone=True))

    async def _attempt_many(self, batch: Sequence[Waiting]) -> None:
        commands = [waiting.command for waiting in batch]
        members = tuple(command.id for command in commands)
        urgent, flows = min(command.priority for command in commands), frozenset(one.flow for one in commands)
        run = Conversation(batch_id(members), members, urgent, flows)
        await asyncio.gather(*(self._writing.reopen(command) for command in members))
        try:
            parts = await self._writing.talk(run, lambda: self._sink.write_many(commands))
        except Lost:
            raise
        except O2CError as error:
            parts = [error for _ in batch]
        except _FAULTS as error:
            log.exception("batch.fault", connection=self._sink.connection.name)
            refused: O2CError = RejectedError(f"The batch failed ({type(error).__name__}); each goes by itself.")
            parts = [refused for _ in batch]
        sent = any(row.state != "not_done" for row in self._writing.journal.rows(run.command))
        whole = _whole(parts)
        results = await asyncio.gather(
            *(
                self._tell_part(waiting, part, run, whole=whole, keep=isinstance(part, Written) or not (sent and whole))
                for waiting, part in zip(batch, parts, strict=True)
            ),
            return_exceptions=True,  # every part that can be told is told, before the batch lets go of its entities
        )
        for failure in results:
            if failure is not None:
                raise failure

    async def _tell_part(
        self, waiting: Waiting, part: Written | O2CError, run: Conversation, *, whole: bool, keep: bool
    ) -> None:
        told = await self._writing.keep_part(waiting.command, part) if keep else None
        if isinstance(part, Written):
            await self.answers.confirm(waiting.command, part, faithful=run.faithful, told=told)
        else:
            await self._part_failed(waiting, part, whole=whole)

    async def _part_failed(self, waiting: Waiting, error: O2CError, *, whole: bool) -> None:
        """Try again alone what a batch could not do, so that only the bad one is refused; a busy platform gets it so.

        A batch refused as a whole names nobody, and a duplicate must be asked about by itself.
        """
        if isinstance(error, DuplicateError) or (whole and isinstance(error, RejectedError | DecodeError)):
            self.inbox.change(msgspec.structs.replace(waiting, alone=True))
        elif isinstance(error, RetryableError):
            await self._failed(waiting, error)
        else:
            await self._failed(msgspec.structs.replace(waiting, alone=True), error)

    async def _failed(self, waiting: Waiting, error: O2CError) -> None:
        command = waiting.command
        error = without_people(error, command)
        reason = str(error)
        if isinstance(error, RetryableError | UncertainError):
            await self._later(waiting, error)
        elif isinstance(error, ConflictError):
            await self.answers.give(command, "stale", reason)
        elif isinstance(error, UnsupportedError):
            await self.answers.give(command, "unsupported", reason)
        elif isinstance(error, AuthError | ConfigError):
            self.stop_writing(reason, "credential" if isinstance(error, AuthError) else "configuration")
            await self.answers.give(command, "deferred", reason)
        else:
            await self._ledger.dead_letter(command, reason)
            await self.answers.give(command, "rejected", reason)

    async def _written(self, waiting: Waiting, run: Conversation) -> Written | None:
        """Return what the platform holds now; None when the command was answered or put off on the way."""
        command = waiting.command
        if (part := self._writing.part(command, run)) is not None:
            return part
        open_rows = self._writing.journal.doubtful(command.id)
        if open_rows and not await self._doubts.settled(waiting, open_rows):
            return None
        if command.kind == "set":
            # Who wrote it may have died before it told: then what moved since is its own doing.
            written = any(row.state == "confirmed" for row in self._writing.journal.rows(command.id))
            if not open_rows and not written and command.base and await self._doubts.already(command):
                return None
        elif not open_rows and command.presence == "unknown" and await self._doubts.found(command):
            return None
        try:
            return await self._writing.talk(run, lambda: self._sink.write(command))
        except DuplicateError:
            if await self._doubts.found(command):
                return None
            raise

    async def _later(self, waiting: Waiting, error: O2CError) -> None:
        now = self._now()
        first = waiting.first_tried or now
        if now - first > _DEADLINE:
            await self._ledger.dead_letter(waiting.command, str(error))
            unknown = isinstance(error, UncertainError) or self._fixed_by_rows(waiting.command)
            outcome: Outcome = "uncertain" if unknown else "rejected"
            await self.answers.give(waiting.command, outcome, f"Given up: {error}", keep_rows=unknown)
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**waiting.tries) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        if isinstance(error, RateLimited) and error.retry_after is not None:
            pause = error.retry_after
        self.inbox.change(
            msgspec.structs.replace(
                waiting, tries=min(waiting.tries + 1, 16), not_before=now + pause, first_tried=first, probes=0
            )
        )
        log.info("write.later", command=waiting.command.id, why=str(error), seconds=round(pause, 2))

    def _fixed_by_rows(self, command: Command) -> bool:
        return bool(self._writing.journal.unresolved(command.id))


def _fault(error: Exception) -> RejectedError:
    return RejectedError(f"o2c itself failed on this record ({type(error).__name__}); please report it.")


def _whole(parts: Sequence[Written | O2CError]) -> bool:
    """Tell whether one error stands for the whole batch."""
    return all(part is parts[0] for part in parts)
