"""The peer job of the state path: o2c beside Kafka Streams, Quix Streams, stock Faust and the floor.

Two co-partitioned topics of 1 kB JSON events, five per order; each worker decodes, keeps the newest version of every
object, recomputes the order's totals, writes state with changelog and a command per change of the totals, everything
acknowledged, offsets committed each second. All read the same topics of the same Kafka, one after the other, and must
come to the same states. o2c and Kafka Streams take turns, and of each the run in the middle counts. Exit: 0 goals met,
1 missed, 2 a worker failed or came to other states.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks.broker import provided
from benchmarks.figures import Figure, exit_code, held_against, table, write
from benchmarks.peer.job import PARTITIONS, Job
from benchmarks.peer.measure import Failed, Measured, measure
from benchmarks.peer.orders import BOOKS, SHOP, Outcome, outcomes, records
from benchmarks.peer.states import differences, fill, states
from benchmarks.peer.workers import WORKERS, Worker
from streams.engine.topics import CHANGELOG, TopicSpec, apply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SEED = 7
_ORDERS, _SHORT_ORDERS = 80_000, 2_000
_TURNS = 3
_CLOSE = frozenset(("ours", "kafka-streams"))
"""Whose ratio lies so near its goal that it may be met or missed by how quick the machine is just then."""
_GOALS = {"kafka-streams": 2.5, "quix-streams": 1.8, "stock-faust": 15.0, "floor": None}


class Bench:
    """One run: sources that all workers read, and for each worker topics of its own."""

    def __init__(self, bootstrap: str, orders: int, folder: Path) -> None:
        self._bootstrap = bootstrap
        self._orders = orders
        self._folder = folder
        self._prefix = f"peer-{uuid.uuid4().hex[:6]}"
        self._sources = {name: f"{self._prefix}-{name}" for name in (SHOP, BOOKS)}
        self._commands: dict[str, int] = {}

    async def fill(self) -> None:
        """Write the events."""
        began = time.monotonic()
        await apply(self._bootstrap, [TopicSpec(name, PARTITIONS, 1) for name in self._sources.values()])
        count = await fill(self._bootstrap, self._sources, records(self._orders, _SEED))
        print(f"{count:,} events of {self._orders:,} orders written in {time.monotonic() - began:.0f} s", flush=True)

    async def run(self, worker: Worker, expected: Mapping[bytes, Outcome], turn: int) -> Measured:
        """Let one worker do the job; Failed says what went wrong or differs."""
        job = self._job(worker, turn)
        topics = [TopicSpec(job.commands, PARTITIONS, 1), TopicSpec(job.dead_letters, 1, 1)]
        if worker.name == "ours":  # the others make theirs by themselves
            topics.append(TopicSpec(job.changelog, PARTITIONS, 1, CHANGELOG))
        await apply(self._bootstrap, topics)
        measured = await measure(worker, job)
        if worker.keeps_state:
            await self._check(worker, measured, expected)
        await self._forget([job.commands, job.dead_letters, *filter(None, [measured.changelog])])
        print(f"{worker.title}: {measured.rate:,.0f} events per CPU second", flush=True)
        return measured

    def _job(self, worker: Worker, turn: int) -> Job:
        group = f"{self._prefix}-{worker.name}-{turn}"
        return Job(
            bootstrap=self._bootstrap,
            worker=worker.name,
            group=group,
            shop=self._sources[SHOP],
            books=self._sources[BOOKS],
            commands=f"{group}-commands",
            changelog=f"{group}-orders-changelog",
            dead_letters=f"{group}-dead",
            data=str(self._folder / f"{worker.name}-{turn}"),
        )

    async def _check(self, worker: Worker, measured: Measured, expected: Mapping[bytes, Outcome]) -> None:
        if differs := differences(await states(self._bootstrap, measured.changelog), expected):
            raise Failed(f"{worker.title} came to other states: {differs}.")
        self._commands[worker.title] = measured.commands
        if len(set(self._commands.values())) > 1:
            raise Failed(f"The workers did not write equally many commands: {self._commands}.")

    async def _forget(self, topics: Sequence[str]) -> None:
        """Delete what the next worker does not need: it would only fill the disk."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            await admin.delete_topics(list(topics))
        finally:
            await admin.close()

    async def clear(self) -> None:
        """Delete the sources."""
        await self._forget(list(self._sources.values()))


