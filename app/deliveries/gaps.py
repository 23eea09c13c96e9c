"""Deliveries that never came, told by the numbers of those around them. Pure: who remembers numbers is somebody else.

Numbers are remembered by one process, for the addresses it has: what was lost while it changed hands is left to the
usual sweep. A late delivery is no gap, and one that arrives after its gap was told costs a sweep and nothing else.
"""

from __future__ import annotations

import msgspec

from app.core.errors import DecodeError
from app.deliveries.record import Delivery
from app.gateway.addresses import Address
from schemas.events import GAP, Hint
from schemas.refs import ObjectRef
from streams.sources.base import Hook


class Count(msgspec.Struct, frozen=True):
    """Where the count of an address stands, and what a gap before it hints at."""

    last: int | None = None
    hints: tuple[Hint, ...] = ()


def counted(address: Address, delivery: Delivery, last: int | None) -> Count:
    """Return where the count stands after *delivery*, *last* being the highest number so far (None: not known)."""
    try:
        numbers = type(address.sources[0]).numbers(Hook(headers=delivery.headers, body=delivery.body))
    except DecodeError:
        return Count(last)
    if numbers is None:
        return Count(last)
    first, newest = numbers
    lost = last is not None and first > last + 1
    return Count(max(newest, last or 0), _hints(address, delivery, first) if lost else ())


def _hints(address: Address, delivery: Delivery, first: int) -> tuple[Hint, ...]:
    """Return a hint for each connection behind the address: a lost event may have been of any company."""
    return tuple(
        Hint(
            tenant=source.connection.tenant,
            object=ObjectRef(source.connection.name, source.connection.account, "delivery", str(first)),
            reason=GAP,
            trace=delivery.trace,
            told_at=delivery.received,
        )
        for source in address.sources
    )
