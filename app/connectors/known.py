"""What was published last of each object, so that a look which shows nothing new is not told again."""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict

import msgspec

from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef

_ENCODE = msgspec.json.Encoder().encode
_REMEMBERED = 20_000
"""More than a sweep overlaps with the one before: what was forgotten is told once more, which changes nothing."""
_LOOK = struct.Struct(">12sqqq")
"""Digest, epoch and number of the look, the platform's own version: packed, since there are many and all stay."""

_MOST = 2**63 - 1


class Known:
    """The newest published look per object, of reads and of what writes showed alike.

    Writes must be noted as well: else a value that somebody sets back after our write would equal the last read and
    never be told.
    """

    def __init__(self, size: int = _REMEMBERED) -> None:
        """Remember *size* objects."""
        self._looks: OrderedDict[bytes, bytes] = OrderedDict()
        self._typed: dict[bytes, str] = {}
        """The connections where writes were typed that no look has shown since."""
        self._size = size

    def is_new(self, event: ChangeEvent) -> bool:
        """Tell whether *event* differs from what was published last of its object."""
        known = self._looks.get(_key(event.object))
        return known is None or not known.startswith(_digest(event))

    def knows(self, ref: ObjectRef) -> bool:
        """Tell whether a look at the object was published by this owner."""
        return _key(ref) in self._looks

    def is_newer(self, hint: Hint) -> bool:
        """Tell whether *hint* speaks of a version that was not published yet; without a version it may."""
        known = self._looks.get(_key(hint.object))
        return known is None or not hint.native or _LOOK.unpack(known)[3] < hint.native

    def echoed(self, ref: ObjectRef) -> str:
        """Return where that was typed which a write of ours showed last of the object, at the first look since."""
        return self._typed.pop(_key(ref), "")

    def note(self, event: ChangeEvent, source: str = "") -> None:
        """Remember that *event*, a numbered look, was published; an older look than the known one changes nothing.

        Of what a write showed, *source* is the connection where it was typed.
        """
        key, version = _key(event.object), event.version
        known = self._looks.get(key)
        if known is not None and _LOOK.unpack(known)[1:3] > (version.epoch, version.seq):
            return
        self._looks[key] = _LOOK.pack(_digest(event), version.epoch, version.seq, min(version.native, _MOST))
        self._looks.move_to_end(key)
        self._typed.pop(key, None)
        if source:
            self._typed[key] = source
        if len(self._looks) > self._size:
            self._typed.pop(self._looks.popitem(last=False)[0], None)

    def forget(self, ref: ObjectRef) -> None:
        """Tell the next look in any case: the object was written, and nobody saw what it shows now."""
        self._looks.pop(_key(ref), None)
        self._typed.pop(_key(ref), None)


def _key(ref: ObjectRef) -> bytes:
    return hashlib.blake2b(ref.key.encode(), digest_size=16).digest()


def _digest(event: ChangeEvent) -> bytes:
    content = (event.facts, event.presence, event.mirror_of, event.anchors, event.version.native)
    return hashlib.blake2b(_ENCODE(content), digest_size=12).digest()
