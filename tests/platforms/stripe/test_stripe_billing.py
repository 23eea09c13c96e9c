"""What Stripe bills and is paid by itself: which invoice a payment is on, coupons, taxes, notes with refunds, days."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import stripe

from app.core.talk import Response
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.connection import Connection
from schemas.events import Anchor, Hint
from schemas.facts import Credit, Facts, Invoice, Payment
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import answer, converse

NEW_YORK = Connection(name="pay", tenant="acme", platform="stripe", account="acct_1", time_zone="America/New_York")
SOURCE = StripeSource(NEW_YORK)
LATE = int(datetime(2026, 11, 11, 3, 30, tzinfo=UTC).timestamp())
"""Half past ten in the evening of the tenth in New York."""
INTENT = {
    "object": "payment_intent",
    "id": "pi_1",
    "amount_received": 2400,
    "currency": "eur",
    "status": "succeeded",
    "created": LATE - 5 * 86_400,
    "metadata": {},
}


def _reply(record: Any, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(record).encode())


def _ref(type_: str, id_: str) -> ObjectRef:
    return ObjectRef("pay", "acct_1", type_, id_)


def _hint(type_: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=_ref(type_, id_))


def _part(invoice: str, amount: int, **changes: Any) -> dict[str, Any]:
    part = {"object": "invoice_payment", "invoice": invoice, "amount_paid": amount, "status": "paid", **changes}
    return {**part, "status_transitions": {"paid_at": LATE}}


def _facts(record: dict[str, Any]) -> Facts | None:
    (event,) = SOURCE.parse("", record)
    return event.facts


def test_a_payment_is_asked_which_invoice_it_paid_and_when() -> None:
    found = {"data": [_part("in_1", 2400), _part("in_9", 0, status="canceled")]}
    requests, (event,) = answer(SOURCE.read(_hint("payment_intent", "pi_1")), _reply(INTENT), _reply(found))
    assert requests[1].path == "/v1/invoice_payments"
    assert requests[1].params["payment[payment_intent]"] == "pi_1"
    assert event.anchors == (Anchor("object", _ref("invoice", "in_1")),)
    assert isinstance(event.facts, Payment)
    assert (event.facts.paid_at, event.facts.date) == (datetime.fromtimestamp(LATE, UTC), date(2026, 11, 10))
    assert [one.id for one in event.facts.allocations] == ["in_1"]


def test_a_payment_of_several_invoices_has_a_share_in_each() -> None:
    found = {"data": [_part("in_1", 1400), _part("in_2", 1000)]}
    _, (event,) = answer(SOURCE.read(_hint("payment_intent", "pi_1")), _reply(INTENT), _reply(found))
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [("in_1", "14.00"), ("in_2", "10.00")]


@pytest.mark.parametrize("changes", [{"invoice": "in_1"}, {"invoice": None}, {"metadata": {"order_id": "SO-1"}}])
def test_a_payment_that_says_whose_it_is_costs_one_call(changes: dict[str, Any]) -> None:
    requests, (event,) = answer(SOURCE.read(_hint("payment_intent", "pi_1")), _reply({**INTENT, **changes}))
    assert len(requests) == 1
    assert len(event.anchors) == (0 if changes == {"invoice": None} else 1)


def test_where_nobody_knows_of_such_a_list_a_payment_is_on_no_invoice() -> None:
    missing = _reply({"error": {"message": "Unrecognized request URL"}}, 404)
    _, (event,) = answer(SOURCE.read(_hint("payment_intent", "pi_1")), _reply(INTENT), missing, missing)
    assert event.anchors == ()


def _invoice(*lines: dict[str, Any], total: int, tax: int) -> Invoice:
    record = {
        "object": "invoice", "id": "in_1", "currency": "eur", "status": "open", "total": total, "created": LATE,
        "total_taxes": [{"amount": tax}], "lines": {"data": lines},
    }  # fmt: skip
    found = _facts(record)
    assert isinstance(found, Invoice)
    return found


def test_the_lines_of_a_bill_with_a_coupon_add_up_to_it() -> None:
    plan = {"id": "il_1", "amount": 3000, "quantity": 3, "taxes": [{"amount": 513, "tax_behavior": "exclusive"}]}
    plan["discount_amounts"] = [{"amount": 300}]
    unused = {"id": "il_2", "amount": -1000, "taxes": [{"amount": -190, "tax_behavior": "exclusive"}]}
    bill = _invoice(plan, unused, total=2023, tax=323)
    assert sum(line.net_amount + line.tax_amount for line in bill.lines) == bill.payable_amount == Decimal("20.23")
    assert (bill.net_amount, bill.tax_amount) == (Decimal("17.00"), Decimal("3.23"))
    assert bill.issue_date == date(2026, 11, 10)


def test_a_price_that_includes_its_tax_is_taken_apart() -> None:
    line = {"id": "il_1", "amount": 1190, "quantity": 3, "taxes": [{"amount": 190, "tax_behavior": "inclusive"}]}
    (shown,) = _invoice(line, total=1190, tax=190).lines
    assert (shown.net_amount, shown.tax_amount, shown.unit_price) == (Decimal(10), Decimal("1.90"), Decimal("3.3333"))


@pytest.mark.parametrize(
    ("changes", "amount", "tax"),
    [
        ({"type": "pre_payment", "refunds": [{"amount_refunded": 5000}]}, "24.00", "4.00"),
        ({"type": "post_payment", "refunds": [{"amount_refunded": 2400}]}, "0.00", "0.00"),
        ({"type": "post_payment", "refunds": [{"amount_refunded": 900}]}, "15.00", "2.50"),
        ({"type": "post_payment", "refund": "re_1"}, "0.00", "0.00"),
        ({"type": "post_payment", "refund": "re_1", "out_of_band_amount": 600}, "6.00", "1.00"),
        ({"type": "post_payment", "refunds": []}, "24.00", "4.00"),
    ],
)
def test_a_note_credits_what_its_refunds_do_not(changes: dict[str, Any], amount: str, tax: str) -> None:
    record = {
        "object": "credit_note", "id": "cn_1", "currency": "eur", "status": "issued", "total": 2400, "invoice": "in_1",
        "total_taxes": [{"amount": 400}], "created": LATE, **changes,
    }  # fmt: skip
    credit = _facts(record)
    assert isinstance(credit, Credit)
    assert (credit.amount, credit.tax_amount) == (Decimal(amount), Decimal(tax))


async def test_the_sandbox_tells_as_the_vendors_library_expects_it_which_invoice_was_paid() -> None:
    sandbox = StripeSandbox("acct_1")
    url = await sandbox.start()
    try:
        plan = {"title": "Plan", "price": "30.00", "discount": "3.00", "tax_rate": "19"}
        bill = sandbox.acts.bill_subscription({"email": "ada@example.com", "currency": "EUR", "lines": [plan]})
        sandbox.acts.finalize({"id": bill["id"]})
        paid = sandbox.acts.charge({"amount": "32.13", "currency": "EUR", "invoice": bill["id"]})
        client = stripe.StripeClient("sk_test", base_addresses={"api": url}, http_client=stripe.RequestsClient())
        wanted: Any = {"payment": {"type": "payment_intent", "payment_intent": paid["id"]}}
        (part,) = (await asyncio.to_thread(client.v1.invoice_payments.list, wanted)).data
        assert (part.invoice, part.amount_paid, part.status) == (bill["id"], 3213, "paid")
        auth = {"Authorization": "Bearer sk_test"}
        (event,) = await converse(SOURCE.read(_hint("payment_intent", paid["id"])), url, auth)
        assert [anchor.ref.id for anchor in event.anchors] == [bill["id"]]
        sandbox.acts.credit(
            {"invoice": bill["id"], "amount": "11.90", "refund_amount": "11.90", "tax": "1.90", "paid": 1}
        )
        rows = {row["kind"]: row for row in sandbox.books()}
        assert (rows["invoice"]["credited"], rows["refund"]["amount"]) == ("11.90", "11.90")
        assert rows["payment"]["invoice_id"] == bill["id"]
    finally:
        await sandbox.stop()


CHARGE = {"object": "charge", "id": "ch_1", "amount": 2400, "currency": "eur", "status": "succeeded", "created": LATE}


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_money_back_on_a_charge_that_no_intent_made_hangs_on_that_charge(kind: str) -> None:
    back = {"object": kind, "id": "x_1", "amount": 500, "currency": "eur", "status": "succeeded", "created": LATE}
    (event,) = SOURCE.parse("", {**back, "charge": "ch_1", "payment_intent": None})
    assert isinstance(event.facts, Credit)
    assert event.anchors == (Anchor("object", _ref("charge", "ch_1")),)
    assert [(one.type, one.id) for one in event.facts.allocations] == [("charge", "ch_1")]
    (event,) = SOURCE.parse("", {**back, "charge": "ch_1", "payment_intent": "pi_1"})
    assert event.anchors == (Anchor("object", _ref("payment_intent", "pi_1")),)


def test_the_refunds_that_a_charge_shows_are_told_as_well() -> None:
    refund = {
        "object": "refund",
        "id": "re_1",
        "amount": 500,
        "currency": "eur",
        "status": "succeeded",
        "charge": "ch_1",
    }
    shown = {**CHARGE, "refunds": {"object": "list", "data": [refund]}}
    assert [event.object.id for event in SOURCE.parse("", shown)] == ["ch_1", "re_1"]
    assert [event.object.id for event in SOURCE.parse("", {**shown, "payment_intent": "pi_1"})] == ["re_1"]
    event = {"id": "evt_1", "object": "event", "type": "charge.refunded", "data": {"object": shown}}
    hints = SOURCE.hints(Hook(body=json.dumps(event).encode()))
    assert [(hint.object.type, hint.object.id) for hint in hints] == [("charge", "ch_1"), ("refund", "re_1")]


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(0, 0, "paid"), (200, 0, "paid"), (0, 300, "partially_refunded"), (200, 1000, "refunded"), (0, 1200, "refunded")],
)
def test_only_what_was_credited_after_the_payment_was_given_back(before: int, after: int, word: str) -> None:
    record = {
        "object": "invoice", "id": "in_1", "currency": "eur", "status": "paid", "total": 1200, "created": LATE,
        "amount_paid": 1200 - before, "pre_payment_credit_notes_amount": before,
        "post_payment_credit_notes_amount": after,
    }  # fmt: skip
    bill = _facts(record)
    assert isinstance(bill, Invoice)
    assert (bill.status, bill.credited_amount) == (word, Decimal(before + after) / 100)


def test_a_note_of_more_lines_than_an_object_holds_is_read_whole() -> None:
    lines = [{"id": f"cnli_{n}", "object": "credit_note_line_item", "amount": 100} for n in range(12)]
    note = {
        "object": "credit_note", "id": "cn_1", "currency": "eur", "status": "issued", "total": 1200, "invoice": "in_1",
        "created": LATE, "type": "pre_payment", "lines": {"data": lines[:10], "has_more": True},
    }  # fmt: skip
    replies = _reply(note), _reply({"data": lines[:10], "has_more": True}), _reply({"data": lines[10:]})
    requests, (event,) = answer(SOURCE.read(_hint("credit_note", "cn_1")), *replies)
    assert [request.path for request in requests[1:]] == ["/v1/credit_notes/cn_1/lines"] * 2
    assert isinstance(event.facts, Credit)
    assert len(event.facts.lines) == 12


SESSION = {"object": "checkout.session", "id": "cs_1", "payment_intent": "pi_1", "metadata": {"order_id": "SO-1"}}
NONE = _reply({"data": []})


def _completed(session: dict[str, Any]) -> Hint:
    told = {"id": "evt_1", "object": "event", "type": "checkout.session.completed", "data": {"object": session}}
    (hint,) = SOURCE.hints(Hook(body=json.dumps(told).encode()))
    return hint


def test_what_a_checkout_took_is_read() -> None:
    hint = _completed(SESSION)
    assert (hint.object.type, hint.object.id) == ("payment_intent", "pi_1")


def test_a_checkout_that_named_nothing_when_it_was_told_is_read() -> None:
    hint = _completed({**SESSION, "payment_intent": None})
    found = _reply(INTENT), NONE, NONE
    requests, (event,) = answer(SOURCE.read(hint), _reply(SESSION), *found)
    assert (requests[0].path, event.object.id) == ("/v1/checkout/sessions/cs_1", "pi_1")
    for nothing in (_reply({**SESSION, "payment_intent": None}), _reply({}, 404), _reply({}, 403)):
        assert answer(SOURCE.read(hint), nothing)[1] == []


def test_an_event_of_another_connected_account_is_nobodys_here() -> None:
    event = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": INTENT}}
    for account, count in (("acct_1", 1), ("acct_2", 0)):
        hook = Hook(body=json.dumps({**event, "account": account}).encode())
        assert (len(SOURCE.hints(hook)), len(SOURCE.to_events(hook))) == (count, count)
