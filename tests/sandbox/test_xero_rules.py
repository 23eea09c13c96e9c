"""What the simulated Xero refuses: amounts, periods, and documents that may no longer change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from xero_python.accounting import AccountingApi, Contact, CurrencyCode, Invoice, Invoices, LineItem, RequestEmpty
from xero_python.exceptions import AccountingBadRequestException

from tests.sandbox.xero import TENANT, Running, bill, opened, with_client

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with opened() as found:
        yield found


async def test_a_payment_beyond_the_due_amount_is_refused_and_can_become_an_overpayment(running: Running) -> None:
    made = await running.act(
        "type_invoice", customer="Ada", email="ada@example.com", currency="EUR", lines=[{"title": "Mug", "price": "40"}]
    )
    payment = {"Invoice": {"InvoiceID": made["id"]}, "Account": {"Code": "090"}, "Amount": 50, "Date": "2026-05-01"}
    status, body, _ = await running.call("PUT", "/Payments", {"Payments": [payment]})
    assert status == 400
    assert (
        body["Elements"][0]["ValidationErrors"][0]["Message"]
        == "Payment amount exceeds the amount outstanding on this document"
    )
    contact = running.sandbox.books_of.invoices[made["id"]]["ContactID"]
    money = {
        "Type": "RECEIVE-OVERPAYMENT",
        "Contact": {"ContactID": contact},
        "BankAccount": {"Code": "090"},
        "LineItems": [{"Description": "Too much", "LineAmount": 10}],
    }
    _, kept, _ = await running.call("PUT", "/BankTransactions", {"BankTransactions": [money]})
    shown = (await running.call("GET", f"/Overpayments/{kept['BankTransactions'][0]['OverpaymentID']}"))[1][
        "Overpayments"
    ][0]
    assert (shown["Type"], shown["RemainingCredit"]) == ("RECEIVE-OVERPAYMENT", 10)


async def test_closed_periods_settled_invoices_and_reconciled_payments_resist(running: Running) -> None:
    made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}], date="2026-05-01")
    paid = await running.act("type_payment", invoice_id=made["id"], amount="40", date="2026-05-01", reconciled=True)

    async def refusal(method: str, path: str, body: Any) -> str:
        status, answer, _ = await running.call(method, path, body)
        assert status == 400
        return str(answer["Elements"][0]["ValidationErrors"][0]["Message"])

    assert "reconciled" in await refusal("POST", f"/Payments/{paid['id']}", {"Status": "DELETED"})
    assert "payment or credit note" in await refusal(
        "POST", f"/Invoices/{made['id']}", {"Invoices": [{"Status": "VOIDED"}]}
    )
    await running.act("set_lock_date", date="2026-04-30")
    old = {"Type": "ACCREC", "Contact": {"Name": "Ada"}, "Date": "2026-04-28"}
    assert "lock date" in await refusal("PUT", "/Invoices", {"Invoices": [old]})


async def test_a_draft_is_filled_approved_and_then_only_voided(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, _ = bill(accounting)
        draft = Invoice(type="ACCREC", contact=Contact(contact_id=contact.contact_id), status="DRAFT")
        made = accounting.create_invoices(TENANT, Invoices(invoices=[draft])).invoices[0]
        assert (made.status, made.total) == ("DRAFT", 0)

        def update(**fields: Any) -> Any:
            return accounting.update_invoice(TENANT, made.invoice_id, Invoices(invoices=[Invoice(**fields)])).invoices[
                0
            ]

        with pytest.raises(AccountingBadRequestException):
            update(status="AUTHORISED")
        line = LineItem(description="Mug", quantity=1, unit_amount=10, account_code="200", tax_type="NONE")
        filled = update(
            line_items=[line], due_date=date(2026, 6, 1), date=date(2026, 5, 1), currency_code=CurrencyCode("USD")
        )
        assert (filled.total, filled.currency_code.value) == (10, "USD")
        assert update(status="AUTHORISED", contact=Contact(name="Bo")).contact.name == "Bo"
        with pytest.raises(AccountingBadRequestException):
            update(status="DELETED")
        accounting.email_invoice(TENANT, made.invoice_id, RequestEmpty())
        assert update(status="VOIDED").status == "VOIDED"
        with pytest.raises(AccountingBadRequestException):
            update(reference="late")

    await with_client(running.url, work)


async def test_a_credit_note_is_changed_and_voided_by_its_id(running: Running) -> None:
    made = await running.act("type_credit", customer="Ada", amount="5")
    path = f"/CreditNotes/{made['id']}"
    _, body, _ = await running.call("POST", path, {"CreditNotes": [{"Reference": "again"}]})
    assert body["CreditNotes"][0]["Reference"] == "again"
    _, body, _ = await running.call(
        "POST", "/CreditNotes", {"CreditNotes": [{"CreditNoteID": made["id"], "Status": "VOIDED"}]}
    )
    assert body["CreditNotes"][0]["Status"] == "VOIDED"
    assert running.sandbox.books()[0]["status"] == "void"


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("PUT", "/Invoices", {"Type": "QUOTE", "Contact": {"Name": "A"}}, "Invoice type is not valid"),
        ("PUT", "/Invoices", {"Type": "ACCREC"}, "A Contact must be specified"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"ContactID": "x"}}, "contact could not be found"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "PAID"}, "not of valid status"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "CurrencyCode": "XYZ"}, "not subscribed"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Date": "soon"}, "not a valid date"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Reference": "x" * 256}, "255 characters"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "AUTHORISED"}, "due date"),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "AUTHORISED", "DueDate": "/Date(1776988800000+0000)/"},
            "line items must be specified",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"UnitAmount": -1}]},
            "cannot be negative",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"AccountCode": "999"}]},
            "not a valid code",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"TaxType": "MARS"}]},
            "TaxType code 'MARS'",
        ),
        ("POST", "/Invoices", {"InvoiceID": "x", "Type": "ACCREC"}, "invoice could not be found"),
        ("PUT", "/CreditNotes", {"Type": "ACCREC", "Contact": {"Name": "A"}}, "Credit note type"),
        ("POST", "/CreditNotes", {"CreditNoteID": "x"}, "credit note could not be found"),
        ("PUT", "/Contacts", {"EmailAddress": "a@example.com"}, "name must be specified"),
        ("PUT", "/Payments", {"Amount": 1}, "You must specify an invoice"),
        ("PUT", "/BankTransactions", {"Type": "RECEIVE"}, "RECEIVE-OVERPAYMENT"),
    ],
)  # fmt: skip
async def test_what_xero_would_refuse_is_refused(
    running: Running, method: str, path: str, body: Any, text: str
) -> None:
    status, answer, _ = await running.call(method, path, body)
    assert status == 400
    assert text in answer["Elements"][0]["ValidationErrors"][0]["Message"]


async def test_money_is_refused_where_it_does_not_fit(running: Running) -> None:
    made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
    other = await running.act("type_invoice", customer="Bo", lines=[{"title": "Mug", "price": "40"}])
    draft = await running.act("type_invoice", customer="Bo", status="DRAFT", lines=[{"title": "Mug", "price": "40"}])
    credit = await running.act("type_credit", customer="Ada", amount="5")

    def pay(invoice: str, amount: float, account: str = "090") -> tuple[str, dict[str, Any]]:
        return "/Payments", {"Invoice": {"InvoiceID": invoice}, "Amount": amount, "Account": {"Code": account}}

    def use(invoice: str | None, amount: float) -> tuple[str, dict[str, Any]]:
        named = {"Invoice": {"InvoiceID": invoice}} if invoice else {}
        return f"/CreditNotes/{credit['id']}/Allocations", {"Amount": amount, **named}

    for (path, body), text in (
        (pay(made["id"], 0), "greater than zero"),
        (pay(made["id"], 1, "200"), "bank account"),
        (pay(draft["id"], 1), "Authorised"),
        (use(None, 1), "must name an invoice"),
        (use(other["id"], 1), "same contact"),
        (use(made["id"], 6), "remaining credit"),
    ):
        status, answer, _ = await running.call("PUT", path, body)
        assert status == 400
        assert text in answer["Elements"][0]["ValidationErrors"][0]["Message"]
    for method, path in (
        ("POST", "/Payments/x"), ("PUT", "/CreditNotes/x/Allocations"), ("PUT", "/Invoices/x/History"),
        ("POST", "/Invoices/x/Email"), ("GET", "/Payments/x"),
        ("DELETE", "/CreditNotes/x/Allocations/y"), ("DELETE", f"/CreditNotes/{credit['id']}/Allocations/y"),
    ):  # fmt: skip
        assert (await running.call(method, path, {"Status": "DELETED"}))[0] == 404
