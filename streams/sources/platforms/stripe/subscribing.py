"""Stripe's webhook endpoints: one per address, with all its topics; the signing secret is shown at creation only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.platforms.stripe.platform import VERSION
from streams.sources.subscribing import Subscriber, Subscription

_PATH = "/v1/webhook_endpoints"
_PAGE, _MISSING = 100, 404


class StripeSubscriber(Subscriber):
    """An endpoint that Stripe disabled keeps its secret when it is enabled again."""

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        """Ask for one endpoint."""
        return (Subscription(topics=tuple(topics), address=address),)

    def found(self) -> Talk[list[Subscription]]:
        """Read every endpoint of the account."""
        rows: list[dict[str, Any]] = []
        more = True
        while more:
            after = {"starting_after": str(rows[-1]["id"])} if rows else {}
            reply = yield Request(method="GET", path=_PATH, params={"limit": str(_PAGE), **after})
            page = _record(reply, mutating=False)
            rows += page["data"]
            more = bool(page.get("has_more"))
        return [_subscription(row) for row in rows]

    def create(self, wanted: Subscription) -> Talk[str]:
        """Make the endpoint, its bodies in the version that the source reads, and return its secret."""
        form = {**_form(wanted), "api_version": VERSION, "description": "o2c"}
        reply = yield Request(method="POST", path=_PATH, form=form, mutates=True, step="create")
        return str(_record(reply, mutating=True).get("secret") or "")

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        """Add what is missing, take nothing away, and enable."""
        topics = tuple(dict.fromkeys((*found.topics, *(one for one in wanted.topics if not found.tells(one)))))
        form = {**_form(Subscription(topics=topics, address=wanted.address)), "disabled": "false"}
        reply = yield Request(method="POST", path=_own(found), form=form, mutates=True, step="update")
        _record(reply, mutating=True)
        return ""

    def delete(self, found: Subscription, topics: Sequence[str]) -> Talk[None]:
        """Delete the endpoint; one that is gone already is fine."""
        del topics
        reply = yield Request(method="DELETE", path=_own(found), mutates=True, step="delete")
        if reply.status != _MISSING:
            _record(reply, mutating=True)


def _own(found: Subscription) -> str:
    return f"{_PATH}/{quote(found.id, safe='')}"


def _form(wanted: Subscription) -> dict[str, str]:
    events = {f"enabled_events[{number}]": topic for number, topic in enumerate(wanted.topics)}
    return {"url": wanted.address, **events}


def _subscription(row: dict[str, Any]) -> Subscription:
    try:
        return Subscription(
            id=str(row["id"]),
            topics=tuple(row["enabled_events"]),
            address=str(row["url"]),
            active=row["status"] == "enabled",
        )
    except (KeyError, TypeError) as error:
        raise DecodeError("Stripe: a webhook endpoint does not have the documented shape.") from error


def _record(reply: Response, *, mutating: bool) -> dict[str, Any]:
    if (error := from_status("Stripe", reply, mutating=mutating, detail=_code(reply))) is not None:
        raise error
    record = reply.json()
    if not isinstance(record, dict):
        raise DecodeError("Stripe answered something that is no object.")
    return record


def _code(reply: Response) -> str:
    """Return the vendor's code and parameter; its sentence may quote what was sent."""
    try:
        error = reply.json().get("error") or {}
        return " ".join(str(error[name]) for name in ("code", "param") if error.get(name))
    except (AttributeError, DecodeError, TypeError):
        return ""
