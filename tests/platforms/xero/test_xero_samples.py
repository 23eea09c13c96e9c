"""Xero's documented samples, read to what is expected of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from app.core.errors import RejectedError
from app.core.talk import Response
from schemas.events import Anchor
from schemas.facts import Credit, Invoice, Payment
from schemas.platforms.xero import facts, wire
from schemas.refs import ObjectRef
from sinks.platforms.xero import bodies
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.plain import CONNECTION, INVOICE, KEY, MARK, PAYMENT, SINK, SOURCE, hook_of, invoice_of


def _sample(shared: Path, name: str) -> Any:
    return json.loads((shared / "samples" / "xero" / name).read_text(encoding="utf-8"), parse_float=Decimal)


def _expected(shared: Path) -> dict[str, Any]:
    index = json.loads((shared / "samples" / "xero" / "index.json").read_text(encoding="utf-8"))
    return {entry["file"]: entry["expect"] for entry in index}


def _as_expected(shown: Invoice) -> dict[str, str]:
    return {
        "number": shown.number,
        "status": shown.status,
        "total": str(shown.payable_amount),
        "tax": str(shown.tax_amount),
        "due": str(shown.amount_due),
        "paid": str(shown.paid_amount),
        "credited": str(shown.credited_amount),
        "currency": shown.currency,
        "date": str(shown.issue_date),
        "due_date": str(shown.due_date),
    }


def test_a_created_invoice_parses_to_its_expect(shared: Path) -> None:
    expect = _expected(shared)["invoice_create_response.json"]
    (event,) = SOURCE.parse("invoice", _sample(shared, "invoice_create_response.json"))
    shown = {"invoice_id": event.object.id, **_as_expected(invoice_of(event))}
    assert {name: shown[name] for name in expect} == expect
    assert event.anchors == (Anchor("number", ObjectRef("", "", "number", "Test invoice")),)


def test_a_mixed_list_parses_to_its_expect_without_the_bill(shared: Path) -> None:
    expect = _expected(shared)["invoice_list_mixed.json"]["records"]
    events = SOURCE.parse("invoice", _sample(shared, "invoice_list_mixed.json"))
    found = [_as_expected(invoice_of(event)) for event in events]
    assert [{name: row[name] for name in wanted} for row, wanted in zip(found, expect, strict=True)] == expect


def test_a_created_payment_parses_to_its_expect_with_the_invoice_inside(shared: Path) -> None:
    expect = _expected(shared)["payment_create_response.json"]
    record = _sample(shared, "payment_create_response.json")
    payment, invoice = SOURCE.parse("payment", record)
    assert isinstance(payment.facts, Payment)
    shown = _as_expected(invoice_of(invoice))
    assert {
        "payment_id": payment.object.id,
        "amount": str(payment.facts.amount),
        "invoice_id": payment.anchors[0].ref.id,
        "invoice_due": shown["due"],
        "invoice_paid": shown["paid"],
        "invoice_status": shown["status"],
        "warning": bool(wire.reply(record).payments[0].warnings),
    } == expect
    assert (
        SINK.classify(Response(status=200, body=_bytes(shared, "payment_create_response.json")), mutating=True) is None
    )


def test_a_page_of_credit_notes_parses_to_its_expect(shared: Path) -> None:
    expect = _expected(shared)["credit_note_page.json"]["records"]
    found = []
    for event in SOURCE.parse("credit", _sample(shared, "credit_note_page.json")):
        shown = event.facts
        assert isinstance(shown, Credit)
        amounts = {"total": str(shown.amount), "remaining": str(shown.remaining_amount)}
        found.append({"credit_id": event.object.id, "number": shown.number, "status": shown.stage, **amounts})
        assert event.anchors[0].ref.type == "invoice"
    assert found == expect


def test_a_supplier_credit_webhook_reads_to_its_expect_and_is_ignored(shared: Path) -> None:
    expect = _expected(shared)["webhook_creditnote_create.json"]
    hook = hook_of(_bytes(shared, "webhook_creditnote_create.json"))
    delivery = msgspec.json.decode(hook.body, type=wire.Hooks)
    event = delivery.events[0]
    at = facts.instant(event.event_date_utc)
    assert at is not None
    assert {
        "category": event.event_category,
        "type": event.event_type,
        "resource_id": event.resource_id,
        "tenant": event.tenant_id,
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sequence": [delivery.first_event_sequence, delivery.last_event_sequence],
    } == expect
    source = XeroSource(msgspec.structs.replace(CONNECTION, account=event.tenant_id))
    assert source.hints(hook) == []


def test_the_handshake_sample_is_answered_as_expected(shared: Path) -> None:
    hook = hook_of(_bytes(shared, "webhook_intent_to_receive.json"))
    reply = SOURCE.handshake(hook, [KEY])
    assert reply is not None
    assert {"events": 0, "http_status": reply.status} == _expected(shared)["webhook_intent_to_receive.json"]


def test_a_refusal_inside_a_200_is_seen_and_is_no_observation(shared: Path) -> None:
    assert _expected(shared)["payment_with_validation_error_200.json"]["has_error"]
    body = _bytes(shared, "payment_with_validation_error_200.json")
    error = SINK.classify(Response(status=200, body=body), mutating=True)
    assert isinstance(error, RejectedError)
    assert _expected(shared)["payment_with_validation_error_200.json"]["message"] in str(error)
    assert SOURCE.parse("payment", json.loads(body, parse_float=Decimal)) == []


def test_the_request_samples_name_what_is_expected(shared: Path) -> None:
    expect = _expected(shared)
    created = wire.reply(_sample(shared, "invoice_create_request.json")).invoices[0]
    assert created.contact is not None
    assert {"contact_id": created.contact.contact_id, "status": created.status} == expect["invoice_create_request.json"]
    updated = wire.reply(_sample(shared, "invoice_update_request.json")).invoices[0]
    assert {"invoice_id": updated.invoice_id} == expect["invoice_update_request.json"]
    paid = wire.reply(_sample(shared, "payment_create_request.json")).payments[0]
    assert paid.invoice is not None
    assert {"invoice_id": paid.invoice.invoice_id, "amount": str(paid.amount)} == expect["payment_create_request.json"]


def test_our_own_requests_have_the_shape_of_the_samples(shared: Path) -> None:
    sample = _sample(shared, "invoice_create_request.json")["Invoices"][0]
    assert set(sample) <= set(bodies.invoice(INVOICE, "c1", MARK, CONNECTION))
    ours = bodies.payment(PAYMENT, {"Invoice": {"InvoiceID": "i1"}}, PAYMENT.amount, MARK, CONNECTION)
    assert set(_sample(shared, "payment_create_request.json")["Payments"][0]) <= set(ours)


def _bytes(shared: Path, name: str) -> bytes:
    return (shared / "samples" / "xero" / name).read_bytes()
