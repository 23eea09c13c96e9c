"""How fast states come back: `python -m benchmarks.recovery [--kafka HOST:PORT] [--short] [--json FILE]`.

A changelog of one state per key, about 1 kB each, is written as the engine writes it. Then a worker process starts on
an empty disk (cold start: from the start of the process until every partition is worked on; records per CPU second of
that process while it recovers), and one of two workers is killed with SIGKILL, once without and once with a standby.
Times of a fail-over are from the kill until the survivor works on every partition; of a standby the session time-out,
in which nobody knows of the death, is left out (counted from the last heartbeat that may have been). Exit: 0 goals
met, 1 one was missed, 2 it could not measure.
"""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.command import arguments, run
from benchmarks.figures import Figure
from benchmarks.groups.group import Group, Member, group
from benchmarks.peer.orders import body, key_of, plan
from benchmarks.rates.running import told

PARTITIONS = 4
RATE, COLD, WITHOUT, WITH = 60_000, 120, 60, 10
"""Records per CPU second to be reached; seconds that a cold start and fail-overs without and with standby may take."""
HEARTBEAT = 3.0
"""Seconds by which the last heartbeat before the kill may have been earlier: the session runs from there."""
_JOB = "recovery"
_PATIENCE = 600.0


class Sizes(NamedTuple):
    """How much is measured."""

    keys: int
    session: float


FULL = Sizes(keys=1_000_000, session=45.0)
SHORT = Sizes(keys=20_000, session=6.0)


def states(keys: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield one state per key: the newest event of an order stands for it, so that it is as long and packs as well."""
    bodies = [body(plan(order, 7)[1]) for order in range(256)]
    chance = random.Random(7)
    for order in range(keys):
        yield key_of(order), b'{"order":%d,"state":%s}' % (order, chance.choice(bodies))


def figure(what: str, value: float, unit: str, goal: str = "", *, met: bool | None = None) -> Figure:
    """Return a figure of this job."""
    return Figure(job=_JOB, what=what, value=value, unit=unit, goal=goal or None, met=met)


async def cold_start(made: Group, keys: int) -> list[Figure]:
    """Start one worker on an empty disk."""
    member = await made.start("cold")
    await made.until_all_run([member], _PATIENCE)
    lines = member.lines()
    ready = next(line for line in lines if len(line.running) == made.partitions)
    first = next(line for line in lines if line.recovered)
    rate = (ready.recovered - first.recovered) / (ready.cpu - first.cpu)
    seconds = ready.at - member.started
    memory = psutil.Process(member.process.pid).memory_info().rss
    await member.stop()
    disk = sum(path.stat().st_size for path in (made.folder / "cold" / "state").rglob("*") if path.is_file())
    return [
        figure("disk per key, states of 1 kB", disk / keys, "B"),
        figure("resident memory of the worker that holds them", memory / 2**20, "MiB"),
        figure("changelog records per CPU second", rate, "1/CPU s", f">= {RATE:,}", met=rate >= RATE),
        figure(f"cold start with {keys:,} keys", seconds, "s", f"< {COLD}", met=seconds < COLD),
    ]


async def fail_over(made: Group, session: float, standbys: int) -> float:
    """Kill one of two workers; return the seconds until the other works on everything."""
    how = "standby" if standbys else "alone"
    survivor = await made.start(f"{how}-survivor", session=session, standbys=standbys)
    await made.until_all_run([survivor], _PATIENCE)
    victim = await made.start(f"{how}-victim", session=session, standbys=standbys)
    await made.until_all_run([survivor, victim], _PATIENCE)
    if standbys:
        await _followed(made, survivor, victim)
    else:
        _forget(made, survivor)
    killed = await victim.kill()
    await made.until_all_run([survivor], _PATIENCE)
    whole = next(line for line in reversed(survivor.lines()) if len(line.running) < made.partitions)
    owned = next(line for line in survivor.lines() if line.at > whole.at)
    await survivor.stop()
    return owned.at - killed


async def _followed(made: Group, *members: Member) -> None:
    """Wait until both have read all changelogs as far as each other."""
    await made.until(
        lambda: len({member.lines()[-1].followed for member in members}) == 1, "standbys follow", _PATIENCE
    )


def _forget(made: Group, survivor: Member) -> None:
    """Take what the survivor still has of the other's partitions from its disk: it owned everything at first."""
    for partition in set(range(made.partitions)) - set(survivor.lines()[-1].running):
        shutil.rmtree(made.folder / survivor.name / "state" / "orders" / str(partition))


async def measured(bootstrap: str, folder: Path, sizes: Sizes) -> list[Figure]:
    """Return all figures."""
    async with group(bootstrap, folder, PARTITIONS) as made:
        told(f"writing {sizes.keys:,} states")
        await made.fill_changelog(states(sizes.keys))
        told("cold start")
        figures = [figure("session time-out", sizes.session, "s"), *await cold_start(made, sizes.keys)]
        told("fail-over without a standby")
        seconds = await fail_over(made, sizes.session, 0)
        what = f"fail-over without standby, {sizes.keys // 2:,} keys, session {sizes.session:g} s"
        figures.append(figure(what, seconds, "s", f"< {WITHOUT}", met=seconds < WITHOUT))
        told("fail-over to a standby")
        seconds = await fail_over(made, sizes.session, 1) - sizes.session + HEARTBEAT
        what = "fail-over to a standby, beyond the session time-out"
        figures.append(figure(what, seconds, "s", f"< {WITH}", met=seconds < WITH))
        return figures


def main() -> int:
    """Read the arguments, measure, print."""
    given = arguments("recovery", __doc__).parse_args()
    sizes = SHORT if given.short else FULL
    return run("recovery", given, lambda kafka, folder: measured(kafka, folder, sizes))


if __name__ == "__main__":
    sys.exit(main())
