"""A shop's tokens over the wire: renewed by their hour, stored before use, and what a crash or a rival leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from app.connectors.sending import Sending
from app.core.auth import Credential, Tokens, ask_for_tokens, tokens_of
from app.core.errors import AuthError
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.core.talk import Response
from app.sandbox.platforms.shopify import ShopifySandbox
from schemas.connection import Connection
from schemas.platforms.shopify import PLATFORM, graph
from streams.sources.platforms.shopify import reading

pytestmark = pytest.mark.sandbox
AUTH = PLATFORM.proof({"grant": "consent"})
SECRETS = {"client_id": "sandbox-client", "client_secret": ShopifySandbox.client_secret}
CONSENTED = {"grant_type": "authorization_code", "code": "sandbox-code", **AUTH.code_form}
CONNECTION = Connection(name="shop", tenant="acme", platform="shopify", account="example.myshopify.com")


class Killed(BaseException):
    """The process ended here."""


class Desk:
    """The shop, its clock, and where workers store tokens."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.now = datetime(2026, 11, 27, tzinfo=UTC)
        self.shop = ShopifySandbox(CONNECTION.account, clock=lambda: self.now)
        self.session = session
        self.stored: Tokens | None = None
        self.killed = False

    async def start(self) -> None:
        url = await self.shop.start()
        self.http = HttpClient(self.session, url, allow_private=True, moved=True)

    async def consent(self) -> Tokens:
        reply = await ask_for_tokens(AUTH, SECRETS, self.http, CONSENTED)
        return tokens_of(AUTH, reply, Tokens(access=""), self.now.timestamp())

    def _clock(self) -> float:
        return self.now.timestamp()

    async def _store(self, tokens: Tokens) -> None:
        if self.killed:
            raise Killed
        await asyncio.sleep(0)
        self.stored = tokens

    async def _stored(self) -> Tokens | None:
        return self.stored

    def worker(self) -> Sending:
        """Return a worker that begins with what is stored."""
        self.credential = Credential(
            AUTH,
            SECRETS,
            self.http,
            clock=self._clock,
            store=self._store,
            tokens=self.stored,
            stored=self._stored,
        )
        return Sending(CONNECTION, PLATFORM, self.http, self.credential, Limiter(PLATFORM.limits, lambda: 0.0, 1000))


async def name(worker: Sending) -> Any:
    reply: Response = await worker(reading.request(graph.SHOP, {}))
    return reading.data_of(reply)["shop"]["name"]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with new_session(allow_private=True, timeout=30) as session:
        desk = Desk(session)
        await desk.start()
        desk.stored = await desk.consent()
        yield desk
        await desk.shop.stop()


async def test_a_code_gives_tokens_that_end_and_say_when(desk: Desk) -> None:
    assert desk.stored is not None
    assert desk.stored.expires_at == (desk.now + timedelta(hours=1)).timestamp()
    assert desk.stored.refresh_expires_at == (desk.now + timedelta(days=90)).timestamp()
    assert await name(desk.worker()) == "example"
    assert desk.credential.expires_in == 90 * 86_400
    assert desk.shop.tokens.refreshes == 0


async def test_tokens_are_renewed_hour_after_hour_and_stored(desk: Desk) -> None:
    worker, seen = desk.worker(), []
    for _ in range(3):
        desk.now += timedelta(minutes=59, seconds=1)
        assert await name(worker) == "example"
        assert desk.stored is not None
        seen.append(desk.stored.refresh)
    assert (desk.shop.tokens.refreshes, len(set(seen))) == (3, 3)
    desk.now += timedelta(days=89)
    assert await name(desk.worker()) == "example", "who was away for less than 90 days comes back"


async def test_a_crash_between_refresh_and_store_costs_nothing(desk: Desk) -> None:
    desk.now += timedelta(hours=2)
    desk.killed, before = True, desk.stored
    with pytest.raises(Killed):
        await name(desk.worker())
    assert (desk.stored, desk.shop.tokens.refreshes) == (before, 1)
    desk.killed = False
    assert await name(desk.worker()) == "example"
    desk.now += timedelta(hours=2)
    assert await name(desk.worker()) == "example", "and goes on from what was stored"


async def test_where_the_lost_token_was_the_last_a_person_connects_again_and_the_worker_goes_on(desk: Desk) -> None:
    desk.shop.tokens.keep_used({"keep": False})
    desk.now += timedelta(hours=2)
    desk.killed = True
    with pytest.raises(Killed):
        await name(desk.worker())
    desk.killed, worker = False, desk.worker()
    with pytest.raises(AuthError, match=r"invalid_grant.*`o2c connect`"):
        await name(worker)
    desk.stored = await desk.consent()
    assert await name(worker) == "example"


async def test_of_two_workers_that_renew_at_once_none_is_locked_out(desk: Desk) -> None:
    desk.shop.tokens.keep_used({"keep": False})
    for _ in range(3):
        workers = [desk.worker(), desk.worker()]
        desk.now += timedelta(hours=2)
        assert await asyncio.gather(*(name(one) for one in workers)) == ["example", "example"]
        assert [await name(one) for one in workers] == ["example", "example"]
    assert desk.shop.tokens.refreshes == 3


async def test_a_worker_whose_token_a_new_consent_ended_takes_the_new_one(desk: Desk) -> None:
    worker = desk.worker()
    assert await name(worker) == "example"
    desk.stored = await desk.consent()
    assert await name(worker) == "example"
    assert desk.shop.tokens.refreshes == 0


async def test_an_app_that_was_removed_waits_for_a_person(desk: Desk) -> None:
    worker = desk.worker()
    desk.shop.tokens.uninstall({})
    with pytest.raises(AuthError):
        await name(worker)
    desk.stored = await desk.consent()
    assert await name(worker) == "example"
