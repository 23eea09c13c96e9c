"""Stripe: snapshot events name the object; what counts is the read, since versions tie within a second."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.core.errors import AuthError, DecodeError, RejectedError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk, segment
from schemas.events import ChangeEvent, Hint
from schemas.platforms.stripe import facts, whose
from schemas.platforms.stripe.integers import instant
from schemas.platforms.stripe.platform import PLATFORM, WEBHOOKS
from schemas.refs import ObjectRef
from streams.sources.base import Hook, Identity, Page, Reply, Source
from streams.sources.platforms.stripe.hooks import (
    PATHS,
    UNTOLD,
    check_world,
    event_of,
    is_part,
    refunds_of,
    renamed,
    signed,
    told,
)
from streams.sources.platforms.stripe.subscribing import StripeSubscriber
from streams.sources.platforms.stripe.sweeping import PAGE, Lists, Walk, is_stale, lists_of, walk_of

_OK, _FORBIDDEN, _MISSING = 200, 403, 404
_HISTORY = "history"
"""The walk through what there is: the events tell of a month only."""


class StripeSource(Source):
    """Webhooks carry a snapshot that may be older or newer than its name: read the object."""

    platform = PLATFORM
    webhooks = WEBHOOKS

    def subscriber(self) -> StripeSubscriber | None:
        """Register by the API of webhook endpoints; those of a Connect platform for all accounts a person makes."""
        return None if self.connection.options.get("connect") else StripeSubscriber()

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare with any v1 value; too old or too far ahead is refused."""
        return signed(hook, secrets, now)

    def refused(self, hook: Hook) -> Reply:
        """Answer 400, as the vendor's own library does."""
        del hook
        return Reply(status=400)

    def to_events(self, hook: Hook) -> list[ChangeEvent]:
        """Return the snapshot as events; it is no observation (see the platform's consistency)."""
        event = self._event(hook)
        if event is None:
            return []
        deleted = str(event["type"]).endswith(".deleted")
        return [renamed(one, str(event["id"]), deleted=deleted) for one in self.parse("", event["data"]["object"])]

    def hints(self, hook: Hook) -> list[Hint]:
        """Return the object of the event, and the payment behind a refund or dispute."""
        event = self._event(hook)
        if event is None:
            return []
        return [self._hint(type_, id_, str(event["type"])) for type_, id_ in told(event["data"]["object"])]

    def _event(self, hook: Hook) -> dict[str, Any] | None:
        """Return the event; None for one of another account, as a platform hears of all that are connected to it.

        A connected account's own events name it, those of the platform itself name none. DecodeError for one of the
        other world: tests of a connected account are told to the live endpoint too.
        """
        event = event_of(hook)
        own = {self.connection.account} if self.connection.options.get("connect") else {None, self.connection.account}
        if event.get("account") not in own:
            return None
        check_world(self.connection, event)
        return event

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
        check_world(self.connection, record)
        try:
            found = facts.to_facts(record, self.connection.time_zone)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise DecodeError(f"Stripe: a {record.get('object')} does not have the documented shape.") from error
        inside = [event for refund in refunds_of(record) for event in self.parse("", refund)]
        if found is None or is_part(record):
            return inside
        return [
            ChangeEvent(
                tenant=self.connection.tenant,
                object=self._ref(str(record["object"]), str(record["id"])),
                facts=found,
                changed_at=instant(record.get("created")),
                mirror_of=facts.mark(record),
                anchors=whose.anchors(self.connection, record),
                presence="deleted" if record.get("deleted") else "present",
                origin="read",
            ),
            *inside,
        ]

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one object; lines beyond the first ten are paged."""
        if hint.object.type == whose.REPORTED_REFUND:
            return (yield from self._read_reported(hint))
        reply = yield Request(method="GET", path=PATHS[hint.object.type] + segment(hint.object.id))
        if reply.status == _MISSING:
            return [_gone(hint)] if hint.object.type in PLATFORM.objects else []
        if reply.status == _FORBIDDEN and hint.object.type not in PLATFORM.objects:
            return []
        record = _success(reply)
        if record.get("object") == "checkout.session":
            return (yield from self._read_bought(record))
        if path := facts.more_lines(record):
            record["lines"]["data"] = yield from self._list(path, {})
        if record.get("object") in UNTOLD and "invoice" not in record and not whose.order_anchor(record):
            record[whose.PARTS] = yield from self._paid(str(record["object"]), str(record["id"]))
        record[whose.CHECKOUT] = yield from self._bought(record)
        return self.parse("", record)

    def _read_reported(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read the payment record that a refund of ours was reported on; one that does not tell of it says nothing."""
        payment, _, key = hint.object.id.partition(":")
        reply = yield Request(method="GET", path=PATHS["payment_record"] + segment(payment))
        if reply.status == _MISSING:
            return [_gone(hint)]
        record = _success(reply)
        refund = facts.reported_refund(record, str((record.get("metadata") or {}).get(key, "")))
        return [] if refund is None else self.parse("", refund)

    def _read_bought(self, session: dict[str, Any]) -> Talk[list[ChangeEvent]]:
        """Read what a checkout came to."""
        events: list[ChangeEvent] = []
        for type_, id_ in told(session):
            if type_ != session["object"]:
                events += yield from self.read(self._hint(type_, id_, "checkout"))
        return events

    def _bought(self, record: dict[str, Any]) -> Talk[dict[str, Any] | None]:
        """Return the checkout of something that names no order; bills of subscriptions and what we wrote have none."""
        if whose.order_anchor(record) or facts.mark(record):
            return None
        for intent in (yield from self._intents(record)):
            reply = yield Request(method="GET", path="/v1/checkout/sessions", params={"payment_intent": intent})
            rows = [] if reply.status in {_FORBIDDEN, _MISSING} else _success(reply)["data"]
            if rows:
                by_reference = self.connection.options.get("checkout_reference") == "order"
                return whose.bought(rows[0], by_reference=by_reference)
        return None

    def _intents(self, record: dict[str, Any]) -> Talk[list[str]]:
        """Return the payment intents that something was bought with: itself where no bill tells of it, or a bill's."""
        if record.get("object") == "payment_intent":
            return [str(record["id"])] if record.get(whose.PARTS) == [] else []
        of_subscription = record.get("parent") or record.get("subscription")
        if record.get("object") != "invoice" or record.get("status") != "paid" or of_subscription:
            return []
        reply = yield Request(
            method="GET", path="/v1/invoice_payments", params={"invoice": str(record["id"]), "limit": str(PAGE)}
        )
        rows = [] if reply.status == _MISSING else _success(reply)["data"]
        found = [whose.ident((row.get("payment") or {}).get("payment_intent")) for row in rows]
        return [one for one in found if one]

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
        """Return the one change feed there is, and the walk through what was there before it."""
        return ("events", _HISTORY)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Hint at each object that the oldest events not shown yet name, a hundred of them at most.

        A pass walks all events since *cursor*, minus an overlap, and is complete up to when it began: what is created
        or listed later the next one finds. Events are kept for 30 days: what is older the walk through the lists tells,
        once at first, and again after a longer pause.
        """
        lists = lists_of(cursor)
        if name == _HISTORY:
            if cursor and lists is None:
                return Page(cursor=cursor, complete_up_to=now)
            return (yield from self._listed(lists or Lists(now), then=""))
        if lists is not None or is_stale(cursor, now):
            lists = lists or Lists(now)
            return (yield from self._listed(lists, then=str(walk_of("", lists.started))))
        walk = walk_of(cursor, now)
        page = yield from self._events(walk)
        while page.get("has_more") and not walk.is_second:
            walk = walk.halved()
            page = yield from self._events(walk)
        rows = page["data"]
        objects = {where: str(row["type"]) for row in reversed(rows) for where in told(row["data"]["object"])}
        hints = tuple(self._hint(type_, id_, f"sweep:{why}") for (type_, id_), why in objects.items())
        following = walk.beyond(rows, more=bool(page.get("has_more")))
        if following is not None:
            return Page(hints=hints, cursor=str(following), more=True)
        return Page(hints=hints, cursor=walk.started.isoformat(), complete_up_to=walk.started)

    def _listed(self, lists: Lists, then: str) -> Talk[Page]:
        """Hint at what a page of a list shows; *then* is where the pass goes on behind the lists, "" for nowhere."""
        params = lists.asked(self.connection.options.get("since", ""), self.connection.time_zone)
        reply = yield Request(method="GET", path=lists.path, params=params)
        # Versions before 2025-03-31 have not all lists, and a key need not see disputes and payouts.
        absent = reply.status == _MISSING or (reply.status == _FORBIDDEN and not lists.is_needed)
        page = {"data": []} if absent and not lists.after else _success(reply)
        objects = dict.fromkeys(where for row in page["data"] for where in told(row) if lists.tells(where[0]))
        hints = tuple(self._hint(type_, id_, "sweep:list") for type_, id_ in objects)
        following = lists.beyond(page["data"], more=bool(page.get("has_more")))
        if following is not None or then:
            return Page(hints=hints, cursor=str(following) if following is not None else then, more=True)
        return Page(hints=hints, cursor=lists.started.isoformat(), complete_up_to=lists.started)

    def _events(self, walk: Walk) -> Talk[dict[str, Any]]:
        return _success((yield Request(method="GET", path="/v1/events", params=walk.asked())))

    def identify(self) -> Talk[Identity]:
        """Ask whose key this is."""
        reply = yield Request(method="GET", path="/v1/account")
        record = _success(reply)
        yield from self._of_its_world()
        currency = str(record.get("default_currency") or "").upper()
        return Identity(account=str(record["id"]), name=whose.ident(record.get("email")), home_currency=currency)

    def _of_its_world(self) -> Talk[None]:
        """Raise AuthError where the key opens another world than the connection's; an account alone is of both."""
        if not self.connection.options.get("livemode"):
            return
        reply = yield Request(method="GET", path="/v1/balance")
        if reply.status == _OK:  # a restricted key need not see it
            try:
                check_world(self.connection, _success(reply))
            except DecodeError as error:
                message = f"{self.connection.name} has a key of Stripe's other world; correct it or livemode."
                raise AuthError(message) from error


def _gone(hint: Hint) -> ChangeEvent:
    return ChangeEvent(tenant=hint.tenant, object=hint.object, facts=None, presence="deleted", origin="read")


def _success(reply: Response) -> dict[str, Any]:
    if (error := from_status("Stripe", reply, mutating=False)) is not None:
        raise error
    record = reply.json()
    if not isinstance(record, dict):
        raise RejectedError("Stripe answered something that is no object.")
    return record
