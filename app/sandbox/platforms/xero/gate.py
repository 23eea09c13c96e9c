"""How often a client may call, and what it hears when it repeats itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from app.sandbox.base import Taken, Window

CONCURRENT, MINUTE, DAY, APP_MINUTE = 5, 60, 5_000, 10_000
KEPT = timedelta(minutes=6)
_HEADERS = (
    ("X-DayLimit-Remaining", "day"),
    ("X-MinLimit-Remaining", "minute"),
    ("X-AppMinLimit-Remaining", "appminute"),
)
Answer = tuple[int, bytes]


class Quota:
    """The organisation's three windows; calls at once are counted by the server."""

    def __init__(self, scale: float, clock: Callable[[], datetime]) -> None:
        self.concurrent = CONCURRENT * scale
        self._windows = {
            "minute": Window(MINUTE * scale, 60, clock),
            "day": Window(DAY * scale, 86_400, clock),
            "appminute": Window(APP_MINUTE * scale, 60, clock),
        }

    def take(self) -> tuple[str, dict[str, str]]:
        """Count one call; return the window that is full (or nothing) and the headers of the reply."""
        taken = {name: window.take() for name, window in self._windows.items()}
        headers = {header: str(max(0, int(taken[name].left))) for header, name in _HEADERS}
        short = next((name for name, one in taken.items() if not one.allowed), "")
        return short, {**headers, **(_retry(taken[short]) if short else {})}


def _retry(taken: Taken) -> dict[str, str]:
    return {"Retry-After": str(int(taken.wait_s) + 1)}


class Repeated:
    """The first answers under each Idempotency-Key, kept for a few minutes."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._answers: dict[str, tuple[datetime, str, Answer]] = {}

    def known(self, key: str, request: bytes) -> Answer | None:
        """Return the first answer to *key*; None for a new key; ValueError for a key of another request."""
        if key not in self._answers:
            return None
        at, digest, answer = self._answers[key]
        if self._clock() - at >= KEPT:
            return None
        if digest != hashlib.sha256(request).hexdigest():
            raise ValueError("Idempotency key was used with a different request")
        return answer

    def keep(self, key: str, request: bytes, answer: Answer) -> None:
        """Remember the answer to *key*; forget those that nobody may repeat any more."""
        self._answers.pop(key, None)
        while self._answers and self._clock() - next(iter(self._answers.values()))[0] >= KEPT:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (self._clock(), hashlib.sha256(request).hexdigest(), answer)
