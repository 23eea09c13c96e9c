"""The delivery loop in a test: what it keeps, and one command from intent to result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.core.talk import Request, Response
from schemas.commands import Command, Result
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row
from tests.platforms.xero.company import Company


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


async def delivered(company: Company, command: Command) -> Result:
    """Deliver *command* as a connector would."""

    async def sender(request: Request, _key: str, before: Callable[[], Awaitable[None]] | None = None) -> Response:
        if before is not None:
            await before()
        return await company.send(request)

    memory = Memory()
    done = memory.waiting.setdefault(command.id, asyncio.Event())
    owner = Owner(company.sink, sender, memory, epoch=1, now=time.time)
    await owner.accept(command)
    running = asyncio.create_task(owner.run())
    try:
        await asyncio.wait_for(done.wait(), 30)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return memory.results[command.id]
