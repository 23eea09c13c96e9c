"""Secrets change while deliveries come: old and new are good at once, and not one delivery is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import cycle

import pytest

from tests.hostile.door import KEY, SECRET, SLUGS, Door, addresses_of, open_door, path_of, signed
from tests.hostile.shapes import envelope, named
from tests.hostile.wire import post, send

pytestmark = pytest.mark.sandbox
NEW, NEW_KEY = "whsec_made_up_for_the_time_after", "key-of-the-time-after"


class Senders:
    """Platforms and a service that deliver all the time, with whatever secret they have by now."""

    def __init__(self, door: Door) -> None:
        self.secret, self.key, self.sent = SECRET, KEY, Counter[tuple[str, int]]()
        self._door, self._going, self._more = door, True, asyncio.Semaphore(0)

    async def deliver(self) -> None:
        slugs, event = cycle(SLUGS), envelope(named("x"))
        while self._going:
            slug, secret, key = next(slugs), self.secret, self.key
            said = await send(self._door.port, post(path_of(slug), signed(slug, b"[]", secret), b"[]"), 10)
            self.sent[secret, said.status] += 1
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"}
            said = await send(self._door.port, post("/events", headers, event), 10)
            self.sent[key, said.status] += 1
            self._more.release()

    async def some(self) -> None:
        """Wait until each has delivered a few more."""
        for _ in range(30):
            await self._more.acquire()

    def stop(self) -> None:
        self._going = False


async def test_not_one_delivery_is_refused_while_secrets_and_keys_change() -> None:
    async with open_door() as door:
        senders = Senders(door)
        tasks = [asyncio.create_task(senders.deliver()) for _ in range(6)]
        await senders.some()
        door.gateway.take(addresses_of(NEW, SECRET), {NEW_KEY: "", KEY: ""})
        await senders.some()
        senders.secret, senders.key = NEW, NEW_KEY
        await senders.some()
        senders.stop()  # what was signed before has arrived by now
        await asyncio.gather(*tasks)
        door.gateway.take(addresses_of(NEW), {NEW_KEY: ""})
        for headers, status in ((signed("stripe", b"[]"), {400, 401}), (signed("stripe", b"[]", NEW), {200})):
            assert (await send(door.port, post(path_of("stripe"), headers, b"[]"), 10)).status in status
    assert {status for _, status in senders.sent} == {200, 202}, senders.sent
    assert {secret for secret, _ in senders.sent} == {SECRET, NEW, KEY, NEW_KEY}
