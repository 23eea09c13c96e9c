"""The fault matrix: every fault at every point, while orders flow between five platforms; then the checker's word.

    python -m tests.chaos.matrix --seed 7 --json chaos.json

Without --full a covering subset: every point killed, every step stopped and met by a broker that goes, every answer of
every platform. Three brokers of its own, stopped and started as the schedule says. The last line is a summary.
Exit: 0 every cell was injected and nothing lost, doubled or out of order; 1 something was, or a cell was missed;
2 it could not be started; 130 somebody stopped it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaProducer

from app.core.errors import ConfigError
from tests.chaos.brokers import Brokers, cluster
from tests.chaos.cells import Cell, covering, every, schedule
from tests.chaos.checker import read
from tests.chaos.company import CLOSED, Company
from tests.chaos.rig import NotStartedError
from tests.chaos.sales import Seller
from tests.chaos.striking import Striker
from tests.chaos.table import MatrixReport
from tests.chaos.watching import Watch


@dataclass(frozen=True)
class Options:
    """What a run is like; times in seconds."""

    seed: int = 1
    rate: float = 1.0
    window: int = 120
    latency: float = 0.1
    settle: float = 35.0
    """Longer than a process is stopped and than searches lag, as the platforms' own settle times are."""
    lag: float = 30.0
    timeout: float = 5.0
    margin: float = 10.0
    """How much longer than a lost answer takes to be asked about nothing may change before a run counts as ended."""
    patience: float = 120.0
    """For one step."""
    stalled: float = 300.0
    at_once: bool = False
    """Spoil all answers in one step."""


async def run(
    cells: Sequence[Cell], options: Options, bootstrap: str, folder: Path, brokers: Brokers | None = None
) -> MatrixReport:
    """Run and return the report; the four logs stay in *folder*."""
    report = MatrixReport(options.seed, cells)
    began = time.monotonic()
    prefix = f"matrix-{uuid.uuid4().hex[:8]}-"
    rig = Company(folder, bootstrap, prefix, latency=options.latency, settle=options.settle)
    rig.timeout, rig.replication = options.timeout, 1 if brokers is None else 3
    watch = Watch(bootstrap, prefix, 4)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        striker = Striker(
            rig, session, brokers,
            seed=options.seed, patience=options.patience, lag=options.lag, after=watch.check_offsets,
        )  # fmt: skip
        rig.environment["O2C_FAULTPOINTS"] = str(striker.points)
        try:
            await rig.start(session, webhooks=True)
            await watch.start()
            try:
                seller = await _under_fire(options, rig, session, striker, report)
                await _settled(options, rig, session, watch)
                await _keep(rig, session, "books", "history")
                await _again(seller, watch, bootstrap, prefix)
                await _settled(options, rig, session, watch)
                await _keep(rig, session, "replayed")
                report.judged = await watch.check_offsets()
            finally:
                await watch.stop()
            _note(report, rig, watch)
        finally:
            await rig.stop()
    report.verdict = read(folder)
    report.seconds = round(time.monotonic() - began, 1)
    return report


async def _under_fire(
    options: Options, rig: Company, session: aiohttp.ClientSession, striker: Striker, report: MatrixReport
) -> Seller:
    seller = Seller(session, rig, rate=options.rate, window=options.window)
    selling = asyncio.create_task(seller.run(options.stalled))
    striking = asyncio.create_task(striker.run(schedule(report.wanted, options.seed, at_once=options.at_once)))
    try:
        await asyncio.wait({selling, striking}, return_when=asyncio.FIRST_COMPLETED)
        if not striking.done():  # the seller gave up, or failed
            striking.cancel()
        else:
            striking.result()
            sys.stderr.write(f"{seller.started} orders, {seller.finished} arrived; no more faults\n")
        seller.enough.set()
        report.complete = await selling
    finally:
        for task in (selling, striking):
            task.cancel()
        await asyncio.gather(selling, striking, return_exceptions=True)
    for order in list(seller.open.values())[:5]:
        sys.stderr.write(f"not everywhere: {order.kind} {order.id} {order.key}, right in {sorted(order.right)}\n")
    report.orders, report.injected = seller.started, striker.injected
    return seller


