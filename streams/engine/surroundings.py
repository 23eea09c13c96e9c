"""What all partitions of one worker share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from streams.engine.broadcast import Broadcast
    from streams.engine.instruments import Instruments
    from streams.engine.settings import WorkerSettings
    from streams.engine.ship import Shipper


class Guard(Protocol):
    """Knows whether this worker still is a member of its group."""

    async def check(self, generation: int) -> None:
        """Return when the group was heard of lately in *generation*; raise Fenced when it moved on."""
        ...

    def current(self, generation: int) -> bool:
        """Return whether *generation* still is the group's."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What all partitions of one worker share."""

    settings: WorkerSettings
    shipper: Shipper
    broadcast: Broadcast
    instruments: Instruments
    guard: Guard
    now: Callable[[], datetime]
    cpu: asyncio.Lock
