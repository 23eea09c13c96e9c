"""Whether a delivery comes from whom it says; pure. What it says is looked at once it is safe (`app.deliveries`)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from app.core.errors import DecodeError
from app.core.mistakes import OVER_DATA
from app.gateway.addresses import Address, addressed
from streams.sources.base import Hook, Reply


class TurnedAway(msgspec.Struct, frozen=True):
    """An answer to what is not kept."""

    outcome: str
    reply: Reply


def turned_away(address: Address, hook: Hook, now: datetime) -> TurnedAway | None:
    """Return the answer to a handshake or to what is not signed rightly and recently; None for what must be kept.

    The signature is checked on the raw bytes against every secret of the address, and where several apps share one,
    against those of each company that the delivery speaks of.
    """
    first = address.sources[0]
    if (reply := first.handshake(hook, address.secrets)) is not None:
        return TurnedAway("handshake", reply)
    if not first.verify(hook, address.secrets, now) or not _is_theirs(address, hook, now):
        return TurnedAway("refused", first.refused(hook))
    return None


def _is_theirs(address: Address, hook: Hook, now: datetime) -> bool:
    """Tell whether each company that *hook* speaks of has a secret that signed it: another's tells nothing of it."""
    if len(set(address.own)) == 1:
        return True
    try:
        meant = addressed(address.sources, hook)
    except (DecodeError, *OVER_DATA):  # nobody reads anything out of it
        return True
    own = {source.connection.name: secrets for source, secrets in zip(address.sources, address.own, strict=True)}
    return all(source.verify(hook, own[source.connection.name], now) for source in meant)
