"""Live and test objects of Stripe never meet, and a Connect platform's key speaks for the account it names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import pytest
import stripe

from app.core.errors import AuthError, DecodeError
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.events import Hint
from schemas.platforms.stripe import PLATFORM
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import answer, converse
from tests.platforms.stripe.plain import AUTH, CONNECTION, reply

CHARGED = {"amount": Decimal(5), "currency": "EUR"}


def source(**options: str) -> StripeSource:
    return StripeSource(msgspec.structs.replace(CONNECTION, options=options))


LIVE, TEST, UNTOLD = source(livemode="true"), source(livemode="false"), source()
CONNECTED = source(connect="yes")


def intent(*, live: bool | None) -> dict[str, Any]:
    said = {} if live is None else {"livemode": live}
    return {"object": "payment_intent", "id": "pi_1", "amount": 500, "currency": "eur", "status": "succeeded", **said}


def hook(*, live: bool | None, **said: Any) -> Hook:
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", **said}
    return Hook(body=json.dumps({**event, "livemode": live, "data": {"object": intent(live=live)}}).encode())


@pytest.mark.parametrize(("mine", "live", "worlds"), [(LIVE, False, "live .* test"), (TEST, True, "test .* live")])
def test_an_event_of_the_other_world_is_put_aside_in_words(*, mine: StripeSource, live: bool, worlds: str) -> None:
    for told in (mine.hints, mine.to_events):
        with pytest.raises(DecodeError, match=f"pay is a {worlds}"):
            told(hook(live=live))
        assert told(hook(live=not live)), "its own world it hears"
        assert told(hook(live=live, account="acct_other")) == [], "another account is nobody's business"


def test_where_nobody_knows_the_world_every_event_is_heard() -> None:
    assert UNTOLD.hints(hook(live=True))
    assert UNTOLD.hints(hook(live=False))


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_object_of_the_other_world_is_never_booked(*, wrapped: bool) -> None:
    def seen(record: dict[str, Any]) -> dict[str, Any]:
        return {"object": "list", "data": [record]} if wrapped else record

    with pytest.raises(DecodeError, match="the payment_intent a test one"):
        LIVE.parse("", seen(intent(live=False)))
    assert LIVE.parse("", seen(intent(live=True)))
    assert LIVE.parse("", seen(intent(live=None))), "what does not say it is of the world of its key"
    hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", "payment_intent", "pi_1"), reason="x")
    with pytest.raises(DecodeError, match="a test one"):
        answer(LIVE.read(hint), reply(intent(live=False)), reply({"data": []}), reply({"data": []}))


def test_a_key_of_the_other_world_stops_its_connection() -> None:
    whose = reply({"id": "acct_sandbox", "default_currency": "eur"})
    with pytest.raises(AuthError, match="a key of Stripe's other world"):
        answer(LIVE.identify(), whose, reply({"object": "balance", "livemode": False}))
    for balance in (reply({"object": "balance", "livemode": True}), reply({"error": {}}, 403)):
        _, found = answer(LIVE.identify(), whose, balance)
        assert found.account == "acct_sandbox"
    asked, _ = answer(UNTOLD.identify(), whose)
    assert [one.path for one in asked] == ["/v1/account"]


def test_a_connected_account_hears_of_itself_alone() -> None:
    assert CONNECTED.hints(hook(live=True, account="acct_sandbox"))
    assert CONNECTED.hints(hook(live=True, account="acct_other")) == []
    assert CONNECTED.hints(hook(live=True)) == [], "what the Connect platform itself does"
    assert CONNECTED.subscriber() is None, "its endpoint hears of all accounts: a person makes it"


def test_only_a_connect_platform_names_the_account() -> None:
    assert PLATFORM.said("acct_1", {"connect": "yes"}) == {**PLATFORM.headers, "Stripe-Account": "acct_1"}
    assert PLATFORM.said("acct_1", {}) == PLATFORM.headers


@pytest.fixture
async def account() -> AsyncIterator[tuple[StripeSandbox, str]]:
    sandbox = StripeSandbox()
    sandbox.connect = "acct_platform"
    yield sandbox, await sandbox.start()
    await sandbox.stop()


@pytest.mark.sandbox
async def test_the_key_of_a_connect_platform_is_told_whose_account_is_meant(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account
    mine = source(connect="yes", livemode="false")
    headers = {**PLATFORM.said("acct_sandbox", mine.connection.options), **AUTH}
    assert (await converse(mine.identify(), url, headers)).account == "acct_sandbox"
    assert (await converse(mine.identify(), url, AUTH)).account == "acct_platform"
    sandbox.acts.charge(dict(CHARGED))
    async with aiohttp.ClientSession() as session, session.get(f"{url}/v1/events", headers=headers) as told:
        (event,) = (await told.json())["data"]
    assert mine.hints(Hook(body=json.dumps(event).encode()))


@pytest.mark.sandbox
async def test_the_vendors_library_names_an_account_and_may_not_reach_another(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account

    def work() -> tuple[bool, str | None, str | None]:
        client = stripe.StripeClient("sk_test_a", base_addresses={"api": url}, http_client=stripe.RequestsClient())
        mine: stripe.RequestOptions = {"stripe_account": "acct_sandbox"}
        with pytest.raises(stripe.PermissionError):
            client.v1.customers.list(options={"stripe_account": "acct_other"})
        made = client.v1.customers.create({"email": "ada@example.com"}, options=mine)
        (event,) = client.v1.events.list(options=mine).data
        return client.v1.balance.retrieve(options=mine).livemode, event.account, made.id

    live, told, made = await asyncio.to_thread(work)
    assert (live, told) == (False, "acct_sandbox")
    assert made in sandbox.ledger.records
