"""What a Stripe account holds, as neutral rows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_NO_MINOR = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE = frozenset(["bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd"])


def amount(units: int, currency: str) -> str:
    """Return *units* minor units as decimal text."""
    places = 0 if currency in _NO_MINOR else 3 if currency in _THREE else 2
    return f"{Decimal(units).scaleb(-places):f}"


def units(value: object, currency: str) -> int:
    """Return decimal text as minor units."""
    places = 0 if currency in _NO_MINOR else 3 if currency in _THREE else 2
    return int(Decimal(str(value)).scaleb(places))


def row(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the neutral row of a record, None for kinds that are no documents."""
    translate = _ROWS.get(record["object"])
    return None if translate is None else {**_shared(record), **translate(record)}


def _shared(record: dict[str, Any]) -> dict[str, Any]:
    metadata = record.get("metadata") or {}
    currency = record.get("currency", "")
    shared = {
        "id": record["id"],
        "mark": metadata.get("o2c", ""),
        "order_ref": metadata.get("order_id", ""),
        "vendor_status": record.get("status", ""),
    }
    return {**shared, "currency": currency.upper()} if currency else shared


def _invoice(record: dict[str, Any]) -> dict[str, Any]:
    currency, credited = record["currency"], record["post_payment_credit_notes_amount"]
    status = {"open": "invoiced", "uncollectible": "on_hold"}.get(record["status"], record["status"])
    if record["status"] == "open" and record["amount_paid"]:
        status = "partially_paid"
    if record["status"] == "paid" and credited:
        status = "refunded" if credited >= record["total"] else "partially_refunded"
    return {
        "kind": "invoice",
        "number": record["number"] or "",
        "status": status,
        "total": amount(record["total"], currency),
        "paid": amount(record["amount_paid"], currency),
        "credited": amount(credited + record["pre_payment_credit_notes_amount"], currency),
        "due": amount(record["amount_remaining"], currency),
        "customer": record["customer"],
        "note": record["description"] or "",
    }


def _payment(record: dict[str, Any]) -> dict[str, Any]:
    status = {"succeeded": "paid", "canceled": "cancelled"}.get(record["status"], "open")
    return {
        "kind": "payment",
        "status": status,
        "amount": amount(record.get("amount_received") or record["amount"], record["currency"]),
        "invoice_id": "",
    }


def _reported(record: dict[str, Any]) -> dict[str, Any]:
    guaranteed = record["amount_guaranteed"]["value"]
    status = "paid" if guaranteed else "cancelled" if record["amount_canceled"]["value"] else "open"
    full = record["amount"]
    return {
        "kind": "payment",
        "status": status,
        "vendor_status": status,
        "currency": full["currency"].upper(),
        "amount": amount(full["value"], full["currency"]),
        "invoice_id": "",
    }


def _refund(record: dict[str, Any]) -> dict[str, Any]:
    status = "refunded" if record["status"] == "succeeded" else record["status"]
    return {"kind": "refund", "status": status, "amount": amount(record["amount"], record["currency"])}


def _credit(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "credit",
        "status": record["status"],
        "total": amount(record["total"], record["currency"]),
        "invoice_id": record["invoice"],
    }


def _customer(record: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "customer", "status": "open", "customer": record.get("email") or record.get("name") or ""}


def _payout(record: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "payout", "status": record["status"], "amount": amount(record["amount"], record["currency"])}


_ROWS = {
    "invoice": _invoice,
    "payment_intent": _payment,
    "payment_record": _reported,
    "refund": _refund,
    "credit_note": _credit,
    "customer": _customer,
    "payout": _payout,
}
