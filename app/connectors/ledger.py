"""The durable side of one connection's owner: inbox, journal, results, events and dead letters."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from app.connectors.bus import Bus
from app.connectors.rows import Rows
from app.core import topics
from app.core.faultpoints import around
from schemas.commands import Command, Result
from schemas.events import ChangeEvent
from sinks.delivery.inbox import Stored
from sinks.delivery.row import Row, row_key

_ENCODE = msgspec.json.Encoder().encode


class ConnectionLedger:
    """What the owner of one connection writes to Kafka."""

    def __init__(self, bus: Bus, rows: Rows, connection: str, told: Callable[[ChangeEvent, str], None]) -> None:
        """Keep what the next owner needs in *rows*; *told* hears of each event in a result and where it was typed."""
        self._bus, self._rows, self._connection, self._told = bus, rows, connection, told

    async def keep_row(self, row: Row) -> int:
        """Store a journal row and return its offset."""
        async with around("intent" if row.state == "intent" else "outcome", self._connection):
            return await self._rows.put(topics.JOURNAL, row_key(row.command, row.step), _ENCODE(row))

    async def drop_rows(self, keys: list[str]) -> None:
        """Forget rows."""
        for key in keys:
            await self._rows.put(topics.JOURNAL, key, None)

    async def keep_command(self, command: Stored) -> None:
        """Store a waiting command with its place."""
        async with around("inbox", self._connection):
            await self._rows.put(topics.INBOX, command.id, _ENCODE(command))

    async def drop_command(self, command: str) -> None:
        """Forget a command."""
        await self._rows.put(topics.INBOX, command, None)

    async def publish_result(self, result: Result) -> None:
        """Publish a result, keyed by order."""
        for event in result.events:  # now: who reads the object meanwhile must find that it shows nothing new
            self._told(event, result.source)
        async with around("result", self._connection):
            await self._bus.send(topics.RESULTS, result.order.encode(), _ENCODE(result))

    async def dead_letter(self, command: Command, reason: str) -> None:
        """Publish a command that was refused for good; personal data stays out of the headers."""
        key, value = self._connection.encode(), _ENCODE(command)
        await self._bus.dead_letter(key, value, reason="rejected", detail=reason, origin=topics.COMMANDS)
