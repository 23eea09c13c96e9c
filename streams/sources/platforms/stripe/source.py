"""Stripe: snapshot events name the object; what counts is the read, since versions tie within a second."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.core.errors import DecodeError, RejectedError
from app.core.stamps import seconds
from app.core.status import from_status
from app.core.talk import Request, Response, Talk, segment
from schemas.events import ChangeEvent, Hint
from schemas.platforms.stripe import facts
from schemas.platforms.stripe.platform import PLATFORM, WEBHOOKS
from schemas.refs import ObjectRef
from streams.sources.base import Hook, Identity, Page, Reply, Source
from streams.sources.platforms.stripe.subscribing import StripeSubscriber
from streams.sources.platforms.stripe.sweeping import PAGE, Walk, walk_of

_TOLERANCE = 300
_MISSING = 404
_PATHS = {
    "invoice": "/v1/invoices/",
    "payment_intent": "/v1/payment_intents/",
    "payment_record": "/v1/payment_records/",
    "charge": "/v1/charges/",
    "refund": "/v1/refunds/",
    "dispute": "/v1/disputes/",
    "credit_note": "/v1/credit_notes/",
    "customer": "/v1/customers/",
    "payout": "/v1/payouts/",
}

_UNTOLD = ("payment_intent", "payment_record")
"""Payments that do not say themselves which invoice they are on."""


class StripeSource(Source):
    """Webhooks carry a snapshot that may be older or newer than its name: read the object."""

    platform = PLATFORM
    webhooks = WEBHOOKS

    def subscriber(self) -> StripeSubscriber:
        """Register by the API of webhook endpoints."""
        return StripeSubscriber()

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare with any v1 value; too old or too far ahead is refused."""
        parts = [part.strip().partition("=") for part in hook.headers.get("stripe-signature", "").split(",")]
        stamp = next((value for name, _, value in parts if name == "t"), "")
        second = seconds(stamp)
        if second is None or abs(now.timestamp() - second) > _TOLERANCE:
            return False
        signed = stamp.encode() + b"." + hook.body
        wanted = [hmac.digest(secret.encode(), signed, "sha256").hex().encode() for secret in secrets]
        given = [value.encode() for name, _, value in parts if name == "v1"]
        return any([hmac.compare_digest(value, want) for value in given for want in wanted])  # noqa: C419 - constant time

    def refused(self, hook: Hook) -> Reply:
        """Answer 400, as the vendor's own library does."""
        del hook
        return Reply(status=400)

    def to_events(self, hook: Hook) -> list[ChangeEvent]:
        """Return the snapshot as an event; it is no observation (see the platform's consistency)."""
        event = _event(hook)
        events = self.parse("", event["data"]["object"])
        deleted = str(event["type"]).endswith(".deleted")
        return [_renamed(found, str(event["id"]), deleted=deleted) for found in events]

    def hints(self, hook: Hook) -> list[Hint]:
        """Return the object of the event, and the payment behind a refund or dispute."""
        event = _event(hook)
        return [self._hint(type_, id_, str(event["type"])) for type_, id_ in _told(event["data"]["object"])]

    def _hint(self, type_: str, id_: str, reason: str) -> Hint:
        return Hint(tenant=self.connection.tenant, object=self._ref(type_, id_), reason=reason)

    def _ref(self, type_: str, id_: str) -> ObjectRef:
        return ObjectRef(self.connection.name, self.connection.account, type_, id_)

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a record or of a list's data; *type_* is not needed, records name their own."""
        if not isinstance(record, dict):
            raise DecodeError("Stripe: the record is no object.")
        if record.get("object") == "list":
            return [event for item in record["data"] for event in self.parse(type_, item)]
        try:
            found = facts.to_facts(record, self.connection.time_zone)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise DecodeError(f"Stripe: a {record.get('object')} does not have the documented shape.") from error
        if found is None or _is_part(record):
            return []
        return [
            ChangeEvent(
                tenant=self.connection.tenant,
                object=self._ref(str(record["object"]), str(record["id"])),
                facts=found,
                changed_at=facts.instant(record.get("created")),
                mirror_of=facts.mark(record),
                anchors=facts.anchors(self.connection, record),
                presence="deleted" if record.get("deleted") else "present",
                origin="read",
            )
        ]

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one object; lines beyond the first ten are paged."""
        if hint.object.type == facts.REPORTED_REFUND:
            return (yield from self._read_reported(hint))
        reply = yield Request(method="GET", path=_PATHS[hint.object.type] + segment(hint.object.id))
        if reply.status == _MISSING:
            return [_gone(hint)]
        record = _success(reply)
        if path := facts.more_lines(record):
            record["lines"]["data"] = yield from self._list(path, {})
        if record.get("object") in _UNTOLD and "invoice" not in record and not facts.order_anchor(record):
            record[facts.PARTS] = yield from self._paid(str(record["object"]), str(record["id"]))
        return self.parse("", record)

    def _read_reported(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read the payment record that a refund of ours was reported on; one that does not tell of it says nothing."""
        payment, _, key = hint.object.id.partition(":")
        reply = yield Request(method="GET", path=_PATHS["payment_record"] + segment(payment))
        if reply.status == _MISSING:
            return [_gone(hint)]
        record = _success(reply)
        refund = facts.reported_refund(record, str((record.get("metadata") or {}).get(key, "")))
        return [] if refund is None else self.parse("", refund)

    def _paid(self, kind: str, payment: str) -> Talk[list[dict[str, Any]]]:
        """Return which invoices a payment is on; versions before 2025-03-31 have no such list."""
        params = {"payment[type]": kind, f"payment[{kind}]": payment, "limit": str(PAGE)}
        reply = yield Request(method="GET", path="/v1/invoice_payments", params=params)
        rows = [] if reply.status == _MISSING else _success(reply)["data"]
        return [row for row in rows if row.get("status") != "canceled"]

    def _list(self, path: str, params: dict[str, str]) -> Talk[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"starting_after": found[-1]["id"]} if found else {}
            reply = yield Request(method="GET", path=path, params={**params, "limit": str(PAGE), **after})
            page = _success(reply)
            found += page["data"]
            more = bool(page.get("has_more"))
        return found

    def sweeps(self) -> tuple[str, ...]:
        """Return the one change feed there is."""
        return ("events",)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Hint at each object that the oldest events not shown yet name, a hundred of them at most.

        A pass walks all events since *cursor*, minus an overlap, and is complete up to when it began: what is created
        or listed later the next one finds. Events are kept for 30 days.
        """
        del name
        walk = walk_of(cursor, now)
        page = yield from self._events(walk)
        while page.get("has_more") and not walk.is_second:
            walk = walk.halved()
            page = yield from self._events(walk)
        rows = page["data"]
        objects = {where: str(row["type"]) for row in reversed(rows) for where in _told(row["data"]["object"])}
        hints = tuple(self._hint(type_, id_, f"sweep:{why}") for (type_, id_), why in objects.items())
        following = walk.beyond(rows, more=bool(page.get("has_more")))
        if following is not None:
            return Page(hints=hints, cursor=str(following), more=True)
        return Page(hints=hints, cursor=walk.started.isoformat(), complete_up_to=walk.started)

    def _events(self, walk: Walk) -> Talk[dict[str, Any]]:
        return _success((yield Request(method="GET", path="/v1/events", params=walk.asked())))

    def identify(self) -> Talk[Identity]:
        """Ask whose key this is."""
        reply = yield Request(method="GET", path="/v1/account")
        record = _success(reply)
        currency = str(record.get("default_currency") or "").upper()
        return Identity(account=str(record["id"]), name=facts.ident(record.get("email")), home_currency=currency)


def _gone(hint: Hint) -> ChangeEvent:
    return ChangeEvent(tenant=hint.tenant, object=hint.object, facts=None, presence="deleted", origin="read")


def _is_part(record: dict[str, Any]) -> bool:
    """Tell whether a charge belongs to a payment intent: that is the payment, and money counts once."""
    return record.get("object") == "charge" and bool(record.get("payment_intent"))


def _told(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (type, id) of what an event's object says has changed."""
    found = [] if _is_part(record) else [(str(record.get("object")), str(record.get("id", "")))]
    if record.get("object") in {"charge", "refund", "dispute"} and record.get("payment_intent"):
        found.append(("payment_intent", facts.ident(record["payment_intent"])))
    if record.get("object") == "invoice_payment":
        payment = record.get("payment") or {}
        found = [(kind, facts.ident(payment.get(kind))) for kind in _UNTOLD]
    return [(type_, id_) for type_, id_ in found if type_ in _PATHS and id_]


def _success(reply: Response) -> dict[str, Any]:
    if (error := from_status("Stripe", reply, mutating=False)) is not None:
        raise error
    record = reply.json()
    if not isinstance(record, dict):
        raise RejectedError("Stripe answered something that is no object.")
    return record


def _event(hook: Hook) -> dict[str, Any]:
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


def _renamed(event: ChangeEvent, event_id: str, *, deleted: bool) -> ChangeEvent:
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
