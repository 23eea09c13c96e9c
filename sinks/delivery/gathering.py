"""Which lane may begin now: one whose requests take many gathers until a request is whole, or for a moment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from sinks.delivery.inbox import Inbox, Lane

_GATHER = 0.5
"""Seconds after a batch began for which one that is not whole gathers more: quota counts requests, not documents."""


class Gathering:
    """The batches under way and the last ones that began, per lane."""

    def __init__(self, inbox: Inbox, sizes: Mapping[str, int], now: Callable[[], float]) -> None:
        """*sizes*: how many commands one request takes, by capability."""
        self._inbox, self._sizes, self._now = inbox, sizes, now
        self._under_way = Counter[Lane]()
        self._began: dict[Lane, float] = {}

    def may_go(self, lane: Lane) -> bool:
        """Tell whether *lane* may go: while a batch is under way, or just left, the next one gathers until it is whole.

        Otherwise each command would leave alone the moment it came, and quota would run out at a fraction of the work.
        """
        size = self._sizes.get(lane[0], 1)
        if not (lane[1] and size > 1) or self._inbox.depth(lane) >= size:
            return True
        return not self._under_way[lane] and self._now() >= self._gathered(lane)

    def begin(self, lane: Lane) -> None:
        """Note that a batch of *lane* leaves."""
        self._under_way[lane] += 1
        self._began[lane] = self._now()

    def end(self, lane: Lane) -> None:
        """Note that a batch of *lane* is answered."""
        self._under_way[lane] -= 1

    def due(self, since: float) -> Iterator[float]:
        """Yield when lanes have gathered long enough that had not at *since*, when it was last asked what may go.

        Held against a later look at the clock, a moment between the two would be waited for by nobody.
        """
        for lane in self._began:
            if self._inbox.depth(lane) and (at := self._gathered(lane)) > since:
                yield at

    def _gathered(self, lane: Lane) -> float:
        """Return when what waits in *lane* has gathered long enough; the first after a while waits for nobody."""
        return self._began.get(lane, -math.inf) + _GATHER
