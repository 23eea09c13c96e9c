"""What a checkout sold: the payment and the bill name no order, the checkout does, and they are linked by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import stripe

from app.sandbox.platforms.stripe import StripeSandbox
from schemas.events import Anchor, ChangeEvent, Hint
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import answer, converse
from tests.platforms.stripe.plain import AUTH, CONNECTION, SOURCE, reply

pytestmark = pytest.mark.sandbox
SALE = {"amount": "24.00", "currency": "EUR", "email": "ada@example.com"}
NUMBER = Anchor("number", ObjectRef("", "", "number", "SO-7"))
BY_REFERENCE = StripeSource(msgspec.structs.replace(CONNECTION, options={"checkout_reference": "order"}))


@pytest.fixture
async def account() -> AsyncIterator[tuple[StripeSandbox, str]]:
    sandbox = StripeSandbox()
    yield sandbox, await sandbox.start()
    await sandbox.stop()


def _hint(type_: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", type_, id_), reason="x")


async def _read(url: str, type_: str, id_: str, source: StripeSource = SOURCE) -> ChangeEvent:
    (event,) = await converse(source.read(_hint(type_, id_)), url, AUTH)
    return event


async def test_a_payment_is_linked_to_the_order_of_its_checkout_each_time_it_is_read(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account
    session = sandbox.acts.checkout({**SALE, "order_id": "SO-7"})
    told = {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "data": {"object": session}}
    (hint,) = SOURCE.hints(Hook(body=json.dumps(told).encode()))
    (event,) = await converse(SOURCE.read(hint), url, AUTH)
    assert (event.object.id, event.anchors) == (session["payment_intent"], (NUMBER,))
    assert (await _read(url, "payment_intent", session["payment_intent"])).anchors == (NUMBER,)
    (again,) = await converse(SOURCE.read(_hint("checkout.session", session["id"])), url, AUTH)
    assert again.anchors == (NUMBER,)


async def test_the_bill_of_a_checkout_is_linked_and_its_payment_hangs_on_it(account: tuple[StripeSandbox, str]) -> None:
    sandbox, url = account
    typed = {"currency": "EUR", "email": "ada@example.com", "lines": [{"title": "Mug", "price": "24.00"}]}
    bill = sandbox.acts.type_invoice(typed)
    assert (await _read(url, "invoice", bill["id"])).anchors == (), "nobody has bought it yet"
    session = sandbox.acts.checkout({**SALE, "order_id": "SO-7", "invoice": bill["id"]})
    event = await _read(url, "invoice", bill["id"])
    assert (event.anchors, getattr(event.facts, "reference", "")) == ((NUMBER,), "SO-7")
    paid = await _read(url, "payment_intent", session["payment_intent"])
    assert [anchor.ref.id for anchor in paid.anchors] == [bill["id"]]


async def test_what_the_shop_calls_a_checkout_counts_where_the_configuration_says_so(
    account: tuple[StripeSandbox, str],
) -> None:
    sandbox, url = account
    session = sandbox.acts.checkout({**SALE, "reference": "SO-7"})
    intent = session["payment_intent"]
    assert (await _read(url, "payment_intent", intent)).anchors == (), "it may as well be a cart or a customer"
    assert (await _read(url, "payment_intent", intent, BY_REFERENCE)).anchors == (NUMBER,)
    both = sandbox.acts.checkout({**SALE, "order_id": "SO-7", "reference": "SO-9"})
    assert (await _read(url, "payment_intent", both["payment_intent"], BY_REFERENCE)).anchors == (NUMBER,)


async def test_a_payment_of_no_checkout_is_nobodys(account: tuple[StripeSandbox, str]) -> None:
    sandbox, url = account
    sandbox.acts.checkout({**SALE, "order_id": "SO-7"})
    other = sandbox.acts.charge(SALE)
    assert (await _read(url, "payment_intent", other["id"])).anchors == ()


@pytest.mark.parametrize("status", [403, 404])
def test_a_key_that_sees_no_checkouts_reads_the_payment_all_the_same(status: int) -> None:
    intent = {"object": "payment_intent", "id": "pi_1", "amount": 500, "currency": "eur", "status": "succeeded"}
    replies = reply(intent), reply({"data": []}), reply({"error": {}}, status)
    requests, (event,) = answer(SOURCE.read(_hint("payment_intent", "pi_1")), *replies)
    assert (requests[2].path, dict(requests[2].params)) == ("/v1/checkout/sessions", {"payment_intent": "pi_1"})
    assert event.anchors == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"order_id": "SO-1"}},
        {"metadata": {"o2c": "o2c1:" + "a" * 32 + ":" + "b" * 12}},
        {"parent": {"type": "subscription_details"}},
        {"status": "open"},
    ],
)
def test_a_bill_that_no_checkout_made_costs_one_call(changes: dict[str, Any]) -> None:
    bill = {"object": "invoice", "id": "in_1", "currency": "eur", "status": "paid", "total": 500, "created": 1}
    requests, _ = answer(SOURCE.read(_hint("invoice", "in_1")), reply({**bill, **changes}))
    assert len(requests) == 1


async def test_the_vendors_library_finds_the_checkout_of_a_payment(account: tuple[StripeSandbox, str]) -> None:
    sandbox, url = account
    session = sandbox.acts.checkout({**SALE, "order_id": "SO-7", "reference": "cart-1"})
    sandbox.acts.checkout({**SALE, "order_id": "SO-8"})
    client = stripe.StripeClient("sk_test_a", base_addresses={"api": url}, http_client=stripe.RequestsClient())
    wanted: Any = {"payment_intent": session["payment_intent"]}
    (found,) = (await asyncio.to_thread(client.v1.checkout.sessions.list, wanted)).data
    assert (found.id, found.client_reference_id) == (session["id"], "cart-1")
    assert found.metadata is not None
    assert found.metadata["order_id"] == "SO-7"
