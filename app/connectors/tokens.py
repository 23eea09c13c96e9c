"""The tokens of one connection, sealed and kept in Kafka for whoever owns it next."""

from __future__ import annotations

import structlog
from aiokafka.errors import KafkaError

from app.connectors.rows import Rows
from app.core import topics
from app.core.auth import Tokens, Vault
from app.core.errors import ConfigError
from app.core.faultpoints import around

log = structlog.get_logger(__name__)


class StoredTokens:
    """Outlives the owner; the key of the vault does not leave it."""

    def __init__(self, rows: Rows, vault: Vault, connection: str) -> None:
        """*rows* are those of *connection*."""
        self._rows, self._vault, self._connection = rows, vault, connection

    async def read(self) -> Tokens | None:
        """Return the stored tokens; those sealed under another key are as good as none, and stop nobody else."""
        stored = await self._rows.left(topics.TOKENS)
        try:
            return self._vault.open(stored["oauth"]) if "oauth" in stored else None
        except ConfigError as error:
            log.error("tokens.unreadable", connection=self._connection, why=str(error))  # noqa: TRY400 - known
            return None

    async def newer(self) -> Tokens | None:
        """Return what is stored by now, None when Kafka does not say."""
        try:
            return await self.read()
        except KafkaError:  # then those at hand must do
            return None

    async def keep(self, tokens: Tokens) -> None:
        """Store *tokens*; they are durable when this returns."""
        async with around("tokens", self._connection):
            await self._rows.put(topics.TOKENS, "oauth", self._vault.seal(tokens))
