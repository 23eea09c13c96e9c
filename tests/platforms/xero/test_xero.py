"""Xero's words, signatures, samples and refusals, without a network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Hint
from schemas.facts import Credit, Customer, Invoice, Line, Party, Payment, Shipment
from schemas.money import ZERO
from schemas.platforms.xero import facts, wire
from schemas.refs import ObjectRef, mark_of
from sinks.platforms.xero import XeroSink, bodies
from sinks.platforms.xero.asking import beside, quoted
from streams.sources.base import Hook, Reply
from streams.sources.platforms.xero import XeroSource
from tests.platforms.conversation import answer

TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
CONNECTION = Connection(name="books", tenant="acme", platform="xero", account=TENANT)
SOURCE, SINK = XeroSource(CONNECTION), XeroSink(CONNECTION)
KEY = "made-up-xero-webhook-key"
ITR = b'{"events":[],"firstEventSequence": 0,"lastEventSequence": 0, "entropy": "S0m3r4Nd0mt3xt"}'
SIGNATURE = "qKEtPLsJpCjOrjewjPGIGmGV9Aj8mk710fgwBllr0R0="
NOW = datetime(2026, 5, 4, tzinfo=UTC)
MARK = mark_of("a" * 32, "b" * 32)


def _hook(body: bytes = ITR, signature: str = SIGNATURE) -> Hook:
    return Hook(headers={"x-xero-signature": signature}, body=body)


def _event(**more: Any) -> dict[str, Any]:
    return {
        "resourceUrl": "https://api.xero.com/api.xro/2.0/Invoices/i1",
        "resourceId": "i1",
        "eventDateUtc": "2026-05-04T01:15:39.902",
        "eventType": "UPDATE",
        "eventCategory": "INVOICE",
        "tenantId": TENANT,
        "tenantType": "ORGANISATION",
        **more,
    }


def _delivery(*events: dict[str, Any]) -> Hook:
    return _hook(json.dumps({"events": events, "firstEventSequence": 76, "lastEventSequence": 76}).encode())


# ---------------------------------------------------------------------------------------------------- webhooks


def test_the_documented_signature_verifies() -> None:
    assert SOURCE.verify(_hook(), [KEY], NOW)
    assert SOURCE.verify(_hook(), ["another", KEY], NOW)


def test_a_flipped_bit_anywhere_fails() -> None:
    for position in range(len(ITR)):
        flipped = bytes([*ITR[:position], ITR[position] ^ 1, *ITR[position + 1 :]])
        assert not SOURCE.verify(_hook(flipped), [KEY], NOW)
    assert not SOURCE.verify(_hook(signature="r" + SIGNATURE[1:]), [KEY], NOW)
    assert not SOURCE.verify(_hook(signature=""), [KEY], NOW)
    assert not SOURCE.verify(_hook(), ["another"], NOW)
    assert not SOURCE.verify(_hook(), [], NOW)


def test_reserialised_bytes_do_not_verify() -> None:
    assert not SOURCE.verify(_hook(json.dumps(json.loads(ITR)).encode()), [KEY], NOW)


def test_an_intent_to_receive_is_answered_empty_and_a_wrong_one_is_refused_with_401() -> None:
    assert SOURCE.handshake(_hook(), [KEY]) == Reply(status=200)
    assert SOURCE.handshake(_hook(signature="r" + SIGNATURE[1:]), [KEY]) is None
    assert SOURCE.refused(_hook()) == Reply(status=401)


def test_a_signed_delivery_with_events_is_no_handshake() -> None:
    hook = _delivery(_event())
    signed = Hook(headers={"x-xero-signature": _sign(hook.body)}, body=hook.body)
    assert SOURCE.verify(signed, [KEY], NOW)
    assert SOURCE.handshake(signed, [KEY]) is None
    rubbish = Hook(headers={"x-xero-signature": _sign(b"{")}, body=b"{")
    assert SOURCE.handshake(rubbish, [KEY]) is None


def _sign(body: bytes) -> str:
    return base64.b64encode(hmac.new(KEY.encode(), body, hashlib.sha256).digest()).decode()


def test_every_category_becomes_a_hint_and_nothing_is_an_observation() -> None:
    hook = _delivery(
        _event(),
        _event(eventCategory="CONTACT", resourceId="c1"),
        _event(eventCategory="CREDITNOTE", resourceId="n1", data={"Type": "ACCRECCREDIT", "Status": "DRAFT"}),
        _event(eventCategory="CREDITNOTE", resourceId="n2", data={"Type": "ACCPAYCREDIT", "Status": "DRAFT"}),
        _event(eventCategory="SUBSCRIPTION", resourceId="s1"),
        _event(tenantId="another", resourceId="i2"),
    )
    hints = SOURCE.hints(hook)
    assert [(hint.object.type, hint.object.id) for hint in hints] == [
        ("invoice", "i1"),
        ("contact", "c1"),
        ("credit_note", "n1"),
    ]
    assert hints[0].hinted_at == datetime(2026, 5, 4, 1, 15, 39, 902_000, tzinfo=UTC)
    assert SOURCE.to_events(hook) == []
    assert XeroSource.accounts(hook) == {TENANT, "another"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"events": 1}', b"\xff", b'{"firstEventSequence":0}'])
def test_what_is_no_delivery_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        SOURCE.hints(_hook(body))


def test_an_unreadable_time_is_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        SOURCE.hints(_delivery(_event(eventDateUtc="yesterday")))


# ----------------------------------------------------------------------------------------------------- samples


def _sample(shared: Path, name: str) -> Any:
    return json.loads((shared / "samples" / "xero" / name).read_text(encoding="utf-8"), parse_float=Decimal)


def _expected(shared: Path) -> dict[str, Any]:
    index = json.loads((shared / "samples" / "xero" / "index.json").read_text(encoding="utf-8"))
    return {entry["file"]: entry["expect"] for entry in index}


def _invoice(event: ChangeEvent) -> Invoice:
    assert isinstance(event.facts, Invoice)
    return event.facts


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
    shown = {"invoice_id": event.object.id, **_as_expected(_invoice(event))}
    assert {name: shown[name] for name in expect} == expect
    assert event.anchors == (Anchor("number", ObjectRef("", "", "number", "Test invoice")),)


def test_a_mixed_list_parses_to_its_expect_without_the_bill(shared: Path) -> None:
    expect = _expected(shared)["invoice_list_mixed.json"]["records"]
    events = SOURCE.parse("invoice", _sample(shared, "invoice_list_mixed.json"))
    found = [_as_expected(_invoice(event)) for event in events]
    assert [{name: row[name] for name in wanted} for row, wanted in zip(found, expect, strict=True)] == expect


def test_a_created_payment_parses_to_its_expect_with_the_invoice_inside(shared: Path) -> None:
    expect = _expected(shared)["payment_create_response.json"]
    record = _sample(shared, "payment_create_response.json")
    payment, invoice = SOURCE.parse("payment", record)
    assert isinstance(payment.facts, Payment)
    shown = _as_expected(_invoice(invoice))
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
    hook = _hook(_bytes(shared, "webhook_creditnote_create.json"))
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
    hook = _hook(_bytes(shared, "webhook_intent_to_receive.json"))
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


# ------------------------------------------------------------------------------------------------------- facts

PAYMENT = Payment(amount=Decimal(5), currency="EUR", date=date(2026, 5, 1))
INVOICE = Invoice(
    currency="EUR",
    payable_amount=Decimal(12),
    lines=(
        Line(name="Mug", unit_price=Decimal(10), net_amount=Decimal(10), tax_amount=Decimal(2), tax_rate=Decimal(20)),
    ),
    issue_date=date(2026, 5, 1),
)


@pytest.mark.parametrize(
    ("status", "paid", "credited", "due", "word"),
    [
        ("DRAFT", 0, 0, 100, "draft"),
        ("SUBMITTED", 0, 0, 100, "draft"),
        ("AUTHORISED", 0, 0, 100, "invoiced"),
        ("AUTHORISED", 40, 0, 60, "partially_paid"),
        ("AUTHORISED", 0, 40, 60, "partially_paid"),
        ("AUTHORISED", 100, 0, 0, "paid"),
        ("PAID", 100, 0, 0, "paid"),
        ("PAID", 40, 60, 0, "paid"),
        ("PAID", 0, 100, 0, "refunded"),
        ("VOIDED", 0, 0, 0, "void"),
        ("DELETED", 0, 0, 0, "cancelled"),
        ("ARCHIVED", 0, 0, 0, "on_hold"),
    ],
)
def test_the_status_follows_from_word_and_money(status: str, paid: int, credited: int, due: int, word: str) -> None:
    record = {"Type": "ACCREC", "InvoiceID": "i1", "Status": status, "CurrencyCode": "EUR", "Total": 100}
    amounts = {"AmountPaid": paid, "AmountCredited": credited, "AmountDue": due}
    (event,) = SOURCE.parse("invoice", {**record, **amounts})
    assert (_invoice(event).status, _invoice(event).stage) == (word, status)


def test_an_invoice_that_costs_nothing_is_paid_not_refunded() -> None:
    record = {"Type": "ACCREC", "InvoiceID": "i1", "Status": "PAID", "CurrencyCode": "EUR", "Total": 0, "AmountPaid": 0}
    assert _invoice(SOURCE.parse("invoice", {**record, "AmountCredited": 0})[0]).status == "paid"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("/Date(1776988800000+0000)/", datetime(2026, 4, 24, tzinfo=UTC)),
        ("/Date(1776988800000)/", datetime(2026, 4, 24, tzinfo=UTC)),
        ("/Date(-86400000)/", datetime(1969, 12, 31, tzinfo=UTC)),
        ("2026-04-24T00:00:00", datetime(2026, 4, 24, tzinfo=UTC)),
        ("2026-04-24T02:00:00+02:00", datetime(2026, 4, 24, tzinfo=UTC)),
        ("", None),
    ],
)
def test_dates_come_in_several_forms(text: str, moment: datetime | None) -> None:
    assert facts.instant(text) == moment
    assert facts.day(text) == (moment.date() if moment else None)


@pytest.mark.parametrize("text", ["/Date(99999999999999999999)/", "soon"])
def test_an_impossible_date_is_a_decode_error(text: str) -> None:
    with pytest.raises(DecodeError):
        SOURCE.parse("invoice", {"Type": "ACCREC", "InvoiceID": "i1", "Date": text, "CurrencyCode": "EUR"})


@pytest.mark.parametrize(
    "record", [[1], "x", {"Invoices": [1]}, {"Invoices": [{"Type": "ACCREC"}]}, {"InvoiceID": "1", "Total": "x"}]
)
def test_a_record_of_another_shape_is_a_decode_error(record: Any) -> None:
    with pytest.raises(DecodeError):
        SOURCE.parse("invoice", record)


def test_an_unknown_or_empty_record_gives_nothing() -> None:
    assert SOURCE.parse("invoice", {}) == []
    assert SOURCE.parse("invoice", [{"QuoteID": "q1"}]) == []


def test_the_buying_side_is_ignored_everywhere() -> None:
    assert SOURCE.parse("payment", {"PaymentID": "p1", "PaymentType": "ACCPAYPAYMENT", "Amount": 1}) == []
    assert SOURCE.parse("payment", {"PaymentID": "p1", "PaymentType": "APCREDITPAYMENT", "Amount": 1}) == []
    assert SOURCE.parse("credit", {"CreditNoteID": "n1", "Type": "ACCPAYCREDIT"}) == []
    assert SOURCE.parse("payment", {"OverpaymentID": "o1", "Type": "SPEND-OVERPAYMENT"}) == []
    bill = {"Type": "ACCPAY", "InvoiceID": "i1", "Payments": [{"PaymentID": "p1", "Amount": 1}]}
    requests, events = answer(SOURCE.read(_hint("invoice", "i1")), _reply({"Invoices": [bill]}))
    assert (len(requests), events) == (1, [])


def test_a_refund_a_prepayment_and_a_merged_contact_are_told_apart() -> None:
    refund = {
        "PaymentID": "p1",
        "PaymentType": "ARCREDITPAYMENT",
        "Amount": 5,
        "CreditNote": {"CreditNoteID": "n1", "CurrencyCode": "EUR"},
    }
    (event,) = SOURCE.parse("payment", refund)
    assert event.object.type == "refund"
    assert isinstance(event.facts, Credit)
    assert (event.facts.document, event.facts.allocations[0].type) == ("refund", "credit_note")
    advance = {
        "PrepaymentID": "a1",
        "Type": "RECEIVE-PREPAYMENT",
        "Total": 9,
        "RemainingCredit": 4,
        "CurrencyCode": "EUR",
        "Status": "VOIDED",
    }
    used = {"Amount": 5, "Invoice": {"InvoiceID": "i1"}}
    (event,) = SOURCE.parse("payment", {**advance, "Allocations": [used, {**used, "IsDeleted": True}]})
    assert isinstance(event.facts, Payment)
    assert (event.facts.status, event.facts.unapplied_amount, len(event.anchors)) == ("reversed", 4, 1)
    (event,) = SOURCE.parse(
        "customer", {"ContactID": "c1", "Name": "Ada", "ContactStatus": "ARCHIVED", "MergedToContactID": "c2"}
    )
    assert isinstance(event.facts, Customer)
    assert (event.facts.status, event.facts.merged_into) == ("merged", "c2")


def test_null_fields_are_as_good_as_missing_ones() -> None:
    record = {
        "Type": "ACCREC",
        "InvoiceID": "i1",
        "Status": "DRAFT",
        "CurrencyCode": "EUR",
        "Reference": None,
        "DueDate": None,
    }
    shown = _invoice(SOURCE.parse("invoice", {"Invoices": [{**record, "Contact": None}]})[0])
    assert (shown.reference, shown.due_date, shown.customer) == ("", None, None)


def test_a_line_with_tax_inside_shows_its_net_amount() -> None:
    line = {"Description": "Mug", "Quantity": 1, "UnitAmount": 12, "LineAmount": 12, "TaxAmount": 2}
    record = {
        "Type": "ACCREC",
        "InvoiceID": "i1",
        "CurrencyCode": "EUR",
        "LineAmountTypes": "Inclusive",
        "LineItems": [line],
    }
    shown = _invoice(SOURCE.parse("invoice", record)[0])
    assert (shown.lines[0].net_amount, shown.lines[0].tax_amount, shown.prices_include_tax) == (10, 2, True)


@given(st.text(max_size=400), st.text(alphabet=st.characters(codec="ascii", exclude_characters="[]\n"), max_size=80))
def test_a_reference_is_read_back_as_it_was_written_and_never_loses_the_mark(free: str, order: str) -> None:
    written = str(facts.Reference(free, order, MARK))
    read = facts.read_reference(written)
    assert len(written) <= 255
    assert read.mark == MARK


@given(st.text(alphabet=st.characters(codec="ascii", min_codepoint=33, exclude_characters="[]"), max_size=60))
def test_a_usual_reference_is_read_back_in_its_parts(free: str) -> None:
    assert facts.read_reference(str(facts.Reference(free, "SO-1", MARK))) == facts.Reference(free, "SO-1", MARK)
    assert facts.read_reference(str(facts.Reference(free, "", MARK))) == facts.Reference(free, "", MARK)


def test_what_people_typed_stays_theirs() -> None:
    assert facts.read_reference(" P/O 9711 [x] ") == facts.Reference("P/O 9711 [x]")
    typed = facts.read_reference(f"PO 8 urgent [SO-1] {MARK} see mail")
    assert typed.mark == MARK


def test_a_history_note_of_a_parcel_reads_back_and_other_notes_do_not() -> None:
    for parcel in (Shipment(), Shipment(carrier="UPS"), Shipment(status="delivered", tracking_numbers=("1", "2"))):
        assert facts.read_shipment(facts.shipment_text(parcel, MARK)) == parcel
    assert facts.read_shipment("Shipped by hand") is None
    assert facts.read_shipment(f"Shipment eaten {MARK}") is None


# ------------------------------------------------------------------------------------------------------ bodies


money = st.integers(min_value=-10_000, max_value=100_000).map(lambda cents: Decimal(cents).scaleb(-2))


@given(st.lists(st.tuples(st.integers(1, 50), st.decimals(0, 500, places=3), money, money), min_size=1, max_size=5))
def test_whatever_the_lines_are_xero_adds_them_up_to_the_orders_total(
    rows: list[tuple[int, Decimal, Decimal, Decimal]],
) -> None:
    lines = tuple(
        Line(name="x", quantity=Decimal(quantity), unit_price=price, net_amount=net, tax_amount=tax)
        for quantity, price, net, tax in rows
    )
    total = sum((line.net_amount + line.tax_amount for line in lines), ZERO)
    items = bodies.lines(Invoice(currency="EUR", payable_amount=total, lines=lines), CONNECTION)
    there = [(item["Quantity"] * item["UnitAmount"]).quantize(Decimal("0.01"), "ROUND_HALF_UP") for item in items]
    assert sum(there, ZERO) + sum((item["TaxAmount"] for item in items), ZERO) == total


def test_a_price_that_does_not_multiply_out_is_sent_as_one_piece() -> None:
    odd = Line(name="Mug", quantity=Decimal(3), unit_price=Decimal("2.93"), net_amount=Decimal("8.78"))
    item = bodies.line_item(odd, CONNECTION)
    assert (item["Quantity"], item["UnitAmount"], item["Description"]) == (1, Decimal("8.78"), "Mug (3 x 2.93)")
    even = Line(name="Mug", quantity=Decimal(3), unit_price=Decimal("2.9333"), net_amount=Decimal("8.80"))
    item = bodies.line_item(even, CONNECTION)
    assert (item["Quantity"], item["UnitAmount"]) == (3, Decimal("2.9333"))


def test_lines_that_do_not_add_up_or_have_three_decimals_never_leave() -> None:
    with pytest.raises(RejectedError, match="add up to 12"):
        bodies.lines(msgspec.structs.replace(INVOICE, payable_amount=Decimal(13)), CONNECTION)
    with pytest.raises(RejectedError, match="two decimals"):
        bodies.line_item(Line(net_amount=Decimal("1.005")), CONNECTION)


def test_tax_codes_and_accounts_come_from_the_connection() -> None:
    mapped = msgspec.structs.replace(
        CONNECTION, taxes={"20": "OUTPUT2", "0": "ZERO"}, accounts={"sales": "4000", "rounding": "860"}
    )
    assert bodies.line_item(INVOICE.lines[0], mapped)["TaxType"] == "OUTPUT2"
    assert "TaxType" not in bodies.line_item(INVOICE.lines[0], CONNECTION)
    untold = msgspec.structs.replace(INVOICE.lines[0], tax_rate=None)
    assert bodies.line_item(untold, mapped)["TaxType"] == "OUTPUT2", "the tax tells the rate"
    unknown = msgspec.structs.replace(untold, tax_amount=Decimal("0.13"))
    assert "TaxType" not in bodies.line_item(unknown, mapped), "no rate is not the rate zero"
    either = msgspec.structs.replace(mapped, taxes={**mapped.taxes, "19.99": "A", "x": "B"})
    tiny = msgspec.structs.replace(untold, net_amount=Decimal("0.05"), tax_amount=Decimal("0.01"))
    assert "TaxType" not in bodies.line_item(tiny, either), "two rates give the same cent"
    free = Line(kind="rounding", net_amount=Decimal("0.01"))
    assert (bodies.line_item(free, mapped)["TaxType"], bodies.line_item(free, mapped)["AccountCode"]) == ("ZERO", "860")
    assert (bodies.line_item(free, CONNECTION)["TaxType"], bodies.line_item(free, CONNECTION)["AccountCode"]) == (
        "NONE",
        "200",
    )
    assert bodies.line_item(Line(kind="shipping"), mapped)["AccountCode"] == "4000"
    assert bodies.account(CONNECTION, "payments") == "090"


def test_an_invoice_is_approved_unsent_and_due_no_earlier_than_issued() -> None:
    body = bodies.invoice(msgspec.structs.replace(INVOICE, due_date=date(2026, 4, 1)), "c1", MARK, CONNECTION)
    assert (body["Status"], body["SentToContact"], body["DueDate"]) == ("AUTHORISED", False, "2026-05-01")
    assert "InvoiceNumber" not in body


def test_a_payment_is_booked_on_the_companys_day() -> None:
    sydney = msgspec.structs.replace(CONNECTION, time_zone="Australia/Sydney")
    late = Payment(amount=Decimal(1), currency="EUR", paid_at=datetime(2026, 4, 30, 23, 0, tzinfo=UTC))
    assert bodies.paid_on(late, sydney) == date(2026, 5, 1)
    assert bodies.paid_on(late, CONNECTION) == date(2026, 4, 30)


def test_a_second_object_of_one_write_has_a_mark_of_its_own() -> None:
    assert beside(MARK) != MARK
    assert beside(MARK)[:38] == MARK[:38]
    assert facts.read_reference(beside(MARK)).mark == beside(MARK)
    assert beside("typed") == "typed"


def test_filter_texts_cannot_break_out() -> None:
    assert quoted('a" OR "1\\\n') == '"a\\" OR \\"1\\\\"'


# --------------------------------------------------------------------------------------------------- refusals


def _reply(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status=status, headers=headers, body=json.dumps(body).encode())


def _invalid(*texts: str) -> dict[str, Any]:
    errors = [{"Message": text} for text in texts]
    return {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": [{"ValidationErrors": errors}],
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Invoice # must be unique.", DuplicateError),
        ("The contact name Ada is already assigned to another contact.", DuplicateError),
        ("Invoice not of valid status for modification", ConflictError),
        ("This document cannot be edited as it has a payment or credit note allocated to it.", ConflictError),
        ("The document date cannot be before the period lock date.", RejectedError),
        ("Organisation is not subscribed to currency XYZ", RejectedError),
        ("Something nobody has seen", RejectedError),
    ],
)
def test_texts_are_the_discriminator(text: str, kind: type[Exception]) -> None:
    for shown in (text, text.upper()):
        assert type(SINK.classify(_reply(_invalid(shown), 400), mutating=True)) is kind


def test_names_and_addresses_are_never_quoted() -> None:
    for text in (
        "Mail to ada@example.com bounced",
        "The contact name Ada Lovelace is already assigned to another contact.",
    ):
        error = SINK.classify(_reply(_invalid(text), 400), mutating=True)
        assert "Ada" not in str(error)
        assert "@" not in str(error)


def test_a_limit_is_obeyed_to_the_second() -> None:
    error = SINK.classify(
        Response(status=429, headers={"retry-after": "66975", "x-rate-limit-problem": "day"}), mutating=True
    )
    assert isinstance(error, RateLimited)
    assert error.retry_after == 66975
    assert "day" in str(error)


def test_what_may_have_happened_is_uncertain_only_for_writes() -> None:
    for reply in (_reply({"Title": "offline"}, 503), Response(status=200, body=b"<html>Just a moment...</html>")):
        assert isinstance(SINK.classify(reply, mutating=True), UncertainError)
        assert isinstance(SINK.classify(reply, mutating=False), RetryableError)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"Title": "Unauthorized"}, AuthError),
        (403, {"Title": "Forbidden"}, AuthError),
        (400, {"error": "invalid_grant"}, AuthError),
        (
            400,
            {"ErrorNumber": 17, "Type": "NoDataProcessedException", "Message": "No data has been processed"},
            RejectedError,
        ),
        (404, "gone", RejectedError),
    ],
)
def test_other_refusals_say_what_to_do_next(status: int, body: Any, kind: type[Exception]) -> None:
    assert isinstance(SINK.classify(_reply(body, status), mutating=True), kind)


def test_a_mixed_batch_is_a_success_and_a_warning_is_no_error() -> None:
    bad = {"StatusAttributeString": "ERROR", "HasErrors": True, "ValidationErrors": [{"Message": "x"}]}
    assert SINK.classify(_reply({"Invoices": [{"StatusAttributeString": "OK"}, bad]}), mutating=True) is None
    assert isinstance(SINK.classify(_reply({"Invoices": [bad]}), mutating=True), RejectedError)
    assert isinstance(
        SINK.classify(_reply({"Invoices": [{"StatusAttributeString": "ERROR"}]}), mutating=True), RejectedError
    )
    warned = {
        "Payments": [{"PaymentID": "p1", "Warnings": [{"Message": "The payment date is prior to the invoice date."}]}]
    }
    assert SINK.classify(_reply(warned), mutating=True) is None
    assert SINK.classify(Response(status=204), mutating=True) is None


# ---------------------------------------------------------------------------------------------- conversations


def _hint(type_: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("books", TENANT, type_, id_))


def test_what_is_gone_is_an_event_and_what_is_refused_an_error() -> None:
    _, events = answer(SOURCE.read(_hint("invoice", "i1")), Response(status=404))
    assert [(event.presence, event.facts) for event in events] == [("deleted", None)]
    for reply, kind in (
        (Response(status=403), AuthError),
        (Response(status=200, body=b"<"), DecodeError),
        (_reply({"Invoices": 1}), DecodeError),
    ):
        with pytest.raises(kind):
            answer(SOURCE.read(_hint("invoice", "i1")), reply)


def test_a_pass_moves_the_cursor_to_xeros_own_time_not_ours() -> None:
    talk = SOURCE.sweep("invoices", "", NOW)
    requests, page = answer(talk, _reply({"DateTimeUTC": "/Date(1776988800000)/", "Invoices": []}))
    assert "If-Modified-Since" not in requests[0].headers
    assert (page.more, page.complete_up_to) == (False, datetime(2026, 4, 24, tzinfo=UTC))
    requests, _ = answer(SOURCE.sweep("invoices", page.cursor, NOW), _reply({"Invoices": []}))
    assert requests[0].headers["If-Modified-Since"] == "2026-04-23T23:55:00Z"
    assert dict(requests[0].params)["order"] == "UpdatedDateUTC ASC"


def test_a_new_connection_begins_where_its_option_says() -> None:
    source = XeroSource(msgspec.structs.replace(CONNECTION, options={"since": "2026-01-01"}))
    requests, _ = answer(source.sweep("payments", "", NOW), _reply({"Payments": []}))
    assert requests[0].headers["If-Modified-Since"] == "2025-12-31T23:55:00Z"


def test_rows_of_one_second_are_paged_and_later_ones_are_asked_by_time() -> None:
    row = {"Type": "ACCREC", "CurrencyCode": "EUR", "UpdatedDateUTC": "/Date(1776988800500+0000)/"}
    full = [{**row, "InvoiceID": f"i{n}"} for n in range(500)]
    stand = {"page": 1, "pageSize": 500, "pageCount": 3, "itemCount": 1250}
    _, page = answer(SOURCE.sweep("invoices", "", NOW), _reply({"Invoices": full, "pagination": stand}))
    requests, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), _reply({"Invoices": full, "pagination": stand}))
    assert (requests[0].headers["If-Modified-Since"], requests[0].params["page"]) == ("2026-04-24T00:00:00Z", "1")
    requests, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), _reply({"Invoices": full[:9]}))
    assert (requests[0].headers["If-Modified-Since"], requests[0].params["page"]) == ("2026-04-24T00:00:00Z", "2")
    assert page.more, "a row that changed meanwhile may have let another slide to a page that was read"
    _, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), _reply({"Invoices": full, "pagination": stand}))
    _, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), _reply({"Invoices": full[:9]}))
    assert not page.more


def test_every_write_names_its_company_its_step_and_its_key() -> None:
    command = Command(
        id="b" * 32, kind="create", tenant="acme", connection="books", account=TENANT, capability="upsert_invoice",
        order="a" * 32, entity="e", write="w", canonical="c", mark=MARK,
        facts=msgspec.structs.replace(INVOICE, customer=Party(name="Ada", email="ada@example.com")),
    )  # fmt: skip
    made = {
        "Type": "ACCREC",
        "InvoiceID": "i1",
        "Status": "AUTHORISED",
        "CurrencyCode": "EUR",
        "Reference": MARK,
        "Total": 12,
    }
    replies = (_reply({"Contacts": []}), _reply({"Contacts": [{"ContactID": "c1"}]}), _reply({"Invoices": [made]}))
    requests, written = answer(SINK.write(command), *replies)
    assert [(request.method, request.path, request.mutates) for request in requests] == [
        ("GET", "/Contacts", False), ("PUT", "/Contacts", True), ("PUT", "/Invoices", True),
    ]  # fmt: skip
    assert all(request.headers["xero-tenant-id"] == TENANT for request in requests)
    assert all(request.key_in == "header:Idempotency-Key" for request in requests if request.mutates)
    assert len({request.step for request in requests if request.mutates}) == 2
    assert requests[1].lock == "customer:ada@example.com"
    assert (written.id, written.mark) == ("i1", MARK)


def test_facts_of_another_kind_and_missing_parents_are_refused_at_once() -> None:
    base = Command(
        id="b" * 32, kind="append", tenant="acme", connection="books", account=TENANT, capability="record_payment",
        order="a" * 32, entity="e", write="w", canonical="c", mark=MARK, facts=INVOICE,
    )  # fmt: skip
    for command in (
        base,
        msgspec.structs.replace(base, facts=PAYMENT),
        msgspec.structs.replace(base, capability="add_note"),
    ):
        with pytest.raises(RejectedError):
            answer(SINK.write(command))
