"""What the portal really holds, one row a document."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Record

_MARKS = ("o2c1:",)
_ORDERS = {
    "Open": "open",
    "Paid": "paid",
    "Processed": "partially_fulfilled",
    "Shipped": "fulfilled",
    "Cancelled": "cancelled",
    "Refunded": "refunded",
}


def books(portal: Portal) -> list[dict[str, Any]]:
    """Return every document that is not in the bin."""
    rows: list[dict[str, Any]] = []
    for kind, write in _WRITERS.items():
        rows += [_plain(write(portal, record)) for record in _live(portal, kind)]
    rows += [_plain(row) for order in _live(portal, "orders") for row in _shipments(order)]
    return rows + [_plain(_customer(record)) for record in _live(portal, "contacts")]


def _live(portal: Portal, kind: str) -> Iterator[Record]:
    return (record for record in portal.records[kind].values() if not record.archived)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, "")}


def _mark(record: Record) -> str | None:
    """Return the reference that an integration left, whatever property it chose."""
    return next((value for value in record.values.values() if value and value.startswith(_MARKS)), None)


def _email(portal: Portal, record: Record) -> str | None:
    ids = portal.linked(record, model.BY_NAME["contacts"])
    return portal.records["contacts"][ids[0]].values.get("email") if ids else None


def _notes(portal: Portal, record: Record) -> str:
    ids = portal.linked(record, model.BY_NAME["notes"])
    return "\n".join(portal.records["notes"][id_].values.get("hs_note_body") or "" for id_ in ids)


def _money(value: str | None) -> str | None:
    return f"{Decimal(value):.2f}" if value else None


def _tax(portal: Portal, record: Record) -> str | None:
    rows = [portal.records["line_items"][id_].values for id_ in portal.linked(record, model.BY_NAME["line_items"])]
    tax = sum((Decimal(row.get("hs_tax_amount") or "0") for row in rows), Decimal(0))
    return f"{tax:.2f}" if tax else None


def _deal(portal: Portal, record: Record) -> dict[str, Any]:
    values = record.values
    won, lost = values["hs_is_closed_won"] == "true", values["hs_is_closed_lost"] == "true"
    return {
        "kind": "order",
        "id": record.id,
        "number": values.get("dealname"),
        "mark": _mark(record),
        "order_ref": values.get("reference"),
        "currency": values.get("deal_currency_code"),
        "total": _money(values.get("amount")),
        "tax": _tax(portal, record),
        "status": "open" if won else "cancelled" if lost else "draft",
        "vendor_status": values.get("dealstage"),
        "customer": _email(portal, record),
        "note": values.get("description"),
        "notes": _notes(portal, record),
    }


def _order(portal: Portal, record: Record) -> dict[str, Any]:
    values = record.values
    stage = portal.stage(record.kind, values)
    label = stage.label if stage else ""
    delivered = (values.get("hs_fulfillment_status") or "").lower() == "delivered"
    return {
        "kind": "order",
        "id": record.id,
        "number": values.get("hs_order_name"),
        "mark": _mark(record),
        "order_ref": values.get("hs_external_order_id"),
        "currency": values.get("hs_currency_code"),
        "total": _money(values.get("hs_total_price")),
        "tax": _money(values.get("hs_tax")),
        "status": "delivered" if delivered else _ORDERS.get(label),
        "vendor_status": label,
        "customer": _email(portal, record),
        "note": values.get("hs_order_note"),
        "notes": _notes(portal, record),
    }


def _shipments(order: Record) -> Iterator[dict[str, Any]]:
    tracking = order.values.get("hs_shipping_tracking_number")
    if tracking:
        row = {"kind": "shipment", "id": order.id, "order_id": order.id, "tracking": tracking, "status": "fulfilled"}
        yield row | {"vendor_status": order.values.get("hs_fulfillment_status")}


def _invoice(portal: Portal, record: Record) -> dict[str, Any]:
    values = record.values
    word = values["hs_invoice_status"]
    paid = Decimal(values.get("hs_amount_paid") or "0")
    status = {"draft": "draft", "open": "partially_paid" if paid else "invoiced", "paid": "paid", "voided": "void"}
    ids = portal.linked(record, model.BY_NAME["orders"]) + portal.linked(record, model.BY_NAME["deals"])
    return {
        "kind": "invoice",
        "id": record.id,
        "number": values.get("hs_number"),
        "mark": _mark(record),
        "order_id": ids[0] if ids else None,
        "currency": values.get("hs_currency"),
        "total": _money(values.get("hs_amount_billed")),
        "tax": _tax(portal, record),
        "paid": _money(values.get("hs_amount_paid")),
        "due": _money(values.get("hs_balance_due")),
        "status": status.get(word or ""),
        "vendor_status": word,
        "date": values.get("hs_invoice_date"),
        "customer": _email(portal, record),
        "note": values.get("hs_comments"),
    }


def _payment(portal: Portal, record: Record) -> dict[str, Any]:
    values = record.values
    invoices = portal.linked(record, model.BY_NAME["invoices"])
    orders = portal.linked(record, model.BY_NAME["orders"]) + portal.linked(record, model.BY_NAME["deals"])
    return {
        "kind": "payment",
        "id": record.id,
        "mark": _mark(record),
        "invoice_id": invoices[0] if invoices else None,
        "order_id": orders[0] if orders else None,
        "order_ref": values.get("hs_reference_number"),
        "currency": values.get("hs_currency_code"),
        "amount": _money(values.get("hs_initial_amount")),
        "vendor_status": values.get("hs_latest_status"),
        "date": (values.get("hs_initiated_date") or "")[:10],
    }


def _customer(record: Record) -> dict[str, Any]:
    values = record.values
    name = " ".join(part for part in (values.get("firstname"), values.get("lastname")) if part)
    return {"kind": "customer", "id": record.id, "customer": values.get("email"), "number": name}


_WRITERS = {"deals": _deal, "orders": _order, "invoices": _invoice, "commerce_payments": _payment}


def shown(portal: Portal, kind: str, id_: str) -> dict[str, Any] | None:
    """Return the row of one document, None for what is none or was deleted."""
    record = portal.records[kind].get(id_)
    write = _WRITERS.get(kind)
    return None if write is None or record is None or record.archived else _plain(write(portal, record))
