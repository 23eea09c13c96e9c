"""Quotas of one connection: windows, concurrency and the platform's own word; no call is refused in steady state."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from schemas.platform import Limit, Limits

_HEADROOM = 0.95
_TAIL = 1000
_NOTHING = 1e-6


class Points:
    """A leaky bucket of points; a request reserves what it may cost, the reply says what is left."""

    def __init__(self, limit: Limit, pattern: str, share: float, clock: Callable[[], float]) -> None:
        """Start with a full bucket; *pattern* finds the points left in a reply."""
        self._full = limit.requests * share * _HEADROOM
        self._rate = limit.requests / limit.per_seconds * share
        self._pattern = re.compile(pattern.encode()) if pattern else None
        self._clock, self._points, self._at, self._flying = clock, self._full, clock(), 0.0

    def there(self) -> float:
        """Return the points there are now."""
        now = self._clock()
        self._points = min(self._full, self._points + (now - self._at) * self._rate)
        self._at = now
        return self._points

    def wait(self, cost: float) -> float:
        """Return the seconds until *cost* points are there; more than the bucket holds waits for a full one."""
        missing = min(cost, self._full) - self.there()
        # What is missing by a rounding error is not waited for.
        return missing / self._rate if missing > _NOTHING else 0.0

    @contextlib.contextmanager
    def flight(self, cost: float) -> Iterator[None]:
        """Reserve *cost* points while a request is on its way."""
        self._points = self.there() - cost
        self._flying += cost
        try:
            yield
        finally:
            self._flying -= cost

    def heard(self, body: bytes) -> None:
        """Set the count to the platform's, less what is on its way; the number stands at the end of a reply."""
        found = self._pattern.search(body, max(0, len(body) - _TAIL)) if self._pattern else None
        if found:
            self.there()
            self._points = min(self._full, float(found[1]) - self._flying)


class Limiter:
    """Let requests go as the limits allow; times are seconds of *clock* (monotonic).

    Each window is kept rolling, never more than a fixed window of the vendor allows. `pause` obeys Retry-After.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], share: float = 1.0) -> None:
        """Multiply every window by *share*: below 1 leaves quota to others, above 1 is for sandboxes."""
        self._windows = [
            (max(1, int(window.requests * share * _HEADROOM)), window.per_seconds, deque[float]())
            for window in limits.windows
        ]
        self._points = Points(limits.points, limits.left_in_body, share, clock) if limits.points else None
        self._clock = clock
        self._slots = asyncio.Semaphore(max(1, limits.concurrent))
        self._paused_until = 0.0
        self.throttled = 0

    def wait(self, cost: int = 1) -> float:
        """Return the seconds until a request of *cost* points may go; 0 = now."""
        now = self._clock()
        waits = [max(0.0, self._paused_until - now)]
        if self._points is not None:
            waits.append(self._points.wait(cost))
        for allowed, seconds, sent in self._windows:
            while sent and sent[0] <= now - seconds:
                sent.popleft()
            if len(sent) >= allowed:
                waits.append(sent[-allowed] + seconds - now)
        return max(waits)

    def left(self) -> int:
        """Return how many requests the tightest window allows now, or how many points are left; -1 without limits.

        0 while nothing may go, also because the platform asked to wait.
        """
        if self.wait() > 0:
            return 0
        if self._points is not None and not self._windows:
            return int(self._points.there())
        return min((allowed - len(sent) for allowed, _, sent in self._windows), default=-1)

    def sent(self) -> None:
        """Count a request that goes now."""
        now = self._clock()
        for _, _, sent in self._windows:
            sent.append(now)

    def pause(self, seconds: float) -> None:
        """Send nothing for *seconds*: the platform said so."""
        self.throttled += 1
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def heard(self, body: bytes) -> None:
        """Believe the platform's own count of points in a reply."""
        if self._points is not None:
            self._points.heard(body)

    @contextlib.asynccontextmanager
    async def turn(self, cost: int = 1) -> AsyncIterator[None]:
        """Wait for a place in the concurrency limit, in every window and for the points, and count the request."""
        async with self._slots:
            while (seconds := self.wait(cost)) > 0:  # noqa: ASYNC110 - waits for time, not for a state
                await asyncio.sleep(seconds)
            self.sent()
            with self._points.flight(cost) if self._points is not None else contextlib.nullcontext():
                yield
