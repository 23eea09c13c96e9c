"""`o2c connect` against running sandboxes: a browser that consents at once, tokens in a real Kafka."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import requests

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.connecting.storing import bus_of
from app.connectors.bus import partition_of
from app.core import topics
from app.core.auth import Tokens, Vault
from tests.integration.check.test_check import Company

pytestmark = [pytest.mark.sandbox, pytest.mark.kafka]
APP = {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "webhook_secret": "w"}
BARE: dict[str, dict[str, Any]] = {
    "books": {"secrets": APP},
    "qbo": {"secrets": APP},
    "crm": {"secrets": APP},
    "pay": {"secrets": {"webhook_secret": "w"}},
    "shop": {"secrets": {**APP, "client_secret": "shopify-secret"}},
}
"""Every connection as it is before the first `o2c connect`."""
OTHER = "99999999-0000-4000-8000-000000000009"


class Office(Company):
    """The company before it is connected, and what it does at the terminal."""

    async def connect(
        self, capsys: pytest.CaptureFixture[str], name: str, *words: str, **changes: dict[str, Any]
    ) -> tuple[int, dict[str, Any], str]:
        """Run the command; return its exit code, what it printed as JSON, and what it said on standard error."""
        path = self.write(**{**BARE, **changes})
        asked = ["connect", name, "--config", str(path), "--port", "0", "--json", *words]
        code = await asyncio.to_thread(main, asked)
        told = capsys.readouterr()
        return code, json.loads(told.out or "{}"), told.err.strip().splitlines()[-1] if told.err else ""

    async def stored(self, name: str) -> Tokens | None:
        settings = load(self.folder / "o2c.toml", {})
        rows = await bus_of(settings).read_all(topics.TOKENS, partition_of(name, settings.kafka.partitions))
        sealed = rows.get(f"{name}|oauth".encode())
        return None if sealed is None else Vault(settings.key.get_secret_value()).open(sealed)

    def knobs(self, name: str, **knobs: Any) -> None:
        cast("Any", self.sandboxes[name].verbs["consent"])(knobs)


@pytest.fixture
async def office(kafka: str, tmp_path: Path) -> AsyncIterator[Office]:
    office = Office(kafka, tmp_path)
    await office.start()
    await apply_topics(load(office.write(**BARE), {}))
    yield office
    await office.stop()


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Open what is to be opened, as a browser does: without making anybody wait; return the addresses."""
    opened: list[str] = []

    def follow(url: str) -> None:
        with suppress(requests.ConnectionError):
            requests.get(url, timeout=120)

    def open_(url: str) -> bool:
        opened.append(url)
        threading.Thread(target=follow, args=(url,), daemon=True).start()
        return True

    monkeypatch.setattr(webbrowser, "open", open_)
    return opened


@pytest.mark.parametrize(
    ("name", "title", "account"),
    [
        ("books", "Xero", "00000000-0000-4000-8000-000000000001"),
        ("qbo", "QuickBooks Online", "9130000000000001"),
        ("crm", "HubSpot", "4711"),
    ],
)
async def test_consent_gives_tokens_that_everything_else_works_with(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str], name: str, title: str, account: str
) -> None:
    code, told, err = await office.connect(capsys, name)
    assert (code, told["platform"], told["account"]) == (0, title, account), err
    assert (told["by"], told["stored"], told["config"]) == ("consent", True, {})
    tokens = await office.stored(name)
    assert tokens is not None
    assert (tokens.account, bool(tokens.access), bool(tokens.refresh)) == (account, True, True)
    asked = parse_qs(urlsplit(browser[0]).query)
    assert len(asked["state"][0]) >= 32
    assert ("code_challenge" in asked) == (name == "books"), "the platforms that take a challenge"
    code, checked = await office.check(capsys, **BARE)
    assert name in [row["connection"] for row in checked["accounts"]]


async def test_every_consent_is_asked_with_a_state_of_its_own(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str]
) -> None:
    for _ in range(2):
        assert (await office.connect(capsys, "books"))[0] == 0
    first, second = (parse_qs(urlsplit(url).query) for url in browser)
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]


