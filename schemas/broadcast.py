"""Facts that every worker reads whole: ended outages, lock dates, pauses, modes of flows, first starts, webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

import msgspec

Kind = Literal["up", "lock_date", "paused", "mode", "start", "backfill", "webhooks"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Fact(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One fact, keyed by kind and subject on a compacted topic."""

    kind: Kind
    subject: str
    """A connection, a flow for "mode" and "backfill", connection@account for "start"."""
    value: str = ""
    """start: when the connection began, backfill: since when older orders are written too (RFC 3339); webhooks: the
    address that a person registered, "" for none any more."""
    epoch: int = 0
    number: int = 0

    @property
    def key(self) -> bytes:
        """Return the record key."""
        return f"{self.kind}/{self.subject}".encode()

    @property
    def moment(self) -> datetime | None:
        """Return the value as a moment; None for what is none."""
        try:
            moment = datetime.fromisoformat(self.value)
        except ValueError:
            return None
        return moment if moment.tzinfo is not None else None
