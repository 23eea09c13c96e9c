"""The real gateway on the loopback address, with what it published kept, and signed as each platform signs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import msgspec

from app import platforms
from app.config.model import ResolvedConnection
from app.core.metrics import Metrics, new_metrics
from app.deliveries.record import decoded
from app.deliveries.translating import meaning
from app.gateway.addresses import Address, addresses
from app.gateway.server import Gateway
from app.roles.status_page import add_status_routes, serve
from app.sandbox.__main__ import find
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from tests.made_up_deliveries import as_record

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = "key-of-a-service"
PUBLIC = "https://hooks.example.com"
SECRET = "whsec_made_up_for_hostile_input"
ACCOUNTS = {"shopify": "acme.myshopify.com", "stripe": "acct_1"}
SLUGS = tuple(slug for slug in platforms.slugs() if platforms.load(slug).platform.signature_headers)


class Beyond(Protocol):
    """What stands behind the gateway: Kafka, or nothing."""

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None: ...

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None: ...


class Kept:
    """A publisher that keeps what deliveries and events mean, after *beyond* has acknowledged them."""

    def __init__(self, beyond: Beyond | None = None) -> None:
        self.events: list[ChangeEvent] = []
        self.hints: list[Hint] = []
        self.dead: list[tuple[bytes, str, str]] = []
        self._beyond = beyond

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        if self._beyond is not None:
            await self._beyond.publish(events, hints)
        self.events += events
        self.hints += hints

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        if self._beyond is not None:
            await self._beyond.keep(key, body, headers)
        delivery = decoded(as_record(key, body, headers))
        address = addresses_of(SECRET)[delivery.owner, delivery.name]
        said = meaning(address, delivery)
        self.events += said.events
        self.hints += said.hints
        if said.unreadable:
            self.dead.append((body, said.unreadable, f"hook:{address.platform.slug}"))

    async def answers(self) -> bool:
        return True

    def taken(self) -> tuple[list[ChangeEvent], list[Hint], list[tuple[bytes, str, str]]]:
        """Return what came since the last call."""
        found = self.events, self.hints, self.dead
        self.events, self.hints, self.dead = [], [], []
        return found


class Door(msgspec.Struct):
    """An open gateway."""

    port: int
    kept: Kept
    metrics: Metrics
    gateway: Gateway

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def connection(slug: str, tenant: str = "acme") -> Connection:
    """Return a connection whose name is its platform's."""
    return Connection(name=slug, tenant=tenant, platform=slug, account=ACCOUNTS.get(slug, "1"))


@cache
def addresses_of(secret: str, previous: str = "") -> dict[tuple[str, str], Address]:
    """Return an address for every platform that signs its webhooks, with *secret* and the one before it."""
    secrets = {"webhook_secret": secret, "webhook_secret_previous": previous}
    resolved = [
        ResolvedConnection(
            connection=connection(slug), secrets=secrets, allow_private=True, sweep_seconds=1, quota_share=1
        )
        for slug in SLUGS
    ]  # fmt: skip
    return addresses(resolved, {slug: platforms.load(slug).source for slug in SLUGS})


@asynccontextmanager
async def open_door(kept: Kept | None = None, idle: float = 75.0, **more: Any) -> AsyncIterator[Door]:
    """Serve every platform that signs its webhooks, and POST /events."""
    kept, metrics = kept or Kept(), new_metrics()
    given = {"public_url": PUBLIC, "api_keys": {KEY: ""}, "clock": lambda: NOW, **more}
    gateway = Gateway(addresses_of(SECRET), kept, metrics, **given)
    app = gateway.app()
    add_status_routes(app, metrics, live=dict, ready=gateway.wrong)
    runner, port = await serve(app, "127.0.0.1", 0, idle, gateway.before)
    try:
        yield Door(port, kept, metrics, gateway)
    finally:
        await runner.cleanup()


def path_of(slug: str) -> str:
    """Return where *slug* posts its webhooks."""
    return f"/hooks/acme/{slug}"


_SIGNERS = {slug: find(slug)(ACCOUNTS.get(slug, "1")) for slug in SLUGS}
_MORE: Mapping[str, Mapping[str, str]] = {
    "shopify": {"x-shopify-topic": "orders/create", "x-shopify-shop-domain": ACCOUNTS["shopify"], "x-shopify-webhook-id": "w-1"}
}  # fmt: skip


def signed(slug: str, body: bytes, secret: str = SECRET, now: datetime = NOW) -> dict[str, str]:
    """Return the headers of a genuine delivery, signed by the platform's sandbox."""
    signature = _SIGNERS[slug].sign(body, PUBLIC + path_of(slug), secret, now)
    return {**signature, **_MORE.get(slug, {}), "Content-Type": "application/json"}
