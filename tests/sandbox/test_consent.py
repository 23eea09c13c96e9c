"""The consent pages of Xero, QuickBooks and HubSpot: who may ask, what a person says, and codes that are good once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest

from app.sandbox.__main__ import find
from app.sandbox.base import Sandbox

pytestmark = pytest.mark.sandbox
BACK = "http://localhost:8400/callback"
PAGES = {
    "xero": ("/identity/connect/authorize", "/connect/token"),
    "quickbooks_online": ("/connect/oauth2", "/oauth2/v1/tokens/bearer"),
    "hubspot": ("/oauth/authorize", "/oauth/v1/token"),
}
ASKED = {
    "response_type": "code", "client_id": "sandbox-client", "redirect_uri": BACK, "scope": "a b", "state": "s 1",
}  # fmt: skip


class Browser:
    """A person with a browser, and the app that exchanges what it brings back."""

    def __init__(self, slug: str) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)
        self.slug, self.sandbox = slug, self._sandbox(slug)
        self.page, self.token = PAGES[slug]

    def _sandbox(self, slug: str) -> Sandbox:
        return find(slug)("4711" if slug == "hubspot" else "one", clock=lambda: self.now)

    async def open(self, **asked: str) -> dict[str, str]:
        """Open the page and return the parameters that the person is sent back with."""
        async with self.session.get(self.page, params={**ASKED, **asked}, allow_redirects=False) as reply:
            assert reply.status == 302, await reply.text()
            place = reply.headers["Location"]
        assert place.partition("?")[0] == asked.get("redirect_uri", BACK).partition("?")[0]
        return dict(parse_qsl(urlsplit(place).query))

    async def exchange(self, code: str, **form: str) -> tuple[int, dict[str, Any]]:
        basic = "Basic " + base64.b64encode(b"sandbox-client:sandbox-secret").decode()
        client = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
        sent = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, **client, **form}
        async with self.session.post(self.token, data=sent, headers={"Authorization": basic}) as reply:
            return reply.status, await reply.json()

    async def refresh(self, token: str) -> int:
        return (await self.exchange("", grant_type="refresh_token", refresh_token=token))[0]

    async def act(self, verb: str, **asked: Any) -> int:
        async with self.session.post(f"/_sandbox/act/{verb}", json=asked) as reply:
            return reply.status


@pytest.fixture(params=PAGES)
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    browser = Browser(request.param)
    url = await browser.sandbox.start()
    async with aiohttp.ClientSession(url) as browser.session:
        yield browser
    await browser.sandbox.stop()


async def test_a_code_is_good_once(browser: Browser) -> None:
    back = await browser.open()
    assert back["state"] == "s 1"
    assert ("realmId" in back) == (browser.slug == "quickbooks_online")
    status, tokens = await browser.exchange(back["code"])
    assert (status, bool(tokens["access_token"]), bool(tokens["refresh_token"])) == (200, True, True)
    assert (await browser.exchange(back["code"]))[0] == 400


async def test_a_code_belongs_to_its_call_back_and_ends(browser: Browser) -> None:
    code = (await browser.open())["code"]
    assert (await browser.exchange(code, redirect_uri="http://localhost:1/other"))[0] == 400
    code = (await browser.open())["code"]
    browser.now += timedelta(seconds=299)
    assert (await browser.exchange(code))[0] == 200
    code = (await browser.open())["code"]
    browser.now += timedelta(seconds=300)
    assert (await browser.exchange(code))[0] == 400
    assert (await browser.exchange("made-up"))[0] == 400


async def test_a_person_may_say_no(browser: Browser) -> None:
    assert await browser.act("consent", deny=True) == 200
    assert await browser.open() == {"error": "access_denied", "state": "s 1"}
    assert await browser.open(redirect_uri=f"{BACK}?own=1") == {"own": "1", "error": "access_denied", "state": "s 1"}
    assert await browser.act("consent", mood="bad") == 400


@pytest.mark.parametrize("wrong", [{"client_id": "x"}, {"response_type": "token"}, {"scope": ""}, {"redirect_uri": ""}])
async def test_a_wrong_question_gets_no_page(browser: Browser, wrong: dict[str, str]) -> None:
    async with browser.session.get(browser.page, params={**ASKED, **wrong}, allow_redirects=False) as reply:
        assert reply.status == 400


async def test_only_xero_holds_a_code_to_its_challenge(browser: Browser) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v").digest()).decode().rstrip("=")
    asked = {"code_challenge": challenge, "code_challenge_method": "S256"}
    for form, good in (({}, False), ({"code_verifier": "w"}, False), ({"code_verifier": "v"}, True)):
        status, _ = await browser.exchange((await browser.open(**asked))["code"], **form)
        assert (status == 200) == (good or browser.slug != "xero")


async def test_consent_that_was_taken_back_is_given_again_by_a_new_code(browser: Browser) -> None:
    _, tokens = await browser.exchange((await browser.open())["code"])
    assert await browser.act("disconnect" if browser.slug == "xero" else "revoke") == 200
    assert await browser.refresh(tokens["refresh_token"]) == 400
    status, tokens = await browser.exchange((await browser.open())["code"])
    assert status == 200
    assert await browser.refresh(tokens["refresh_token"]) == 200
