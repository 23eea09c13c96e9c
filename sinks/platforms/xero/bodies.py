"""Canonical facts as Xero's request bodies: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from app.core.errors import RejectedError
from schemas.connection import Connection
from schemas.facts import Credit, Invoice, Line, Party, Payment
from schemas.money import ZERO
from schemas.platforms.xero.facts import SALE, SALE_CREDIT, Reference
from schemas.platforms.xero.setup import ACCOUNTS
from schemas.taxes import rate_of

Row = dict[str, Any]
_CENT, _UNIT = Decimal("0.01"), Decimal("0.0001")
_LONGEST_NAME, _LONGEST_LINE = 255, 4_000


def account(connection: Connection, use: str) -> str:
    """Return the account code for a use; what is not configured is booked as sales."""
    fallback = ACCOUNTS.get(use) or account(connection, "sales")
    return connection.accounts.get(use, fallback)


def invoice(facts: Invoice, contact: str, mark: str, connection: Connection) -> Row:
    """Return an approved sale whose lines add up to the order's total; the ledger gives the number."""
    day = facts.issue_date
    due = facts.due_date or day
    return {
        "Type": SALE,
        "Contact": {"ContactID": contact},
        **({"Date": day.isoformat()} if day else {}),
        **({"DueDate": max(due, day or due).isoformat()} if due else {}),
        "LineAmountTypes": "Exclusive",
        "CurrencyCode": facts.currency,
        "Reference": str(Reference(facts.po_number, facts.reference, mark)),
        "Status": "AUTHORISED",
        "SentToContact": False,
        "LineItems": lines(facts, connection),
    }


def changed(facts: Invoice, changes: Iterable[str], reference: Reference, connection: Connection) -> Row:
    """Return only what *changes* names, as far as Xero keeps it."""
    found: Row = {}
    for name in changes:
        if name in {"lines", "payable_amount"}:
            found.update(LineAmountTypes="Exclusive", LineItems=lines(facts, connection))
        elif name == "currency":
            found["CurrencyCode"] = facts.currency
        elif name == "po_number":
            found["Reference"] = str(Reference(facts.po_number, reference.order, reference.mark))
        elif name == "issue_date" and facts.issue_date:
            found["Date"] = facts.issue_date.isoformat()
        elif name == "due_date" and facts.due_date:
            found["DueDate"] = facts.due_date.isoformat()
    return found


def lines(facts: Invoice, connection: Connection) -> list[Row]:
    """Return the line items; RejectedError when they do not add up to the total in cents."""
    tax = facts.tax_amount or ZERO
    net = facts.payable_amount - tax
    found = facts.lines or (
        Line(name=f"Order {facts.reference}".strip(), unit_price=net, net_amount=net, tax_amount=tax),
    )
    billed = sum((line.net_amount + line.tax_amount for line in found), ZERO)
    if billed != facts.payable_amount:
        raise RejectedError(f"Xero: the lines add up to {billed:f}, the total is {facts.payable_amount:f}.")
    return [line_item(line, connection) for line in found]


def line_item(line: Line, connection: Connection) -> Row:
    """Return one line whose amount is exact: where quantity times price is not, the amount is sent as one piece."""
    for amount in (line.net_amount, line.tax_amount):
        if amount != amount.quantize(_CENT):
            raise RejectedError(f"Xero keeps two decimals; a line has {amount:f}.")
    name, quantity, unit = (
        line.name or line.sku or line.kind.capitalize(),
        line.quantity,
        line.unit_price.quantize(_UNIT),
    )
    exact = unit == line.unit_price and (quantity * unit).quantize(_CENT, ROUND_HALF_UP) == line.net_amount
    if not exact or quantity != quantity.quantize(_UNIT):
        several = f" ({quantity:f} x {line.unit_price:f})" if quantity != 1 else ""
        name, quantity, unit = name + several, Decimal(1), line.net_amount
    return {
        "Description": name[:_LONGEST_LINE],
        "Quantity": quantity,
        "UnitAmount": unit,
        "AccountCode": account(connection, "sales" if line.kind == "goods" else line.kind),
        **_tax(line, connection),
    }


