"""The webhooks journal of the portal's app: subscriptions, and entries whose events stand in files elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from app.sandbox.base import Verb, dumps
from app.sandbox.platforms.hubspot.objects import Answer
from app.sandbox.platforms.hubspot.records import Change
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import stamp

FILES = "/journal-files/"
_KEPT, _OPEN = timedelta(days=3), timedelta(minutes=15)
_MOST = 100
"""Events of one file."""
_REQUIRED = {
    "OBJECT": ("objectTypeId", "portalId", "actions"),
    "ASSOCIATION": ("objectTypeId", "portalId", "actions", "associatedObjectTypeIds"),
    "GDPR_PRIVACY_DELETION": ("objectTypeId", "portalId", "actions"),
}
_ACTIONS = {
    "creation": "CREATE",
    "propertyChange": "UPDATE",
    "deletion": "DELETE",
    "merge": "MERGE",
    "restore": "RESTORE",
    "privacyDeletion": "GDPR_DELETE",
}
Row = dict[str, Any]


class Journal:
    """What was told since somebody subscribed: an entry closes when it is asked for, or full."""

    def __init__(self, clock: Callable[[], datetime], portal: str, app: int) -> None:
        self._clock, self._portal, self._app = clock, portal, app
        self._rows: dict[str, Row] = {}
        self._entries: list[tuple[str, datetime, bytes]] = []
        self._open: list[Row] = []
        self._doors: dict[str, tuple[str, datetime]] = {}
        self._last = 60_001_000

    def verbs(self) -> dict[str, Verb]:
        """Return what may befall the journal, by name."""
        return {"forget_journal": self._forget, "spoil_journal": self._spoil, "unsubscribe_journal": self._unsubscribe}

    # -- subscriptions ------------------------------------------------------------------------------------------------

    def call(self, method: str, parts: list[str], asked: Any) -> Answer:  # noqa: ANN401 - any JSON
        """Answer /webhooks-journal/subscriptions/2026-03[/{id}]."""
        match method, parts:
            case "GET", []:
                return 200, {"results": list(self._rows.values())}
            case "POST", []:
                return 200, self._put(asked)
            case "GET", [id_] if id_ in self._rows:
                return 200, self._rows[id_]
            case "DELETE", [id_] if id_ in self._rows:
                del self._rows[id_]
                return 204, None
        raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")

    def _put(self, asked: Row) -> Row:
        """Keep a subscription in the place of the one to the same objects."""
        type_ = str(asked["subscriptionType"])
        if type_ not in _REQUIRED or any(not asked.get(name) for name in _REQUIRED[type_]):
            raise Refused(400, "Invalid subscription provided")
        if str(asked["portalId"]) != self._portal:
            raise Refused(403, "The app is not installed in this account.", "FORBIDDEN")
        same = (type_, asked["objectTypeId"])
        before = next(
            (row for row in self._rows.values() if (row["subscriptionType"], row["objectTypeId"]) == same), None
        )
        if before is None:
            self._last += 1
        at = stamp(self._clock())
        row = {
            **asked,
            "id": before["id"] if before else self._last,
            "appId": self._app,
            "createdAt": before["createdAt"] if before else at,
            "updatedAt": at,
        }
        self._rows[str(row["id"])] = row
        return row

    def _unsubscribe(self, asked: Row) -> Row:
        """Let somebody end every subscription."""
        del asked
        ended = len(self._rows)
        self._rows.clear()
        return {"ended": ended}

    # -- what is told -------------------------------------------------------------------------------------------------

    def tell(self, change: Change) -> None:
        """Note *change* if somebody subscribed to it."""
        if not self._rows:
            return
        event = self._event(change)
        if any(_tells(row, event) for row in self._rows.values()):
            self._open.append(event)
            if len(self._open) >= _MOST:
                self._close()

    def _event(self, change: Change) -> Row:
        at = {"portalId": int(self._portal), "occurredAt": stamp(change.at)}
        detail = change.detail
        if change.event == "associationChange":
            ends = {name: detail[name] for name in ("fromObjectTypeId", "fromObjectId", "toObjectTypeId", "toObjectId")}
            action = "ASSOCIATION_REMOVED" if detail["associationRemoved"] else "ASSOCIATION_ADDED"
            return {"type": "association", **at, "action": action, **ends, "isPrimary": False}
        event = {
            "type": "crmObject",
            **at,
            "action": _ACTIONS[change.event],
            "objectTypeId": change.kind.type_id,
            "objectId": int(change.id),
        }
        if change.event == "propertyChange":
            event["propertyChanges"] = {detail["propertyName"]: detail["propertyValue"]}
        if change.event == "merge":
            event["mergedObjectIds"] = detail["mergedObjectIds"]  # no document shows more of a merge
        return event

    def _close(self) -> None:
        if self._open:
            offset, at = str(uuid.uuid4()), self._clock()
            body = {"offset": offset, "journalEvents": self._open, "publishedAt": stamp(at)}
            self._entries.append((offset, at, dumps(body)))
            self._open = []

    # -- fetching -----------------------------------------------------------------------------------------------------

    def fetch(self, parts: list[str], base: str) -> Answer:
        """Answer earliest, latest and offset/{offset}/next; files are below *base*."""
        self._close()
        since = self._clock() - _KEPT
        self._entries = [entry for entry in self._entries if entry[1] >= since]
        offsets = [offset for offset, _, _ in self._entries]
        match parts:
            case ["earliest"]:
                rest = self._entries[:1]
            case ["latest"]:
                rest = self._entries[-1:]
            case ["offset", offset, "next"] if offset in offsets:
                rest = self._entries[offsets.index(offset) + 1 :][:1]
            case _:
                raise Refused(404, "resource not found", "OBJECT_NOT_FOUND")
        if not rest:
            return 204, None
        key, until = uuid.uuid4().hex, self._clock() + _OPEN
        self._doors[key] = (rest[0][0], until)
        url = f"{base}{FILES}{rest[0][0]}.json?X-Signature={key}%2Fv4"
        return 200, {"url": url, "expiresAt": stamp(until), "currentOffset": rest[0][0]}

    def file(self, name: str, signature: str) -> bytes | None:
        """Return a file, None when *signature* does not open it (any more)."""
        offset, until = self._doors.get(signature.removesuffix("/v4"), ("", self._clock()))
        if f"{offset}.json" != name or self._clock() >= until:
            return None
        return next((body for known, _, body in self._entries if known == offset), None)

    def _forget(self, asked: Row) -> Row:
        """Let three days pass for all that was told."""
        del asked
        self._close()
        gone = len(self._entries)
        self._entries.clear()
        return {"forgotten": gone}

    def _spoil(self, asked: Row) -> Row:
        """Close what was told into a file that nobody can read."""
        del asked
        self._close()
        self._entries = [(offset, at, b"<not json>") for offset, at, _ in self._entries]
        return {"spoilt": len(self._entries)}


def _tells(row: Row, event: Row) -> bool:
    if event["action"] not in row["actions"]:
        return False
    if event["type"] == "association":
        ends = event["fromObjectTypeId"] == row["objectTypeId"]
        return ends and event["toObjectTypeId"] in row.get("associatedObjectTypeIds", ())
    if event["objectTypeId"] != row["objectTypeId"]:
        return False
    wanted = row.get("properties")
    return event["action"] != "UPDATE" or not wanted or bool(set(wanted) & set(event["propertyChanges"]))
