"""Records, reads and sweeps of QuickBooks Online, answered by hand."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import AuthError, DecodeError, RateLimited
from app.core.talk import Response
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Credit, Invoice, Order, Payment
from schemas.platforms.quickbooks_online import SWEPT
from streams.sources.platforms.quickbooks_online import SOURCE
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.plain import NOW, SOURCE_OF, fault, ref, reply

MARK = "o2c1:" + "a" * 32 + ":" + "b" * 12


def hint(type_: str, id_: str, **more: Any) -> Hint:
    return Hint(tenant="acme", object=ref(type_, id_), **more)


def invoice(**fields: Any) -> dict[str, Any]:
    line = {
        "Id": "1", "Amount": 100, "DetailType": "SalesItemLineDetail", "Description": "thing",
        "SalesItemLineDetail": {"ItemRef": {"value": "3", "name": "A-1"}, "Qty": 2, "UnitPrice": 50, "TaxCodeRef": {"value": "TAX"}},
    }  # fmt: skip
    return {
        "Id": "130", "SyncToken": "3", "MetaData": {"LastUpdatedTime": "2026-05-05T03:13:29-07:00"}, "DocNumber": "1037",
        "TxnDate": "2026-05-01", "DueDate": "2026-05-31", "CurrencyRef": {"value": "EUR"}, "TotalAmt": 119, "Balance": 119,
        "Line": [line, {"Amount": 100, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}],
        "TxnTaxDetail": {"TotalTax": 19}, "CustomerRef": {"value": "7", "name": "Ada"}, "CustomerMemo": {"value": "thanks"},
        "BillEmail": {"Address": "ada@example.com"}, **fields,
    }  # fmt: skip


def one(type_: str, record: Any) -> ChangeEvent:
    (event,) = SOURCE_OF.parse(type_, record)
    return event


# ---------------------------------------------------------------------------------------------------- records


def test_an_invoice_becomes_facts_without_floats() -> None:
    event = one("invoice", json.loads(json.dumps(invoice(TotalAmt=119.1, Balance=19.1)), parse_float=Decimal))
    facts = event.facts
    assert isinstance(facts, Invoice)
    assert (facts.payable_amount, facts.paid_amount, facts.amount_due) == (
        Decimal("119.10"),
        Decimal("100.00"),
        Decimal("19.10"),
    )
    assert (facts.status, facts.note, facts.currency, facts.due_date) == (
        "partially_paid",
        "thanks",
        "EUR",
        date(2026, 5, 31),
    )
    (line,) = facts.lines
    assert (line.sku, line.quantity, line.net_amount, line.tax_amount) == ("A-1", 2, 100, 19)
    assert event.version.native == 3


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "invoiced"),
        ({"Balance": 19}, "partially_paid"),
        ({"Balance": 0, "LinkedTxn": [{"TxnId": "1", "TxnType": "Payment"}]}, "paid"),
        ({"Balance": 0, "LinkedTxn": [{"TxnId": "1", "TxnType": "CreditMemo"}]}, "refunded"),
        ({"Balance": 0, "TotalAmt": 0, "PrivateNote": f"Voided - {MARK}"}, "void"),
        ({"Balance": 0, "TotalAmt": 0}, "paid"),
    ],
)
def test_status_is_derived_from_evidence(fields: dict[str, Any], status: str) -> None:
    facts = one("invoice", invoice(**fields)).facts
    assert isinstance(facts, Invoice)
    assert facts.status == status


def test_a_voided_invoice_keeps_its_mark() -> None:
    assert one("invoice", invoice(TotalAmt=0, Balance=0, PrivateNote=f"Voided - {MARK}\nOrder 1001")).mirror_of == MARK


def test_a_typed_reference_is_an_anchor_unless_the_document_is_ours() -> None:
    field = [{"DefinitionId": "1", "Name": "P.O. Number", "Type": "StringType", "StringValue": "1001"}]
    (anchor,) = one("invoice", invoice(CustomField=field)).anchors
    assert (anchor.kind, anchor.ref.id) == ("number", "1001")
    assert one("invoice", invoice(CustomField=field, PrivateNote=MARK)).anchors == ()


def test_a_payment_shares_itself_among_its_invoices() -> None:
    lines = [
        {"Amount": amount, "LinkedTxn": [{"TxnId": id_, "TxnType": "Invoice"}]}
        for id_, amount in (("1", 30), ("2", 20.5))
    ]
    event = one(
        "payment",
        {
            "Id": "9",
            "SyncToken": "0",
            "TotalAmt": 60,
            "UnappliedAmt": 9.5,
            "CurrencyRef": {"value": "USD"},
            "Line": lines,
        },
    )
    assert isinstance(event.facts, Payment)
    assert event.facts.unapplied_amount == Decimal("9.5")
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [("1", "30.00"), ("2", "20.50")]


def test_a_credit_inside_a_payment_is_no_money() -> None:
    links = [("Invoice", "1", 70), ("CreditMemo", "5", 20)]
    lines = [{"Amount": amount, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]} for kind, id_, amount in links]
    (anchor,) = one("payment", {"Id": "9", "TotalAmt": 50, "Line": lines}).anchors
    assert (anchor.ref.id, anchor.share) == ("1", "50.00")


def test_a_payment_of_nothing_is_no_payment_and_a_voided_one_is_reversed() -> None:
    lines = [
        {"Amount": 20, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]}
        for kind, id_ in (("Invoice", "1"), ("CreditMemo", "5"))
    ]
    assert SOURCE_OF.parse("payment", {"Id": "9", "TotalAmt": 0, "Line": lines}) == []
    facts = one("payment", {"Id": "9", "TotalAmt": 0, "PrivateNote": f"Voided - {MARK}"}).facts
    assert isinstance(facts, Payment)
    assert facts.status == "reversed"


def test_a_long_reference_is_read_from_the_note() -> None:
    whole = "pi_3MtwBwLkdIwHu7ix28a3tqPa"
    record = {"Id": "9", "TotalAmt": 5, "PaymentRefNum": whole[:21], "PrivateNote": f"{MARK}\nref: {whole}"}
    facts = one("payment", record).facts
    assert isinstance(facts, Payment)
    assert facts.reference == whole
    retyped = one("payment", {**record, "PaymentRefNum": "cheque 12"}).facts
    assert isinstance(retyped, Payment)
    assert retyped.reference == "cheque 12"


def test_receipts_refunds_and_estimates_are_told_apart() -> None:
    receipt = one("invoice", {"SalesReceipt": invoice(Balance=0)}).facts
    assert isinstance(receipt, Invoice)
    assert (receipt.document, receipt.status, receipt.amount_due) == ("sales_receipt", "paid", 0)
    refund = one("credit", {"RefundReceipt": invoice(PaymentRefNum="re_1")}).facts
    assert isinstance(refund, Credit)
    assert (refund.document, refund.amount, refund.reference) == ("refund", 119, "re_1")
    estimate = one("order", invoice(TxnStatus="Closed")).facts
    assert isinstance(estimate, Order)
    assert (estimate.status, estimate.headline) == ("open", "invoiced")


def test_deleted_rows_of_change_data_capture_are_events() -> None:
    row = {
        "domain": "QBO",
        "status": "Deleted",
        "Id": "31",
        "MetaData": {"LastUpdatedTime": "2026-05-05T03:13:29-07:00"},
    }
    event = one("", {"CDCResponse": [{"QueryResponse": [{"Invoice": [row]}, {}]}]})
    assert (event.presence, event.facts, event.object) == ("deleted", None, ref("Invoice", "31"))


def test_a_misshapen_record_is_a_decode_error() -> None:
    for wrong in ({"TotalAmt": "x"}, {"SyncToken": "x"}, {"TxnDate": "yesterday"}, {"Line": 5}):
        with pytest.raises(DecodeError):
            SOURCE_OF.parse("invoice", invoice(**wrong))
    assert SOURCE_OF.parse("invoice", {"Invoice": invoice(BillEmail=None)})


# ------------------------------------------------------------------------------------------- reads and sweeps


def test_read_asks_by_id_and_a_gone_record_is_deleted() -> None:
    (request,), (event,) = answer(SOURCE_OF.read(hint("Invoice", "130")), reply({"Invoice": invoice(), "time": "x"}))
    assert (request.path, request.params) == ("/v3/company/310687/invoice/130", {"minorversion": "75"})
    assert event.origin == "read"
    _, (gone,) = answer(SOURCE_OF.read(hint("Invoice", "130")), fault("610"))
    assert gone.presence == "deleted"


def test_what_is_no_facet_is_not_read() -> None:
    assert answer(SOURCE_OF.read(hint("Account", "1"))) == ([], [])


def test_lost_permission_is_no_delete() -> None:
    with pytest.raises(AuthError):
        answer(SOURCE_OF.read(hint("Invoice", "130")), fault("120", 400))
    with pytest.raises(AuthError):
        answer(
            SOURCE_OF.read(hint("Invoice", "130")),
            reply({"fault": {"error": [{"code": "3200"}], "type": "AUTHENTICATION"}}, 401),
        )
    with pytest.raises(RateLimited) as waited:
        answer(SOURCE_OF.read(hint("Invoice", "130")), fault("3001", 429))
    assert waited.value.retry_after == 60


def test_an_applied_credit_is_read_with_where_it_went() -> None:
    memo = invoice(Id="5", Balance=0, RemainingCredit=0, LinkedTxn=[{"TxnId": "9", "TxnType": "Payment"}])
    lines = [
        {"Amount": 119, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]}
        for kind, id_ in (("Invoice", "1"), ("CreditMemo", "5"))
    ]
    payment = {"Id": "9", "TotalAmt": 0, "Line": lines}
    requests, (event,) = answer(
        SOURCE_OF.read(hint("CreditMemo", "5")),
        reply({"CreditMemo": memo}),
        reply({"QueryResponse": {"Payment": [payment]}}),
    )
    assert "Id in ('9')" in requests[1].params["query"]
    assert isinstance(event.facts, Credit)
    assert [(part.id, part.amount) for part in event.facts.allocations] == [("1", 119)]
    assert [(anchor.ref, anchor.share) for anchor in event.anchors] == [(ref("Invoice", "1"), "119.00")]


def test_reading_a_set_off_reads_its_credit() -> None:
    lines = [
        {"Amount": 1, "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]}
        for kind, id_ in (("Invoice", "1"), ("CreditMemo", "5"))
    ]
    requests, (event,) = answer(
        SOURCE_OF.read(hint("Payment", "9")),
        reply({"Payment": {"Id": "9", "TotalAmt": 0, "Line": lines}}),
        reply({"CreditMemo": invoice(Id="5")}),
    )
    assert [request.path.rsplit("/", 2)[1] for request in requests] == ["payment", "creditmemo"]
    assert event.object.type == "CreditMemo"


def test_many_are_queried_and_the_stale_or_missing_ones_read_by_id() -> None:
    at = datetime(2026, 5, 5, 10, 13, 29, tzinfo=UTC)
    hints = [
        hint("Invoice", "1", hinted_at=at),
        hint("Invoice", "2", hinted_at=at + timedelta(hours=1)),
        hint("Invoice", "3", hinted_at=at),
    ]
    listed = {"QueryResponse": {"Invoice": [invoice(Id="1"), invoice(Id="2", SyncToken="1")]}}
    requests, events = answer(
        SOURCE_OF.read_many(hints), reply(listed), reply({"Invoice": invoice(Id="2", SyncToken="2")}), fault("610")
    )
    assert "Id in ('1','2','3')" in requests[0].params["query"]
    assert [(event.object.id, event.version.native, event.presence) for event in events] == [
        ("1", 3, "present"), ("2", 2, "present"), ("3", 0, "deleted"),
    ]  # fmt: skip


def captured(**rows: Any) -> Response:
    return reply(
        {
            "CDCResponse": [{"QueryResponse": [{name: found} for name, found in rows.items()]}],
            "time": "2026-05-05T04:00:00.000-07:00",
        }
    )


def test_a_sweep_overlaps_and_moves_to_the_time_of_the_reply() -> None:
    gone = {"status": "Deleted", "Id": "31"}
    (request,), page = answer(
        SOURCE_OF.sweep("books", "2026-05-05T10:00:00+00:00", NOW),
        captured(Invoice=[invoice(), gone], Customer=[{"Id": "7", "DisplayName": "Ada"}]),
    )
    assert request.params["changedSince"] == "2026-05-05T09:58:00+00:00"
    assert request.headers["Content-Type"] == "text/plain"
    assert [(event.object.type, event.presence, event.origin) for event in page.events] == [
        ("Invoice", "present", "sweep"), ("Invoice", "deleted", "sweep"), ("Customer", "present", "sweep"),
    ]  # fmt: skip
    assert page.complete_up_to == datetime(2026, 5, 5, 11, tzinfo=UTC)
    assert datetime.fromisoformat(page.cursor) == page.complete_up_to
    assert not page.more


def test_an_applied_credit_in_a_sweep_is_a_hint() -> None:
    _, page = answer(SOURCE_OF.sweep("books", NOW.isoformat(), NOW), captured(CreditMemo=[invoice(Id="5", Balance=19)]))
    assert page.events == ()
    assert [found.object for found in page.hints] == [ref("CreditMemo", "5")]


def test_a_full_capture_is_walked_entity_by_entity_in_windows_that_are_halved() -> None:
    many = [invoice(Id=str(number)) for number in range(1000)]
    gone = {"status": "Deleted", "Id": "31"}
    start = "2026-05-05T10:00:00+00:00"
    _, first = answer(SOURCE_OF.sweep("books", start, NOW), captured(Invoice=many))
    assert (len(first.events), first.more, first.complete_up_to) == (1000, True, None)
    full, half = reply({"QueryResponse": {"Invoice": many}}), reply({"QueryResponse": {"Invoice": [invoice(Id="92")]}})
    requests, second = answer(
        SOURCE_OF.sweep("books", first.cursor, NOW), captured(Invoice=[*many[1:], gone]), full, half
    )
    assert requests[0].params["entities"] == "Invoice"
    assert "LastUpdatedTime >= '2026-05-05T09:58:00+00:00'" in requests[1].params["query"]
    assert [(event.object.id, event.presence) for event in second.events] == [("31", "deleted"), ("92", "present")]
    requests, third = answer(SOURCE_OF.sweep("books", second.cursor, NOW), reply({"QueryResponse": {"Invoice": []}}))
    assert "LastUpdatedTime >= '2026-05-05T10:29:00+00:00'" in requests[0].params["query"]
    cursor = third.cursor
    for left in range(len(SWEPT) - 1, 0, -1):
        (request,), page = answer(SOURCE_OF.sweep("books", cursor, NOW), captured())
        assert request.path.endswith("/cdc")
        assert page.more == (left > 1)
        cursor = page.cursor
    assert page.complete_up_to == datetime(2026, 5, 5, 11, tzinfo=UTC)
    assert datetime.fromisoformat(cursor) == page.complete_up_to


def test_a_second_with_more_than_a_page_is_paged() -> None:
    many = [invoice(Id=str(number)) for number in range(1000)]
    cursor = "2026-05-05T10:00:00+00:00|2026-05-05T10:00:01+00:00|0|2026-05-05T10:00:00+00:00"
    pages = [
        captured(Invoice=many),
        reply({"QueryResponse": {"Invoice": many}}),
        reply({"QueryResponse": {"Invoice": [invoice(Id="1000")]}}),
    ]
    requests, page = answer(SOURCE_OF.sweep("books", cursor, NOW), *pages)
    assert "startposition 1001 maxresults 1000" in requests[2].params["query"]
    assert len(page.events) == 1001


def test_a_cursor_older_than_the_look_back_is_queried() -> None:
    old = NOW - timedelta(days=90)
    (request,), page = answer(SOURCE_OF.sweep("books", old.isoformat(), NOW), captured())
    assert (request.params["changedSince"], page.more) == ((NOW - timedelta(days=29)).isoformat(), True)
    requests, page = answer(SOURCE_OF.sweep("books", page.cursor, NOW), captured(), reply({"QueryResponse": {}}))
    assert "MetaData.LastUpdatedTime >= '2026-02-04T23:58:00+00:00'" in requests[1].params["query"]
    assert page.more


def test_identify_reports_currencies_and_lock_date() -> None:
    preferences = {
        "CurrencyPrefs": {"MultiCurrencyEnabled": False, "HomeCurrency": {"value": "USD"}},
        "AccountingInfoPrefs": {"BookCloseDate": "2026-04-30"},
    }
    _, found = answer(
        SOURCE_OF.identify(), reply({"CompanyInfo": {"CompanyName": "Acme"}}), reply({"Preferences": preferences})
    )
    assert (found.account, found.home_currency, found.lock_date) == ("310687", "USD", "2026-04-30")
    assert len(found.missing) == 1


def test_mappings_are_held_against_the_accounts_and_tax_codes_of_the_company() -> None:
    accounts = [{"Id": "1", "AccountType": "Income"}, {"Id": "35", "AccountType": "Bank"}]
    info = {"CompanyInfo": {"Country": "DE"}}
    mapped = {"accounts": {"sales": "1", "payments": "1", "refunds": "7"}, "taxes": {"19": "5", "7": "6"}}
    held = SOURCE(Connection(name="books", tenant="acme", platform="quickbooks_online", account="310687", **mapped))
    _, found = answer(
        held.setup(),
        reply(info),
        reply({"QueryResponse": {"Account": accounts}}),
        reply({"QueryResponse": {"TaxCode": [{"Id": "5"}]}}),
        reply({"QueryResponse": {}}),
    )
    assert list(found.missing) == ["accounts.payments", "accounts.refunds", "taxes.7"]
    assert all(text.endswith(f"name another id under {key}.") for key, text in found.missing.items())
    _, bare = answer(SOURCE_OF.setup(), reply(info), *[reply({"QueryResponse": {}})] * 3)
    assert list(bare.missing) == ["accounts.sales", "taxes"]


def test_a_company_offers_its_accounts_by_use_and_its_tax_codes_with_their_rates() -> None:
    accounts = [
        {"Id": "1", "Name": "Sales", "AccountType": "Income"},
        {"Id": "2", "Name": "Hire", "AccountType": "Income"},
        {"Id": "35", "Name": "Checking", "AccountType": "Bank"},
        {"Id": "4", "Name": "Undeposited Funds", "AccountType": "Other Current Asset"},
        {"Id": "9", "Name": "Rent", "AccountType": "Expense"},
    ]
    both = {"TaxRateDetail": [{"TaxRateRef": {"value": "1"}}, {"TaxRateRef": {"value": "2"}}]}
    codes = [{"Id": "5", "Name": "GST/PST", "SalesTaxRateList": both}, {"Id": "6", "Name": "Purchases only"}]
    rates = [{"Id": "1", "RateValue": 5}, {"Id": "2", "RateValue": 7}]
    _, found = answer(
        SOURCE_OF.setup(),
        reply({"CompanyInfo": {"Country": "CA"}}),
        reply({"QueryResponse": {"Account": accounts}}),
        reply({"QueryResponse": {"TaxCode": codes}}),
        reply({"QueryResponse": {"TaxRate": rates}}),
    )
    shown = {key: ([one.value for one in offer.choices], offer.best) for key, offer in found.offers.items()}
    assert shown == {
        "accounts.sales": (["1", "2"], "1"),
        "accounts.payments": (["35", "4"], "35"),
        "accounts.rounding": (["1", "2", "9"], ""),
        "taxes": (["5"], ""),
    }
    assert [(one.label, one.rate) for one in found.offers["taxes"].choices] == [("GST/PST", 12)]
