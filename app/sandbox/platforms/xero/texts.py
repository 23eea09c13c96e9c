"""Texts that are searched for a part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

_END = "\0"


class Texts:
    """One text per id, joined into one string, so that a search runs at the speed of `str.find`."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._ids: list[str] = []
        self._starts: list[int] = []
        self._whole = ""
        self._waiting: list[str] = []
        self._length = 0

    def put(self, id_: str, text: str) -> None:
        """Set the text of *id_*; what it had before goes on being found, so who asks looks at the record itself."""
        if self._known.get(id_, "") == text:
            return
        self._known[id_] = text
        self._ids.append(id_)
        self._starts.append(self._length)
        self._waiting.append(text + _END)
        self._length += len(text) + 1

    def having(self, part: str) -> set[str]:
        """Return the ids whose text contains, or once contained, *part*."""
        if self._waiting:
            self._whole += "".join(self._waiting)
            self._waiting.clear()
        return set(self._found(part))

    def _found(self, part: str) -> Iterator[str]:
        place = self._whole.find(part)
        while place >= 0:
            entry = bisect_right(self._starts, place) - 1
            yield self._ids[entry]
            following = self._starts[entry + 1] if entry + 1 < len(self._starts) else self._length
            place = self._whole.find(part, following)
