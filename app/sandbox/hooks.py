"""Webhooks out: signed by the platform, in order per key, repeated until somebody takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from app.sandbox.faults import Injector

    Sign = Callable[[bytes, str, str, datetime], Mapping[str, str]]

TRIES = 60
LANES = 8
"""Messages of one key stay in one lane and in their order; lanes overtake each other."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
REORDER_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one address; its signature is made when it is sent."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Lane:
    """Messages that wait for each other."""

    queue: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    busy: bool = False


@dataclass(slots=True)
class Target:
    """An address that wants webhooks; no topics means all of them."""

    url: str
    secret: str
    topics: frozenset[str] = frozenset()
    lanes: list[Lane] = field(default_factory=lambda: [Lane() for _ in range(LANES)])

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

    def push(self, body: bytes, *, topic: str = "", headers: Mapping[str, str] | None = None, key: str = "") -> None:
        """Queue one message for every address that wants *topic*; messages of one *key* keep their order."""
        self.counts["emitted"] += 1
        for target in self.targets:
            if target.topics and topic not in target.topics:
                continue
            if self._injector.happens("webhook_lost"):
                continue
            delivery = Delivery(body, dict(headers or {}))
            queue = target.lane(key).queue
            queue.put_nowait(delivery)
            if self._injector.happens("webhook_duplicated"):
                queue.put_nowait(delivery)

    @property
    def pending(self) -> int:
        """Return how many messages nobody has taken yet."""
        return sum(lane.queue.qsize() + lane.busy for target in self.targets for lane in target.lanes)

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
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
            batch = [await lane.queue.get()]
            lane.busy = True
            if self._injector.happens("webhook_reordered"):
                with contextlib.suppress(TimeoutError):
                    batch.insert(0, await asyncio.wait_for(lane.queue.get(), REORDER_WAIT_S))
            for delivery in batch:
                await self._deliver(target, delivery, session)
            lane.busy = False

    async def _deliver(self, target: Target, delivery: Delivery, session: aiohttp.ClientSession) -> None:
        pause = FIRST_PAUSE_S
        for _ in range(TRIES):
            if await self._send(target, delivery, session):
                self.counts["delivered"] += 1
                return
            self.counts["refused"] += 1
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, pause * 2)
        self.counts["given_up"] += 1

    async def _send(self, target: Target, delivery: Delivery, session: aiohttp.ClientSession) -> bool:
        signed = self._sign(delivery.body, target.url, target.secret, self._clock())
        headers = {"Content-Type": "application/json", **delivery.headers, **signed}
        try:
            async with session.post(target.url, data=delivery.body, headers=headers) as reply:
                await reply.read()
                return reply.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
