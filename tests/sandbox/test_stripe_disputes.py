"""Disputes at the simulated Stripe: a bank begins them, the vendor's library accepts them, our source reads them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import stripe

from app.render.studio import studio
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.events import ChangeEvent, Hint, Version
from schemas.facts import Credit, Payment
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from tests.platforms.conversation import converse
from tests.platforms.planned import Planned, order
from tests.platforms.stripe.plain import AUTH, SOURCE

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def account() -> AsyncIterator[tuple[StripeSandbox, str]]:
    sandbox = StripeSandbox()
    yield sandbox, await sandbox.start()
    await sandbox.stop()


def _disputed(sandbox: StripeSandbox) -> tuple[str, str]:
    intent = sandbox.acts.charge({"amount": "24.00", "currency": "EUR", "order_id": "SO-7"})
    return intent["id"], sandbox.acts.dispute({"payment_intent": intent["id"]})["id"]


async def _read(url: str, type_: str, id_: str) -> ChangeEvent:
    hint = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", type_, id_), reason="x")
    (event,) = await converse(SOURCE.read(hint), url, AUTH)
    return event


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("needs_response", "pending"),
        ("under_review", "pending"),
        ("warning_needs_response", "pending"),
        ("warning_closed", "void"),
        ("prevented", "void"),
        ("won", "void"),
        ("lost", "issued"),
    ],
)
async def test_a_dispute_counts_once_it_is_lost(account: tuple[StripeSandbox, str], word: str, status: str) -> None:
    sandbox, url = account
    intent, dispute = _disputed(sandbox)
    sandbox.acts.close_dispute({"id": dispute, "status": word})
    event = await _read(url, "dispute", dispute)
    assert isinstance(event.facts, Credit)
    assert (event.facts.document, event.facts.status, event.facts.amount) == ("refund", status, Decimal(24))
    assert [anchor.ref.id for anchor in event.anchors] == [intent]


async def test_the_vendors_library_accepts_a_dispute_and_each_step_is_told(account: tuple[StripeSandbox, str]) -> None:
    sandbox, url = account
    intent, dispute = _disputed(sandbox)

    def work() -> tuple[str, bool, list[str]]:
        client = stripe.StripeClient("sk_test_a", base_addresses={"api": url}, http_client=stripe.RequestsClient())
        (found,) = client.v1.disputes.list({"payment_intent": intent}).data
        charge = client.v1.charges.retrieve(str(found.charge))
        closed = client.v1.disputes.close(found.id, options={"idempotency_key": "k"})
        again = client.v1.disputes.close(found.id, options={"idempotency_key": "k"})
        assert again.status == closed.status
        told = client.v1.events.list({"types": ["charge.dispute.created", "charge.dispute.closed"]})
        return closed.status, bool(charge.disputed), [event.type for event in told.data]

    assert await asyncio.to_thread(work) == ("lost", True, ["charge.dispute.closed", "charge.dispute.created"])
    assert sandbox.ledger.get("dispute", dispute)["status"] == "lost"


@pytest.mark.parametrize("told", ["charge.dispute.created", "charge.dispute.closed"])
def test_an_event_of_a_dispute_has_it_and_its_payment_read(told: str) -> None:
    dispute = {"object": "dispute", "id": "dp_1", "charge": "ch_1", "payment_intent": "pi_1"}
    event = {"object": "event", "id": "evt_1", "type": told, "data": {"object": dispute}}
    hints = SOURCE.hints(Hook(body=json.dumps(event).encode()))
    assert [(hint.object.type, hint.object.id) for hint in hints] == [("dispute", "dp_1"), ("payment_intent", "pi_1")]


async def test_an_order_is_told_to_be_on_hold_until_the_bank_has_decided() -> None:
    async with studio("stripe") as bench:
        flow = Planned(bench)
        await flow.see(order("24.00"))
        here, version = bench.connection, iter(range(1, 9))

        def seen(type_: str, facts: Any) -> ChangeEvent:
            ref = ObjectRef(here.name, here.account, type_, f"{type_}_1")
            return ChangeEvent(tenant="local", object=ref, facts=facts, version=Version(next(version)))

        asked = {"document": "refund", "amount": Decimal(24), "currency": "EUR", "reason": "dispute: fraudulent"}
        await flow.see(seen("payment_intent", Payment(amount=Decimal(24), currency="EUR")))
        await flow.see(seen("dispute", Credit(status="pending", **asked)))
        (found,) = flow.findings
        assert (found.code, found.severity) == ("disputed", "warn")
        assert "24 EUR (dispute: fraudulent)" in found.message
        await flow.see(seen("dispute", Credit(status="issued", **asked)))
        assert [one.code for one in flow.findings] == []
