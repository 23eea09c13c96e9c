"""The owner of one connection: takes commands, makes each effect happen once, answers every command with one result.

It says what begins and when; what a try comes to is said by `attempts`. Intent before effect: the journal row of a
mutating request is acknowledged by Kafka before its socket write. After a time-out, a reset or a crash the platform is
asked by natural key, after its settle time and twice, before the same bytes are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence

import structlog

from schemas.commands import BACKFILL, SWEEP, Command, Outcome
from schemas.refs import ObjectRef
from sinks.base import Sink
from sinks.delivery.answers import Answers
from sinks.delivery.attempts import Attempts
from sinks.delivery.circuit import Cause, Circuit
from sinks.delivery.doubts import Doubts
from sinks.delivery.gathering import Gathering
from sinks.delivery.inbox import Inbox, Lane, Waiting
from sinks.delivery.journal import Journal
from sinks.delivery.ports import Ledger, Lost, Sender
from sinks.delivery.row import KEPT_SECONDS, doubted
from sinks.delivery.writing import Writing

log = structlog.get_logger(__name__)
_SUPERSEDED = "A newer value replaced it before it was sent."
_LAPSED = 0.2
"""Seconds until an owner without a lease looks whether it is back."""
_TOGETHER = 3


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
        settle = sink.platform.consistency.settle_seconds if settle is None else settle
        self.circuit = circuit or Circuit(epoch)
        self.inbox = Inbox(lambda command: self.live(command.flow) and command.flow not in self._held_flows)
        self._writing = Writing(
            sink,
            send,
            ledger,
            Journal() if journal is None else journal,
            epoch=epoch,
            now=now,
            settle=settle,
            owns=owns,
            barred=self._barred,
        )
        self.answers = Answers(
            sink, ledger, self._writing, self.inbox, self.circuit, epoch=epoch, count=count, unseen=unseen
        )
        self._doubts = Doubts(sink, self._writing, self.answers, self.inbox, settle=settle, now=now)
        self._attempts = Attempts(
            sink,
            ledger,
            self._writing,
            self.answers,
            self._doubts,
            self.inbox,
            circuit=self.circuit,
            now=now,
            stop=self.stop_writing,
        )
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
        asked = self._doubts.askable(first)
        sizes, suits = (self._sink.asks, self._doubts.askable) if asked else (self._sink.batch, self._batchable)
        size = sizes.get(first.command.capability, 1)
        if self.circuit.is_open or size == 1 or not suits(first):
            return []
        return self.inbox.take_like(first, self._now(), size - 1, suits)

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

    async def _deliver(self, batch: Sequence[Waiting]) -> None:
        try:
            await self._attempts.deliver(batch)
        except Lost:
            log.warning("lease.lapsed", connection=self._sink.connection.name)
        finally:
            self._gathering.end(batch[0].lane)
            self._busy -= {waiting.command.id for waiting in batch}
            for waiting in batch:
                self.inbox.release(waiting.command.entity)
            self._wake.set()
