"""What more workers cost, and what a rebalance stops: `python -m benchmarks.scaling [--kafka HOST:PORT] [--short]`.

The peer job's events lie on eight partitions of two topics; one, two and four workers, each a process, are let loose
on them at the same moment and run until all is done. CPU is that of all workers from then on, per event: it must not
grow with the group. They take turns, and of each number the run in the middle counts. Wall-clock rates are told for as
many workers as the machine has cores; beyond them they are not measured, since workers then wait for each other. Then a
worker joins two others that work, and leaves again: the pause is from the moment when some partition stands still until
every partition is worked on again.

`--page` measures nothing: it carries the newest figures of benchmarks/results on to the load of docs/scaling.md and
writes that page's tables. Exit: 0 goals met, 1 one was missed, 2 it could not measure.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import outlook
from benchmarks.command import arguments, run
from benchmarks.figures import Figure
from benchmarks.groups.group import Group, Member, group
from benchmarks.rates.running import told

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTITIONS = 8
WORKERS = (1, 2, 4)
WITHIN = 0.1
"""By how much CPU per event may differ from that of one worker."""
_JOB = "scaling"
_PATIENCE = 900.0
_START_PATIENCE = 180.0


class Sizes(NamedTuple):
    """How much is measured, and how often."""

    orders: int
    turns: int


FULL = Sizes(orders=60_000, turns=3)
SHORT = Sizes(orders=4_000, turns=1)


class Run(NamedTuple):
    """What some workers needed for all events."""

    workers: int
    cpu: float
    wall: float
    events: int


async def let_loose(made: Group, workers: int, events: int) -> Run:
    """Start *workers*, have them wait for each other, and run them until all events are done."""
    go = made.folder / "go"
    members = [await made.start(f"w{number}", hold=go) for number in range(workers)]
    await made.until_all_run(members, _START_PATIENCE)
    before = sum(_cpu(member) for member in members)
    began = time.time()
    go.touch()
    await made.until(lambda: _done(members) >= events, f"{workers} workers do {events} events", _PATIENCE)
    lasts = [next(line for line in member.lines() if line.done == member.lines()[-1].done) for member in members]
    spent = sum(line.cpu for line in lasts) - before
    return Run(workers, spent, max(line.at for line in lasts) - began, events)


def _cpu(member: Member) -> float:
    return member.lines()[-1].cpu


def _done(members: Sequence[Member]) -> int:
    return sum(member.lines()[-1].done for member in members if member.lines())


def judged(runs: Sequence[Run], cores: int) -> list[Figure]:
    """Return the figures of *runs*, held against that of one worker."""
    alone = runs[0].cpu / runs[0].events
    figures = []
    for one in runs:
        each = one.cpu / one.events
        what = f"CPU per event, {one.workers} worker{'s' if one.workers > 1 else ''}"
        ratio = each / alone
        held = {"against": "1 worker", "ratio": ratio, "goal": f"within {WITHIN:.0%}", "met": abs(ratio - 1) <= WITHIN}
        more = held if one.workers > 1 else {}
        figures.append(Figure(job=_JOB, what=what, value=each * 1e6, unit="us", **more))  # type: ignore[arg-type]
    for one in runs:
        if one.workers <= cores:
            what = f"events per second, {one.workers} worker{'s' if one.workers > 1 else ''} beside the broker"
            figures.append(Figure(job=_JOB, what=what, value=one.events / one.wall, unit="1/s"))
    return figures


async def pauses(made: Group) -> list[Figure]:
    """Return how long partitions stand still when a third worker joins two, and when it leaves."""
    old = [await made.start(f"p{number}") for number in range(2)]
    await made.until_all_run(old, _START_PATIENCE)
    began = time.time()
    third = await made.start("p2")
    await made.until_all_run([*old, third], _START_PATIENCE)
    joined = _pause([*old, third], began)
    began = await third.stop()
    await made.until_all_run(old, _START_PATIENCE)
    left = _pause([*old, third], began)
    return [
        Figure(job=_JOB, what="rebalance pause, a third worker joins", value=joined, unit="s"),
        Figure(job=_JOB, what="rebalance pause, it leaves", value=left, unit="s"),
    ]


def _pause(members: Sequence[Member], since: float) -> float:
    """Return the longest time after *since* in which some partition was run by nobody."""
    told = [(line.at, member.name, line.running) for member in members for line in member.lines()]
    runs: dict[str, set[int]] = {}
    stopped: dict[int, float] = {}
    longest = 0.0
    for at, name, running in sorted(told):
        before = set().union(*runs.values())
        runs[name] = set(running)
        now = set().union(*runs.values())
        stopped.update(dict.fromkeys(before - now, at))
        ended = [at - stopped.pop(partition) for partition in now & stopped.keys() if stopped[partition] >= since]
        longest = max([longest, *ended])
    return longest


async def measured(bootstrap: str, folder: Path, sizes: Sizes) -> list[Figure]:
    """Return all figures."""
    runs: dict[int, list[Run]] = {workers: [] for workers in WORKERS}
    async with group(bootstrap, folder, PARTITIONS) as sources:
        told(f"writing the events of {sizes.orders:,} orders")
        events = await sources.fill_sources(sizes.orders)
        for workers in WORKERS * sizes.turns:
            told(f"{workers} workers")
            async with group(bootstrap, folder, PARTITIONS, sources=sources.prefix) as made:
                runs[workers].append(run := await let_loose(made, workers, events))
            told(f"{run.cpu / run.events * 1e6:.1f} us of CPU per event")
    told("rebalances")
    async with group(bootstrap, folder, PARTITIONS) as made:
        middle = [sorted(of, key=lambda one: one.cpu)[len(of) // 2] for of in runs.values()]
        return judged(middle, os.cpu_count() or 1) + await pauses(made)


def main() -> int:
    """Read the arguments, measure, print; or write the page."""
    parser = arguments("scaling", __doc__)
    parser.add_argument(
        "--page", action="store_true", help="write the tables of docs/scaling.md from benchmarks/results"
    )
    given = parser.parse_args()
    if given.page:
        return outlook.write_page()
    sizes = SHORT if given.short else FULL
    return run("scaling", given, lambda kafka, folder: measured(kafka, folder, sizes), _beyond)


def _beyond(_: Sequence[Figure]) -> str:
    cores = os.cpu_count() or 1
    beyond = ", ".join(str(workers) for workers in WORKERS if workers > cores)
    return beyond and f"Wall-clock rates of {beyond} workers: not measured, the machine has {cores} cores."


if __name__ == "__main__":
    sys.exit(main())
