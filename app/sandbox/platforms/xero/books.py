"""What the simulated Xero holds, in the sandbox's common words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.sandbox.platforms.xero.money import Books
from app.sandbox.platforms.xero.render import Row

_WORDS = {"DRAFT": "draft", "SUBMITTED": "draft", "VOIDED": "void", "DELETED": "cancelled"}


def books(held: Books) -> list[dict[str, Any]]:
    """Return one row per document that is really there; bills are left out."""
    return [
        *[_invoice(held, row) for row in held.invoices.values() if row["Type"] == "ACCREC"],
        *[_payment(held, row) for row in held.payments.values()],
        *[_credit(held, row) for row in held.credits.values() if row["Type"] == "ACCRECCREDIT"],
        *[_advance(held, row) for row in (*held.advances.values(), *held.prepayments.values())],
        *[row for id_, notes in held.history.items() for row in _parcels(id_, notes)],
        *[_customer(row) for row in held.contacts.values()],
    ]


def shown(held: Books, row: Row) -> Row | None:
    """Return one record as the books show it; None for a bill and what else is no document of a sale."""
    if "PaymentID" in row:
        return _payment(held, row)
    if "InvoiceID" in row:
        return _invoice(held, row) if row["Type"] == "ACCREC" else None
    if "QuoteID" in row:
        return None
    if "CreditNoteID" in row:
        return _credit(held, row) if row["Type"] == "ACCRECCREDIT" else None
    return _advance(held, row) if {"OverpaymentID", "PrepaymentID"} & set(row) else _customer(row)


def _invoice(held: Books, row: Row) -> Row:
    paid, credited, word = held.paid(row), held.credited(row), held.status(row)
    if word in _WORDS:
        status = _WORDS[word]
    elif word == "PAID":
        status = "refunded" if paid == 0 and credited == row["Total"] > 0 else "paid"
    else:
        status = "partially_paid" if paid + credited else "invoiced"
    amounts = {"total": row["Total"], "tax": row["TotalTax"], "paid": paid, "credited": credited, "due": held.due(row)}
    return {
        "kind": "invoice",
        "id": row["InvoiceID"],
        "number": row["InvoiceNumber"],
        "mark": row["Reference"],
        "currency": row["CurrencyCode"],
        **{name: f"{amount:.2f}" for name, amount in amounts.items()},
        "status": status,
        "vendor_status": word,
        "date": row["Date"].isoformat(),
        "customer": held.contacts[row["ContactID"]].get("EmailAddress") or "",
    }


def _payment(held: Books, row: Row) -> Row:
    document = held.document_of(row)
    out = row["kind"] != "Invoice"
    invoice = document.get("InvoiceID") or next((item["InvoiceID"] for item in document.get("Allocations", ())), "")
    return {
        "kind": "refund" if out else "payment",
        "id": row["PaymentID"],
        "mark": row["Reference"],
        "invoice_id": invoice,
        "currency": document["CurrencyCode"],
        "amount": f"{row['Amount']:.2f}",
        "status": "void" if row["Status"] == "DELETED" else "refunded" if out else "paid",
        "vendor_status": row["Status"],
        "date": row["Date"].isoformat(),
    }


def _credit(held: Books, row: Row) -> Row:
    word = held.status(row)
    return {
        "kind": "credit",
        "id": row["CreditNoteID"],
        "number": row["CreditNoteNumber"],
        "mark": row["Reference"],
        "invoice_id": next((item["InvoiceID"] for item in row["Allocations"]), ""),
        "currency": row["CurrencyCode"],
        "total": f"{row['Total']:.2f}",
        "tax": f"{row['TotalTax']:.2f}",
        "due": f"{held.due(row):.2f}",
        "status": _WORDS.get(word, "open" if word == "AUTHORISED" else "paid"),
        "vendor_status": word,
        "date": row["Date"].isoformat(),
    }


def _advance(held: Books, row: Row) -> Row:
    return {
        "kind": "payment",
        "id": held.id_of(row),
        "mark": row["LineItems"][0]["Description"],
        "invoice_id": next((item["InvoiceID"] for item in row["Allocations"]), ""),
        "currency": row["CurrencyCode"],
        "amount": f"{row['Total']:.2f}",
        "due": f"{held.due(row):.2f}",
        "status": "paid",
        "vendor_status": held.status(row),
        "note": "overpayment" if "OverpaymentID" in row else "prepayment",
        "date": row["Date"].isoformat(),
    }


def _parcels(invoice: str, notes: list[Row]) -> list[Row]:
    """Return the parcels that notes tell of: of several with one mark the newest holds."""
    marked = [note["Details"] for note in notes if "o2c1:" in note["Details"]]
    written = {text.rpartition("o2c1:")[2]: text for text in marked}.values()
    return [
        {
            "kind": "shipment",
            "id": f"{invoice}:{position}",
            "mark": text,
            "invoice_id": invoice,
            "note": text,
            "tracking": text.partition("tracking ")[2].partition(" o2c1:")[0],
            "status": "delivered" if "delivered" in text else "fulfilled",
        }
        for position, text in enumerate(written)
        if text.startswith("Shipment ")
    ]


def _customer(row: Mapping[str, Any]) -> Row:
    shown = {"id": row["ContactID"], "customer": row.get("EmailAddress") or "", "note": row["Name"]}
    return {"kind": "customer", **shown, "status": "open" if row["ContactStatus"] == "ACTIVE" else "closed"}
