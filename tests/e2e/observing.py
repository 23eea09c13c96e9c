"""A pipeline of real roles with two sandboxes, looked at from outside only: pages, logs, topics."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from app.cli.topics import apply_topics
from app.config.load import load
from app.core import consumers
from app.demo.stack import Stack, free_port
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.xero import XeroSandbox
from tests.e2e.configuring import API_KEY, head, xero

SHOP, XERO = "demo.myshopify.com", "00000000-0000-4000-8000-000000000001"
PATIENCE = 120.0
ROLES = ("streams", "connectors", "gateway")
TENANT = """\
[[tenant]]
name = "acme"
[tenant.connections.erp]
platform = "external"
account = "erp-1"
[tenant.connections.shop]
platform = "shopify"
account = "{shop}"
base_url = "{shop_url}"
allow_private = true
quota_share = 50
sweep_seconds = 3600
secrets = {{ token = "shpat_sandbox", webhook_secret = "made-up" }}
{books}
[[tenant.flows]]
name = "shop-orders"
key_giver = "shop"
mode = "live"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
[[tenant.flows]]
name = "erp"
key_giver = "erp"
[[tenant.flows.targets]]
connection = "books"
document = "invoice"
"""


@dataclass
class Seen:
    """A running pipeline, looked at from outside only: pages, logs, topics."""

    folder: Path
    bootstrap: str
    prefix: str
    ports: dict[str, int]
    session: aiohttp.ClientSession
    shop: ShopifySandbox
    stack: Stack
    pages: dict[str, dict[str, float]] = field(default_factory=dict)

    def log(self, role: str) -> list[dict[str, Any]]:
        """Return the lines of a role's log; each of them is one JSON object."""
        return [json.loads(line) for line in (self.folder / f"{role}-1.log").read_text().splitlines()]

    async def look(self) -> None:
        """Read every role's /metrics."""
        for role, port in self.ports.items():
            async with self.session.get(f"http://127.0.0.1:{port}/metrics") as reply:
                families = list(text_string_to_metric_families(await reply.text()))
            self.pages[role] = {
                f"{one.name}{{{','.join(f'{name}={one.labels[name]}' for name in sorted(one.labels))}}}": one.value
                for family in families
                for one in family.samples
            }

    def value(self, role: str, series: str) -> float | None:
        return self.pages[role].get(series)

    def lags(self) -> dict[str, float]:
        """Return topic -> what waits on it, over all roles."""
        found: dict[str, float] = {}
        for page in self.pages.values():
            for name, value in page.items():
                if name.startswith("o2c_lag{"):
                    topic = name.partition("topic=")[2].removesuffix("}").removeprefix(self.prefix)
                    found[topic] = found.get(topic, 0) + value
        return found

    async def until(self, true: Callable[[], Any], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert not (dead := self.stack.dead()), dead[0].log.read_text()[-2_000:]
            await self.look()
            if true():
                return
            await asyncio.sleep(0.3)
        raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")

    async def until_on(self, topic: str, count: int) -> None:
        """Wait until *topic* has *count* records; more are too many."""
        until = time.monotonic() + PATIENCE
        while (found := len(await self.records(topic))) < count:
            assert time.monotonic() < until, f"{found} of {count} on {topic}"
            await asyncio.sleep(0.3)
        assert found == count

    async def health(self, kind: str) -> dict[str, tuple[int, str]]:
        """Return status and text of every role's health page; 0 where nobody answers."""
        found = {}
        for role, port in self.ports.items():
            try:
                async with self.session.get(f"http://127.0.0.1:{port}/health/{kind}") as reply:
                    found[role] = (reply.status, await reply.text())
            except aiohttp.ClientError:
                found[role] = (0, "")
        return found

    async def until_ready(self, status: int) -> dict[str, tuple[int, str]]:
        """Wait until every role answers *status* to the question whether it is ready."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            assert not (dead := self.stack.dead()), dead[0].log.read_text()[-2_000:]
            pages = await self.health("ready")
            if {found for found, _ in pages.values()} == {status}:
                return pages
            await asyncio.sleep(0.3)
        raise AssertionError(f"not all of them say {status}: {pages}")

    async def tell(self, kind: str, data: dict[str, Any]) -> int:
        """Post an event as another service does; return the status of the answer."""
        event = {
            "specversion": "1.0",
            "type": f"o2c.{kind}.changed.v1",
            "source": "/acme/erp/erp-1",
            "id": uuid.uuid4().hex,
        }
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/cloudevents+json"}
        url = f"http://127.0.0.1:{self.ports['gateway']}/events"
        async with self.session.post(url, data=json.dumps({**event, "data": data}), headers=headers) as reply:
            return reply.status

    async def spoil(self, topic: str) -> None:
        """Write what nobody can read."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait(self.prefix + topic, b"rubbish", key=b"books")
        finally:
            await producer.stop()

    async def records(self, topic: str) -> list[bytes]:
        """Return every value that is on *topic* now."""
        consumer = AIOKafkaConsumer(self.prefix + topic, bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        found: list[bytes] = []
        try:
            ends = await consumer.end_offsets(list(consumer.assignment()))
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [record.value for record in records]
        finally:
            await consumers.stop(consumer)
        return found


@asynccontextmanager
async def observed(bootstrap: str, folder: Path) -> AsyncIterator[Seen]:
    """Start roles and sandboxes, and stop them; every role is ready."""
    async with AsyncExitStack() as after:
        shop, books = ShopifySandbox(SHOP, quota_scale=50), XeroSandbox(XERO, quota_scale=50)
        shop_url, books_url = await shop.start(), await books.start() + "/api.xro/2.0"
        after.push_async_callback(shop.stop)
        after.push_async_callback(books.stop)
        prefix, ports = f"seen-{uuid.uuid4().hex[:8]}-", {role: free_port() for role in ROLES}
        path = folder / "o2c.toml"
        tenant = TENANT.format(shop=SHOP, shop_url=shop_url, books=xero("books", XERO, books_url))
        path.write_text(head(bootstrap, prefix, ports, partitions=2) + tenant)
        await apply_topics(load(path, os.environ))
        stack = Stack(folder)
        after.push_async_callback(stack.stop)
        for role in ROLES:
            await stack.start_role(role, path, f"{role}-1")
        session = await after.enter_async_context(aiohttp.ClientSession())
        seen = Seen(folder, bootstrap, prefix, ports, session, shop, stack)
        await seen.until_ready(200)
        shop.hooks.add(f"http://127.0.0.1:{ports['gateway']}/hooks/acme/shop", "made-up", frozenset(("orders/create",)))
        yield seen
