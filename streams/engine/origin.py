"""What came of what: every record that a worker writes says who folded it, and how far the sources were read."""

from __future__ import annotations

from typing import NamedTuple

ORIGIN = "o2c-origin"
"""The header that carries an `Origin`."""


class Origin(NamedTuple):
    """The table and partition, the epoch under which the writer owned it, and the sum of its source offsets."""

    table: str
    partition: int
    epoch: int
    position: int

    def pack(self) -> bytes:
        """Return the bytes that `origin_of` reads."""
        return f"{self.table}/{self.partition}/{self.epoch}/{self.position}".encode()


def origin_of(raw: bytes) -> Origin | None:
    """Return what `Origin.pack` wrote; None for anything else, which other services may send."""
    try:
        table, *numbers = raw.decode().rsplit("/", 3)
        partition, epoch, position = map(int, numbers)
    except ValueError:
        return None
    return Origin(table, partition, epoch, position)
