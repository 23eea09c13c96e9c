"""What keeps a portal from answering for longer than a moment: its day's quota, a move, records that are locked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

from app.sandbox.base import Verb
from app.sandbox.platforms.hubspot.refusals import Refused

_ZONE = timezone(timedelta(hours=1))
"""Of the portal, at whose midnight a new day's quota begins."""
Closed = tuple[Refused, dict[str, Any], dict[str, str]]
"""A refusal, what its body says beside it, and its headers."""


class Closures:
    """Tells which calls are refused for now, and counts those of the day."""

    def __init__(self, clock: Callable[[], datetime], calls_a_day: int) -> None:
        self._clock, self._most = clock, calls_a_day
        self._day, self._used = date.min, 0
        self._moved_at = datetime.min.replace(tzinfo=_ZONE)
        self._locked: dict[str, datetime] = {}

    def verbs(self) -> dict[str, Verb]:
        """Return what may befall the portal, by name."""
        return {"use_up_the_day": self._use_up, "move_portal": self._move, "lock": self._lock}

    @property
    def left(self) -> int:
        """Return how many calls are left of the day."""
        today = self._clock().astimezone(_ZONE).date()
        if today != self._day:
            self._day, self._used = today, 0
        return max(0, self._most - self._used)

    def take(self) -> None:
        """Count a call."""
        self._used += 1

    def closed(self, method: str, path: str) -> Closed | None:
        """Return why a call is refused for now, None when it is not."""
        now = self._clock()
        if now < self._moved_at:
            left = str(round((self._moved_at - now).total_seconds()))
            return Refused(477, "The portal is being migrated.", "MIGRATION_IN_PROGRESS"), {}, {"Retry-After": left}
        if not self.left:
            text = "You have reached your daily limit."
            return Refused(429, text, "RATE_LIMITS"), {"errorType": "RATE_LIMIT", "policyName": "DAILY"}, {}
        if method != "GET" and now < self._locked.get(path.rpartition("/")[2], now):
            return Refused(423, "The object is locked.", "LOCKED"), {}, {}
        return None

    def _use_up(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Let others use what is left of the day."""
        del asked
        used = self.left
        self._used += used
        return {"used": used}

    def _move(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Move the portal to another data centre."""
        self._moved_at = self._clock() + timedelta(seconds=float(asked["seconds"]))
        return {"until": self._moved_at.isoformat()}

    def _lock(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Lock a record, as too many writes at once do."""
        self._locked[str(asked["id"])] = self._clock() + timedelta(seconds=float(asked["seconds"]))
        return {"id": str(asked["id"])}
