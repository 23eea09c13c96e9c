"""Where a shop's records are found: by what changed when, and by what they hold."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator


class Changes:
    """(second, id) of every change, sorted; what a record no longer shows is passed over by readers."""

    def __init__(self) -> None:
        self._entries: list[tuple[int, int]] = []

    def note(self, second: int, id_: int) -> None:
        """Remember a change."""
        place = bisect_left(self._entries, (second, id_))
        if self._entries[place : place + 1] != [(second, id_)]:
            self._entries.insert(place, (second, id_))

    def since(self, second: int, after: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Yield the changes made at or after *second* and past *after*, the oldest first."""
        start = max(bisect_left(self._entries, (second, 0)), bisect_right(self._entries, after))
        return (self._entries[place] for place in range(start, len(self._entries)))

    def walk(self, after: tuple[int, int] | None, *, reverse: bool) -> Iterator[tuple[int, int]]:
        """Yield every change past *after* in the direction of the walk."""
        entries, places = self._entries, range(len(self._entries))
        if after is not None:
            places = (
                range(bisect_left(entries, after)) if reverse else range(bisect_right(entries, after), len(entries))
            )
        return (entries[place] for place in (reversed(places) if reverse else places))


class Holders:
    """Which ids ever held a value; who asks looks at the record itself."""

    def __init__(self) -> None:
        self._ids: defaultdict[tuple[str, str], dict[int, None]] = defaultdict(dict)

    def note(self, name: str, value: str, id_: int) -> None:
        """Remember that *id_* holds *value*."""
        if value:
            self._ids[name, value.lower()][id_] = None

    def having(self, name: str, value: str) -> Collection[int]:
        """Return the ids, in the order in which they came to hold it."""
        return self._ids.get((name, value.lower()), {}).keys()
