"""Call quotas as platforms keep them: buckets that leak and windows that start over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """Answer of a quota: was the call allowed, what is left, how long until it would be."""

    allowed: bool
    left: float
    limit: float
    wait_s: float


class Bucket:
    """A bucket of *capacity* points refilled by *per_second*."""

    def __init__(self, capacity: float, per_second: float, clock: Callable[[], datetime]) -> None:
        self.capacity, self.per_second = capacity, per_second
        self._clock, self._points, self._at = clock, capacity, clock()

    @property
    def points(self) -> float:
        """Return the points there are now."""
        now = self._clock()
        self._points = min(self.capacity, self._points + self.per_second * (now - self._at).total_seconds())
        self._at = now
        return self._points

    def take(self, points: float = 1) -> Taken:
        """Take *points* if they are there; take none otherwise."""
        there = self.points
        if there < points:
            return Taken(allowed=False, left=there, limit=self.capacity, wait_s=(points - there) / self.per_second)
        self._points = there - points
        return Taken(allowed=True, left=self._points, limit=self.capacity, wait_s=0)

    def give_back(self, points: float) -> None:
        """Return *points* that a call reserved and did not need."""
        self._points = min(self.capacity, self._points + points)


class Window:
    """At most *limit* calls in each window of *seconds*, counted from the first call in it."""

    def __init__(self, limit: float, seconds: float, clock: Callable[[], datetime]) -> None:
        self.limit, self.seconds = limit, seconds
        self._clock, self._since, self._used = clock, clock(), 0.0

    def take(self, calls: float = 1) -> Taken:
        """Count *calls* if the window has room; count none otherwise."""
        now = self._clock()
        if (now - self._since).total_seconds() >= self.seconds:
            self._since, self._used = now, 0.0
        rest = self.seconds - (now - self._since).total_seconds()
        if self._used + calls > self.limit:
            return Taken(allowed=False, left=self.limit - self._used, limit=self.limit, wait_s=rest)
        self._used += calls
        return Taken(allowed=True, left=self.limit - self._used, limit=self.limit, wait_s=0)
