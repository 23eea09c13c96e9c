"""Quotas of one connection: windows, concurrency and the platform's own word; no call is refused in steady state."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable

from schemas.platform import Limits

_HEADROOM = 0.95


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
        self._clock = clock
        self._slots = asyncio.Semaphore(max(1, limits.concurrent))
        self._paused_until = 0.0
        self.throttled = 0

    def wait(self) -> float:
        """Return the seconds until a request may go; 0 = now."""
        now = self._clock()
        waits = [max(0.0, self._paused_until - now)]
        for allowed, seconds, sent in self._windows:
            while sent and sent[0] <= now - seconds:
                sent.popleft()
            if len(sent) >= allowed:
                waits.append(sent[-allowed] + seconds - now)
        return max(waits)

    def left(self) -> int:
        """Return how many requests the tightest window allows now; -1 without windows."""
        self.wait()
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

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place in the concurrency limit and in every window, and count the request."""
        async with self._slots:
            while (seconds := self.wait()) > 0:  # noqa: ASYNC110 - waits for time, not for a state
                await asyncio.sleep(seconds)
            self.sent()
            yield
