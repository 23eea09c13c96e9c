"""The owner of a connection at work on a sandbox, with everything that it keeps in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import aiohttp

from app.core.errors import O2CError, RetryableError, UncertainError
from app.core.talk import Request, Response
from schemas.commands import Command, Result
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row
from tests.platforms.conversation import send
from tests.platforms.quickbooks_online.rig import HEADERS


class MemoryLedger:
    """Keeps nothing but results: the owner has the journal in memory."""

    def __init__(self) -> None:
        self.results: dict[str, asyncio.Future[Result]] = {}
        self._offsets = itertools.count()

    async def keep_row(self, row: Row) -> int:
        return next(self._offsets)

    async def drop_rows(self, keys: list[str]) -> None: ...

    async def keep_command(self, command: Command) -> None:
        self.results.setdefault(command.id, asyncio.get_running_loop().create_future())

    async def drop_command(self, command: str) -> None: ...

    async def publish_result(self, result: Result) -> None:
        future = self.results[result.command]
        if not future.done():
            future.set_result(result)

    async def dead_letter(self, command: Command, reason: str) -> None: ...


class Line:
    """The way to the sandbox; a break while writing is uncertain."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def __call__(
        self, request: Request, key: str = "", before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        if before is not None:
            await before()
        if key:
            request = Request(**{name: getattr(request, name) for name in Request.__struct_fields__} | {"key": key})
        try:
            return await send(self._session, self._url, request, HEADERS)
        except (aiohttp.ClientError, OSError) as error:
            kind: type[O2CError] = UncertainError if request.mutates else RetryableError
            raise kind("The connection broke.") from error


async def deliver(ledger: MemoryLedger, owner: Owner, commands: list[Command]) -> list[Result]:
    for asked in commands:
        await owner.accept(asked)
    return await asyncio.wait_for(asyncio.gather(*(ledger.results[asked.id] for asked in commands)), 120)
