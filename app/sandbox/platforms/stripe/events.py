"""The events of a Stripe account: told by webhook, and listed for who missed them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import orjson

from app.sandbox.base import dumps
from app.sandbox.platforms.stripe.records import shown

_ID = "evt_{:014d}"


class Event(NamedTuple):
    """One event as it is sent; its record is as it was then."""

    type: str
    body: bytes


class Events:
    """Events in the order in which they happened; one is encoded once, for its webhook and for every list."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._all: list[Event] = []
        self._created: list[int] = []

    def add(self, type_: str, record: dict[str, Any], now: datetime, account: str = "") -> bytes:
        """Return the body of what happened to *record*; a Connect platform is told in which *account*."""
        created = max(int(now.timestamp()), self._created[-1] if self._created else 0)
        event = {
            "id": _ID.format(len(self._all) + 1),
            "object": "event",
            "api_version": self._version,
            "type": type_,
            "created": created,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "data": {"object": shown(record)},
            **({"account": account} if account else {}),
        }
        self._all.append(Event(type_, dumps(event)))
        self._created.append(created)
        return self._all[-1].body

    def page(self, limit: int, created: range, types: Collection[str], after: str, before: str) -> dict[str, Any]:
        """Return one page, the newest first, of the events of the seconds *created*."""
        oldest, count = (bisect_left(self._created, second) for second in (created.start, created.stop))
        if before:
            newer = range(max(oldest, self._place(before, count) + 1), count)
            places = list(islice(self._places(newer, types), limit))[::-1]
        else:
            newest = min(self._place(after, 0) if after else count, count) - 1
            places = list(islice(self._places(range(newest, oldest - 1, -1), types), limit + 1))
        data = [orjson.Fragment(self._all[place].body) for place in places[:limit]]
        return {"object": "list", "url": "/v1", "has_more": len(places) > limit, "data": data}

    def _places(self, among: range, types: Collection[str]) -> Iterator[int]:
        return (place for place in among if not types or self._all[place].type in types)

    def _place(self, id_: str, unknown: int) -> int:
        number = id_.removeprefix("evt_")
        return int(number) - 1 if number.isdigit() else unknown
