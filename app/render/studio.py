"""One platform's sink and delivery against its sandbox: commands in, requests and results out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import MappingProxyType

import msgspec

from app import platforms
from app.connectors.sending import Sending
from app.core.auth import Credential, Tokens
from app.core.errors import ConfigError
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.demo.stack import SYSTEMS
from app.platforms import Loaded
from app.render.recording import Recorder
from app.sandbox.__main__ import find
from schemas.commands import Command, Result
from schemas.connection import Connection
from schemas.platform import Limits
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row

_SECRETS = MappingProxyType({"token": "sandbox"})
_UNLIMITED = Limits()
_OWN = ("options", "statuses", "stages", "accounts", "taxes", "time_zone")


class Studio:
    """Delivers one command at a time; `recorder.sent` holds the requests so far."""

    def __init__(self, loaded: Loaded, connection: Connection, sending: Sending, recorder: Recorder) -> None:
        """Keep the journal in memory: nothing outlives the studio."""
        self.connection, self.recorder, self.sending = connection, recorder, sending
        self._ledger = _Memory()
        self._owner = Owner(loaded.sink(connection), sending, self._ledger, epoch=1, now=time.time)

    async def deliver(self, command: Command) -> Result:
        """Write *command* as a connector would, and return its result with what the platform shows then."""
        self.recorder.capability = command.capability
        self._ledger.result = asyncio.get_running_loop().create_future()
        await self._owner.accept(command)
        working = asyncio.create_task(self._owner.run())
        try:
            return await self._ledger.result
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


class _Memory:
    """A ledger that lasts as long as the process."""

    result: asyncio.Future[Result]

    def __init__(self) -> None:
        self._offset = 0
        self._result: Result | None = None

    async def keep_row(self, row: Row) -> int:
        del row
        self._offset += 1
        return self._offset

    async def drop_rows(self, keys: list[str]) -> None:
        del keys

    async def keep_command(self, command: Command) -> None:
        del command

    async def drop_command(self, command: str) -> None:
        del command
        if self._result is not None:
            self.result.set_result(self._result)

    async def publish_result(self, result: Result) -> None:
        self._result = result

    async def dead_letter(self, command: Command, reason: str) -> None:
        del command, reason


@asynccontextmanager
async def studio(slug: str, like: Connection | None = None) -> AsyncIterator[Studio]:
    """Yield a studio on a fresh sandbox of platform *slug*; ConfigError when there is none.

    Options, mappings and time zone are those of *like*, or the platform's defaults.
    """
    loaded = platforms.load(slug)
    if not loaded.platform.capabilities:
        raise ConfigError(f"Nothing is written to {loaded.platform.title}; name another platform.")
    system = next((system for system in SYSTEMS if system.platform == slug), None)
    sandbox = find(slug)(system.account if system else "example", quota_scale=1_000)
    url = await sandbox.start()
    try:
        async with new_session(allow_private=True, timeout=loaded.platform.limits.timeout_seconds) as session:
            connection = Connection(name=f"to-{slug}", tenant="local", platform=slug, account=sandbox.account)
            if like is not None:
                own = {name: getattr(like, name) for name in _OWN}
                connection = msgspec.structs.replace(connection, **own)
            recorder = Recorder(session, url, loaded.platform)
            login = HttpClient(session, url, allow_private=True, moved=True)
            secrets = dict(system.secrets if system else _SECRETS)
            credential = Credential(loaded.platform.auth, secrets, login, clock=time.time, store=_forget)
            limiter = Limiter(_UNLIMITED, time.monotonic)
            sending = Sending(connection, loaded.platform, recorder, credential, limiter)
            yield Studio(loaded, connection, sending, recorder)
    finally:
        await sandbox.stop()


async def _forget(tokens: Tokens) -> None:
    del tokens
