"""From a webhook to the acknowledged ledger write: `python -m benchmarks.latency [--kafka HOST:PORT] [--short]`.

All roles and five sandboxes run as processes on one machine. First as many orders as fit are made in the shop at once:
how fast both ledgers have their invoices is the load that the machine sustains. Then orders come at a tenth and at 70 %
of it, each when it is due. Times are those that the records themselves carry: when the gateway got the webhook, when
the change, the command and the result were written. Quotas are so wide that they are not what is measured, and the
sandboxes answer at once. Exit: 0 measured (there is no goal), 2 it could not measure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.cli.topics import apply_topics
from app.config.load import load
from app.core import topics
from app.core.errors import ConfigError
from app.demo.registering import register_webhooks
from app.demo.stack import Stack, free_port
from benchmarks.command import arguments, run
from benchmarks.figures import Figure
from benchmarks.rates.judging import Judge
from benchmarks.rates.load import quantiles
from benchmarks.rates.running import new_prefix, told
from schemas.cloudevents import decode
from schemas.commands import Command, Result

JUDGE = Judge("end to end")
SCALE = 100.0
PARTITIONS = 4
LEDGERS = ("books", "qbo")
LOADS = (0.1, 0.7)
_FINE = 200
_READY_SECONDS = 90.0
_PATIENCE = 180.0
_AT_ONCE = 16


class Sizes(NamedTuple):
    """How much is measured; times in seconds."""

    warm: int
    orders: int
    seconds: float


FULL = Sizes(warm=30, orders=400, seconds=60.0)
SHORT = Sizes(warm=10, orders=60, seconds=10.0)


class Way(NamedTuple):
    """One ledger write: when it ended, and seconds from one hop to the next."""

    ended: float
    whole: float
    gateway: float
    streams: float
    connectors: float


@dataclass
class Rig:
    """Everything that runs."""

    bootstrap: str
    prefix: str
    stack: Stack
    session: aiohttp.ClientSession
    made: int = 0

    async def order(self) -> None:
        """Have somebody buy something in the shop."""
        self.made += 1
        number = self.made
        line = {"sku": f"SKU-{number % 10}", "title": f"Thing {number % 10}", "quantity": 2, "price": "10.00"}
        order = {
            "reference": f"B-{number}",
            "name": f"Buyer {number % 97}",
            "email": f"buyer{number % 97}@example.com",
            "currency": "EUR",
            "lines": [{**line, "tax_rate": "20"}],
        }
        async with self.session.post(f"{self.stack.urls['shop']}/_sandbox/act/create_order", json=order) as reply:
            reply.raise_for_status()

    async def at_once(self, count: int) -> None:
        """Make *count* orders as fast as the shop takes them."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one() -> None:
            async with gate:
                await self.order()

        await asyncio.gather(*(one() for _ in range(count)))

    async def steadily(self, rate: float, seconds: float) -> float:
        """Make *rate* orders a second, each when it is due; return how late the last was, in seconds."""
        began, late = time.perf_counter(), 0.0
        async with asyncio.TaskGroup() as group:
            for number in range(max(1, int(rate * seconds))):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                late = time.perf_counter() - due
                group.create_task(self.order())
        return late

    async def written(self) -> int:
        """Return how many invoices both ledgers have."""
        counts = []
        for ledger in LEDGERS:
            async with self.session.get(f"{self.stack.urls[ledger]}/_sandbox/books") as reply:
                counts.append((await reply.read()).count(b'"kind":"invoice"'))
        return min(counts)

    async def until_written(self) -> None:
        """Wait until both ledgers have an invoice of every order; ConfigError when they never do."""
        deadline = time.monotonic() + _PATIENCE
        while await self.written() < self.made:
            if time.monotonic() > deadline or self.stack.dead():
                raise ConfigError(f"The ledgers have {await self.written()} of {self.made} invoices.")
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)  # results come after the write

    async def records(self, topic: str) -> list[Any]:
        """Return every record of *topic*."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Any] = []
        try:
            places = [TopicPartition(self.prefix + topic, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    found += records
        finally:
            await consumer.stop()
        return found

    async def ways(self, since: float) -> list[Way]:
        """Return how every first ledger write went that answers a webhook told after *since*."""
        changes: dict[str, float] = {}
        for record in await self.records(topics.CRM_CHANGES):
            event = decode(record.headers, record.value)
            changes.setdefault(event.trace, record.timestamp / 1000)
        asked: dict[str, float] = {}
        for record in await self.records(topics.COMMANDS):
            command = msgspec.json.decode(record.value, type=Command)
            asked.setdefault(command.id, record.timestamp / 1000)
        found = []
        for record in await self.records(topics.RESULTS):
            result = msgspec.json.decode(record.value, type=Result)
            if way := _way(result, record.timestamp / 1000, changes, asked, since):
                found.append(way)
        return found


def _way(
    result: Result, at: float, changes: Mapping[str, float], asked: Mapping[str, float], since: float
) -> Way | None:
    """Return the hops of *result*, None where it is no confirmed invoice of a ledger."""
    if result.connection not in LEDGERS or result.outcome != "confirmed" or result.capability != "upsert_invoice":
        return None
    if result.told_at is None or (began := result.told_at.timestamp()) < since or result.trace not in changes:
        return None
    change, command = changes[result.trace], asked[result.command]
    return Way(at, at - began, change - began, command - change, at - command)


@contextlib.asynccontextmanager
async def rigged(folder: Path, bootstrap: str) -> AsyncIterator[Rig]:
    """Run sandboxes and all roles."""
    prefix = new_prefix()
    stack = Stack(folder, SCALE, sweep_seconds=36_000)
    try:
        await stack.start_sandboxes()
        path = stack.write_config(bootstrap, free_port(), SCALE, prefix)
        settings = load(path, os.environ)
        await apply_topics(settings)
        for role in ("streams", "connectors"):
            await stack.start_role(role, path, f"{role}-1")
        settings = await register_webhooks(stack.urls, path)
        await stack.start_role("gateway", path, "gateway-1")
        pages = [settings.gateway.public_url]
        pages += [f"http://127.0.0.1:{role.port}" for role in (settings.streams, settings.connectors)]
        async with aiohttp.ClientSession() as session:
            rig = Rig(bootstrap, prefix, stack, session)
            for page in pages:
                await _ready(rig, page)
            yield rig
    finally:
        await stack.stop()


async def _ready(rig: Rig, page: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and not rig.stack.dead():
        with contextlib.suppress(aiohttp.ClientError):
            async with rig.session.get(f"{page}/health/ready") as reply:
                if reply.status == _FINE:
                    return
        await asyncio.sleep(0.2)
    raise ConfigError(f"The role at {page} did not become ready; see {rig.stack.folder}.")


async def measured(bootstrap: str, folder: Path, sizes: Sizes) -> list[Figure]:
    """Return all figures."""
    async with rigged(folder, bootstrap) as rig:
        told("warming up")
        await rig.at_once(sizes.warm)
        await rig.until_written()
        told(f"{sizes.orders} orders at once")
        began = time.time()
        await rig.at_once(sizes.orders)
        await rig.until_written()
        sustained = sizes.orders / (max(way.ended for way in await rig.ways(began)) - began)
        figures = [JUDGE.plain("orders that the machine sustains, each to two ledgers and a CRM", sustained, "1/s")]
        for share in LOADS:
            rate = sustained * share
            told(f"{rate:.1f} orders a second for {sizes.seconds:g} s")
            began = time.time()
            late = await rig.steadily(rate, sizes.seconds)
            await rig.until_written()
            figures += _at_load(share, await rig.ways(began), late)
        return figures


def _at_load(share: float, ways: Sequence[Way], late: float) -> list[Figure]:
    load_ = f"at {share:.0%} load"
    figures = [JUDGE.plain(f"ledger writes {load_}", len(ways), "writes")]
    whole = quantiles([way.whole for way in ways])
    figures += [
        JUDGE.plain(f"webhook to ledger write, {name}, {load_}", whole[name], "ms") for name in ("p50", "p95", "p99")
    ]
    for hop in ("gateway", "streams", "connectors"):
        part = quantiles([getattr(way, hop) for way in ways])
        figures += [JUDGE.plain(f"of it {hop}, {name}, {load_}", part[name], "ms") for name in ("p50", "p99")]
    return [*figures, JUDGE.plain(f"last order made late by, {load_}", late * 1000, "ms")]


def main() -> int:
    """Read the arguments, measure, print."""
    given = arguments("latency", __doc__).parse_args()
    sizes = SHORT if given.short else FULL
    return run("latency", given, lambda kafka, folder: measured(kafka, folder, sizes))


if __name__ == "__main__":
    sys.exit(main())
