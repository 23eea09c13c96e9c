"""The gateway under load: `python -m benchmarks.gateway [--kafka HOST:PORT] [--short] [--json FILE]`.

The real role as a process receives signed webhooks and answers once Kafka acknowledged. Beside it, in turns and on the
same Kafka, a bare aiohttp handler does nothing but produce the body with the same settings. Then deliveries come at a
steady rate whether or not earlier ones were answered, then ten times as many, and at last a Kafka of its own dies.
Exit: 0 all goals met, 1 a goal was missed, 2 it could not measure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.broker import java
from app.cli.topics import apply_topics
from app.config.load import load
from app.core import topics
from app.core.errors import ConfigError
from app.demo.stack import free_port
from benchmarks.command import arguments, concluded, on_kafka
from benchmarks.figures import Figure
from benchmarks.rates import hooks
from benchmarks.rates.judging import Judge
from benchmarks.rates.load import Answers
from benchmarks.rates.running import Machine, Running, new_prefix, records, said, started, told

JUDGE = Judge("gateway")
PARTITIONS = 4
BARE = "bare"
CONFIG = """
data_dir = "data"
key = "made-up-key-for-the-benchmark-of-the-gateway"
[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
[topics]
prefix = "{prefix}"
[gateway]
port = {port}
public_url = "http://127.0.0.1:{port}"
[[tenant]]
name = "acme"
"""
SHARE = 0.8
"""Of what the bare handler does, at least."""
LONGEST_P99 = 100.0
LONGEST = 5_000.0
"""Milliseconds; Shopify waits no longer."""


class Sizes(NamedTuple):
    """How much is measured; times in seconds."""

    rounds: int
    round: float
    steady: float
    burst: float
    outage: float


FULL = Sizes(rounds=6, round=6.0, steady=60.0, burst=20.0, outage=15.0)
SHORT = Sizes(rounds=2, round=2.0, steady=6.0, burst=2.0, outage=6.0)
RATE = 1_000.0
DRAIN = 5
"""How many times as long as the burst its rest may take: five minutes after one of a minute."""


class Server(NamedTuple):
    """What is measured, and where it listens."""

    running: Running
    url: str


class Round(NamedTuple):
    """One stretch of full load on one server."""

    rate: float
    per_cpu_second: float
    generator: float
    busy: float


def config(folder: Path, bootstrap: str, prefix: str, port: int) -> Path:
    """Write the configuration of the role and return its path."""
    path = folder / f"o2c-{port}.toml"
    values = {"bootstrap": bootstrap, "prefix": prefix, "port": port, "partitions": PARTITIONS}
    path.write_text(CONFIG.format(**values) + hooks.CONNECTIONS, encoding="utf-8")
    return path


@contextlib.asynccontextmanager
async def gateway(folder: Path, bootstrap: str, prefix: str) -> AsyncIterator[Server]:
    """Run the real role on topics of its own."""
    port = free_port()
    path = config(folder, bootstrap, prefix, port)
    await apply_topics(load(path, os.environ))
    words = ["app", "run", "gateway", "--config", str(path), "--worker", "gateway-1", "--json"]
    async with started(folder, f"gateway-{port}", *words) as running:
        await running.until_ready(f"http://127.0.0.1:{port}")
        yield Server(running, f"http://127.0.0.1:{port}")


@contextlib.asynccontextmanager
async def bare(folder: Path, bootstrap: str, topic: str) -> AsyncIterator[Server]:
    """Run the handler that only produces."""
    port = free_port()
    async with started(folder, BARE, "benchmarks.rates.bare", bootstrap, topic, str(port)) as running:
        await running.until_ready(f"http://127.0.0.1:{port}", path="")
        yield Server(running, f"http://127.0.0.1:{port}")


async def sent(url: str, **knobs: object) -> Answers:
    """Return what the load generator saw."""
    words = [word for name, value in knobs.items() for word in (f"--{name}", str(value))]
    return msgspec.json.decode(await said("benchmarks.rates.load", url, *words), type=Answers)


async def full_load(server: Server, seconds: float, kind: str = "shopify") -> Round:
    """Return what *server* does when it is never idle."""
    machine = Machine()
    spent = server.running.cpu()
    with machine.watched():
        answers = await sent(server.url, kind=kind, seconds=seconds)
    spent = server.running.cpu() - spent
    if set(answers.statuses) != {"200"}:
        raise ConfigError(f"{server.running.name} answered {answers.statuses}; see {server.running.log}.")
    return Round(answers.fine / answers.seconds, answers.fine / spent, answers.cpu_share, machine.busy)


async def throughput(ours: Server, floor: Server, sizes: Sizes) -> list[Figure]:
    """Measure both in turns; medians count."""
    for server in (floor, ours):
        await full_load(server, min(2.0, sizes.round))
    measured: dict[str, list[Round]] = {"ours": [], "floor": []}
    for number in range(sizes.rounds):
        told(f"round {number + 1} of {sizes.rounds}")
        for name, server in (("floor", floor), ("ours", ours)):
            measured[name].append(await full_load(server, sizes.round))
    mid = {
        name: Round(*(statistics.median(values) for values in zip(*rounds, strict=True)))
        for name, rounds in measured.items()
    }
    floor_, ours_ = mid["floor"], mid["ours"]
    against = "bare handler"
    return [
        JUDGE.plain("bare handler", floor_.rate, "1/s"),
        JUDGE.plain("bare handler per CPU second", floor_.per_cpu_second, "1/CPU s"),
        JUDGE.share(JUDGE.plain("signed webhooks of 2 kB", ours_.rate, "1/s"), against, floor_.rate, SHARE),
        JUDGE.share(
            JUDGE.plain("the same per CPU second", ours_.per_cpu_second, "1/CPU s"),
            against,
            floor_.per_cpu_second,
            SHARE,
        ),
        JUDGE.plain("load generator's share of a processor", ours_.generator, "CPUs"),
        JUDGE.plain("everybody's share of processors", ours_.busy, "CPUs"),
        *[await _of_kind(ours, kind, what, sizes) for kind, what in _BATCHES],
    ]


_BATCHES = (("hubspot", "HubSpot batches of 20 events"), ("stripe", "Stripe snapshots"))


async def _of_kind(ours: Server, kind: str, what: str, sizes: Sizes) -> Figure:
    found = await full_load(ours, sizes.round, kind)
    return JUDGE.plain(f"{what} per CPU second", found.per_cpu_second, "1/CPU s")


async def steady(ours: Server, bootstrap: str, prefix: str, sizes: Sizes) -> list[Figure]:
    """Measure answers at 1,000 a second, each from when it was due."""
    told(f"{RATE:g} a second for {sizes.steady:g} s")
    topic = prefix + topics.DELIVERIES
    before = await records(bootstrap, [topic], PARTITIONS)
    answers = await sent(ours.url, rate=RATE, seconds=sizes.steady, lines=256)
    kept = await records(bootstrap, [topic], PARTITIONS) - before
    p99, lost = answers.from_due["p99"], answers.fine - kept
    return [
        JUDGE.plain("p50 at 1,000/s", answers.from_due["p50"], "ms"),
        JUDGE.at_most("p99 at 1,000/s", p99, "ms", LONGEST_P99),
        JUDGE.plain("generator late at 1,000/s, p99", answers.late["p99"], "ms"),
        JUDGE.at_most("not answered with 200 at 1,000/s", answers.sent - answers.fine, "deliveries", 0),
        JUDGE.at_most("accepted and not on the topic", lost, "deliveries", 0),
    ]


async def burst(ours: Server, sizes: Sizes) -> list[Figure]:
    """Offer ten times as much for a while; senders hold what is not answered yet, over at most 500 connections."""
    told(f"{RATE * 10:g} a second for {sizes.burst:g} s")
    limit = DRAIN * sizes.burst
    knobs = {"rate": RATE * 10, "seconds": sizes.burst, "lines": 500, "patience": limit + 60}
    answers = await sent(ours.url, **knobs)
    return [
        JUDGE.plain("burst of 10,000/s: p50 from sending to answer", answers.from_wire["p50"], "ms"),
        JUDGE.at_most("burst of 10,000/s: longest answer", answers.from_wire["max"], "ms", LONGEST),
        JUDGE.at_most(f"burst of {sizes.burst:g} s: its rest answered after", answers.drained, "s", limit),
        JUDGE.at_most("burst: not answered with 200", answers.sent - answers.fine, "deliveries", 0),
    ]


async def outage(folder: Path, sizes: Sizes) -> list[Figure]:
    """Kill, then freeze, a Kafka of our own under load: what is not acknowledged is answered 503, and soon."""
    figures: list[Figure] = []
    for how, number in (("killed", signal.SIGKILL), ("frozen", signal.SIGSTOP)):
        told(f"Kafka {how}")
        data = folder / f"kafka-{how}"
        kafka = await java.start(data, os.environ)
        try:
            prefix = new_prefix()
            async with gateway(folder, kafka.bootstrap, prefix) as ours:
                loading = asyncio.create_task(sent(ours.url, rate=100, seconds=sizes.outage, lines=1_000))
                while not await records(kafka.bootstrap, [prefix + topics.DELIVERIES], PARTITIONS):  # noqa: ASYNC110 - others write them
                    await asyncio.sleep(0.1)
                await asyncio.sleep(sizes.outage / 3)
                for pid in kafka.pids:
                    os.kill(pid, number)
                answers = await loading
        finally:
            if number == signal.SIGSTOP:
                for pid in kafka.pids:
                    os.kill(pid, signal.SIGCONT)
            await java.stop(data, forget=True)
        refused = answers.statuses.get("503", 0)
        figures += [
            JUDGE.at_most(f"Kafka {how}: longest answer", answers.from_due["max"], "ms", LONGEST),
            JUDGE.at_least(f"Kafka {how}: answered 200 before", answers.fine, "deliveries", 1),
            JUDGE.at_least(f"Kafka {how}: answered 503", refused, "deliveries", 1),
            JUDGE.at_most(f"Kafka {how}: other answers", answers.sent - answers.fine - refused, "deliveries", 0),
        ]
    return figures


async def measured(bootstrap: str, folder: Path, sizes: Sizes, only: str) -> list[Figure]:
    """Return all figures."""
    prefix = new_prefix()
    figures: list[Figure] = []
    async with gateway(folder, bootstrap, prefix) as ours:
        if only in {"", "throughput"}:
            # The floor writes to a topic of ours with as many partitions, which the gateway does not write to.
            async with bare(folder, bootstrap, prefix + topics.PARKED) as floor:
                figures += await throughput(ours, floor, sizes)
        if only in {"", "steady"}:
            figures += await steady(ours, bootstrap, prefix, sizes)
        if only in {"", "burst"}:
            figures += await burst(ours, sizes)
    return figures


def main() -> int:
    """Read the arguments, measure, print."""
    parser = arguments("gateway", __doc__)
    parser.add_argument("--only", default="", choices=("", "throughput", "steady", "burst", "outage"), help="one part")
    parser.add_argument("--steady", type=float, default=0.0, help="seconds at 1,000/s (default: 60, short: 6)")
    given = parser.parse_args()
    sizes = SHORT if given.short else FULL
    sizes = sizes._replace(steady=given.steady or sizes.steady)

    def parts(folder: Path) -> list[Figure]:
        figures: list[Figure] = []
        if given.only != "outage":
            figures += on_kafka(given, folder, lambda kafka, within: measured(kafka, within, sizes, given.only))
        if given.only in {"", "outage"}:  # on a Kafka of its own, when the other is gone
            figures += asyncio.run(outage(folder, sizes))
        return figures

    return concluded("gateway", given, parts)


if __name__ == "__main__":
    sys.exit(main())
