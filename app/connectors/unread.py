"""How far a consumer group may commit: not beyond a hint that was taken and not read yet. Pure: the clock comes in.

A crash then loses no hint; those read meanwhile are read again, which is harmless.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Place = TypeVar("Place", bound=Hashable)
HELD_SECONDS = 3600.0
HELD_MOST = 50_000


class Offsets(Generic[Place]):
    """What was taken in one generation of the group, per partition.

    One hint that cannot be read must not hold an offset for ever: after *seconds*, or once more than *most* wait in its
    partition, it is let go. It is still tried while this process lives; after a crash the sweep has to find it.
    """

    def __init__(self, clock: Callable[[], float], seconds: float = HELD_SECONDS, most: int = HELD_MOST) -> None:
        """Begin with nothing taken; *clock* is in seconds."""
        self._clock, self._seconds, self._most = clock, seconds, most
        self._next: dict[Place, int] = {}
        self._unread: dict[Place, OrderedDict[int, float]] = {}
        self.let_go = 0
        """Hints that a crash would lose."""

    def took(self, place: Place, offset: int) -> None:
        """Note that everything up to *offset* was taken."""
        self._next[place] = offset + 1

    def unread(self, place: Place, offset: int) -> Callable[[], None]:
        """Hold the commit at *offset* until the returned function is called; calling it again is harmless."""
        held = self._unread.setdefault(place, OrderedDict())
        held[offset] = self._clock()

        def read() -> None:
            held.pop(offset, None)

        return read

    def to_commit(self) -> dict[Place, int]:
        """Return the offset to commit per partition that anything was taken from."""
        return {place: self._oldest(place, taken) for place, taken in self._next.items()}

    def _oldest(self, place: Place, taken: int) -> int:
        held = self._unread.get(place, OrderedDict())
        while held:
            offset, since = next(iter(held.items()))
            if len(held) <= self._most and self._clock() - since < self._seconds:
                return min(offset, taken)
            del held[offset]
            self.let_go += 1
        return taken
