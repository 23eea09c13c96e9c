"""What delivery needs from outside: a durable log, and a way to send one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from app.core.errors import O2CError
from app.core.talk import Request, Response
from schemas.commands import Command, Result
from sinks.delivery.inbox import Stored
from sinks.delivery.row import Row


class Lost(O2CError):
    """The connection belongs to another worker now: nothing is sent, kept or answered any more."""


class Ledger(Protocol):
    """What the owner writes durably; every method returns after the broker's acknowledgement."""

    async def keep_row(self, row: Row) -> int:
        """Store a journal row and return its offset."""

    async def drop_rows(self, keys: list[str]) -> None:
        """Forget rows of a write that has its result."""

    async def keep_command(self, command: Stored) -> None:
        """Store a waiting command with its place."""

    async def drop_command(self, command: str) -> None:
        """Forget a command."""

    async def publish_result(self, result: Result) -> None:
        """Publish a result, keyed by order."""

    async def dead_letter(self, command: Command, reason: str) -> None:
        """Publish a command that was refused for good."""


class Sender(Protocol):
    """Sends one request with auth and quota; raises the errors of `app.core.errors`."""

    async def __call__(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        """Return the reply; *key* is the idempotency key, *before* is awaited right before the socket write."""