def _tax(line: Line, connection: Connection) -> Row:
    """Return the tax as the source computed it, under the configured code; without one the account's default."""
    code = connection.taxes.get(line.tax_code) or connection.taxes.get(rate_of(line, connection.taxes))
    if code is None and line.tax_amount == 0:
        code = "NONE"
    return {**({"TaxType": code} if code else {}), "TaxAmount": line.tax_amount}


def credit(facts: Credit, contact: str, mark: str, connection: Connection) -> Row:
    """Return an approved credit note over exactly the amount."""
    tax = facts.tax_amount or ZERO
    whole = Line(
        name=facts.reason or "Credit", unit_price=facts.amount - tax, net_amount=facts.amount - tax, tax_amount=tax
    )
    billed = sum((line.net_amount + line.tax_amount for line in facts.lines), ZERO)
    found = facts.lines if facts.lines and billed == facts.amount else (whole,)
    return {
        "Type": SALE_CREDIT,
        "Status": "AUTHORISED",
        "Contact": {"ContactID": contact},
        **({"Date": facts.date.isoformat()} if facts.date else {}),
        "LineAmountTypes": "Exclusive",
        "CurrencyCode": facts.currency,
        "Reference": str(Reference(facts.reference, "", mark)),
        "LineItems": [line_item(line, connection) for line in found],
    }


def payment(facts: Payment | Credit, on: Mapping[str, Row], amount: Decimal, mark: str, connection: Connection) -> Row:
    """Return money received on an invoice, or paid out on a credit note; nothing is charged by it."""
    use = "payments" if isinstance(facts, Payment) or "refunds" not in connection.accounts else "refunds"
    day = paid_on(facts, connection)
    return {
        **on,
        "Account": {"Code": account(connection, use)},
        **({"Date": day.isoformat()} if day else {}),
        "Amount": amount,
        "Reference": str(Reference(facts.reference, "", mark)),
    }


def overpayment(facts: Payment, contact: str, amount: Decimal, mark: str, connection: Connection) -> Row:
    """Return money beyond what is open, or before there is an invoice, as an overpayment.

    A prepayment would name an account and a tax for a sale that nobody billed yet, and takes no currency: "Setting
    currency is only supported on overpayments" (BankTransaction.CurrencyRate in xero_accounting.yaml). Xero keeps no
    reference on either, so the mark is in the line.
    """
    day = paid_on(facts, connection)
    return {
        "Type": "RECEIVE-OVERPAYMENT",
        "Contact": {"ContactID": contact},
        "BankAccount": {"Code": account(connection, "payments")},
        **({"Date": day.isoformat()} if day else {}),
        "CurrencyCode": facts.currency,
        "LineAmountTypes": "NoTax",
        "LineItems": [{"Description": f"{facts.reference} {mark}".strip(), "Quantity": 1, "UnitAmount": amount}],
    }


def paid_on(facts: Payment | Credit, connection: Connection) -> date | None:
    """Return the book date in the company's time zone."""
    if facts.date is not None or not isinstance(facts, Payment) or facts.paid_at is None:
        return facts.date
    return facts.paid_at.astimezone(ZoneInfo(connection.time_zone)).date()


def contact(party: Party, name: str) -> Row:
    """Return a contact's own fields; what the party does not say is left as it is."""
    row: Row = {"Name": name[:_LONGEST_NAME]}
    if party.email:
        row["EmailAddress"] = party.email[:_LONGEST_NAME]
    if party.tax_id:
        row["TaxNumber"] = party.tax_id[:50]
    if party.phone:
        row["Phones"] = [{"PhoneType": "DEFAULT", "PhoneNumber": party.phone[:50]}]
    if party.address is not None:
        row["Addresses"] = [_address(party)]
    return row


def _address(party: Party) -> Row:
    address = party.address
    parts = {
        "AddressLine1": address.line1 if address else "",
        "AddressLine2": address.line2 if address else "",
        "City": address.city if address else "",
        "Region": address.region if address else "",
        "PostalCode": address.postcode if address else "",
        "Country": address.country if address else "",
    }
    return {"AddressType": "POBOX", **{name: value for name, value in parts.items() if value}}
