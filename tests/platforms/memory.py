"""What the delivery loop keeps in a test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from schemas.commands import Command, Result
from sinks.delivery.row import Row


@dataclass
class Memory:
    """What the owner writes, kept in memory; tells each order's waiting step when its result is there."""

    results: dict[str, Result] = field(default_factory=dict)
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)

    async def keep_row(self, row: Row) -> int:
        return 0

    async def drop_rows(self, keys: list[str]) -> None:
        return None

    async def keep_command(self, command: Command) -> None:
        return None

    async def drop_command(self, command: str) -> None:
        return None

    async def publish_result(self, result: Result) -> None:
        self.results[result.command] = result
        self.waiting.setdefault(result.command, asyncio.Event()).set()

    async def dead_letter(self, command: Command, reason: str) -> None:
        self.dead.append(reason)
