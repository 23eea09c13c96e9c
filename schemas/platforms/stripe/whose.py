"""Whose an object of Stripe is: the order in its metadata or its checkout's, its invoice, the payment behind it."""

from __future__ import annotations

from typing import Any

from schemas.connection import Connection
from schemas.events import Anchor
from schemas.platforms.stripe.integers import money
from schemas.refs import ObjectRef

REPORTED_REFUND = "reported_refund"
"""Our name for money that went back outside Stripe: it is no object there, its payment record tells of it."""
PARTS = "invoice_payments"
"""Where source and sink put what a payment paid: since 2025-03-31 it no longer says so itself."""
CHECKOUT = "checkout"
"""Where the source puts the checkout that something was bought at: often that alone names the order."""
ORDER_KEYS = ("order_id", "order_number", "order")


def ident(value: Any) -> str:  # noqa: ANN401 - an id, an expanded object or nothing
    """Return the id of a field that may be expanded."""
    return str(value.get("id", "")) if isinstance(value, dict) else str(value or "")


def order_anchor(record: dict[str, Any]) -> tuple[Anchor, ...]:
    """Return the order number that people or a shop wrote into the metadata, of the object or else of its checkout."""
    number = _number(record) or _number(record.get(CHECKOUT) or {})
    return (Anchor("number", ObjectRef("", "", "number", number)),) if number else ()


def _number(record: dict[str, Any]) -> str:
    metadata = record.get("metadata") or {}
    return next((str(metadata[key]) for key in ORDER_KEYS if metadata.get(key)), "")


def bought(session: dict[str, Any], *, by_reference: bool) -> dict[str, Any]:
    """Return what a checkout says of its order; *by_reference*: what the shop calls it is the order's number.

    To Stripe that reference is any text of the shop, a cart or a customer as well.
    """
    reference = session.get("client_reference_id")
    if by_reference and reference and not _number(session):
        return {"metadata": {ORDER_KEYS[0]: reference}}
    return {"metadata": session.get("metadata") or {}}


def anchors(connection: Connection, record: dict[str, Any]) -> tuple[Anchor, ...]:
    """Return what says whose an object is: the order number in its metadata, its invoice, the payment behind it."""
    linked = [("invoice", ident(record.get("invoice")), None), *billed(record)]
    if record.get("object") in {"refund", "dispute", "charge", REPORTED_REFUND}:
        linked.append((*money_of(record), None))
    refs = [(ObjectRef(connection.name, connection.account, type_, id_), share) for type_, id_, share in linked if id_]
    return order_anchor(record) + tuple(Anchor("object", ref, share) for ref, share in refs)


def money_of(record: dict[str, Any]) -> tuple[str, str]:
    """Return (type, id) of the payment that a record is about; a charge counts where no payment intent made it."""
    kinds = ("payment_intent", "charge", "payment_record")
    return next(((kind, ident(record[kind])) for kind in kinds if record.get(kind)), ("payment_intent", ""))


def billed(record: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Return the invoices that a payment is on, each with its share where there are several."""
    parts = record.get(PARTS) or []
    if len(parts) == 1:
        return [("invoice", ident(parts[0].get("invoice")), None)]
    shares = [f"{money(part.get('amount_paid'), str(part.get('currency'))):f}" for part in parts]
    return [("invoice", ident(part.get("invoice")), share) for part, share in zip(parts, shares, strict=True)]
