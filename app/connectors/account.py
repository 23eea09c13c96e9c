"""Whose account a connection reaches: asked before anything is written, and told to all who plan for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from app.connectors.bus import Bus
from app.connectors.sending import Sending, conversed
from app.core import topics
from app.core.errors import AuthError, O2CError
from app.core.mistakes import OVER_DATA, fault
from app.platforms import Loaded
from schemas.broadcast import Fact
from schemas.connection import Connection
from sinks.delivery.circuit import Cause
from streams.sources.base import Identity

log = structlog.get_logger(__name__)


class Wrong(NamedTuple):
    """What is wrong with a connection, in a sentence and in a word."""

    why: str
    cause: Cause


class Account:
    """The account behind one connection."""

    def __init__(self, connection: Connection, loaded: Loaded, bus: Bus) -> None:
        """Nothing is asked before `verify`."""
        self._connection, self._loaded, self._bus = connection, loaded, bus
        self._begun = False

    async def verify(self, sending: Sending) -> Wrong | None:
        """Ask whose account this is; return what is wrong, None when it is the configured one."""
        try:
            found = await self._whose(sending)
        except (O2CError, *OVER_DATA) as error:
            log.warning("identity.later", connection=self._connection.name, why=fault(error))
            why = str(error) if isinstance(error, O2CError) else "The account could not be read."
            return Wrong(why, "credential" if isinstance(error, AuthError) else "no_answer")
        if found.account != self._connection.account:
            log.error("identity.other_account", connection=self._connection.name)
            here, wanted = self._connection.name, self._connection.account
            return Wrong(f"{here} is connected to account {found.account} instead of {wanted}.", "account")
        await self._tell_closed(Fact(kind="lock_date", subject=self._connection.name, value=found.lock_date))
        return None

    async def _tell_closed(self, fact: Fact) -> None:
        """Tell up to when the books are closed; that they are open only where they were not."""
        if fact.value or fact.key in await self._bus.read_all(topics.BROADCAST, 0):
            await self._bus.broadcast(fact)

    async def _whose(self, sending: Sending) -> Identity:
        return await conversed(self._loaded.source(self._connection).identify(), sending)

    async def begin(self) -> None:
        """Note when this account was first started: what is older than that is only read."""
        begun = Fact(
            kind="start",
            subject=f"{self._connection.name}@{self._connection.account}",
            value=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        if not self._begun and begun.key not in await self._bus.read_all(topics.BROADCAST, 0):
            await self._bus.broadcast(begun)
        self._begun = True
