"""Sparse updates: only the fields that a command may touch."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from schemas.connection import Connection
from schemas.facts import Invoice, Party, Payment
from schemas.money import ZERO
from schemas.platforms.quickbooks_online.translate import REFERENCE_LINE
from sinks.platforms.quickbooks_online.asking import Row
from sinks.platforms.quickbooks_online.bodies import MEMO_LENGTH, NUMBER_LENGTH, dates, noted, own_reference

_DATES = {"issue_date": "TxnDate", "due_date": "DueDate"}
_CUSTOMER = {"name": "DisplayName", "email": "PrimaryEmailAddr", "phone": "PrimaryPhone", "address": "BillAddr"}


def form_changes(connection: Connection, invoice: Invoice, changes: Collection[str]) -> Row:
    """Return the changed heads of a form; lines and tax are built apart."""
    told = dates(invoice)
    body: Row = {field: told[field] for name, field in _DATES.items() if name in changes and field in told}
    if "note" in changes:
        body["CustomerMemo"] = {"value": invoice.note[:MEMO_LENGTH]}
    if "email" in changes:
        body["BillEmail"] = {"Address": (invoice.customer or Party()).email}
    if "po_number" in changes:
        body.update(own_reference(connection, invoice))
    return body


def payment_changes(row: Row, payment: Payment, changes: Collection[str], invoice: Row | None = None) -> Row:
    """Return the changed fields of a payment; its applied lines shrink with its amount, or grow on *invoice*."""
    body: Row = {}
    if "date" in changes and payment.date is not None:
        body["TxnDate"] = payment.date.isoformat()
    if "reference" in changes:
        body["PaymentRefNum"] = payment.reference[:NUMBER_LENGTH]
        note = noted(row, f"{REFERENCE_LINE}{payment.reference}")
        body.update({"PrivateNote": note} if note is not None else {})
    if "amount" in changes:
        body["TotalAmt"], body["Line"] = payment.amount, _applied(row, payment.amount, invoice)
    if body and "TotalAmt" not in body:
        body["TotalAmt"] = row["TotalAmt"]
    return body


def _applied(row: Row, amount: Decimal, invoice: Row | None) -> list[Row]:
    """Return where *amount* goes: to the invoices that it closes already, the rest to *invoice* while that is open.

    What a person set off in the same payment stays as it is. A credit pays a part of the invoices, too; a journal entry
    may pay as well or be paid: what the invoices have beyond the money of the payment tells.
    """
    lines = [(_link(line), line) for line in row.get("Line", ())]
    others = [line for link, line in lines if link.get("TxnType") != "Invoice"]
    closed = sum((Decimal(line["Amount"]) for link, line in lines if link.get("TxnType") == "Invoice"), ZERO)
    beyond = closed - (Decimal(row["TotalAmt"]) - Decimal(row.get("UnappliedAmt") or 0)) if others else ZERO
    left = max(ZERO, amount + beyond)
    parts: dict[str, Decimal] = {}
    for link, line in lines:
        if link.get("TxnType") == "Invoice":
            part = min(left, Decimal(line["Amount"]))
            parts[str(link["TxnId"])], left = part, left - part
    if invoice is not None:
        id_ = str(invoice["Id"])
        parts[id_] = parts.get(id_, ZERO) + min(left, Decimal(invoice["Balance"]))
    shares = [{"Amount": part, "LinkedTxn": [{"TxnId": id_, "TxnType": "Invoice"}]} for id_, part in parts.items()]
    return [*(share for share in shares if share["Amount"]), *others]


def _link(line: Row) -> Row:
    links: list[Row] = line.get("LinkedTxn") or [{}]
    return links[0]


def customer_changes(row: Row, wanted: Row, changes: Collection[str]) -> Row:
    """Return the changed fields of a customer."""
    fields = [field for name, field in _CUSTOMER.items() if name in changes or not changes]
    return {field: wanted[field] for field in fields if field in wanted and row.get(field) != wanted[field]}
