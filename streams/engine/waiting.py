"""What was fetched of one partition and waits to be folded: its topics side by side, so that none runs ahead."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from streams.engine.fold import Record

_time = attrgetter("timestamp")


class Waiting:
    """Gives batches that reach equally far in all topics that have a backlog, as their timestamps say.

    Were each topic read as fast as it goes, the one with fewest records would be done first: what it says of a state
    would be folded in one batch and what the others say of it in another, and the state be written for each.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self._of: dict[str, deque[Record]] = {topic: deque() for topic in topics}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def add(self, topic: str, records: Sequence[Record]) -> None:
        """Let *records* wait, which follow those of *topic* that do."""
        self._of[topic].extend(records)

    def room(self, topic: str, most: int) -> bool:
        """Tell whether more of *topic* should be fetched, where *most* records may wait of all: each has its share."""
        others = sum(bool(line) for name, line in self._of.items() if name != topic)
        return len(self._of[topic]) * (others + 1) < most

    def take(self, most: int, few: int) -> list[Record]:
        """Return up to *most* records; *few* come whatever their time, so that no topic waits for another for long."""
        lines = [line for line in self._of.values() if line]
        reach = [len(line) for line in lines] if len(self) <= few else _abreast(lines, few)
        return [
            record for line, count in zip(lines, _within(reach, most), strict=True) for record in _first(line, count)
        ]


def _abreast(lines: Sequence[deque[Record]], few: int) -> list[int]:
    """Return how much of each of *lines* is no later than the last that is known of the one furthest behind."""
    behind, each = min(line[-1].timestamp for line in lines), max(1, few // len(lines))
    return [max(min(len(line), each), bisect_right(line, behind, key=_time)) for line in lines]


def _within(reach: Sequence[int], most: int) -> Iterator[int]:
    """Yield *reach*, shortened in proportion where it comes to more than *most*."""
    total, left = sum(reach), most
    for count in reach:
        fair = min(count, left, -(-count * most // total))
        left -= fair
        yield fair


def _first(line: deque[Record], count: int) -> list[Record]:
    first = list(islice(line, count))
    if count == len(line):
        line.clear()
    else:
        for _ in range(count):
            line.popleft()
    return first
