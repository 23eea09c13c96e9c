"""The delivery loop in a test: one command from intent to result."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.core.talk import Request, Response
from schemas.commands import Command, Result
from sinks.delivery.owner import Owner
from tests.platforms.memory import Memory
from tests.platforms.xero.company import Company


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
