"""The kill run: a random worker gets kill -9 every few seconds while orders flow; then the checker says what came of it.

    python -m tests.chaos.kill --orders 20000 --every 10

Two stream workers and two connectors as processes on a real Kafka, the gateway, a Xero and a QuickBooks sandbox that
ignore idempotency keys. Exit: 0 nothing was lost, doubled or taken out of order and the run was hard enough to count,
1 something was, 2 it could not be started, 3 clean, but not hard enough to count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from app.core.errors import ConfigError
from tests.chaos.checker import read
from tests.chaos.journal import Observer
from tests.chaos.load import Sender, orders
from tests.chaos.report import Kill, Needs, Report
from tests.chaos.rig import NotStartedError, Rig
from tests.kafka import provided

_QUIET = 12.0
"""Seconds without a change that end a run: longer than a lost answer takes to be asked about."""
_ANSWERED = 0.5
"""Seconds after a ledger's latency by which it has answered what it had received."""
_PER_EPOCH = 1_000_000


@dataclass(frozen=True)
class Options:
    """What a run is like; times in seconds."""

    orders: int = 20_000
    every: float = 10.0
    seed: int = 1
    window: int = 400
    rate: float = 0.0
    latency: float = 0.2
    settle: float = 5.0
    patience: float = 300.0
    webhooks: bool = True
    needs: Needs = field(default_factory=Needs)


class Killer:
    """Kills a random worker every few seconds and notes what that cut off."""

    def __init__(self, rig: Rig, session: aiohttp.ClientSession, options: Options) -> None:
        self.kills: list[Kill] = []
        self._rig, self._session, self._options = rig, session, options
        self._dice = random.Random(options.seed)
        self._began = time.monotonic()

    async def run(self) -> None:
        """Kill until cancelled."""
        while True:
            at = self._began + self._options.every * (len(self.kills) + 1)
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._kill()

    async def _kill(self) -> None:
        before = await self._writes()
        worker = self._dice.choice(self._rig.alive())
        self._rig.kill(worker)
        at = round(time.monotonic() - self._began, 1)
        there = await self._writes()
        owned = tuple(worker.owns())
        working = bool(owned or worker.said("assigned"))
        await asyncio.sleep(self._options.latency + _ANSWERED)
        after = await self._writes()
        cut = sum(after[name]["unheard"] - before[name]["unheard"] for name in owned if name in after)
        in_flight = {name: writes["in_flight"] for name, writes in there.items()}
        self.kills.append(Kill(at, worker.role, worker.name, owned, in_flight, cut, working))
        sys.stderr.write(f"kill {len(self.kills)}: {worker.name} at {at:.0f} s, in flight {in_flight}, cut off {cut}\n")

    async def _writes(self) -> dict[str, dict[str, int]]:
        """Return what each ledger tells of writes that it received: in flight now, answered to nobody so far."""
        found = await asyncio.gather(*(self._told(url) for url in self._rig.sandboxes.values()))
        return dict(zip(self._rig.sandboxes, found, strict=True))

    async def _told(self, url: str) -> dict[str, int]:
        async with self._session.get(f"{url}/_sandbox/requests", params={"last": "0"}) as reply:
            told = await reply.json()
        return {name: int(told[name]) for name in ("in_flight", "unheard")}


async def run(options: Options, bootstrap: str, folder: Path) -> Report:
    """Run and return the report; logs, what was sent and what the ledgers hold stay in *folder*."""
    report = Report(options.orders, options.every, options.seed, options.needs)
    prefix = f"kill-{uuid.uuid4().hex[:8]}-"
    rig = Rig(folder, bootstrap, prefix, latency=options.latency, settle=options.settle)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        try:
            await rig.start(session, webhooks=options.webhooks)
            observer = Observer(bootstrap, prefix)
            await observer.start()
            try:
                await _under_fire(options, rig, session, report)
                await _quiet(rig, session, options.patience)
            finally:
                await observer.stop()
            _note(report, rig, observer)
            await _keep(rig, session, folder, report)
        finally:
            report.stopped = await rig.stop()
    report.verdict = read(folder)
    return report


async def _under_fire(options: Options, rig: Rig, session: aiohttp.ClientSession, report: Report) -> None:
    sender = Sender(session, rig.gateway, rig.key, rig.folder / "sent.jsonl", options.window, options.rate)
    killer = Killer(rig, session, options)
    began = time.monotonic()
    tasks = [asyncio.create_task(killer.run()), asyncio.create_task(_show(sender, began))]
    try:
        report.complete = await sender.run(orders(options.orders), rig.sandboxes, options.patience)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    report.seconds = round(time.monotonic() - began, 1)
    report.kills = killer.kills


