"""What the engine knows about a state: written before it on disk and beside it in the changelog."""

from __future__ import annotations

import struct
from typing import NamedTuple

HEADER = "o2c-state"
EPOCH_KEY = b"\x00o2c-epoch"
SEEN_KEY = b"\x00o2c-seen"

RANK, WANTS = slice(0, 12), slice(12, None)
"""Of a packed header: who wrote the state, which compares as bytes as it does unpacked; its tick and waits."""
NO_WANTS = bytes(8)
"""Neither a tick nor waits."""

_FIXED = struct.Struct(">IQQ")
_LENGTH = struct.Struct(">H")
_NOTHING = _LENGTH.pack(_FIXED.size)


class StateHeader(NamedTuple):
    """Who wrote a state (epoch), having read how far (position), its next tick (ms, 0: never), what it waits for."""

    epoch: int
    position: int
    due: int = 0
    waits: tuple[bytes, ...] = ()

    def pack(self) -> bytes:
        """Return the bytes that `unpack_header` reads."""
        fixed = _FIXED.pack(self.epoch, self.position, self.due)
        if not self.waits:
            return fixed
        return fixed + b"".join(_LENGTH.pack(len(label)) + label for label in self.waits)


def unpack_header(raw: bytes) -> StateHeader:
    """Return what `StateHeader.pack` wrote."""
    if len(raw) == _FIXED.size:
        return StateHeader(*_FIXED.unpack(raw))
    return _unpack(raw, 0, len(raw))


def _unpack(raw: bytes, start: int, end: int) -> StateHeader:
    epoch, position, due = _FIXED.unpack_from(raw, start)
    at = start + _FIXED.size
    if at == end:
        return StateHeader(epoch, position, due)
    waits = []
    while at < end:
        (size,) = _LENGTH.unpack_from(raw, at)
        at += _LENGTH.size
        waits.append(raw[at : at + size])
        at += size
    return StateHeader(epoch, position, due, tuple(waits))


def pack_value(header: bytes, state: bytes) -> bytes:
    """Return the value that is stored on disk."""
    return _LENGTH.pack(len(header)) + header + state


def split_value(value: bytes) -> tuple[StateHeader, bytes]:
    """Return header and state of a stored value."""
    end = 2 + ((value[0] << 8) | value[1])
    return _unpack(value, 2, end), value[end:]


def state_of(value: bytes | None) -> bytes | None:
    """Return the state alone; cheaper than splitting."""
    return None if value is None else value[2 + ((value[0] << 8) | value[1]) :]


def packed_of(value: bytes) -> bytes:
    """Return the header as it was packed."""
    return value[2 : 2 + ((value[0] << 8) | value[1])]


def wants_nothing(value: bytes) -> bool:
    """Tell whether the state of a stored value has neither a tick nor waits; cheaper than its header."""
    return value.startswith(_NOTHING) and value[14:22] == NO_WANTS


def header_of(value: bytes) -> StateHeader:
    """Return the header alone."""
    return _unpack(value, 2, 2 + ((value[0] << 8) | value[1]))
