"""What became of a write that may have been done: the platform is asked, after its settle time and twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import msgspec

from schemas.commands import Command
from schemas.projection import project
from sinks.base import Sink
from sinks.delivery.answers import Answers, took_effect
from sinks.delivery.inbox import Inbox, Waiting
from sinks.delivery.row import Row
from sinks.delivery.writing import Conversation, Writing

_PROBES = 2
_CLOCKS_DIFFER = 3600.0
"""Seconds that a platform's clock may be behind ours, and that an earlier try may have left before the last one."""


def asking(command: Command) -> Conversation:
    """Return the conversation in which *command* alone is written or asked about."""
    return Conversation(command.id, priority=command.priority, flows=frozenset((command.flow,)))


class Doubts:
    """Asks the platform of one connection, and answers the command where what it shows says what happened."""

    def __init__(
        self, sink: Sink, writing: Writing, answers: Answers, inbox: Inbox, *, settle: float, now: Callable[[], float]
    ) -> None:
        """*settle*: seconds after which a platform shows what it took."""
        self._sink, self._writing, self._answers, self._inbox = sink, writing, answers, inbox
        self._settle, self._now = settle, now

    def askable(self, waiting: Waiting) -> bool:
        """Tell whether an earlier life of ours may have made it, and nothing that is known of any try."""
        command = waiting.command
        creates = command.kind != "set" and not command.bound_id and command.presence == "unknown"
        return creates and not waiting.alone and not self._writing.journal.rows(command.id)

    async def found(self, command: Command, rows: Sequence[Row] = ()) -> bool:
        """Tell whether the platform shows an earlier try of *command*, whole; then the command is answered.

        *rows* are those of all its tries, where they are known.
        """
        since = datetime.fromtimestamp(min(row.at for row in rows) - _CLOCKS_DIFFER, UTC) if rows else None
        probe = partial(self._sink.probe, command) if since is None else partial(self._sink.probe_since, command, since)
        found = await self._writing.talk(asking(command), probe)
        if found is None or not found.complete:
            return False
        await self._writing.settle(command.id)
        await self._answers.confirm(command, found, asked=True)
        return True

    async def sorted_out(self, batch: Sequence[Waiting]) -> None:
        """Ask together which of *batch* the platform shows: what is whole is answered, what is not there is absent.

        That is remembered here alone: another owner asks again.
        """
        commands = [waiting.command for waiting in batch]
        urgent, flows = min(one.priority for one in commands), frozenset(one.flow for one in commands)
        run = Conversation(commands[0].id, priority=urgent, flows=flows)
        found = await self._writing.talk(run, lambda: self._sink.probe_many(commands))
        for waiting, shown in zip(batch, found, strict=True):
            if shown is None:
                absent = msgspec.structs.replace(waiting.command, presence="absent")
                self._inbox.change(msgspec.structs.replace(waiting, command=absent))
            elif shown.complete:
                await self._answers.confirm(waiting.command, shown, asked=True)
            else:
                self._inbox.change(msgspec.structs.replace(waiting, alone=True))

    async def settled(self, waiting: Waiting, rows: Sequence[Row]) -> bool:
        """Tell whether a negative answer counts by now: settle time over, and asked twice.

        *rows* are the journal's of which nobody knows; a command that must be asked again waits for its time.
        """
        command, now = waiting.command, self._now()
        asked = self.already(command, sent=True) if command.kind == "set" else self.found(command, rows)
        if await asked:
            return False
        ready = max(row.at for row in rows) + self._settle
        if now < ready:
            self._inbox.change(msgspec.structs.replace(waiting, not_before=min(ready, now + self._settle / 2)))
            return False
        if waiting.probes + 1 < _PROBES and command.kind != "set":
            pause = now + min(1.0, self._settle)
            self._inbox.change(msgspec.structs.replace(waiting, not_before=pause, probes=waiting.probes + 1))
            return False
        if command.kind == "set":
            await self._writing.refute(command.id)
        return True

    async def already(self, command: Command, *, sent: bool = False) -> bool:
        """Re-read what a set is about to change; when it is gone, edited or as wanted, answer the command.

        *sent*: it left already and its answer was lost, so what moved may be its own doing.
        """
        shown = await self._writing.talk(asking(command), lambda: self._sink.reread(command))
        if shown is None:
            await self._answers.give(command, "stale", "The object is gone.")
            return True
        fields = project(shown.facts)
        wanted = {name: command.fields[name] for name in command.changes if name in command.fields}
        if wanted and all(fields.get(name) == value for name, value in wanted.items()):
            await self._answers.confirm(command, shown)
            return True
        if sent and took_effect(command, fields):
            await self._answers.confirm(command, shown, asked=True)
            return True
        changed = {
            name: fields[name]
            for name, pair in command.base.items()
            if name in fields and fields[name] not in {pair.made, command.fields.get(name)}
        }
        if not changed:
            return False
        await self._answers.outdated(command, shown, changed)
        return True
