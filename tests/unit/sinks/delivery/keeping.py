"""What an owner keeps and tells, in memory."""

from __future__ import annotations

from schemas.commands import Command, Result
from schemas.events import ChangeEvent
from sinks.delivery.row import Row, row_key


class Log:
    """What was made durable, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.inbox: dict[str, Command] = {}
        self.results: list[Result] = []
        self.events: list[ChangeEvent] = []
        self.dead: list[Command] = []
        self.offset = 0

    async def keep_row(self, row: Row) -> int:
        self.rows[row_key(row.command, row.step)] = row
        self.offset += 1
        return self.offset

    async def drop_rows(self, keys: list[str]) -> None:
        for key in keys:
            del self.rows[key]

    async def keep_command(self, command: Command) -> None:
        self.inbox[command.id] = command

    async def drop_command(self, command: str) -> None:
        self.inbox.pop(command, None)

    async def publish_result(self, result: Result) -> None:
        self.results.append(result)
        self.events += result.events

    async def dead_letter(self, command: Command, reason: str) -> None:
        self.dead.append(command)

    def outcomes(self) -> dict[str, str]:
        """Return command -> its last outcome."""
        return {result.command: result.outcome for result in self.results}
