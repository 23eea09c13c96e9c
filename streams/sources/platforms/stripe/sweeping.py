"""Where a walk through the events is, or through the lists of what there is. Pure: the source asks.

Stripe lists the newest first, and an event's id names a place in the list only as long as the event is kept. So the
walk goes from window to window of time, oldest first, and halves a window of more than a page, as far as a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

PAGE = 100
_OVERLAP = timedelta(minutes=5)
"""An event may show in the list later than it was created."""
_LOOK_BACK = timedelta(days=29)
_MARK = "|"
_LISTS = "lists"
_LISTED = (
    "invoices", "credit_notes", "payment_intents", "invoice_payments", "charges", "refunds", "disputes", "payouts",
)  # fmt: skip


class Walk(NamedTuple):
    """A pass that began at *started* and has shown all that was created before second *at*.

    Next are *span* seconds; of a second with more than a page, what the list shows behind the event *after*.
    """

    started: datetime
    at: int
    span: int
    after: str = ""

    def __str__(self) -> str:
        return _MARK.join((self.started.isoformat(), str(self.at), str(self.span), self.after))

    @property
    def is_second(self) -> bool:
        """Tell whether the window cannot be halved any more."""
        return min(self.span, self._left) <= 1

    @property
    def _left(self) -> int:
        return int(self.started.timestamp()) + 1 - self.at

    def asked(self) -> dict[str, str]:
        """Return the parameters of the list; the last window is open, so that a slow clock of ours hides nothing."""
        until = {} if self.span >= self._left else {"created[lt]": str(self.at + self.span)}
        after = {"starting_after": self.after} if self.after else {}
        return {"created[gte]": str(self.at), **until, "limit": str(PAGE), **after}

    def halved(self) -> Walk:
        """Return the walk that asks for half as much."""
        return self._replace(span=min(self.span, self._left) // 2)

    def beyond(self, rows: Sequence[Any], *, more: bool) -> Walk | None:
        """Return the walk when *rows* were shown and there are *more* in the window; None at the end of the pass."""
        if more:
            return self._replace(after=str(rows[-1]["id"]))
        if self.span >= self._left:
            return None
        roomy = not self.after and len(rows) * 2 <= PAGE
        return Walk(self.started, self.at + self.span, self.span * 2 if roomy else self.span)


def walk_of(cursor: str, now: datetime) -> Walk:
    """Return the walk that *cursor* is in the middle of, else one from when the last pass began (ISO 8601).

    Only a pass as a whole overlaps with the last one: a place within it loses nothing that was listed.
    """
    if _MARK in cursor:
        started, second, span, after = cursor.split(_MARK)
        return Walk(datetime.fromisoformat(started), int(second), int(span), after)
    since = datetime.fromisoformat(cursor) - _OVERLAP if cursor else now - _LOOK_BACK
    at = int(since.timestamp())
    return Walk(now, at, max(1, int(now.timestamp()) + 1 - at))


class Lists(NamedTuple):
    """A pass that began at *started* and walks one list after another; it is behind the object *after* of one of them.

    Each shows the newest first, so that what is made meanwhile moves nothing.
    """

    started: datetime
    number: int = 0
    after: str = ""

    def __str__(self) -> str:
        return _MARK.join((_LISTS, self.started.isoformat(), str(self.number), self.after))

    @property
    def path(self) -> str:
        """Return the list that is walked."""
        return f"/v1/{_LISTED[self.number]}"

    @property
    def is_needed(self) -> bool:
        """Tell whether orders cannot do without the list."""
        return _LISTED[self.number] not in {"disputes", "payouts"}

    def asked(self, since: str, zone: str) -> dict[str, str]:
        """Return the parameters of the list of what was created *since* (ISO 8601), "" = ever."""
        after = {"starting_after": self.after} if self.after else {}
        if not since:
            return {"limit": str(PAGE), **after}
        moment = datetime.fromisoformat(since)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return {"created[gte]": str(int(moment.timestamp())), "limit": str(PAGE), **after}

    def tells(self, type_: str) -> bool:
        """Tell whether the list is asked for objects of *type_*: payment records have no list of their own."""
        return _LISTED[self.number] != "invoice_payments" or type_ == "payment_record"

    def beyond(self, rows: Sequence[Any], *, more: bool) -> Lists | None:
        """Return the walk when *rows* were shown and there are *more* in the list; None at the end of the last one."""
        if more:
            return self._replace(after=str(rows[-1]["id"]))
        return None if self.number + 1 == len(_LISTED) else Lists(self.started, self.number + 1)


def lists_of(cursor: str) -> Lists | None:
    """Return the walk through lists that *cursor* is in the middle of, if it is in one."""
    kind, _, place = cursor.partition(_MARK)
    if kind != _LISTS:
        return None
    started, number, after = place.split(_MARK)
    return Lists(datetime.fromisoformat(started), int(number), after)


def is_stale(cursor: str, now: datetime) -> bool:
    """Tell whether the last pass of events, or the one under way, is so long ago that some are no longer kept."""
    started = cursor.partition(_MARK)[0]
    return bool(started) and datetime.fromisoformat(started) < now - _LOOK_BACK
