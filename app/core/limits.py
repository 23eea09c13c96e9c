"""Quotas of one connection: windows, concurrency and the platform's own word; no call is refused in steady state."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from schemas.commands import BACKFILL, LIVE
from schemas.platform import Limit, Limits

AGE = 10.0
"""Seconds that one step of priority is worth."""
_BELIEVED = 300.0
"""Longest time, in seconds, for which what the platform said counts without being said again."""
_HEADROOM = 0.97
"""Share of a quota that is used: what is left covers calls that overtake each other on the way."""
_RESERVE = 0.05
"""Share of a quota from which on what is left is spread: others use it as well."""
_SHORT = 10.0
"""Seconds up to which a window is filled evenly: a burst at its end and one at the next one's beginning may meet."""
_TIMERS = 0.002
"""Seconds that calls come closer than evenly: timers are late, and what each loses adds up."""
_LATE = 0.008
"""Share of a longer window by which the next one begins later, for the same reason."""
_CALL = 2.0
"""Seconds that a call is reckoned to take at most, with all that is made durable around it."""
_SUSTAINED = 60.0
"""Seconds of the longest window that says how fast calls follow each other: a day's is used up in bursts."""
_STEPS = 1000
"""Steps in which the calls of a window longer than that are remembered."""
_CATCH_UP = 5
"""Calls of back-fill that may come at once where some came late: timers and the machine lose what is made up for so."""
_FEW, _MANY = 4, 100
"""Calls at once: fewer would leave a quota unused while one is slow, more than this no quota here asks for."""
_TAIL = 1000
_NOTHING = 1e-6
_DAY = 86_400.0


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

    def reserve(self, cost: float) -> None:
        """Take *cost* points for a request that leaves now."""
        self._points = self.there() - cost
        self._flying += cost

    def land(self, cost: float) -> None:
        """Note that a request is no longer on its way: what it really cost was or will be told."""
        self._flying -= cost

    def heard(self, body: bytes) -> None:
        """Set the count to the platform's, less what is on its way; the number stands at the end of a reply."""
        found = self._pattern.search(body, max(0, len(body) - _TAIL)) if self._pattern else None
        if found:
            self.there()
            self._points = min(self._full, float(found[1]) - self._flying)


class Calls:
    """When calls of ours went, for as long as they count; those of a long window in steps, since a day's are many."""

    def __init__(self, seconds: float, steps: int = _STEPS) -> None:
        """Remember calls for *seconds*: the first so many each, later ones in so many *steps* where that is long."""
        self._seconds, self._steps = seconds, steps
        self._step = seconds / steps if seconds > _SUSTAINED else 0.0
        self._began = -math.inf
        """When the newest step began."""
        self._ended: deque[float] = deque()
        self._many: deque[int] = deque()
        self._all = 0

    def __len__(self) -> int:
        return self._all

    def add(self, now: float) -> None:
        """Remember one at *now*."""
        self._all += 1
        if len(self._ended) >= self._steps and now - self._began < self._step:
            self._ended[-1] = now
            self._many[-1] += 1
            return
        self._began = now
        self._ended.append(now)
        self._many.append(1)

    def forget(self, now: float) -> None:
        """Forget those that do not count any more at *now*; of a step, all once its last one does not."""
        while self._ended and self._ended[0] + self._seconds <= now:
            self._all -= self._many.popleft()
            self._ended.popleft()

    def until(self, most: int) -> float:
        """Return the moment from which on less than *most* count; minus infinity where it is so already."""
        rest, at = self._all, -math.inf
        for ended, many in zip(self._ended, self._many, strict=True):
            if rest < most:
                break
            rest, at = rest - many, ended + self._seconds
        return at


