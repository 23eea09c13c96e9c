"""Webhooks out: signed by the platform, in order per key, repeated until somebody takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from zlib import crc32

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from datetime import datetime

    from app.sandbox.faults import Injector

    Sign = Callable[[bytes, str, str, datetime], Mapping[str, str]]

Join = Callable[[Sequence[Any]], bytes]
"""Makes one request's body of the events that it carries."""

TRIES = 60
LANES = 8
"""Messages of one key stay in one lane and in their order; lanes overtake each other."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
REORDER_WAIT_S = 0.2
GATHER_S = 0.05
"""How long a platform that sends several events in one request waits for more of them."""
GATHERED = 100
"""Events in one request: HubSpot's documented limit; Xero and Intuit name none."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one address; its signature is made when it is sent."""

    event: Any
    """The body itself, or with *join* one of the events that make a body."""
    headers: Mapping[str, str]
    join: Join | None = None


@dataclass(slots=True)
class Lane:
    """Messages that wait for each other."""

    queue: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    under_way: int = 0


@dataclass(slots=True)
class Target:
    """An address that wants webhooks; no topics means all of them."""

    url: str
    secret: str
    topics: frozenset[str] = frozenset()
    address: URL = field(init=False)
    lanes: list[Lane] = field(default_factory=lambda: [Lane() for _ in range(LANES)])

    def __post_init__(self) -> None:
        self.address = URL(self.url)

    def lane(self, key: str) -> Lane:
        """Return the lane of *key*; without a key all messages share one."""
        return self.lanes[crc32(key.encode()) % LANES if key else 0]


class Hooks:
    """Delivers to every registered address; one task per lane of it keeps the order."""

    def __init__(self, sign: Sign, injector: Injector, clock: Callable[[], datetime]) -> None:
        self.targets: list[Target] = []
        self.counts: Counter[str] = Counter()
        self._sign, self._injector, self._clock = sign, injector, clock
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    def add(self, url: str, secret: str, topics: frozenset[str] = frozenset()) -> Target:
        """Register an address; the same address twice replaces its secret and adds its topics."""
        for target in self.targets:
            if target.url == url:
                target.secret = secret
                target.topics = target.topics | topics if target.topics and topics else frozenset()
                return target
        target = Target(url, secret, topics)
        self.targets.append(target)
        if self._session is not None:
            self._tasks += self._serving(target, self._session)
        return target

    def keep(self, url: str, secret: str, topics: frozenset[str] | None) -> None:
        """Send *url* exactly *topics* from now on, every one when they are empty; None sends it nothing any more."""
        known = next((target for target in self.targets if target.url == url), None)
        if topics is None:
            self.targets = [target for target in self.targets if target is not known]
        elif known is None:
            self.add(url, secret, topics)
        else:
            known.secret, known.topics = secret, topics

    def wanted(self, topic: str) -> bool:
        """Tell whether anybody asked for *topic*."""
        return any(not target.topics or topic in target.topics for target in self.targets)

    def push(
        self,
        event: Any,  # noqa: ANN401 - bytes, or what *join* takes
        *,
        topic: str = "",
        headers: Mapping[str, str] | None = None,
        key: str = "",
        join: Join | None = None,
    ) -> None:
        """Queue one message for every address that wants *topic*; messages of one *key* keep their order.

        With *join* the events that wait at the same time leave in one request.
        """
        self.counts["emitted"] += 1
        delivery = Delivery(event, headers or {}, join)
        for target in self.targets:
            if target.topics and topic not in target.topics:
                continue
            if self._injector.happens("webhook_lost"):
                continue
            queue = target.lane(key).queue
            queue.put_nowait(delivery)
            if self._injector.happens("webhook_duplicated"):
                queue.put_nowait(delivery)

    @property
    def pending(self) -> int:
        """Return how many messages nobody has taken yet."""
        return sum(lane.queue.qsize() + lane.under_way for target in self.targets for lane in target.lanes)

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=10), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        self._tasks = [task for target in self.targets for task in self._serving(target, self._session)]

    def _serving(self, target: Target, session: aiohttp.ClientSession) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._serve(target, lane, session)) for lane in target.lanes]

    async def stop(self) -> None:
        """Drop what is still queued and end."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()
        self._session = None

    async def _serve(self, target: Target, lane: Lane, session: aiohttp.ClientSession) -> None:
        while True:
            batch = await self._gathered(lane)
            parts: tuple[list[Delivery], list[Delivery]] = [], []
            for delivery in batch:
                parts[self._injector.happens("webhook_reordered")].append(delivery)
            if not parts[0]:
                with contextlib.suppress(TimeoutError):
                    parts[0].append(await asyncio.wait_for(lane.queue.get(), REORDER_WAIT_S))
                    lane.under_way += 1
            for part in parts:
                for join, group in groupby(part, attrgetter("join")):
                    await self._deliver(target, list(group), join, session)
            lane.under_way = 0

    async def _gathered(self, lane: Lane) -> list[Delivery]:
        """Wait for a message, and where several may travel in one request, for those that come right after it."""
        batch = [await lane.queue.get()]
        lane.under_way = 1
        if batch[0].join is None:
            return batch
        if lane.queue.qsize() < GATHERED - 1:
            await asyncio.sleep(GATHER_S)
        while len(batch) < GATHERED and not lane.queue.empty():
            batch.append(lane.queue.get_nowait())
        lane.under_way = len(batch)
        return batch

    async def _deliver(
        self, target: Target, group: Sequence[Delivery], join: Join | None, session: aiohttp.ClientSession
    ) -> None:
        """Send *group* as one request, or without *join* one by one."""
        if join is None:
            for delivery in group:
                await self._repeat(target, delivery.event, delivery.headers, 1, session)
            return
        body = join([delivery.event for delivery in group])
        await self._repeat(target, body, group[0].headers, len(group), session)

    async def _repeat(
        self, target: Target, body: bytes, headers: Mapping[str, str], events: int, session: aiohttp.ClientSession
    ) -> None:
        pause = FIRST_PAUSE_S
        for _ in range(TRIES):
            if await self._send(target, body, headers, session):
                self.counts["delivered"] += events
                return
            self.counts["refused"] += 1
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)
        self.counts["given_up"] += events

    async def _send(
        self, target: Target, body: bytes, headers: Mapping[str, str], session: aiohttp.ClientSession
    ) -> bool:
        signed = self._sign(body, target.url, target.secret, self._clock())
        sent = {"Content-Type": "application/json", **headers, **signed}
        try:
            async with session.post(target.address, data=body, headers=sent) as reply:
                await reply.read()
                return reply.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
