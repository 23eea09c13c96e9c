"""The webhook settings of the portal's app: one address, and a subscription per event and property."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from app.sandbox.platforms.hubspot.objects import Answer
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp

_MOST = 1000
Row = dict[str, Any]


class Subscriptions:
    """Every change is told to *serve*: an address and the topics that it gets, None = nothing any more."""

    def __init__(self, clock: Callable[[], datetime], serve: Callable[[str, frozenset[str] | None], None]) -> None:
        self._clock, self._serve = clock, serve
        self._rows: dict[str, Row] = {}
        self._settings: Row | None = None
        self._last = 6_500_000

    def call(self, method: str, parts: list[str], asked: Any) -> Answer:  # noqa: ANN401 - any JSON
        """Answer {app}/settings and {app}/subscriptions of /webhooks/v3 and of /app-webhooks/2026-09."""
        match method, parts[1:]:
            case _, ["settings"]:
                return self._address(method, asked)
            case "POST", ["subscriptions"]:
                return 201, self._subscribe(asked)
            case "GET", ["subscriptions"]:
                return 200, {"results": list(self._rows.values())}
            case "POST", ["subscriptions", "batch", "update"]:
                rows = [self._switch(str(one["id"]), active=bool(one["active"])) for one in asked["inputs"]]
                at = stamp(self._clock())
                return 200, {"status": "COMPLETE", "results": rows, "startedAt": at, "completedAt": at}
            case "GET", ["subscriptions", id_] if id_ in self._rows:
                return 200, self._rows[id_]
            case "PATCH", ["subscriptions", id_] if id_ in self._rows:
                return 200, self._switch(id_, active=bool(asked["active"]))
            case "DELETE", ["subscriptions", id_] if id_ in self._rows:
                del self._rows[id_]
                self._tell()
                return 204, None
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _address(self, method: str, asked: Any) -> Answer:  # noqa: ANN401 - any JSON
        match method:
            case "PUT":
                return 200, self._point(asked)
            case "GET" if self._settings:
                return 200, self._settings
            case "DELETE" if self._settings:
                self._serve(self._settings["targetUrl"], None)
                self._settings = None
                return 204, None
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _point(self, asked: Row) -> Row:
        most = int(asked["throttling"]["maxConcurrentRequests"])
        if most <= 5:
            raise Refused(400, "maxConcurrentRequests must be greater than 5.")
        if self._settings:
            self._serve(self._settings["targetUrl"], None)
        throttling = {"maxConcurrentRequests": most}
        self._settings = {
            "targetUrl": str(asked["targetUrl"]),
            "throttling": throttling,
            "createdAt": stamp(self._clock()),
        }
        self._tell()
        return self._settings

    def _subscribe(self, asked: Row) -> Row:
        if asked["eventType"].endswith(".propertyChange") and not asked.get("propertyName"):
            raise Refused(400, "propertyName is required for propertyChange subscriptions.")
        if asked["eventType"].startswith("object.") and not asked.get("objectTypeId"):
            raise Refused(400, "objectTypeId is required for generic subscriptions.")
        if topic_of(asked) in {topic_of(row) for row in self._rows.values()}:
            raise Refused(409, "A subscription of this type exists already.", "OBJECT_ALREADY_EXISTS")
        if len(self._rows) >= _MOST:
            raise Refused(400, f"An app can have {_MOST} subscriptions.")
        self._last += 1
        row = {"id": str(self._last), "active": False, "createdAt": stamp(self._clock()), **asked}
        self._rows[row["id"]] = row
        self._tell()
        return row

    def _switch(self, id_: str, *, active: bool) -> Row:
        self._rows[id_].update(active=active, updatedAt=stamp(self._clock()))
        self._tell()
        return self._rows[id_]

    def _tell(self) -> None:
        if self._settings:
            topics = frozenset(topic_of(row) for row in self._rows.values() if row["active"])
            self._serve(self._settings["targetUrl"], topics or None)


def topic_of(row: Row) -> str:
    """Return what is subscribed to, or told, as one text: the event, a generic object's type, the property."""
    event = str(row.get("eventType") or row.get("subscriptionType"))
    type_id = row.get("objectTypeId") if event.startswith("object.") else ""
    return " ".join(str(part) for part in (event, type_id, row.get("propertyName")) if part)