async def test_a_client_without_a_secret_proves_itself_by_its_challenge(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    public = {"secrets": {"client_id": "sandbox-client", "webhook_secret": "w"}}
    code, told, err = await office.connect(capsys, "books", books=public)
    assert (code, told.get("by")) == (0, "consent"), err


async def test_without_a_browser_the_call_back_is_pasted(office: Office) -> None:
    path = office.write(**BARE)
    words = ["-m", "app", "connect", "books", "--config", str(path), "--paste"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stderr is not None
    url = ""
    while not url.startswith("http"):
        url = (await process.stderr.readline()).decode().strip()
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as reply:
        back = reply.headers["Location"]
    assert back.startswith("http://localhost:8400/callback?")
    out, _ = await process.communicate(back.encode() + b"\n")
    assert process.returncode == 0
    assert "books is connected to account 00000000-0000-4000-8000-000000000001 (Sandbox" in out.decode()
    assert await office.stored("books") is not None


async def test_another_state_is_no_answer(office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("http://localhost:8400/callback?code=sandbox-code&state=guessed\n"))
    code, _, err = await office.connect(capsys, "books", "--paste")
    assert code == 1
    assert err.endswith("(another state); run `o2c connect books` again.")
    assert await office.stored("books") is None
    assert not [entry for entry in office.sandboxes["books"].log if entry.path == "/connect/token"]


@pytest.mark.parametrize("name", ["books", "qbo", "crm"])
async def test_a_denied_consent_an_expired_code_and_a_wrong_secret_store_nothing(
    office: Office, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    office.knobs(name, deny=True)
    code, _, err = await office.connect(capsys, name)
    assert code == 1
    assert f"Consent was refused (access_denied); run `o2c connect {name}` again" in err
    office.knobs(name, deny=False, code_seconds=0)
    code, _, err = await office.connect(capsys, name)
    assert code == 1
    assert "takes this code no more" in err
    assert f"; run `o2c connect {name}` again and consent within minutes." in err
    office.knobs(name, code_seconds=300)
    code, _, err = await office.connect(capsys, name, **{name: {"secrets": {**APP, "client_secret": "typo"}}})
    assert code == 2
    assert f"refuses the app of {name}" in err
    assert "correct client_id and client_secret" in err
    assert await office.stored(name) is None
    assert (await office.connect(capsys, name))[0] == 0


async def test_another_account_than_configured_is_refused_and_what_was_stored_stays(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (await office.connect(capsys, "qbo"))[0] == 0
    before = await office.stored("qbo")
    office.knobs("qbo", told={"realmId": "42"})
    code, _, err = await office.connect(capsys, "qbo")
    assert code == 2
    assert "belongs to 42, not to account 9130000000000001 of qbo" in err
    assert 'set account = "42" and connect again.' in err
    code, _, err = await office.connect(capsys, "crm", crm={"secrets": APP, "account": "12"})
    assert code == 2
    assert 'belongs to 4711, not to account 12 of crm; log in as a user of 12, or set account = "4711"' in err
    code, _, err = await office.connect(capsys, "books", "--account", OTHER)
    assert code == 2
    assert "is configured for account" in err
    assert (await office.stored("qbo"), await office.stored("crm"), await office.stored("books")) == (
        before,
        None,
        None,
    )


async def test_of_several_organisations_one_is_picked_and_named_for_the_configuration(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    office.knobs("books", tenants=[{"id": OTHER, "name": "Practice Ltd"}])
    new = {"secrets": APP, "account": "..."}
    code, _, err = await office.connect(capsys, "books", books=new)
    assert code == 2
    assert f"Sandbox Ltd), {OTHER} (Practice Ltd); run `o2c connect books --account ID`." in err
    assert await office.stored("books") is None
    mine = "00000000-0000-4000-8000-000000000001"
    code, told, _ = await office.connect(capsys, "books", "--account", mine, books=new)
    assert (code, told["config"]) == (0, {"account": mine})
    code, told, _ = await office.connect(capsys, "books")
    assert (code, told["account"], told["config"]) == (0, mine, {}), "the configured one needs no question"
    code, _, err = await office.connect(capsys, "books", books={"secrets": APP, "account": "gone"})
    assert code == 2
    assert "not to account gone of books" in err
    assert "set account to one of these" in err


async def test_a_plain_key_is_read_checked_and_stored(
    office: Office, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    code, _, err = await office.connect(capsys, "pay")
    assert (code, await office.stored("pay")) == (1, None)
    assert "compare base_url and secrets of pay, then run `o2c connect pay` again." in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    code, _, err = await office.connect(capsys, "pay")
    assert code == 2
    assert "No key of Stripe was given" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk_test_demo\n"))
    code, told, err = await office.connect(capsys, "pay")
    assert (code, told["by"], told["account"], told["stored"]) == (0, "key", "acct_demo", True), err
    assert "sk_test_demo" not in err + json.dumps(told)
    assert await office.stored("pay") == Tokens(access="sk_test_demo", account="acct_demo")
    _, checked = await office.check(capsys, **BARE)
    assert "pay" in [row["connection"] for row in checked["accounts"]]


async def test_client_credentials_and_a_configured_key_are_only_looked_at(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = cast("Any", office.sandboxes["shop"]).client_secret
    code, told, err = await office.connect(capsys, "shop", shop={"secrets": {**APP, "client_secret": secret}})
    assert (code, told["by"], told["stored"]) == (0, "client_credentials", False), err
    alone: dict[str, Any] = {"secrets": APP, "options": {"grant": "client_credentials"}}
    code, told, err = await office.connect(capsys, "books", books=alone)
    assert (code, told["by"], told["stored"]) == (0, "client_credentials", False), err
    assert told["account"] == "00000000-0000-4000-8000-000000000001"
    _, checked = await office.check(capsys, **{**BARE, "books": {**alone, "account": told["account"]}})
    assert "books" in [row["connection"] for row in checked["accounts"]]
    code, _, err = await office.connect(capsys, "shop", shop={"secrets": {**APP, "client_secret": "typo"}})
    assert code == 2
    assert "refuses the app of shop (invalid_client)" in err
    code, told, err = await office.connect(capsys, "crm", crm={"secrets": {"token": "pat-demo"}})
    assert (code, told["by"], told["stored"]) == (0, "configuration", False), err
    assert (await office.stored("shop"), await office.stored("crm")) == (None, None)


def merchant(office: Office, **changes: Any) -> dict[str, dict[str, Any]]:
    """Return the shop's section for a public app, with *changes* of its secrets."""
    secret = cast("Any", office.sandboxes["shop"]).client_secret
    return {"shop": {"secrets": {**APP, "client_secret": secret, **changes}, "options": {"grant": "consent"}}}


async def test_a_merchant_is_asked_for_a_public_app_and_the_signed_answer_gives_tokens_that_rotate(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str]
) -> None:
    shop = merchant(office)
    code, told, err = await office.connect(capsys, "shop", **shop)
    assert (code, told["by"], told["stored"], told["account"]) == (0, "consent", True, "demo.myshopify.com"), err
    assert told["connect_again_by"]
    asked = parse_qs(urlsplit(browser[0]).query)
    assert urlsplit(browser[0]).path == "/admin/oauth/authorize"
    assert asked["scope"][0].startswith("read_orders,write_orders,")
    tokens = await office.stored("shop")
    assert tokens is not None
    assert (tokens.account, tokens.access[:6], tokens.refresh[:6]) == ("demo.myshopify.com", "shpat_", "shprt_")
    _, checked = await office.check(capsys, **{**BARE, **shop})
    assert "shop" in [row["connection"] for row in checked["accounts"]]
    assert cast("Any", office.sandboxes["shop"]).tokens.refreshes == 0
    scopes = {"shop": {**shop["shop"], "options": {"grant": "consent", "scopes": "read_orders, read_all_orders"}}}
    assert (await office.connect(capsys, "shop", **scopes))[0] == 0
    assert parse_qs(urlsplit(browser[-1]).query)["scope"] == ["read_orders,read_all_orders"]


async def test_without_tokens_a_public_app_is_not_asked_for_any(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    _, checked = await office.check(capsys, **{**BARE, **merchant(office)})
    (told,) = [row["message"] for row in checked["problems"] if "secrets of shop" in row["message"]]
    assert "There are no tokens yet: `o2c connect` obtains them" in told


async def test_an_answer_that_is_not_the_shops_own_is_not_exchanged(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str]
) -> None:
    shop = merchant(office)
    assert (await office.connect(capsys, "shop", **shop))[0] == 0
    before, calls = await office.stored("shop"), len(office.sandboxes["shop"].log)
    office.knobs("shop", told={"shop": "demo.myshopify.com", "hmac": "0" * 64})
    code, _, err = await office.connect(capsys, "shop", **shop)
    assert code == 1
    assert "not signed under the client secret of shop (hmac)" in err
    office.knobs("shop", told={"shop": "other.myshopify.com"})
    code, _, err = await office.connect(capsys, "shop", **shop)
    assert code == 2
    assert "belongs to other.myshopify.com, not to account demo.myshopify.com of shop" in err
    code, _, err = await office.connect(capsys, "shop", **merchant(office, client_secret="typo"))
    assert code == 1
    assert "compare client_secret in its secrets" in err
    asked = len(browser)
    elsewhere = {"shop": {**shop["shop"], "account": "demo.myshopify.com.evil.example"}}
    code, _, err = await office.connect(capsys, "shop", **elsewhere)
    assert (code, len(browser)) == (2, asked), "nobody is sent there"
    assert "is no account for shop; write it as NAME.myshopify.com." in err
    mistyped = {"shop": {**shop["shop"], "options": {"grant": "code"}}}
    code, _, err = await office.connect(capsys, "shop", **mistyped)
    assert (code, len(browser)) == (2, asked)
    assert "has a grant 'code' that Shopify does not know; use one of client_credentials, consent." in err
    assert await office.stored("shop") == before
    later = list(office.sandboxes["shop"].log)[calls:]
    assert not [entry for entry in later if entry.path == "/admin/oauth/access_token"], "no code was exchanged"


async def test_nobody_is_asked_for_consent_that_could_not_be_stored(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str]
) -> None:
    office.kafka = "127.0.0.1:9"
    code, _, err = await office.connect(capsys, "books")
    assert (code, browser) == (2, [])
    assert "Kafka does not answer at 127.0.0.1:9; run `o2c kafka status`." in err


async def test_a_consent_that_never_comes_is_waited_for_so_long(
    office: Office, capsys: pytest.CaptureFixture[str], browser: list[str]
) -> None:
    code, _, err = await office.connect(capsys, "books", "--no-browser", "--wait", "0.2")
    assert (code, browser) == (1, [])
    assert "No consent came within 0.2 s; run `o2c connect books` again" in err


async def test_a_taken_port_is_told(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    port = str(urlsplit(office.urls["books"]).port)
    code, _, err = await office.connect(capsys, "books", "--port", port)
    assert code == 2
    assert f"Port {port} of this machine is taken; choose another by --port" in err
