"""The full job, events per CPU second of `o2c run streams`: `python -m benchmarks.full [--kafka HOST:PORT] [--short]`.

The product's own change events, made up: orders, payments, refunds and parcels of a shop and a payment service, one in
ten told twice, some late; a CRM and two ledgers are written to, and made-up systems in a process of their own confirm
every command. Counted is the CPU of the streams process up to its last acknowledged write, for a backlog whose orders
are mixed, for one whose orders come one after another, for the same again (which must plan nothing), and for a trickle.
Order-states and documents are held against an independent reckoning: a wrong one ends the run with 2.
Exit: 0 the goal is met, 1 it is not, 2 a result is wrong or the arguments are.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.core import topics
from app.world import router
from benchmarks.broker import provided
from benchmarks.command import arguments
from benchmarks.figures import Figure, exit_code, table, write
from benchmarks.full import verdict
from benchmarks.full.lives import lives, told
from benchmarks.full.running import INPUTS, OUTPUTS, Company, Stuck, Watch, answering, count, publish, read, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psutil

    from benchmarks.full.lives import Life, Record
    from benchmarks.full.running import Ends, Spent

GOAL = 20_000
SEED = 6
_CHANGES = (topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES)
_EVENTS = (*_CHANGES, topics.RESULTS)
_WRONG = 2
_SHOWN = 20


class Sizes(NamedTuple):
    """How much is played: orders of a backlog, orders of a trickle, records of it per second."""

    orders: int
    trickled: int
    rate: float


FULL, SHORT = Sizes(2_000, 400, 50.0), Sizes(200, 40, 40.0)


class Told(NamedTuple):
    """What one piece of work came to."""

    name: str
    events: int
    spent: Spent
    before: Ends
    after: Ends

    def grew(self, *names: str) -> int:
        """Return how many records topics got."""
        return count(self.after, *names) - count(self.before, *names)

    @property
    def rate(self) -> float:
        """Return events per CPU second."""
        return self.events / self.spent.cpu


class Wrong(Exception):
    """The streams came to something else than they must."""


class Run:
    """Plays lives through a worker of their own and keeps figures."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._bootstrap, self._folder = bootstrap, folder
        self.figures: list[Figure] = []

    def chosen(self, only: str | None, orders: int | None, sizes: Sizes) -> None:
        """Play one run, or all of them."""
        many = orders or sizes.orders
        runs: dict[str, Callable[[], None]] = {
            "mixed": lambda: self.play("mixed backlog", many, many, whole=True),
            "apart": lambda: self.play("backlog, order after order", many, 1),
            "trickle": lambda: self.play("trickle", sizes.trickled, sizes.trickled, rate=sizes.rate),
            "parts": lambda: self.parts(many),
        }
        for run in [runs[only]] if only else runs.values():
            run()

    def play(self, name: str, orders: int, window: int, *, rate: float = 0.0, whole: bool = False) -> None:
        """Play *orders*, *window* of them mixed at a time, *rate* records per second or all at once.

        *whole*: beside the floor, and all of it a second time.
        """
        company, made, records = self._company(name, orders, window)
        with worker(company) as process:
            with answering(company) as kept:
                done = self._played(name, company, Watch(company, process), records, rate)
            self._judge(company, made, kept)
            self._tell(done, company)
            if whole:
                self._floor(company, done)
                self._again(company, process)
        company.close()

    def parts(self, orders: int) -> None:
        """Play a backlog once more with a clock that tells which part of the program takes how much."""
        name = "mixed backlog, sampled"
        company, made, records = self._company(name, orders, orders)
        samples = company.folder / "samples.json"
        with worker(company, module=("benchmarks.full.sampled", str(samples))) as process, answering(company) as kept:
            done = self._played(name, company, Watch(company, process), records)
        self._judge(company, made, kept)
        found = json.loads(samples.read_text())
        steps, parts = found["steps"], found["parts"]
        self._figure(done.name, "events per step", done.events / steps, "")
        self._figure(done.name, "steps per CPU second", steps / done.spent.cpu, "1/s")
        total = sum(parts.values())
        for part, seen in sorted(parts.items(), key=lambda pair: -pair[1])[:_SHOWN]:
            self._figure(done.name, part, 100 * seen / total, "% of the main thread")
        for thread, spent in done.spent.threads.items():
            self._figure(done.name, f"threads: {thread}", spent, "CPU s")

    # -----------------------------------------------------------------------------------------------------------------

    def _company(self, name: str, orders: int, window: int) -> tuple[Company, list[Life], list[Record]]:
        company = Company(self._bootstrap, self._folder / name.replace(" ", "-").replace(",", ""))
        company.create()
        chance = random.Random(SEED)
        made = lives(orders, datetime.now(UTC) - timedelta(minutes=5), chance)
        return company, made, list(told(made, window, chance, router(company.settings)))

    def _played(self, name: str, company: Company, watch: Watch, records: Sequence[Record], rate: float = 0.0) -> Told:
        print(f"{datetime.now(UTC):%H:%M:%S} {name}: {len(records)} records, load {os.getloadavg()[0]:.1f}", flush=True)
        publish(company, records, rate)
        spent = watch.drained()
        before, after = watch.ends
        events = count(after, *_EVENTS) - count(before, *_EVENTS)
        return Told(name, events, spent, before, after)

    def _judge(self, company: Company, made: Sequence[Life], kept: Path) -> None:
        ends = company.ends()
        found = verdict.wrong(made, verdict.states(company), kept)
        found += [f"{lost} dead letters"] if (lost := count(ends, topics.DEAD_LETTERS)) else []
        if found:
            raise Wrong("\n".join(found[:_SHOWN]))

    def _again(self, company: Company, process: psutil.Popen) -> None:
        """Play everything that was told once more: no command, no news may come of it."""
        shown = verdict.states(company)
        records = list(read(company, *_EVENTS))
        done = self._played("the same again", company, Watch(company, process), records)
        planned = done.grew(topics.COMMANDS)
        self._figure(done.name, "events per CPU second", done.rate, "1/s")
        self._figure(done.name, "commands planned", planned, "", goal="0", met=planned == 0)
        if planned or verdict.states(company) != shown:
            raise Wrong(f"Played again, {planned} commands were planned and order-states moved or not.")

    def _floor(self, company: Company, done: Told) -> None:
        words = [sys.executable, "-m", "benchmarks.full.floor", "--config", str(company.config)]
        ended = subprocess.run(words, check=True, capture_output=True, text=True)  # noqa: S603  ours
        floor = json.loads(ended.stdout)
        rate = done.events / floor["cpu"]
        self._figure("floor", "aiokafka reads and writes the same bytes", rate, "events per CPU s")
        self._figure(done.name, "share of the floor", done.rate / rate, "")

    def _tell(self, done: Told, company: Company) -> None:
        name, events = done.name, done.events
        goal = name == "mixed backlog"
        self._figure(name, "events per CPU second", done.rate, "1/s",
                     goal=GOAL if goal else None, met=done.rate >= GOAL if goal else None)  # fmt: skip
        self._figure(name, "told by systems, without results", done.grew(*_CHANGES) / done.spent.cpu, "per CPU s")
        self._figure(name, "events per second", events / done.spent.seconds, "1/s")
        self._figure(name, "orders written per CPU second", done.grew(topics.ORDERS_CHANGELOG) / done.spent.cpu, "1/s")
        self._figure(name, "events per order written", events / max(1, done.grew(topics.ORDERS_CHANGELOG)), "")
        self._figure(name, "records read per event", done.grew(*INPUTS) / events, "")
        self._figure(name, "records written per event", done.grew(*OUTPUTS) / events, "")
        self._figure(name, "records per batch", done.spent.batch, "")
        size = _bytes(company, _EVENTS)
        self._figure(name, "bytes told per event", size / events, "B")
        out = _bytes(company, OUTPUTS)
        self._figure(name, "bytes written per event", out / events, "B")

    def _figure(self, job: str, what: str, value: float, unit: str, **more: object) -> None:
        self.figures.append(Figure(job=f"full: {job}", what=what, value=value, unit=unit, **more))  # type: ignore[arg-type]


def _bytes(company: Company, names: Sequence[str]) -> int:
    return sum(len(one.key) + len(one.value) for one in read(company, *names))


def main() -> int:
    """Read the arguments, run, print and keep."""
    parser = arguments("full", __doc__)
    parser.add_argument("--orders", type=int, help="orders of a backlog, instead of the size that is published")
    parser.add_argument("--only", choices=("mixed", "apart", "trickle", "parts"), help="one of the runs alone")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="o2c-full-")))
        bootstrap = stack.enter_context(provided(given.kafka, folder / "kafka", os.environ))
        run = Run(bootstrap, folder)
        try:
            run.chosen(given.only, given.orders, SHORT if given.short else FULL)
        except (Wrong, Stuck) as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return _WRONG
    print(table(run.figures))
    if given.json:
        write(given.json, run.figures)
    return exit_code(run.figures)


if __name__ == "__main__":
    sys.exit(main())
