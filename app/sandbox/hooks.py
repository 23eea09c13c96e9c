"""Webhooks out: signed by the platform, in order, repeated until somebody takes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from app.sandbox.faults import Injector

    Sign = Callable[[bytes, str, str, datetime], Mapping[str, str]]

TRIES = 60
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
REORDER_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one address; its signature is made when it is sent."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Target:
    """An address that wants webhooks; no topics means all of them."""

    url: str
    secret: str
    topics: frozenset[str] = frozenset()
    queue: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    busy: bool = False


class Hooks:
    """Delivers to every registered address; one task per address keeps the order."""

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
            self._tasks.append(asyncio.create_task(self._serve(target, self._session)))
        return target

    def push(self, body: bytes, *, topic: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Queue one message for every address that wants *topic*."""
        self.counts["emitted"] += 1
        for target in self.targets:
            if target.topics and topic not in target.topics:
                continue
            if self._injector.happens("webhook_lost"):
                continue
            delivery = Delivery(body, dict(headers or {}))
            target.queue.put_nowait(delivery)
            if self._injector.happens("webhook_duplicated"):
                target.queue.put_nowait(delivery)

    @property
    def pending(self) -> int:
        """Return how many messages nobody has taken yet."""
        return sum(target.queue.qsize() + target.busy for target in self.targets)

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._tasks = [asyncio.create_task(self._serve(target, self._session)) for target in self.targets]

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

    async def _serve(self, target: Target, session: aiohttp.ClientSession) -> None:
        while True:
            batch = [await target.queue.get()]
            target.busy = True
            if self._injector.happens("webhook_reordered"):
                with contextlib.suppress(TimeoutError):
                    batch.insert(0, await asyncio.wait_for(target.queue.get(), REORDER_WAIT_S))
            for delivery in batch:
                await self._deliver(target, delivery, session)
            target.busy = False

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
