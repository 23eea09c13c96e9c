"""A vendor's journal of changes, followed entry by entry where no webhook can reach us."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import aiohttp
import structlog
from aiokafka.errors import KafkaError

from app.config.model import ResolvedConnection
from app.connectors.reading import Cursor
from app.connectors.sending import Sending, conversed, http_of
from app.core.auth import Credential, Tokens
from app.core.errors import O2CError, RateLimited
from app.core.limits import Limiter
from app.core.mistakes import OVER_DATA, fault
from app.core.talk import Request, Response
from app.subscribing.compare import Standing, Step, standing
from schemas.events import GAP, Hint
from schemas.journal import Journal
from schemas.platform import Platform
from streams.sources.base import Source
from streams.sources.subscribing import Subscription

log = structlog.get_logger(__name__)
PLACE = "@journal"
"""Under which the cursor of a connection's journal is kept."""
_LONGEST_PAUSE = 600.0
_SOON = 900.0
"""Seconds until subscriptions that could not be made are tried again."""
Send = Callable[[Request], Awaitable[Response]]


def way(resolved: ResolvedConnection, platform: Platform, journal: Journal, session: aiohttp.ClientSession) -> Sending:
    """Return the way to the journal: the app's own token, which is asked for whenever there is none, and own quota."""
    secrets = {name: resolved.secrets.get(name, "") for name in journal.secrets}
    http = http_of(resolved, platform, session)
    credential = Credential(journal.auth, secrets, http, clock=time.time, store=_forget)
    return Sending(resolved.connection, platform, http, credential, Limiter(journal.limits, time.monotonic))


async def _forget(tokens: Tokens) -> None:
    del tokens


class Follower:
    """Has read what a journal tells, and moves its place once all of that was read and acknowledged.

    What it cannot fetch the sweeps find later: its troubles stop nothing else.
    """

    def __init__(
        self,
        source: Source,
        send: Send,
        want: Callable[[Hint, Callable[[], None]], None],
        *,
        keep_cursor: Callable[[str, Cursor], Awaitable[None]],
        cursor: Cursor | None,
        seconds: float,
        look_seconds: float,
        well: asyncio.Event,
        missing: Callable[[int], None] = lambda _topics: None,
    ) -> None:
        """Go on at *cursor*, which an earlier owner kept; *want* reads what a hint names and then calls back.

        Subscriptions are looked at each *look_seconds*, 0 = once; *missing* hears how many topics are not told.
        """
        self._source, self._send, self._want = source, send, want
        self._keep_cursor, self._cursor = keep_cursor, cursor or Cursor("")
        self._seconds, self._look_seconds, self._well, self._missing = seconds, look_seconds, well, missing
        self._look_at = 0.0

    def look(self) -> None:
        """Look at the subscriptions soon: what they should tell is not told."""
        self._look_at = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        pause = self._seconds
        while True:
            await self._well.wait()
            if time.monotonic() >= self._look_at:
                often = self._look_seconds or math.inf
                failed = await self._tried(self.subscribe())
                self._look_at = time.monotonic() + (min(_SOON, often) if failed else often)
            error = await self._tried(self.catch_up())
            pause = self._seconds if error is None else _longer(pause, error)
            await asyncio.sleep(pause)

    async def _tried(self, work: Awaitable[None]) -> Exception | None:
        try:
            await work
        except (O2CError, KafkaError, *OVER_DATA) as error:
            log.warning("journal.later", connection=self._source.connection.name, why=fault(error))
            return error
        return None

    async def catch_up(self) -> None:
        """Fetch entry by entry until there is none; the place is kept after each."""
        more = True
        while more:
            page = await conversed(self._source.entry(self._cursor.value), self._send)
            await self._read(page.hints)
            if page.cursor != self._cursor.value:
                await self._keep(Cursor(page.cursor))
            more = page.more

    async def _read(self, hints: Sequence[Hint]) -> None:
        """Wait until all that *hints* name was read and what it shows acknowledged, or put aside."""
        read = [asyncio.Event() for _ in hints]
        for hint, done in zip(hints, read, strict=True):
            if hint.reason == GAP:
                log.warning("journal.gap", connection=self._source.connection.name)
            self._want(hint, done.set)
        for done in read:
            await done.wait()

    async def _keep(self, cursor: Cursor) -> None:
        await self._keep_cursor(PLACE, cursor)
        self._cursor = cursor

    async def subscribe(self) -> None:
        """Subscribe to what is missing; nothing is ended, since others may use the app.

        One that is refused keeps no other from being made; its error is raised at the end.
        """
        before = await self._standing()
        self._missing(len(before.missing))
        wanted = [(step, step.wanted) for step in before.steps if step.wanted is not None]
        refused = [error for step, one in wanted if (error := await self._tried(self._make(step, one))) is not None]
        if wanted:
            self._missing(len((await self._standing()).missing))
        if refused:
            raise refused[0]

    async def _make(self, step: Step, wanted: Subscription) -> None:
        subscriber, found = self._source.journal_subscriber(), step.found
        change = subscriber.create(wanted) if found is None else subscriber.update(found, wanted)
        await conversed(change, self._send)
        log.info("journal.subscribed", connection=self._source.connection.name, key=wanted.key, why=step.why)

    async def _standing(self) -> Standing:
        subscriber = self._source.journal_subscriber()
        found = await conversed(subscriber.found(), self._send)
        return standing(subscriber.wanted("", ()), found, datetime.now(UTC))


def _longer(pause: float, error: Exception) -> float:
    asked = error.retry_after if isinstance(error, RateLimited) else None
    return max(min(_LONGEST_PAUSE, pause * 2), asked or 0.0)
