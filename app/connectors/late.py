"""Commands of a stream worker that had lost its partition when it wrote them. Pure: the clock comes in.

A worker that was stopped may send its last batch when it goes on, behind the commands of its successor: what it wants
was planned on an older state. Who plans says so in a header, with the epoch under which it owned its partition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from app.connectors.bus import Headers
from streams.engine.origin import ORIGIN, origin_of

REMEMBERED_SECONDS = 3600.0
"""A successor that was not heard of for so long is forgotten: epochs begin anew where a changelog was made anew, and
its commands must not be refused for ever."""


class _Heard(NamedTuple):
    epoch: int
    at: float


class Planners:
    """Who planned last for each partition of orders, as the commands of one connection tell in their order."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nobody; *clock* is in seconds."""
        self._clock = clock
        self._newest: dict[tuple[str, int], _Heard] = {}

    def is_late(self, headers: Headers) -> bool:
        """Take note of who sent a command, and tell whether somebody newer sent one before it.

        Who names no epoch, as other services and tests, is never late.
        """
        origin = origin_of(dict(headers).get(ORIGIN, b""))
        if origin is None:
            return False
        place, now = (origin.table, origin.partition), self._clock()
        newest = self._newest.get(place)
        if newest is not None and origin.epoch < newest.epoch and now - newest.at < REMEMBERED_SECONDS:
            return True
        self._newest[place] = _Heard(origin.epoch, now)
        return False