async def _show(sender: Sender, began: float) -> None:
    while True:
        await asyncio.sleep(10)
        seconds = time.monotonic() - began
        rate = sender.finished / seconds
        sys.stderr.write(f"{seconds:.0f} s: {sender.started} sent, {sender.finished} arrived ({rate:.1f}/s)\n")


async def _quiet(rig: Rig, session: aiohttp.ClientSession, patience: float) -> None:
    """Wait until no ledger changes any more: what would still be doubled gets the time to show."""
    last, since, began = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - since < _QUIET + rig.settle and time.monotonic() - began < patience:
        now = 0
        for url in rig.sandboxes.values():
            async with session.get(f"{url}/_sandbox/requests", params={"last": "0"}) as reply:
                counters = (await reply.json())["counters"]
                now += counters["mutating"]
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.5)


def _note(report: Report, rig: Rig, observer: Observer) -> None:
    asked = observer.asked
    report.unknown, report.found, report.repeated = (asked.counts[name] for name in ("unknown", "found", "repeated"))
    report.unresolved = len(asked.open)
    report.outcomes, report.dead = dict(observer.outcomes), observer.dead
    report.ended = {worker.name: worker.ended for worker in rig.workers}
    for worker in rig.of("connectors"):
        writes: defaultdict[str, int] = defaultdict(int)
        for line in worker.said("connection.up", now=False):
            epoch = int(line["outage"]) // _PER_EPOCH
            writes[line["connection"]] += asked.confirmed.pop((line["connection"], epoch), 0)
        report.owners[worker.name] = {name: count for name, count in writes.items() if name in rig.sandboxes}


async def _keep(rig: Rig, session: aiohttp.ClientSession, folder: Path, report: Report) -> None:
    """Leave what the ledgers hold and held for the checker."""
    for name, url in rig.sandboxes.items():
        for what in ("books", "history"):
            async with session.get(f"{url}/_sandbox/{what}") as reply:
                (folder / f"{what}-{name}.jsonl").write_bytes(await reply.read())
        async with session.get(f"{url}/_sandbox/faults") as reply:
            report.keys_off[name] = (await reply.json())["faults"]["idempotency_off"] == 1


def main() -> int:
    """Read the command line, run, and write the report."""
    given = _arguments()
    needs = Needs(given.need_kills, given.need_in_flight, given.need_asked)
    options = Options(
        given.orders, given.every, given.seed, given.window, given.rate, given.latency, given.settle, given.patience,
        given.webhooks, needs,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        folder = Path(given.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="o2c-kill-")))
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.stderr.write(f"{folder} is not empty.\n")
            return 2
        try:
            report = asyncio.run(run(options, stack.enter_context(provided(folder / "kafka")), folder))
        except (ConfigError, NotStartedError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        (folder / "report.json").write_text(report.as_json(), encoding="utf-8")
        if given.report:
            Path(given.report).write_text(report.as_json(), encoding="utf-8")
        sys.stdout.write(report.as_json() if given.json else report.as_text())
    return report.code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.kill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual, needs = Options(), Needs()
    parser.add_argument("--orders", type=int, default=usual.orders, help="orders to send (default: 20000)")
    parser.add_argument("--every", type=float, default=usual.every, help="seconds between kills (default: 10)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="who is killed when (default: 1)")
    parser.add_argument("--window", type=int, default=usual.window, help="unfinished orders at once (default: 400)")
    parser.add_argument("--rate", type=float, default=usual.rate, help="orders a second, 0 = no limit (default: 0)")
    parser.add_argument("--latency", type=float, default=usual.latency, help="of each ledger's answer (default: 0.2 s)")
    parser.add_argument("--settle", type=float, default=usual.settle, help="when a lost answer counts (default: 5 s)")
    parser.add_argument(
        "--patience", type=float, default=usual.patience, help="seconds without progress (default: 300)"
    )
    parser.add_argument("--no-webhooks", dest="webhooks", action="store_false", help="the ledgers tell nothing")
    parser.add_argument("--need-kills", type=int, default=needs.kills_of_each_role)
    parser.add_argument("--need-in-flight", type=int, default=needs.kills_with_a_write_in_flight)
    parser.add_argument("--need-asked", type=int, default=needs.outcomes_resolved_by_asking)
    parser.add_argument("--folder", default="", help="leave logs, books and report here (must be empty)")
    parser.add_argument("--report", default="", help="write the JSON report here as well")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
