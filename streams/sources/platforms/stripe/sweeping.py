"""Where a walk through the events is. Pure: the source asks.

Stripe lists the newest first, and an event's id names a place in the list only as long as the event is kept. So the
walk goes from window to window of time, oldest first, and halves a window of more than a page, as far as a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

PAGE = 100
_OVERLAP = timedelta(minutes=5)
"""An event may show in the list later than it was created."""
_LOOK_BACK = timedelta(days=29)
_MARK = "|"


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
