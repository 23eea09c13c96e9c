"""HubSpot's subscriptions: an app has one address for all portals, and one subscription per event and property."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.core.errors import DecodeError, RejectedError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.platforms.hubspot import PLATFORM
from schemas.platforms.hubspot.webhooks import asked, topic_of
from streams.sources.subscribing import Subscriber, Subscription, same_place

_MISSING = 404
_THROTTLING = {"maxConcurrentRequests": 10}


class HubspotSubscriber(Subscriber):
    """The app is one subscription with many topics; those of others behind the same address stay as they are."""

    def __init__(self, app_id: str) -> None:
        """Speak for the app; its developer key is added by who sends."""
        self._app = f"/app-webhooks/2026-09/{app_id}"
        self._id = app_id

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        """Ask for one address and its topics."""
        return (Subscription(topics=tuple(topics), address=address),)

    def found(self) -> Talk[list[Subscription]]:
        """Read the app's address and what is switched on; an app without either has nothing."""
        address = yield from self._address()
        rows = yield from self._rows()
        if not address and not rows:
            return []
        topics = tuple(dict.fromkeys(_topic(row) for row in rows if row["active"]))
        return [Subscription(id=self._id, topics=topics, address=address)]

    def create(self, wanted: Subscription) -> Talk[str]:
        """Set the address unless somebody else's is set, then subscribe; the app's client secret signs."""
        address = yield from self._address()
        if address and not same_place(address, wanted.address):
            raise RejectedError(
                f"HubSpot: app {self._id} delivers to {address} and can have one address only; use another app, or "
                "clear its target URL."
            )
        yield from self._bring(address, wanted)
        return ""

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        """Move the address, switch on what was paused, subscribe to what is missing."""
        yield from self._bring(found.address, wanted)
        return ""

    def _bring(self, address: str, wanted: Subscription) -> Talk[None]:
        if address != wanted.address:
            settings = {"targetUrl": wanted.address, "throttling": _THROTTLING}
            yield from self._changed(Request(method="PUT", path=f"{self._app}/settings", json=settings, mutates=True))
        rows = yield from self._rows()
        on = {_topic(row) for row in rows if row["active"]}
        paused = {_topic(row): str(row["id"]) for row in rows if not row["active"]}
        for topic in wanted.topics:
            if topic in on:
                continue
            place, method, body = f"{self._app}/subscriptions", "POST", asked(topic)
            if topic in paused:
                place, method, body = f"{place}/{paused[topic]}", "PATCH", {"active": True}
            yield from self._changed(Request(method=method, path=place, json=body, mutates=True, step=topic))

    def delete(self, found: Subscription, topics: Sequence[str]) -> Talk[None]:
        """End our topics, and the address once nobody else's topic is left."""
        del found
        rows = yield from self._rows()
        ours = [row for row in rows if _topic(row) in topics]
        for row in ours:
            path = f"{self._app}/subscriptions/{row['id']}"
            yield from self._changed(Request(method="DELETE", path=path, mutates=True, step=_topic(row)))
        if len(ours) == len(rows):
            yield from self._changed(Request(method="DELETE", path=f"{self._app}/settings", mutates=True))

    def _address(self) -> Talk[str]:
        reply = yield Request(method="GET", path=f"{self._app}/settings")
        if reply.status == _MISSING:
            return ""
        return str(_answer(reply, mutating=False).get("targetUrl") or "")

    def _rows(self) -> Talk[list[dict[str, Any]]]:
        reply = yield Request(method="GET", path=f"{self._app}/subscriptions")
        rows = _answer(reply, mutating=False).get("results")
        if not isinstance(rows, list) or not all(
            isinstance(row, dict) and {"id", "active"} <= set(row) for row in rows
        ):
            raise DecodeError("HubSpot: the subscriptions do not have the documented shape.")
        return rows

    def _changed(self, request: Request) -> Talk[None]:
        reply = yield request
        if request.method == "DELETE" and reply.status == _MISSING:
            return
        if (
            error := from_status("HubSpot", reply, mutating=True, detail=request.step, own=PLATFORM.refusals)
        ) is not None:
            raise error


def _topic(row: dict[str, Any]) -> str:
    return topic_of(str(row.get("eventType")), str(row.get("objectTypeId") or ""), str(row.get("propertyName") or ""))


def _answer(reply: Response, *, mutating: bool) -> dict[str, Any]:
    if (error := from_status("HubSpot", reply, mutating=mutating, own=PLATFORM.refusals)) is not None:
        raise error
    found = reply.json()
    if not isinstance(found, dict):
        raise DecodeError("HubSpot answered something that is no object.")
    return found
