"""What happens, live: orders in, events, writes, lag and latency, and when everything has fallen silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TextIO

import aiohttp

from app.demo.figures import Figures, ask

_PAUSE = 1.0
_LINE, _LOG = 1.0, 5.0
"""Seconds between looks: a line that is replaced on a terminal, lines below each other anywhere else."""


class Watch:
    """Asks the sandboxes and the roles over HTTP; knows nothing of the pipeline."""

    def __init__(self, session: aiohttp.ClientSession, urls: Mapping[str, str], pages: Iterable[str] = ()) -> None:
        """*urls*: connection -> base URL of its sandbox; *pages*: base URLs of the roles."""
        self._session, self._urls, self._pages = session, urls, tuple(pages)

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

    async def silence(self, seconds: float, patience: float, alive: Callable[[], bool] = lambda: True) -> bool:
        """Wait until for *seconds* no system was written to, and no role did anything or had something to read.

        False when *patience* ran out, or when somebody is not *alive* any more.
        """
        last, since, began = await self._movement(), time.monotonic(), time.monotonic()
        while time.monotonic() - since < seconds:
            if time.monotonic() - began > patience or not alive():
                return False
            await asyncio.sleep(_PAUSE)
            now = await self._movement()
            if now != last or now[-1]:
                last, since = now, time.monotonic()
        return True

    async def _movement(self) -> tuple[dict[str, int], int, int, int]:
        seen = await self.figures()
        return await self.counts(), seen.events, seen.writes, seen.lag

    async def figures(self) -> Figures:
        """Return what the roles say now."""
        return await ask(self._session, self._pages)

    @contextlib.asynccontextmanager
    async def shown(self, out: TextIO, orders: Callable[[], int], *, quiet: bool) -> AsyncIterator[None]:
        """Show a line now and then while the body runs: in place on a terminal, else one below the other."""
        task = None if quiet else asyncio.create_task(self._show(out, orders))
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                out.write("\n" if out.isatty() else "")

    async def _show(self, out: TextIO, orders: Callable[[], int]) -> None:
        began = at = time.monotonic()
        before, pause = await self.figures(), _LINE if out.isatty() else _LOG
        while True:
            await asyncio.sleep(pause)
            now, after = await self.figures(), time.monotonic()
            text = line(after - began, orders(), before, now, after - at)
            width = shutil.get_terminal_size().columns
            out.write(f"\r{text[: width - 1]}\x1b[K" if out.isatty() else f"{text}\n")
            out.flush()
            before, at = now, after


def line(seconds: float, orders: int, before: Figures, now: Figures, apart: float) -> str:
    """Return one moment in one line; rates are over the *apart* seconds since *before*."""
    parts = [
        f"{seconds:4.0f} s",
        f"orders {orders}",
        f"events {now.events} ({(now.events - before.events) / apart:.0f}/s)",
        f"writes {now.writes} ({(now.writes - before.writes) / apart:.0f}/s)",
        f"lag {now.lag}",
        f"end to end p50 {duration(now.quantile(0.5))} p95 {duration(now.quantile(0.95))}",
        f"findings {now.findings}",
    ]
    rest = {
        "parked {}": now.parked,
        f"refused {{}} ({', '.join(sorted(now.refusals))})": now.refused,
        "dead letters {}": now.dead_letters,
    }
    return "  ".join([*parts, *(text.format(count) for text, count in rest.items() if count)])


def duration(seconds: float | None) -> str:
    """Return *seconds* as a person reads them, "-" for none."""
    return "-" if seconds is None else f"{seconds:.1f} s"


def summary(orders: int, now: Figures, seconds: float) -> str:
    """Return what a whole run came to in one line."""
    ways = f"end to end p50 {duration(now.quantile(0.5))}, p95 {duration(now.quantile(0.95))}"
    return f"{orders} orders, {now.events} events, {now.writes} writes; {ways}; {seconds:.0f} s"