class Window:
    """At most so many requests in any stretch of time, counted here, and never more than the platform says are left."""

    def __init__(self, limit: Limit, share: float, header: str) -> None:
        """*header* is where a reply tells what is left, for everybody who uses the same quota; "" = nowhere."""
        quota = int(limit.requests * share)
        self._allowed = max(1, int(limit.requests * share * _HEADROOM))
        self._crowd = self._allowed + max(0, quota - self._allowed) // 2
        """What really leaves may come closer than it was let go, by half of the headroom."""
        self._vendors_limit = limit.requests
        self._left = Calls(limit.per_seconds)
        short = limit.per_seconds <= _SHORT
        self._apart = max(0.0, limit.per_seconds / self._allowed - _TIMERS) if short else 0.0
        self.pace = limit.per_seconds / self._allowed if _SHORT < limit.per_seconds <= _SUSTAINED else 0.0
        """Seconds between two calls that use the window up evenly; 0 for a second's or a day's."""
        self.seconds, self._header = limit.per_seconds * (1.0 if short else 1.0 + _LATE), header
        self._reserve = limit.requests - int(limit.requests * (1 - _RESERVE))
        self._span = min(limit.per_seconds, _BELIEVED)
        self._sent = Calls(self.seconds)
        self._told: int | None = None
        self._ours, self._left_there, self._alone = 0, limit.requests, True
        """Requests of ours in the platform's window, what it said is left of it, and whether nobody else takes any:

        then to keep to the window is enough, and nothing need be left to others.
        """
        self._told_at, self._last, self._newest = 0.0, -math.inf, -1

    def wait(self, now: float) -> float:
        """Return the seconds until one more may go."""
        self._forget(now)
        return max(0.0, self._sent.until(self._allowed) - now, self._last + self._apart - now, self._slowed(now))

    def left(self, now: float) -> int:
        """Return how many may go now."""
        self._forget(now)
        own = self._allowed - len(self._sent)
        return own if self._told is None else max(0, min(own, self._told))

    def count(self, now: float) -> None:
        """Count a request that leaves now."""
        self._sent.add(now)
        self._last = now
        self._ours += 1
        if self._told is not None:
            self._told -= 1

    def crowded(self, now: float) -> float:
        """Return the seconds until one more may really leave: what was let go evenly may be held up, and bunch."""
        self._left.forget(now)
        return max(0.0, self._left.until(self._crowd) - now)

    def leaves(self, now: float) -> None:
        """Note that a request leaves now."""
        self._left.add(now)

    def heard(self, headers: Mapping[str, str], number: int, later: int, now: float) -> None:
        """Believe what the reply to request *number* says is left; *later* ones may not be counted in it yet."""
        text = headers.get(self._header, "") if self._header else ""
        if text.isascii() and text.isdigit() and number >= self._newest:
            left = int(text)
            if left > self._left_there:  # the platform's window began anew, at the first since the reply before
                self._ours = later + number - self._newest
            self._alone = self._vendors_limit - left <= self._ours
            self._told, self._told_at, self._newest, self._left_there = left - later, now, number, left

    def _forget(self, now: float) -> None:
        self._sent.forget(now)
        if self._told is not None and now >= self._told_at + self._span:
            self._told = None

    def _slowed(self, now: float) -> float:
        """Return the wait that spreads the last few over the time for which the platform's word counts."""
        if self._told is None or self._told >= self._reserve or self._alone:
            return 0.0
        until_forgotten = self._told_at + self._span - now
        if self._told <= 0:
            return until_forgotten
        return min(until_forgotten, self._last + self._span / (self._told + 1) - now)


def abreast(limits: Limits, share: float) -> int:
    """Return how many calls at once use the quota: as many as may begin while one is under way (Little's law)."""
    rates = [one.requests * share / one.per_seconds for one in limits.windows if one.per_seconds <= _SUSTAINED]
    return min(_MANY, max(_FEW, math.ceil(min(rates) * _CALL))) if rates else limits.concurrent or _FEW


class _Waiting(NamedTuple):
    turn: float
    number: int
    cost: int
    patient: bool
    admitted: asyncio.Future[int]


