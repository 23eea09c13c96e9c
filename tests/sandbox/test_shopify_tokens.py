"""Shopify's consent page and rotating tokens, asked by ShopifyAPI where it knows them; a clock of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
import shopify

from app.sandbox.platforms.shopify import ShopifySandbox

pytestmark = pytest.mark.sandbox
BACK = "http://localhost:8400/callback"
HOUR = timedelta(hours=1)


class App:
    """An app of another organisation, and the merchant who installs it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 27, tzinfo=UTC)
        self.shop = ShopifySandbox("example.myshopify.com", clock=lambda: self.now)

    async def install(self, **exchanged: str) -> dict[str, Any]:
        """Send the merchant to the page that the library names, and exchange the code that comes back."""
        told = await self.open()
        assert shopify.Session.validate_hmac(told)
        status, tokens = await self.ask(code=told["code"], **exchanged)
        assert status == 200, tokens
        return tokens

    async def open(self) -> dict[str, str]:
        """Return what the merchant is sent back with."""
        asked = shopify.Session("example.myshopify.com", "2026-07").create_permission_url(["write_orders"], BACK, "s 1")
        page = urlsplit(asked)
        assert (page.netloc, page.path) == ("example.myshopify.com", "/admin/oauth/authorize")
        async with self.session.get(f"{page.path}?{page.query}", allow_redirects=False) as reply:
            assert reply.status == 302, await reply.text()
            return dict(parse_qsl(urlsplit(reply.headers["Location"]).query))

    async def ask(self, **form: str) -> tuple[int, dict[str, Any]]:
        """Ask the token endpoint as the library does."""
        client = {"client_id": shopify.Session.api_key, "client_secret": shopify.Session.secret}
        async with self.session.post("/admin/oauth/access_token", data={**client, **form}) as reply:
            return reply.status, await reply.json()

    async def renew(self, token: str) -> tuple[int, dict[str, Any]]:
        return await self.ask(grant_type="refresh_token", refresh_token=token)

    async def good(self, token: str) -> bool:
        headers = {"X-Shopify-Access-Token": token}
        path = "/admin/api/2026-07/graphql.json"
        async with self.session.post(path, json={"query": "{ shop { name } }"}, headers=headers) as reply:
            return reply.status == 200


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App()
    url = await app.shop.start()
    shopify.Session.setup(api_key="sandbox-client", secret=app.shop.client_secret)
    async with aiohttp.ClientSession(url) as app.session:
        yield app
    shopify.Session.setup(api_key=None, secret=None)
    await app.shop.stop()


async def test_the_call_back_names_the_shop_and_is_signed_for_the_library(app: App) -> None:
    told = await app.open()
    assert (told["shop"], told["state"]) == ("example.myshopify.com", "s 1")
    assert shopify.Session.validate_hmac(told)
    assert not shopify.Session.validate_hmac({**told, "shop": "other.myshopify.com"})
    app.shop.tokens.consent.told = {"shop": "example.myshopify.com", "hmac": "0" * 64}
    assert not shopify.Session.validate_hmac(await app.open())


async def test_a_code_that_asks_for_no_end_gives_a_token_for_ever(app: App) -> None:
    tokens = await app.install()
    assert tokens.keys() == {"access_token", "scope"}
    app.now += timedelta(days=400)
    assert await app.good(tokens["access_token"])


async def test_an_access_token_lives_an_hour_and_a_refresh_gives_both_anew(app: App) -> None:
    first = await app.install(expiring="1")
    assert (first["expires_in"], first["refresh_token_expires_in"]) == (3_600, 7_776_000)
    app.now += HOUR - timedelta(seconds=1)
    assert await app.good(first["access_token"])
    app.now += timedelta(seconds=1)
    assert not await app.good(first["access_token"])
    status, second = await app.renew(first["refresh_token"])
    assert (status, await app.good(second["access_token"])) == (200, True)
    assert second["refresh_token"] != first["refresh_token"]


async def test_a_used_refresh_token_is_good_until_its_successor_is_used(app: App) -> None:
    first = (await app.install(expiring="1"))["refresh_token"]
    lost = (await app.renew(first))[1]
    status, second = await app.renew(first)
    assert (status, await app.good(lost["access_token"])) == (200, False), "one pair is alive"
    assert (await app.renew(lost["refresh_token"]))[0] == 400
    assert (await app.renew(second["refresh_token"]))[0] == 200
    assert await app.renew(first) == (400, {"error": "invalid_grant"})


async def test_a_used_refresh_token_ends_after_thirty_days_and_any_after_ninety(app: App) -> None:
    first = (await app.install(expiring="1"))["refresh_token"]
    second = (await app.renew(first))[1]["refresh_token"]
    app.now += timedelta(days=30)
    assert (await app.renew(first))[0] == 400
    app.now += timedelta(days=60)
    assert (await app.renew(second))[0] == 400


async def test_a_refresh_token_may_be_good_for_one_use(app: App) -> None:
    app.shop.tokens.keep_used({"keep": False})
    first = (await app.install(expiring="1"))["refresh_token"]
    assert [(await app.renew(first))[0] for _ in range(2)] == [200, 400]


async def test_a_new_consent_ends_the_tokens_before_it_and_a_removed_app_has_none(app: App) -> None:
    before, after = await app.install(expiring="1"), await app.install(expiring="1")
    assert [await app.good(one["access_token"]) for one in (before, after)] == [False, True]
    assert (await app.renew(before["refresh_token"]))[0] == 400
    app.shop.tokens.uninstall({})
    assert not await app.good(after["access_token"])
    assert (await app.renew(after["refresh_token"]))[0] == 400


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"client_secret": "typo", "code": "sandbox-code"}, "invalid_client"),
        ({"code": "made-up"}, "invalid_request"),
        ({"grant_type": "password", "code": "sandbox-code"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
    ],
)
async def test_what_is_wrong_gets_no_token(app: App, form: dict[str, str], error: str) -> None:
    status, answer = await app.ask(**form)
    assert (status, answer["error"]) == (400, error)