async def bench(
    bootstrap: str, orders: int, chosen: Sequence[Worker], folder: Path, turns: int
) -> dict[str, list[Measured]]:
    """Return what each worker needed in each of its turns, by its name."""
    run, expected = Bench(bootstrap, orders, folder), outcomes(orders, _SEED)
    found: dict[str, list[Measured]] = {worker.name: [] for worker in chosen}
    await run.fill()
    try:
        for turn in range(turns):
            for worker in chosen if turn == 0 else [one for one in chosen if one.name in _CLOSE]:
                found[worker.name].append(await run.run(worker, expected, turn))
    finally:
        await run.clear()
    return found


def figures(runs: Mapping[str, Sequence[Measured]]) -> list[Figure]:
    """Return the rates of all, ours held against each, and what else tells them apart; of turns the median counts."""
    titles = {worker.name: worker.title for worker in WORKERS}
    sorted_ = {name: sorted(of, key=lambda one: one.rate) for name, of in runs.items()}
    found = {name: of[len(of) // 2] for name, of in sorted_.items()}
    made = []
    for name, measured in found.items():
        if name != "ours" and "ours" in found:
            rate = Figure(job="peer", what="o2c", value=found["ours"].rate, unit="events/CPU s")
            made.append(held_against(rate, titles[name], measured.rate, _GOALS[name]))
    for name, one in found.items():
        told = (
            (one.rate, "events/CPU s"),
            (one.events / one.wall, "events/wall s"),
            (one.startup_cpu, "CPU s to start"),
            (one.memory / 2**20, "MiB resident at most"),
            (float(one.states), "changelog records"),
        )
        made += [Figure(job="peer", what=titles[name], value=value, unit=unit) for value, unit in told]
        of = sorted_[name]
        for which, at in (("slowest", 0), ("quickest", -1)) if len(of) > 1 else ():
            what = f"{titles[name]}: {which} of {len(of)} turns"
            made.append(Figure(job="peer", what=what, value=of[at].rate, unit="events/CPU s"))
    return made


def main() -> int:
    """Read the arguments, measure, print and write."""
    names = [worker.name for worker in WORKERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peer", description=__doc__, epilog="example: python -m benchmarks.peer --short"
    )
    parser.add_argument("--kafka", help="HOST:PORT of a Kafka that runs (default: one is started)")
    parser.add_argument("--short", action="store_true", help=f"{_SHORT_ORDERS:,} orders instead of {_ORDERS:,}")
    parser.add_argument("--orders", type=int, help="another number of orders")
    parser.add_argument("--turns", type=int, help=f"another number of turns than {_TURNS} (with --short: 1)")
    parser.add_argument("--workers", default=",".join(names), help=f"these alone: {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    orders = given.orders or (_SHORT_ORDERS if given.short else _ORDERS)
    turns = given.turns or (1 if given.short else _TURNS)
    wanted = given.workers.split(",")
    if unknown := sorted(set(wanted) - set(names)):
        parser.error(f"unknown workers: {', '.join(unknown)}; there are {', '.join(names)}")
    chosen = [worker for worker in WORKERS if worker.name in wanted]
    with tempfile.TemporaryDirectory() as folder, provided(given.kafka, Path(folder) / "kafka", os.environ) as kafka:
        try:
            found = figures(asyncio.run(bench(kafka, orders, chosen, Path(folder), turns)))
        except Failed as error:
            print(f"peer failed: {error}", file=sys.stderr)
            return 2
    print(table(found))
    if given.json:
        write(given.json, found)
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
