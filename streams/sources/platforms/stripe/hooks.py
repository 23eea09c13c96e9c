"""Stripe's deliveries: one signature under any of several secrets, and which objects an event speaks of."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.core.errors import DecodeError
from app.core.stamps import seconds
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.platforms.stripe.whose import ident
from streams.sources.base import Hook

_TOLERANCE = 300
PATHS = {
    "invoice": "/v1/invoices/",
    "payment_intent": "/v1/payment_intents/",
    "payment_record": "/v1/payment_records/",
    "charge": "/v1/charges/",
    "refund": "/v1/refunds/",
    "dispute": "/v1/disputes/",
    "credit_note": "/v1/credit_notes/",
    "customer": "/v1/customers/",
    "payout": "/v1/payouts/",
    "checkout.session": "/v1/checkout/sessions/",
}
UNTOLD = ("payment_intent", "payment_record")
"""Payments that do not say themselves which invoice they are on."""


def signed(hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
    """Compare with any v1 value; too old or too far ahead is refused."""
    parts = [part.strip().partition("=") for part in hook.headers.get("stripe-signature", "").split(",")]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    second = seconds(stamp)
    if second is None or abs(now.timestamp() - second) > _TOLERANCE:
        return False
    message = stamp.encode() + b"." + hook.body
    wanted = [hmac.digest(secret.encode(), message, "sha256").hex().encode() for secret in secrets]
    given = [value.encode() for name, _, value in parts if name == "v1"]
    return any([hmac.compare_digest(value, want) for value in given for want in wanted])  # noqa: C419 - constant time


def is_part(record: dict[str, Any]) -> bool:
    """Tell whether a charge belongs to a payment intent: that is the payment, and money counts once."""
    return record.get("object") == "charge" and bool(record.get("payment_intent"))


def refunds_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the refunds that a charge shows itself, as it does before 2022-11-15."""
    shown = record.get("refunds") if record.get("object") == "charge" else None
    return [one for one in shown.get("data", []) if isinstance(one, dict)] if isinstance(shown, dict) else []


def told(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (type, id) of what an event's object says has changed."""
    found = [] if is_part(record) else [(str(record.get("object")), str(record.get("id", "")))]
    if record.get("object") in {"charge", "refund", "dispute"} and record.get("payment_intent"):
        found.append(("payment_intent", ident(record["payment_intent"])))
    if record.get("object") == "invoice_payment":
        payment = record.get("payment") or {}
        found = [(kind, ident(payment.get(kind))) for kind in UNTOLD]
    if record.get("object") == "checkout.session":
        bought = [(kind, ident(record.get(kind))) for kind in ("payment_intent", "invoice")]
        found = [one for one in bought if one[1]] or found
    found += [("refund", str(one.get("id", ""))) for one in refunds_of(record)]
    return [(type_, id_) for type_, id_ in found if type_ in PATHS and id_]


def event_of(hook: Hook) -> dict[str, Any]:
    """Return a snapshot event; DecodeError for anything else."""
    try:
        event = hook.json()
    except ValueError as error:
        raise DecodeError("Stripe: the body is not JSON.") from error
    if not isinstance(event, dict) or event.get("object") != "event":
        kind = event.get("object") if isinstance(event, dict) else "list"
        raise DecodeError(f"Stripe: {kind or 'nothing'} is not a snapshot event; subscribe to v1 snapshot events.")
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise DecodeError("Stripe: the event carries no object.")
    return event


def check_world(connection: Connection, told: dict[str, Any]) -> None:
    """Raise DecodeError for an event or object of the other world: tests are no business, and business is no test.

    What says nothing of it, as a refund, is of the world of the key that reads it.
    """
    livemode, live = told.get("livemode"), connection.options.get("livemode", "")
    if live and isinstance(livemode, bool) and livemode != (live == "true"):
        worlds = ("live", "test") if live == "true" else ("test", "live")
        raise DecodeError(
            f"Stripe: {connection.name} is a {worlds[0]} connection, the {told.get('object')} a {worlds[1]} one."
        )


def renamed(event: ChangeEvent, event_id: str, *, deleted: bool) -> ChangeEvent:
    """Return *event* as told by a delivery."""
    return ChangeEvent(
        tenant=event.tenant,
        object=event.object,
        facts=None if deleted else event.facts,
        changed_at=event.changed_at,
        presence="deleted" if deleted else event.presence,
        mirror_of=event.mirror_of,
        anchors=event.anchors,
        event_id=event_id,
        origin="webhook",
    )
