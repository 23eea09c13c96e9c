"""How fast the console tells of one order among 100,000: `python benchmarks/console.py --json console.json`.

On a real Kafka (that of O2C_KAFKA, Docker, or Java artifacts): made-up orders are published as all roles would,
`o2c run console` reads them, `o2c orders get` is timed from its start to its end by every kind of id, and the HTTP API
is asked at a steady rate while orders go on changing. Requests are timed from when they were due, so that a late answer
delays none of those behind it. How busy the machine was otherwise is part of the result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
from confluent_kafka import Producer

from app.broker import provide
from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import free_port
from benchmarks.made_up_orders import OTHER, TENANT, all_orders, ids, of_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.made_up_orders import Record

KEY = "a viewer's key that is long enough"
CONFIG = """
key = "made-up-key-for-the-benchmark"
[kafka]
bootstrap = "{bootstrap}"
[console]
port = {port}
api_keys = [
  {{ name = "desk", tenant = "acme", key = "{key}" }},
  {{ name = "desk-other", tenant = "other", key = "of other: {key}" }},
]
[[tenant]]
name = "acme"
[tenant.connections]
shop = {{ platform = "shopify" }}
crm = {{ platform = "hubspot" }}
books = {{ platform = "xero" }}
pay = {{ platform = "stripe" }}
[[tenant.flows]]
name = "web"
key_giver = "shop"
mode = "live"
targets = [{{ connection = "crm", order = true }}, {{ connection = "books", document = "invoice" }}]
[[tenant]]
name = "other"
"""
LISTS = ("/api/parked", "/api/conflicts", "/api/flows", "/api/connections")
MOST = {"orders get": 1_000.0, "API p99": 100.0}
"""Milliseconds that may be taken."""
FINE, UNKNOWN = 200, 404
Figures = dict[str, Any]


def main() -> None:
    """Load, read, ask, print; the exit code tells whether both goals hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--gets", type=int, default=10, help="`o2c orders get` of each kind of id (default: 10)")
    parser.add_argument("--rate", type=float, default=50.0, help="API requests per second (default: 50)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the API is asked (default: 60)")
    parser.add_argument(
        "--changes", type=float, default=5.0, help="orders that change per second meanwhile (default: 5)"
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="o2c-console-") as folder:
        figures = asyncio.run(measured(args, Path(folder)))
    text = json.dumps(figures, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    sys.exit(not all(figures["goals"].values()))


async def measured(args: argparse.Namespace, folder: Path) -> Figures:
    """Return all figures."""
    broker = await provide(folder / "kafka", os.environ)
    try:
        port, config = free_port(), folder / "o2c.toml"
        config.write_text(CONFIG.format(bootstrap=broker.bootstrap, port=port, key=KEY))
        await apply_topics(load(config, os.environ))
        machine = {"at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "processors": os.cpu_count(), "python": sys.version[:6]}
        publisher = Publisher(broker.bootstrap)
        published = publisher.all_of(args.orders)
        with console(config, folder) as (process, began):
            reading = await filled(process, port, published["records"], began)
            reading["database_mb"] = round(
                sum(one.stat().st_size for one in (folder / "data/console").iterdir()) / 2**20
            )
            told("timing `o2c orders get`")
            cli = command_line(config, args.orders, args.gets)
            told("timing the API")
            api = await asked(port, process, publisher, args)
            told("done")
        goals = {
            "orders get within 1 s": cli["all"]["max_ms"] < MOST["orders get"],
            "API p99 below 100 ms": api["all"]["p99_ms"] < MOST["API p99"],
        }
        return {
            "orders": args.orders, "machine": machine, "published": published, "reading": reading,
            "orders_get": cli, "api": api, "goals": goals,
        }  # fmt: skip
    finally:
        await broker.stop()


def told(what: str) -> None:
    """Say what is being done: whoever shares the machine may make room."""
    print(f"{datetime.now(UTC):%H:%M:%S} {what}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


class Publisher:
    """Puts records on their topics as fast as Kafka takes them."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "linger.ms": 20,
                "log_level": 2,
                "queue.buffering.max.messages": 200_000,
            }
        )

    def put(self, record: Record) -> None:
        """Send one record; waits where too many are under way."""
        while True:
            try:
                self._producer.produce(
                    record.topic, record.value, record.key, headers=list(record.headers), timestamp=record.timestamp
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def flush(self) -> None:
        """Wait until everything was acknowledged."""
        if self._producer.flush(60):
            raise SystemExit("Kafka does not acknowledge.")

    def all_of(self, count: int) -> Figures:
        """Publish what happened to *count* orders so far."""
        told(f"publishing {count} orders")
        began, records, size = time.monotonic(), 0, 0
        for record in all_orders(count):
            self.put(record)
            records, size = records + 1, size + len(record.value)
        self.flush()
        seconds = time.monotonic() - began
        return {"records": records, "mb": round(size / 2**20), "seconds": round(seconds, 1)}


@contextmanager
def console(config: Path, folder: Path) -> Iterator[tuple[psutil.Popen, float]]:
    """Run the role as its own process, as in production."""
    words = [sys.executable, "-m", "app", "run", "console", "--config", str(config), "--json"]
    with (folder / "console.log").open("wb") as log:
        began = time.monotonic()
        process = psutil.Popen(words, stderr=log, env=environment())
    try:
        yield process, began
    finally:
        process.terminate()
        process.wait(30)


def environment() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as everywhere but in some containers."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def filled(process: psutil.Popen, port: int, records: int, began: float) -> Figures:
    """Wait until the console has read all there is."""
    told(f"reading {records} records")
    async with aiohttp.ClientSession() as session:
        while process.is_running():
            await asyncio.sleep(0.5)
            try:
                async with session.get(f"http://127.0.0.1:{port}/health/ready") as reply:
                    if reply.status == FINE:
                        break
            except aiohttp.ClientError:
                continue
        else:
            raise SystemExit("The console ended.")
    seconds, memory, spent = time.monotonic() - began, process.memory_info().rss, process.cpu_times()
    return {
        "seconds": round(seconds, 1), "records_per_second": round(records / seconds),
        "cpu_seconds": round(spent.user + spent.system, 1), "memory_mb": round(memory / 2**20),
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------- command line


def command_line(config: Path, count: int, times: int) -> Figures:
    """Return how long `o2c orders get` took by each kind of id, the start of the process included."""
    chance, took = random.Random(2), defaultdict(list)
    command = Path(sys.executable).with_name("o2c")
    with shared() as machine:
        for turn in range(times * len(ids(0))):
            kind = list(ids(0))[turn % len(ids(0))]
            wanted = ids(chance.randrange(count))
            words = [str(command), "orders", "get", wanted[kind], "--config", str(config)]
            began = time.perf_counter()
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())  # noqa: S603 - ours
            took[kind].append(time.perf_counter() - began)
            if done.returncode or wanted["key"] not in done.stdout or "sent" not in done.stdout:
                raise SystemExit(f"`o2c orders get` by {kind} {wanted[kind]} failed: {done.stdout} {done.stderr}")
    return {"all": spread(chain(*took.values())), "by_id": {kind: spread(took[kind]) for kind in took}, **machine}


# -------------------------------------------------------------------------------------------------------------- API


async def asked(port: int, process: psutil.Popen, publisher: Publisher, args: argparse.Namespace) -> Figures:
    """Return how long answers took; half of the questions look for an order, most others show one."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    late: list[float] = []
    changing = asyncio.create_task(changed(publisher, args.orders, args.changes))
    spent = process.cpu_times()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with session.get("/api/connections", headers=headers) as reply:  # the first look takes a moment
            await reply.read()
        with shared(process) as machine:
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(int(args.rate * args.seconds)):
                    due = began + number / args.rate
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    late.append(time.perf_counter() - due)
                    group.create_task(ask(session, number, args.orders, due, took))
            seconds = time.perf_counter() - began
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)
    publisher.flush()
    after = process.cpu_times()
    machine["console_cpu_share"] = round((after.user + after.system - spent.user - spent.system) / seconds, 3)
    return {
        "rate": args.rate, "seconds": round(seconds, 1), "changed_orders_per_second": args.changes,
        "all": spread(chain(*took.values())),
        "by_question": {question: spread(times) for question, times in sorted(took.items())},
        "generator_late": spread(late), **machine,
    }  # fmt: skip


async def ask(
    session: aiohttp.ClientSession, number: int, count: int, due: float, took: defaultdict[str, list[float]]
) -> None:
    """Ask one question and look whether the answer is right."""
    chance = random.Random(number)
    wanted, kinds = ids(chance.randrange(count)), list(ids(0))
    kind = chance.choice(kinds)
    tenant = OTHER if number % 50 == 49 else TENANT  # noqa: PLR2004 - now and then
    headers = {"Authorization": f"Bearer {KEY if tenant == TENANT else 'of other: ' + KEY}"}
    question, where, params = ("find", "/api/orders", {"id": wanted[kind]})
    if number % 2:
        question, where, params = ("order", f"/api/orders/{wanted['key']}", {})
    if number % 10 == 0:
        where = chance.choice(LISTS)
        question, params = where.removeprefix("/api/"), {}
    async with session.get(where, params=params, headers=headers) as reply:
        status, answer = reply.status, await reply.json()
    took[question].append(time.perf_counter() - due)
    if not right(question, tenant, wanted["key"], status, answer):
        raise SystemExit(f"{tenant} asked {where} {params} and was told {status} {answer}")


def right(question: str, tenant: str, key: str, status: int, answer: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell whether the answer is that of the tenant's own orders."""
    if question == "find":
        found = [one["key"] for one in answer["orders"]]
        return found == [key] if tenant == TENANT else key not in found
    if question == "order" and tenant == OTHER:
        return status == UNKNOWN
    return status == FINE and ("hops" in answer or question != "order")


async def changed(publisher: Publisher, count: int, rate: float) -> None:
    """Go on changing orders."""
    seq = 2
    while True:
        for record in of_order(random.randrange(count), datetime.now(UTC), seq):
            publisher.put(record)
        seq += 1
        await asyncio.sleep(1 / rate)


# ---------------------------------------------------------------------------------------------------------- figures


@contextmanager
def shared(*ours: psutil.Popen) -> Iterator[Figures]:
    """Measure what this process, and everybody but it and *ours*, took of a processor meanwhile."""
    machine: Figures = {"load_before": round(os.getloadavg()[0], 2)}
    began, own, everybody = time.perf_counter(), cpu(ours), busy()
    mine = time.process_time()
    yield machine
    seconds = time.perf_counter() - began
    machine["load_after"] = round(os.getloadavg()[0], 2)
    machine["generator_cpu_share"] = round((time.process_time() - mine) / seconds, 3)
    machine["others_cpu_share"] = round((busy() - everybody - (cpu(ours) - own)) / seconds, 3)


def busy() -> float:
    """Return the seconds that all processors worked since the machine started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def cpu(processes: tuple[psutil.Popen, ...]) -> float:
    """Return the seconds that *processes* and this one, with the children it waited for, took of a processor."""
    own = os.times()
    return (
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(one.cpu_times().user + one.cpu_times().system for one in processes)
    )


def spread(times: Iterable[float]) -> Figures:
    """Return what *times*, in seconds, come to."""
    ordered = sorted(times)
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    places = {name: min(len(ordered) - 1, int(len(ordered) * share)) for name, share in shares.items()}
    return {"count": len(ordered), **{name: round(ordered[place] * 1000, 1) for name, place in places.items()}}


if __name__ == "__main__":
    main()