class Limiter:
    """Let requests go as the limits allow; times are seconds of *clock* (monotonic, the event loop's pace).

    Each window is kept rolling, never more than a fixed window of the vendor allows. `pause` obeys Retry-After.
    Who waits goes by arrival plus `AGE` seconds per step of priority: never behind a less urgent request that came
    later, and no request is overtaken for longer than its steps. Back-fill goes evenly: a burst of it would use up a
    minute, and whoever is urgent would wait for the next.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float], share: float = 1.0) -> None:
        """Multiply every window by *share*: below 1 leaves quota to others, above 1 is for sandboxes."""
        headers = itertools.chain(limits.remaining_headers, itertools.repeat(""))
        self._windows = [Window(limit, share, header) for limit, header in zip(limits.windows, headers, strict=False)]
        self._points = Points(limits.points, limits.left_in_body, share, clock) if limits.points else None
        self._clock, self._next_patient = clock, 0.0
        self._pace = max((window.pace for window in self._windows), default=0.0)
        self.abreast = abreast(limits, share)
        """How many writes at once keep the quota used while they wait for the platform and for Kafka in turn."""
        self._free = limits.concurrent or self.abreast
        self._queue: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._arrivals = itertools.count()
        self._paused_until = 0.0
        self._gone = 0
        self.throttled = 0

    def wait(self, cost: int = 1) -> float:
        """Return the seconds until a request of *cost* points may go; 0 = now."""
        now = self._clock()
        waits = [max(0.0, self._paused_until - now)]
        if self._points is not None:
            waits.append(self._points.wait(cost))
        waits += [window.wait(now) for window in self._windows]
        return max(waits)

    def left(self) -> int:
        """Return how many requests the tightest window allows now, or how many points are left; -1 without limits.

        0 while nothing may go, also because the platform asked to wait.
        """
        if self.wait() > 0:
            return 0
        if self._points is not None and not self._windows:
            return int(self._points.there())
        now = self._clock()
        return min((window.left(now) for window in self._windows), default=-1)

    def left_today(self) -> int | None:
        """Return how many requests a cap of a day allows now; None where there is no such cap."""
        now = self._clock()
        return min((window.left(now) for window in self._windows if window.seconds >= _DAY), default=None)

    def sent(self) -> int:
        """Count a request that goes now, and return its number."""
        now = self._clock()
        for window in self._windows:
            window.count(now)
        self._gone += 1
        return self._gone

    def crowded(self) -> float:
        """Return the seconds for which a request that has its turn must wait all the same, 0 = it may leave now.

        What it does first (its intent is made durable) takes some longer than others; the vendor sees when they leave.
        """
        now = self._clock()
        return max((window.crowded(now) for window in self._windows), default=0.0)

    def leaves(self) -> None:
        """Note that a request leaves now."""
        now = self._clock()
        for window in self._windows:
            window.leaves(now)

    def pause(self, seconds: float) -> None:
        """Send nothing for *seconds*: the platform said so."""
        self.throttled += 1
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def heard(self, body: bytes, headers: Mapping[str, str] = MappingProxyType({}), number: int | None = None) -> None:
        """Believe the platform's own count in the reply to request *number*: points in the body, calls in headers."""
        if self._points is not None:
            self._points.heard(body)
        now, number = self._clock(), self._gone if number is None else number
        for window in self._windows:
            window.heard(headers, number, self._gone - number, now)
        self._admit()

    @contextlib.asynccontextmanager
    async def turn(self, cost: int = 1, priority: int = LIVE) -> AsyncIterator[int]:
        """Wait for a place in the concurrency limit, in every window and for the points; give the request's number."""
        patient = priority >= BACKFILL
        goes = not self._queue and self._free > 0 and self._wait(cost, patient=patient) <= 0
        number = self._go(cost, patient=patient) if goes else await self._queued(cost, priority)
        try:
            yield number
        finally:
            self._landed(cost)

    def _wait(self, cost: int, *, patient: bool) -> float:
        return max(self.wait(cost), self._next_patient - self._clock() if patient else 0.0)

    def _go(self, cost: int, *, patient: bool) -> int:
        self._free -= 1
        if patient:
            self._next_patient = max(self._next_patient, self._clock() - _CATCH_UP * self._pace) + self._pace
        if self._points is not None:
            self._points.reserve(cost)
        return self.sent()

    def _landed(self, cost: int) -> None:
        self._free += 1
        if self._points is not None:
            self._points.land(cost)
        self._admit()

    async def _queued(self, cost: int, priority: int) -> int:
        admitted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        place = _Waiting(self._clock() + AGE * priority, next(self._arrivals), cost, priority >= BACKFILL, admitted)
        heapq.heappush(self._queue, place)
        self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._landed(cost)
            raise

    def _admit(self) -> None:
        """Let those go whose turn it is, and come back when the next one's has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self._free > 0:
            first = self._queue[0]
            if not first.admitted.done():
                if (seconds := self._wait(first.cost, patient=first.patient)) > 0:
                    self._timer = first.admitted.get_loop().call_later(seconds, self._admit)
                    return
                first.admitted.set_result(self._go(first.cost, patient=first.patient))
            heapq.heappop(self._queue)
