"""What happens, live: calls per system and when everything has fallen silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, TextIO

import aiohttp

_PAUSE = 0.5


class Watch:
    """Asks the sandboxes over HTTP; knows nothing of the pipeline."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str]) -> None:
        """*urls*: connection -> base URL of its sandbox."""
        self._session, self._urls = session, urls

    async def counts(self) -> dict[str, int]:
        """Return changing calls per system."""
        found = {}
        for name, url in self._urls.items():
            async with self._session.get(f"{url}/_sandbox/requests", params={"last": "0"}) as reply:
                found[name] = int((await reply.json())["counters"]["mutating"])
        return found

    async def books(self, name: str) -> list[dict[str, Any]]:
        """Return what a system really holds."""
        async with self._session.get(f"{self._urls[name]}/_sandbox/books") as reply:
            return [json.loads(line) for line in (await reply.text()).splitlines()]

    async def silence(self, seconds: float, patience: float) -> bool:
        """Wait until no system was written to for *seconds*; False when *patience* ran out."""
        last, since, began = await self.counts(), time.monotonic(), time.monotonic()
        while time.monotonic() - since < seconds:
            if time.monotonic() - began > patience:
                return False
            await asyncio.sleep(_PAUSE)
            now = await self.counts()
            if now != last:
                last, since = now, time.monotonic()
        return True

    @contextlib.asynccontextmanager
    async def shown(self, out: TextIO, *, quiet: bool) -> AsyncIterator[None]:
        """Print a line each second while the body runs."""
        task = None if quiet else asyncio.create_task(self._show(out))
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _show(self, out: TextIO) -> None:
        before: dict[str, int] = {}
        while True:
            counts = await self.counts()
            rates = {name: count - before.get(name, 0) for name, count in counts.items()}
            line = "  ".join(f"{name} {count} (+{rates[name]}/s)" for name, count in counts.items())
            out.write(f"writes: {line}\n")
            out.flush()
            before = counts
            await asyncio.sleep(1)
