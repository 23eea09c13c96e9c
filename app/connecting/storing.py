"""Where tokens are kept: sealed, on the topic that the owner of a connection reads."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from app.config.model import Settings
from app.connectors.bus import Bus, partition_of
from app.core import topics
from app.core.auth import Tokens, Vault
from app.core.errors import ConfigError
from app.kafka import security


def bus_of(settings: Settings) -> Bus:
    """Return Kafka as the connectors use it, not connected yet."""
    kafka = settings.kafka
    return Bus(kafka.bootstrap, settings.topics.prefix, kafka.partitions, security(kafka))


class TokenShelf:
    """The stored tokens of one connection."""

    def __init__(self, settings: Settings, connection: str) -> None:
        """ConfigError when there is no key to seal with."""
        self._settings, self._key = settings, f"{connection}|oauth".encode()
        self._partition = partition_of(connection, settings.kafka.partitions)
        self._vault = Vault(settings.key.get_secret_value())

    async def ready(self) -> None:
        """Look whether tokens can be stored, before anybody is asked for consent; ConfigError when not."""
        kafka = self._settings.kafka
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **security(kafka))
        try:
            await admin.start()
            if self._settings.topics.prefix + topics.TOKENS not in await admin.list_topics():
                raise ConfigError("The topic of tokens does not exist; run `o2c topics apply`.")
        finally:
            await admin.close()

    async def keep(self, tokens: Tokens) -> None:
        """Store *tokens*; durable when this returns, and taken up by a running owner that needs them."""
        bus = bus_of(self._settings)
        await bus.start()
        try:
            await bus.send(topics.TOKENS, self._key, self._vault.seal(tokens), partition=self._partition)
        finally:
            await bus.stop()
