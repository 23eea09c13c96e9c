"""Xero's words as facts, and conversations answered by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import AuthError, DecodeError, RejectedError
from app.core.talk import Response
from schemas.commands import Command
from schemas.events import Hint
from schemas.facts import Credit, Customer, Party, Payment, Shipment
from schemas.platforms.xero import facts
from schemas.refs import ObjectRef
from streams.sources.platforms.xero import XeroSource
from tests.platforms.conversation import answer
from tests.platforms.xero.company import TENANT
from tests.platforms.xero.plain import (
    CONNECTION,
    INVOICE,
    MARK,
    NOW,
    PAYMENT,
    SINK,
    SOURCE,
    invoice_of,
    reply_of,
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
    assert (invoice_of(event).status, invoice_of(event).stage) == (word, status)


def test_an_invoice_that_costs_nothing_is_paid_not_refunded() -> None:
    record = {"Type": "ACCREC", "InvoiceID": "i1", "Status": "PAID", "CurrencyCode": "EUR", "Total": 0, "AmountPaid": 0}
    assert invoice_of(SOURCE.parse("invoice", {**record, "AmountCredited": 0})[0]).status == "paid"


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
    assert SOURCE.parse("invoice", [{"BudgetID": "q1"}]) == []


def test_the_buying_side_is_ignored_everywhere() -> None:
    assert SOURCE.parse("payment", {"PaymentID": "p1", "PaymentType": "ACCPAYPAYMENT", "Amount": 1}) == []
    assert SOURCE.parse("payment", {"PaymentID": "p1", "PaymentType": "APCREDITPAYMENT", "Amount": 1}) == []
    assert SOURCE.parse("credit", {"CreditNoteID": "n1", "Type": "ACCPAYCREDIT"}) == []
    assert SOURCE.parse("payment", {"OverpaymentID": "o1", "Type": "SPEND-OVERPAYMENT"}) == []
    bill = {"Type": "ACCPAY", "InvoiceID": "i1", "Payments": [{"PaymentID": "p1", "Amount": 1}]}
    requests, events = answer(SOURCE.read(_hint("invoice", "i1")), reply_of({"Invoices": [bill]}))
    assert (len(requests), events) == (1, [])


def test_what_a_rate_gained_or_lost_is_no_money_of_the_buyer() -> None:
    """Of 100 USD the bank got other euros than were billed: Xero books the difference by itself."""
    head = {"Type": "ACCREC", "InvoiceID": "i1", "CurrencyCode": "USD"}
    paid = {"PaymentID": "p1", "PaymentType": "ACCRECPAYMENT", "Amount": 100, "Status": "AUTHORISED", "Invoice": head}
    for rate, bank in ((1.08, 92.59), (1.1, 90.91)):
        (event,) = SOURCE.parse("payment", {**paid, "CurrencyRate": rate, "BankAmount": bank})
        assert isinstance(event.facts, Payment)
        assert (event.facts.amount, event.facts.currency, event.facts.status) == (100, "USD", "succeeded")
        assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [("i1", "100")]


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
    shown = invoice_of(SOURCE.parse("invoice", {"Invoices": [{**record, "Contact": None}]})[0])
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
    shown = invoice_of(SOURCE.parse("invoice", record)[0])
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


# ---------------------------------------------------------------------------------------------- conversations


def _hint(type_: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("books", TENANT, type_, id_))


def test_what_is_gone_is_an_event_and_what_is_refused_an_error() -> None:
    for hint in (_hint("invoice", "i1"), _hint("history", f"i1:{MARK}")):
        _, events = answer(SOURCE.read(hint), Response(status=404))
        assert [(event.object, event.presence, event.facts) for event in events] == [(hint.object, "deleted", None)]
    for reply, kind in (
        (Response(status=403), AuthError),
        (Response(status=200, body=b"<"), DecodeError),
        (reply_of({"Invoices": 1}), DecodeError),
    ):
        with pytest.raises(kind):
            answer(SOURCE.read(_hint("invoice", "i1")), reply)


def test_a_pass_moves_the_cursor_to_xeros_own_time_not_ours() -> None:
    talk = SOURCE.sweep("invoices", "", NOW)
    requests, page = answer(talk, reply_of({"DateTimeUTC": "/Date(1776988800000)/", "Invoices": []}))
    assert "If-Modified-Since" not in requests[0].headers
    assert (page.more, page.complete_up_to) == (False, datetime(2026, 4, 24, tzinfo=UTC))
    requests, _ = answer(SOURCE.sweep("invoices", page.cursor, NOW), reply_of({"Invoices": []}))
    assert requests[0].headers["If-Modified-Since"] == "2026-04-23T23:55:00Z"
    assert dict(requests[0].params)["order"] == "UpdatedDateUTC ASC"


def test_a_new_connection_begins_where_its_option_says() -> None:
    source = XeroSource(msgspec.structs.replace(CONNECTION, options={"since": "2026-01-01"}))
    requests, _ = answer(source.sweep("payments", "", NOW), reply_of({"Payments": []}))
    assert requests[0].headers["If-Modified-Since"] == "2025-12-31T23:55:00Z"


def test_rows_of_one_second_are_paged_and_later_ones_are_asked_by_time() -> None:
    row = {"Type": "ACCREC", "CurrencyCode": "EUR", "UpdatedDateUTC": "/Date(1776988800500+0000)/"}
    full = [{**row, "InvoiceID": f"i{n}"} for n in range(500)]
    stand = {"page": 1, "pageSize": 500, "pageCount": 3, "itemCount": 1250}
    _, page = answer(SOURCE.sweep("invoices", "", NOW), reply_of({"Invoices": full, "pagination": stand}))
    requests, page = answer(
        SOURCE.sweep("invoices", page.cursor, NOW), reply_of({"Invoices": full, "pagination": stand})
    )
    assert (requests[0].headers["If-Modified-Since"], requests[0].params["page"]) == ("2026-04-24T00:00:00Z", "1")
    requests, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), reply_of({"Invoices": full[:9]}))
    assert (requests[0].headers["If-Modified-Since"], requests[0].params["page"]) == ("2026-04-24T00:00:00Z", "2")
    assert page.more, "a row that changed meanwhile may have let another slide to a page that was read"
    _, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), reply_of({"Invoices": full, "pagination": stand}))
    _, page = answer(SOURCE.sweep("invoices", page.cursor, NOW), reply_of({"Invoices": full[:9]}))
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
    replies = (
        reply_of({"Contacts": []}),
        reply_of({"Contacts": [{"ContactID": "c1"}]}),
        reply_of({"Invoices": [made]}),
    )
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
