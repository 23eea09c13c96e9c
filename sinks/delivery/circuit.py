"""When a connection counts as dead, and the number of its outage. Pure: time comes in as a value."""

from __future__ import annotations

from typing import Literal

_FAILURES = 10
_LASTING = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_PER_EPOCH = 1_000_000
Cause = Literal["credential", "account", "configuration", "no_answer"]
"""Why nothing is written, in a word that a metric can carry; the reason says it in a sentence."""


class Circuit:
    """Opens at once for a stated reason, or after failures in a row that last; numbers grow over all epochs."""

    def __init__(self, epoch: int) -> None:
        """Begin closed. The first number of an epoch is above every number of earlier ones."""
        self.number = epoch * _PER_EPOCH
        self.reason = ""
        self.cause: Cause | None = None
        self._failures = 0
        self._since = 0.0
        self._pause = _FIRST_PAUSE
        self.retry_at = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether everything is to be answered `deferred`."""
        return bool(self.reason)

    def open(self, reason: str, now: float, cause: Cause = "no_answer") -> bool:
        """Begin an outage; False when one is under way, which keeps its number and its first reason."""
        if self.reason:
            return False
        self.reason, self.cause, self.number = reason, cause, self.number + 1
        self._pause, self.retry_at = _FIRST_PAUSE, now + _FIRST_PAUSE
        return True

    def failed(self, reason: str, now: float) -> bool:
        """Count a call that got no answer; tell whether that began an outage."""
        self._failures += 1
        if self._failures == 1:
            self._since = now
        return self._failures >= _FAILURES and now - self._since >= _LASTING and self.open(reason, now)

    def answered(self) -> None:
        """Count an answer: the platform is there. An outage ends only by `well`."""
        self._failures = 0

    def still(self, reason: str, now: float, cause: Cause = "no_answer") -> None:
        """Remember that the platform was asked in vain, and why; ask again after a longer pause."""
        self.reason, self.cause = reason, cause
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)
        self.retry_at = now + self._pause

    def well(self) -> int:
        """End the outage and return the number up to which everything deferred may be planned again."""
        self.reason, self.cause, self._failures = "", None, 0
        return self.number
