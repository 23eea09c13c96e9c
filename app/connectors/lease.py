"""The proof that a process still belongs to its consumer group: without it nothing leaves. Pure: the clock comes in."""

from __future__ import annotations

from collections.abc import Callable


class Lease:
    """Held for *seconds* after the beginning of the last call by which the broker confirmed the membership.

    *seconds* lies below the session time-out, so that a paused process finds its lease gone before a successor works.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Begin held; *clock* must go on while the process is stopped."""
        self._seconds, self._clock = seconds, clock
        self._renewed = clock()

    def now(self) -> float:
        """Return the time to hand to `renew` later."""
        return self._clock()

    def renew(self, began: float) -> None:
        """Extend the lease: the broker confirmed the membership by a call that began at *began*.

        That a call came back is not enough, nor that partitions were assigned: the process may have been stopped since.
        """
        self._renewed = max(self._renewed, began)

    def held(self) -> bool:
        """Tell whether something may leave now."""
        return self._clock() - self._renewed < self._seconds
