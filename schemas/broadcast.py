"""Facts that every worker reads whole: outages that are over, lock dates, pauses, modes of flows."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

Kind = Literal["up", "lock_date", "paused", "mode"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One fact, keyed by kind and subject on a compacted topic."""

    kind: Kind
    subject: str
    """A connection, or a flow for "mode"."""
    value: str = ""
    epoch: int = 0
    number: int = 0

    @property
    def key(self) -> bytes:
        """Return the record key."""
        return f"{self.kind}/{self.subject}".encode()
