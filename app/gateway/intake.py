"""Whether a delivery comes from whom it says; pure. What it says is looked at once it is safe (`app.deliveries`)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.gateway.addresses import Address
from streams.sources.base import Hook, Reply


class TurnedAway(msgspec.Struct, frozen=True):
    """An answer to what is not kept."""

    outcome: str
    reply: Reply


def turned_away(address: Address, hook: Hook, now: datetime) -> TurnedAway | None:
    """Return the answer to a handshake or to what is not signed rightly and recently; None for what must be kept.

    The signature is checked on the raw bytes against every secret of the address.
    """
    first = address.sources[0]
    if (reply := first.handshake(hook, address.secrets)) is not None:
        return TurnedAway("handshake", reply)
    if not first.verify(hook, address.secrets, now):
        return TurnedAway("refused", first.refused(hook))
    return None
