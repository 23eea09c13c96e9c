"""Texts that are searched for a part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from zlib import crc32

_LENGTH, _ONE_IN = 8, 8


class Texts:
    """One text per id, found by pieces of it.

    Of all pieces of eight letters one in eight is indexed, chosen by what it says: a text that contains the part that
    is looked for contains the same chosen pieces.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._ids: defaultdict[str, dict[str, None]] = defaultdict(dict)

    def put(self, id_: str, text: str) -> None:
        """Set the text of *id_*; what it had before goes on being found, so who asks looks at the record itself."""
        if self._known.get(id_) == text:
            return
        self._known[id_] = text
        for piece in _pieces(text):
            self._ids[piece][id_] = None

    def having(self, part: str) -> Collection[str]:
        """Return the ids whose text may contain *part*: few, or all when no piece of it was chosen."""
        pieces = _pieces(part)
        if not pieces:
            return self._known.keys()
        return min((self._ids.get(piece, {}) for piece in pieces), key=len).keys()


def _pieces(text: str) -> set[str]:
    pieces = {text[start : start + _LENGTH] for start in range(len(text) - _LENGTH + 1)}
    return {piece for piece in pieces if crc32(piece.encode()) % _ONE_IN == 0}
