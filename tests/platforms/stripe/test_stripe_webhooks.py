"""Stripe's webhook endpoints in conversation with the sandbox, which the vendor's own library drives as well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stripe

from app.core.errors import AuthError, RejectedError
from app.core.talk import Response
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.connection import Connection
from schemas.platforms.stripe.platform import EVENTS
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from streams.sources.platforms.stripe.subscribing import StripeSubscriber
from streams.sources.subscribing import Subscription
from tests.platforms.conversation import answer, converse
from tests.platforms.receiver import receiver

pytestmark = pytest.mark.sandbox
AUTH = {"Authorization": "Bearer sk_test_made_up"}
SOURCE = StripeSource(Connection(name="pay", tenant="acme", platform="stripe", account="acct_sandbox"))
SUBSCRIBER = StripeSubscriber()
(WANTED,) = SUBSCRIBER.wanted("https://hooks.example.com/hooks/acme/pay", SOURCE.topics())
CHARGED = {"amount": Decimal(5), "currency": "EUR"}


@pytest.fixture
async def account() -> AsyncIterator[tuple[StripeSandbox, str]]:
    sandbox = StripeSandbox()
    yield sandbox, await sandbox.start()
    await sandbox.stop()


async def _found(url: str) -> list[Subscription]:
    return await converse(SUBSCRIBER.found(), url, AUTH)


@pytest.fixture
def spec(shared: Path) -> dict[str, Any]:
    held = shared / "specs" / "stripe" / "params-and-events-2026-10-28.json"
    found: dict[str, Any] = json.loads(held.read_text())
    return found


def test_every_event_we_ask_for_exists_and_is_understood(spec: dict[str, Any]) -> None:
    assert set(EVENTS) <= set(spec["event_types"])
    for type_ in EVENTS:
        object_ = "dispute" if type_.startswith("charge.dispute") else type_.rpartition(".")[0]
        record = {"id": "x_1", "object": object_, "payment": {"type": "payment_intent", "payment_intent": "pi_1"}}
        event = {"id": "evt_1", "object": "event", "type": type_, "data": {"object": record}}
        assert SOURCE.hints(Hook(body=json.dumps(event).encode())), type_


def test_what_is_sent_at_creation_is_in_the_published_parameters(spec: dict[str, Any]) -> None:
    shown = Response(status=200, body=b'{"id":"we_1","secret":"whsec_1"}')
    (request,), secret = answer(SUBSCRIBER.create(WANTED), shown)
    known = spec["request_parameters"]["POST /v1/webhook_endpoints"]["types"]["WebhookEndpointCreateParams"]
    assert {name.partition("[")[0] for name in request.form or ()} <= set(known)
    assert {name for name, value in known.items() if value["required"]} <= {"url", "enabled_events"}
    assert repr((request.form or {})["api_version"]) in known["api_version"]["type"]
    assert secret == "whsec_1"


async def test_what_was_registered_is_delivered_under_the_secret_that_was_shown(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account
    async with receiver() as hooks:
        (wanted,) = SUBSCRIBER.wanted(f"{hooks.url}/hooks/acme/pay", SOURCE.topics())
        secret = await converse(SUBSCRIBER.create(wanted), url, AUTH)
        (found,) = await _found(url)
        assert (found.topics, found.address, found.active) == (wanted.topics, wanted.address, True)
        sandbox.acts.charge(dict(CHARGED))
        hook = await hooks.next()
    assert SOURCE.verify(hook, [secret], sandbox.clock())
    assert not SOURCE.verify(hook, ["whsec_other"], sandbox.clock())


async def test_an_endpoint_keeps_foreign_events_and_is_enabled_at_its_new_address(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account
    old = Subscription(topics=("invoice.paid", "balance.available"), address="https://old.example.com/hooks/acme/pay")
    secret = await converse(SUBSCRIBER.create(old), url, AUTH)
    (made,) = await _found(url)
    sandbox.endpoints.update(made.id, {"disabled": "true"})
    assert not (await _found(url))[0].active
    assert sandbox.hooks.targets == []
    assert await converse(SUBSCRIBER.update(made, WANTED), url, AUTH) == ""
    (found,) = await _found(url)
    assert (found.id, found.address, found.active) == (made.id, WANTED.address, True)
    assert set(found.topics) == {*WANTED.topics, "balance.available"}
    assert [(one.url, one.secret) for one in sandbox.hooks.targets] == [(WANTED.address, secret)]
    await converse(SUBSCRIBER.delete(found, ()), url, AUTH)
    await converse(SUBSCRIBER.delete(found, ()), url, AUTH)  # gone already
    assert await _found(url) == []


async def test_an_address_is_told_as_long_as_one_endpoint_of_it_is_left(account: tuple[StripeSandbox, str]) -> None:
    sandbox, _ = account
    asked = [{"url": WANTED.address, "enabled_events": [event]} for event in ("invoice.paid", "refund.created")]
    first, second = (sandbox.endpoints.create(one) for one in asked)
    assert [(one.topics, one.secret) for one in sandbox.hooks.targets] == [
        ({"invoice.paid", "refund.created"}, second["secret"])
    ]
    sandbox.endpoints.delete(second["id"])
    assert [(one.topics, one.secret) for one in sandbox.hooks.targets] == [({"invoice.paid"}, first["secret"])]
    sandbox.endpoints.delete(first["id"])
    assert sandbox.hooks.targets == []


async def test_refusals_are_told_by_code_never_by_sentence(account: tuple[StripeSandbox, str]) -> None:
    wrong = Subscription(topics=("invoice.paid",), address="hooks.example.com/hooks/acme/pay")
    with pytest.raises(RejectedError, match=r"Stripe answered 400: url_invalid url\."):
        await converse(SUBSCRIBER.create(wrong), account[1], AUTH)
    with pytest.raises(AuthError):
        answer(SUBSCRIBER.found(), Response(status=403, body=b"{}"))


async def test_the_vendors_library_registers_lists_changes_and_deletes(account: tuple[StripeSandbox, str]) -> None:
    def work(url: str) -> None:
        client = stripe.StripeClient("sk_test_x", base_addresses={"api": url}, http_client=stripe.RequestsClient())
        endpoints = client.v1.webhook_endpoints
        made = endpoints.create({"url": "https://hooks.example.com/a", "enabled_events": ["*"]})
        assert made.secret
        assert made.secret.startswith("whsec_")
        changed = endpoints.update(made.id, {"enabled_events": ["invoice.paid"], "disabled": True})
        assert (changed.enabled_events, changed.status) == (["invoice.paid"], "disabled")
        (listed,) = endpoints.list({"limit": 3}).data
        assert (listed.id, listed.to_dict().get("secret")) == (made.id, None)
        assert endpoints.retrieve(made.id).url == "https://hooks.example.com/a"
        assert endpoints.delete(made.id).deleted
        assert endpoints.list().data == []

    await asyncio.to_thread(work, account[1])


async def test_the_object_has_the_published_fields(account: tuple[StripeSandbox, str], shared: Path) -> None:
    fixtures = json.loads((shared / "specs" / "stripe" / "fixtures3-billing.json").read_text())
    published = fixtures.get("resources", fixtures)["webhook_endpoint"]
    await converse(SUBSCRIBER.create(WANTED), account[1], AUTH)
    (shown,) = account[0].ledger.of("webhook_endpoint")
    assert set(shown) == set(published)


def test_a_long_list_is_read_to_its_end() -> None:
    row = {"id": "we_1", "enabled_events": ["*"], "url": "https://x/hooks/a/b", "status": "enabled"}
    pages = [{"data": [row], "has_more": True}, {"data": [row | {"id": "we_2", "status": "disabled"}]}]
    asked, found = answer(SUBSCRIBER.found(), *(Response(status=200, body=json.dumps(page).encode()) for page in pages))
    assert [(one.id, one.active) for one in found] == [("we_1", True), ("we_2", False)]
    assert asked[1].params["starting_after"] == "we_1"
