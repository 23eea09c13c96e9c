"""How long somebody waits at most, with one timer for all: most are answered soon, and a timer each costs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import takewhile
from typing import Any


class Patience:
    """Bounds what tasks wait for; its length is how many wait now. A fortieth of the time is how far it may be off."""

    def __init__(self, seconds: float) -> None:
        """Give everybody *seconds*."""
        self._seconds = seconds
        self._until: dict[asyncio.Task[Any], float] = {}
        """Who waits -> until when; the first to give up first."""
        self._overdue = set[asyncio.Task[Any]]()
        self._looking = False

    def __len__(self) -> int:
        return len(self._until)

    async def wait(self, work: Coroutine[None, None, None]) -> None:
        """Wait until *work* is done; TimeoutError when it takes too long."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("Only a task can wait.")
        self._until[task] = loop.time() + self._seconds
        if not self._looking:
            self._look(loop)
        try:
            await work
        except asyncio.CancelledError:
            if task in self._overdue and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            del self._until[task]
            self._overdue.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake those whose time is over, and look again while anybody waits."""
        now = loop.time()
        for task in takewhile(lambda one: self._until[one] <= now, self._until):
            if task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        self._looking = bool(self._until)
        if self._looking:
            loop.call_later(self._seconds / 40, self._look, loop)
