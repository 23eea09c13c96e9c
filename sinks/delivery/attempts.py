"""One try at a command, or at a batch: what it comes to is answered, put off, or goes on by itself."""

from __future__ import annotations

import asyncio
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
from schemas.commands import Outcome
from sinks.base import Sink, Written
from sinks.delivery.answers import Answers
from sinks.delivery.circuit import Cause, Circuit
from sinks.delivery.doubts import Doubts, asking
from sinks.delivery.inbox import Inbox, Waiting
from sinks.delivery.ports import Ledger, Lost
from sinks.delivery.reasons import without_people
from sinks.delivery.row import batch_id
from sinks.delivery.writing import Conversation, Writing

log = structlog.get_logger(__name__)
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_DEADLINE = 24 * 3600.0
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)
"""What a mistake in a sink raises: one poisoned command must not stop the others."""


class Attempts:
    """Tries what an owner begins. Each command is answered, or changed in the inbox so that it is tried again."""

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        writing: Writing,
        answers: Answers,
        doubts: Doubts,
        inbox: Inbox,
        *,
        circuit: Circuit,
        now: Callable[[], float],
        stop: Callable[[str, Cause], None],
    ) -> None:
        """*stop* is called with a reason when the connection itself may not write."""
        self._sink, self._ledger, self._writing, self._answers = sink, ledger, writing, answers
        self._doubts, self._inbox, self._circuit = doubts, inbox, circuit
        self._now, self._stop = now, stop

    async def deliver(self, batch: Sequence[Waiting]) -> None:
        """Answer *batch* in an outage, else ask about it or write it, together where it is more than one.

        Raises Lost when the connection went elsewhere meanwhile; its next owner goes on.
        """
        if self._circuit.is_open:
            for waiting in batch:
                await self._answers.give(waiting.command, "deferred", self._circuit.reason)
        elif len(batch) > 1 and self._doubts.askable(batch[0]):
            await self._ask_many(batch)
        elif len(batch) > 1:
            await self._attempt_many(batch)
        else:
            await self._attempt(batch[0])

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
                await self._answers.confirm(waiting.command, written, faithful=run.faithful, told=run.told)

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
                self._inbox.change(msgspec.structs.replace(waiting, alone=True))

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
            await self._answers.confirm(waiting.command, part, faithful=run.faithful, told=told)
        else:
            await self._part_failed(waiting, part, whole=whole)

    async def _part_failed(self, waiting: Waiting, error: O2CError, *, whole: bool) -> None:
        """Try again alone what a batch could not do, so that only the bad one is refused; a busy platform gets it so.

        A batch refused as a whole names nobody, and a duplicate must be asked about by itself.
        """
        if isinstance(error, DuplicateError) or (whole and isinstance(error, RejectedError | DecodeError)):
            self._inbox.change(msgspec.structs.replace(waiting, alone=True))
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
            await self._answers.give(command, "stale", reason)
        elif isinstance(error, UnsupportedError):
            await self._answers.give(command, "unsupported", reason)
        elif isinstance(error, AuthError | ConfigError):
            self._stop(reason, "credential" if isinstance(error, AuthError) else "configuration")
            await self._answers.give(command, "deferred", reason)
        else:
            await self._ledger.dead_letter(command, reason)
            await self._answers.give(command, "rejected", reason)

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
        elif open_rows:  # what is not there whole may be there in part, and is gone on with
            command = msgspec.structs.replace(command, presence="unknown")
        elif command.presence == "unknown" and await self._doubts.found(command):
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
            unknown = isinstance(error, UncertainError) or bool(self._writing.journal.unresolved(waiting.command.id))
            outcome: Outcome = "uncertain" if unknown else "rejected"
            await self._answers.give(waiting.command, outcome, f"Given up: {error}", keep_rows=unknown)
            return
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**waiting.tries) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        if isinstance(error, RateLimited) and error.retry_after is not None:
            pause = error.retry_after
        self._inbox.change(
            msgspec.structs.replace(
                waiting, tries=min(waiting.tries + 1, 16), not_before=now + pause, first_tried=first, probes=0
            )
        )
        log.info("write.later", command=waiting.command.id, why=str(error), seconds=round(pause, 2))


def _fault(error: Exception) -> RejectedError:
    return RejectedError(f"o2c itself failed on this record ({type(error).__name__}); please report it.")


def _whole(parts: Sequence[Written | O2CError]) -> bool:
    """Tell whether one error stands for the whole batch."""
    return all(part is parts[0] for part in parts)
