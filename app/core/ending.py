"""Tasks that end for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN = 1.0
"""Seconds until a task that goes on is cancelled once more."""


async def ended(tasks: Iterable[asyncio.Task[Any]], again: float = _AGAIN) -> None:
    """Cancel *tasks* until each of them has ended; what they raise is left to whoever looks at them.

    One cancellation may be lost: the time-out of a library that strikes in the same moment takes it for its own (the
    timers of aiohttp 3.14 do, when they enclose each other), and the task goes on as if nothing had been.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=again)
