"""Sparse updates: only the fields that a command may touch."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from schemas.connection import Connection
from schemas.facts import Invoice, Party, Payment
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


def payment_changes(row: Row, payment: Payment, changes: Collection[str]) -> Row:
    """Return the changed fields of a payment; its applied lines shrink with its amount."""
    body: Row = {}
    if "date" in changes and payment.date is not None:
        body["TxnDate"] = payment.date.isoformat()
    if "reference" in changes:
        body["PaymentRefNum"] = payment.reference[:NUMBER_LENGTH]
        note = noted(row, f"{REFERENCE_LINE}{payment.reference}")
        body.update({"PrivateNote": note} if note is not None else {})
    if "amount" in changes:
        left = payment.amount
        body["TotalAmt"], body["Line"] = payment.amount, []
        for line in row.get("Line", ()):
            part = min(left, Decimal(line["Amount"]))
            if part > 0:
                body["Line"].append({"Amount": part, "LinkedTxn": line["LinkedTxn"]})
            left -= part
    if body and "TotalAmt" not in body:
        body["TotalAmt"] = row["TotalAmt"]
    return body


def customer_changes(row: Row, wanted: Row, changes: Collection[str]) -> Row:
    """Return the changed fields of a customer."""
    fields = [field for name, field in _CUSTOMER.items() if name in changes or not changes]
    return {field: wanted[field] for field in fields if field in wanted and row.get(field) != wanted[field]}
