"""What was published last of each object, so that a look which shows nothing new is not told again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef

_ENCODE = msgspec.json.Encoder().encode
_REMEMBERED = 50_000


class _Look(NamedTuple):
    digest: bytes
    number: tuple[int, int]
    native: int
    source: str
    """The connection where it was typed, while it is a write's and no look has shown it since; "" else."""


class Known:
    """The newest published look per object, of reads and of what writes showed alike.

    Writes must be noted as well: else a value that somebody sets back after our write would equal the last read and
    never be told.
    """

    def __init__(self, size: int = _REMEMBERED) -> None:
        """Remember *size* objects."""
        self._looks: OrderedDict[str, _Look] = OrderedDict()
        self._size = size

    def is_new(self, event: ChangeEvent) -> bool:
        """Tell whether *event* differs from what was published last of its object."""
        known = self._looks.get(event.object.key)
        return known is None or known.digest != _digest(event)

    def knows(self, ref: ObjectRef) -> bool:
        """Tell whether a look at the object was published by this owner."""
        return ref.key in self._looks

    def is_newer(self, hint: Hint) -> bool:
        """Tell whether *hint* speaks of a version that was not published yet; without a version it may."""
        known = self._looks.get(hint.object.key)
        return known is None or not hint.native or known.native < hint.native

    def echoed(self, ref: ObjectRef) -> str:
        """Return where that was typed which a write of ours showed last of the object, at the first look since."""
        known = self._looks.get(ref.key)
        if known is None or not known.source:
            return ""
        self._looks[ref.key] = known._replace(source="")
        return known.source

    def note(self, event: ChangeEvent, source: str = "") -> None:
        """Remember that *event*, a numbered look, was published; an older look than the known one changes nothing.

        Of what a write showed, *source* is the connection where it was typed.
        """
        key, number = event.object.key, (event.version.epoch, event.version.seq)
        known = self._looks.get(key)
        if known is not None and known.number > number:
            return
        self._looks[key] = _Look(_digest(event), number, event.version.native, source)
        self._looks.move_to_end(key)
        if len(self._looks) > self._size:
            self._looks.popitem(last=False)

    def forget(self, ref: ObjectRef) -> None:
        """Tell the next look in any case: the object was written, and nobody saw what it shows now."""
        self._looks.pop(ref.key, None)


def _digest(event: ChangeEvent) -> bytes:
    content = (event.facts, event.presence, event.mirror_of, event.anchors, event.version.native)
    return hashlib.blake2b(_ENCODE(content), digest_size=12).digest()