async def _settled(options: Options, rig: Company, session: aiohttp.ClientSession, watch: Watch) -> None:
    """Wait until no system is written to any more: what would still be doubled gets the time to show."""
    last, since, began = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - since < options.settle + options.margin and time.monotonic() - began < options.stalled:
        now = 0
        for url in rig.sandboxes.values():
            async with session.get(f"{url}/_sandbox/requests", params={"last": "0"}) as reply:
                now += (await reply.json())["counters"]["mutating"]
        if now != last or await watch.lag():
            last, since = now, time.monotonic()
        await asyncio.sleep(1.0)


async def _again(seller: Seller, watch: Watch, bootstrap: str, prefix: str) -> None:
    """Play everything a second time: what was posted to the gateway, and every change event on the topics."""
    for body in seller.bodies:
        if not await seller.deliver(body):
            break
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for topic, partition, key, value, headers in list(watch.raw):
            await producer.send(prefix + topic, value, key=key, partition=partition, headers=list(headers))
        await producer.flush()


async def _keep(rig: Company, session: aiohttp.ClientSession, *what: str) -> None:
    for name, url in rig.sandboxes.items():
        for kind in what:
            async with session.get(f"{url}/_sandbox/{'history' if kind == 'history' else 'books'}") as reply:
                (rig.folder / f"{kind}-{name}.jsonl").write_bytes(await reply.read())


def _note(report: MatrixReport, rig: Company, watch: Watch) -> None:
    asked = watch.asked
    report.unknown, report.found, report.repeated = (asked.counts[name] for name in ("unknown", "found", "repeated"))
    report.unresolved = len(asked.open)
    report.dead = watch.dead
    report.ended = {worker.name: worker.ended for worker in rig.workers}
    for name, rows in (("events", watch.events), ("states", list(watch.states.values()))):
        (rig.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run = {"closed": CLOSED, "dead": watch.dead, "early": watch.early}
    (rig.folder / "run.json").write_text(json.dumps(run), encoding="utf-8")


async def _with_brokers(cells: Sequence[Cell], options: Options, folder: Path) -> MatrixReport:
    async with cluster(folder / "kafka") as brokers:
        return await run(cells, options, brokers.bootstrap, folder, brokers)


def main() -> int:
    """Read the command line, run, and write the report."""
    given = _arguments()
    cells = every() if given.full else covering(given.seed)
    cells = [cell for cell in cells if all(word in f"{cell}, {cell.platform}" for word in given.only)]
    if given.list or not cells:
        for number, step in enumerate(schedule(cells, given.seed), start=1):
            sys.stdout.write(f"{number}. {'; '.join(map(str, step.cells))}\n")
        return 0 if cells else 2
    options = Options(seed=given.seed, rate=given.rate)
    with contextlib.ExitStack() as stack:
        folder = Path(given.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="o2c-chaos-")))
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            sys.stderr.write(f"{folder} is not empty; name another folder, or none.\n")
            return 2
        try:
            report = asyncio.run(_with_brokers(cells, options, folder))
        except (ConfigError, NotStartedError) as error:
            sys.stderr.write(f"{error}\n")
            return 2
        except KeyboardInterrupt:
            sys.stderr.write("chaos: stopped before the end; nothing was checked.\n")
            return 130
        if given.json:
            Path(given.json).write_text(report.as_json(), encoding="utf-8")
        sys.stdout.write(report.as_text())
    return report.code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.matrix",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m tests.chaos.matrix --only kill --only xero --folder chaos",
    )
    usual = Options()
    parser.add_argument(
        "--full", action="store_true", help="every cell, as long as it takes (default: a covering subset)"
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help="which cells, in which order, when (default: 1)")
    parser.add_argument("--only", action="append", default=[], help="cells with these words alone; may be repeated")
    parser.add_argument("--rate", type=float, default=usual.rate, help="orders a second (default: 1)")
    parser.add_argument("--list", action="store_true", help="print the steps and inject nothing")
    parser.add_argument("--folder", default="", help="leave logs, books and topics here (must be empty)")
    parser.add_argument("--json", default="", metavar="FILE", help="write the report here as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
