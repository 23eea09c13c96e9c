"""Half load through all roles for an hour, and whether they keep their size: `python -m benchmarks.soak --minutes 60`.

Gateway, streams, connectors and five sandboxes run as processes. First orders are made as fast as they get to both
ledgers: half of that rate then goes on for the given time. Resident memory is looked at every few seconds; a line is
laid through what was seen after the warm-up (the first quarter), and by how much it rises until the end, as a share of
where it begins, must stay below 5 % in every role. Sandboxes keep what they are told, as the systems do that they
stand for; of them it is told what an order adds. Exit: 0 flat, 1 a role grew or ended, 2 it could not measure.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from app.core.errors import ConfigError
from benchmarks.command import arguments, run
from benchmarks.figures import Figure, exit_code
from benchmarks.latency import Rig, rigged
from benchmarks.rates.running import told

if TYPE_CHECKING:
    from collections.abc import Sequence

ROLES = ("gateway-1", "streams-1", "connectors-1")
MOST = 5.0
"""Per cent that a role may grow after the warm-up."""
WARM_UP = 0.25
_WARM_ORDERS, _ORDERS, _SHORT_ORDERS = 30, 300, 60
_MINUTES, _SHORT_MINUTES = 60.0, 2.0
_LOOK_EVERY = 5.0
_MIB = 2**20
Sample = tuple[float, int]
"""Seconds since the start, and bytes resident."""


def drift(samples: Sequence[Sample]) -> float:
    """Return by how many per cent a line through *samples* rises from the first to the last."""
    times, sizes = [at for at, _ in samples], [float(size) for _, size in samples]
    slope, start = statistics.linear_regression(times, sizes)
    begin = start + slope * times[0]
    return 100 * slope * (times[-1] - times[0]) / begin


async def watched(rig: Rig, seconds: float) -> dict[str, list[Sample]]:
    """Return what every process had resident, for *seconds*; ConfigError when one ended."""
    seen: defaultdict[str, list[Sample]] = defaultdict(list)
    began = time.monotonic()
    while (at := time.monotonic() - began) < seconds:
        if dead := rig.stack.dead():
            raise ConfigError(f"{dead[0].name} ended after {at:.0f} s; see {dead[0].log}.")
        for name, pid in rig.stack.pids().items():
            seen[name].append((at, psutil.Process(pid).memory_info().rss))
        await asyncio.sleep(_LOOK_EVERY)
    return seen


async def measured(bootstrap: str, folder: Path, minutes: float, orders: int) -> list[Figure]:
    """Return all figures."""
    async with rigged(folder, bootstrap) as rig:
        told("warming up")
        await rig.at_once(_WARM_ORDERS)
        await rig.until_written()
        began = time.monotonic()
        await rig.at_once(orders)
        await rig.until_written()
        half = orders / (time.monotonic() - began) / 2
        told(f"{half:.1f} orders a second for {minutes:g} minutes")
        made, seconds = rig.made, minutes * 60
        looking = asyncio.create_task(watched(rig, seconds))
        late = await rig.steadily(half, seconds)
        seen = await looking
        told("waiting for the rest")
        await rig.until_written()
        return _figures(seen, rig.made - made, half, late)


def _figures(seen: dict[str, list[Sample]], orders: int, rate: float, late: float) -> list[Figure]:
    job = "soak"
    figures = [
        Figure(job=job, what="orders a second, half of what the machine sustains", value=rate, unit="1/s"),
        Figure(job=job, what="orders, each in both ledgers at the end", value=orders, unit="orders"),
        Figure(job=job, what="last order made late by", value=late, unit="s"),
    ]
    for name, samples in sorted(seen.items()):
        after = samples[int(len(samples) * WARM_UP) :]
        if name not in ROLES:
            grew = (after[-1][1] - after[0][1]) / (orders * (1 - WARM_UP))
            figures.append(Figure(job=job, what=f"sandbox {name}: resident per order", value=grew, unit="B"))
            continue
        rises = drift(after)
        figures += [
            Figure(job=job, what=f"{name}: resident at the end", value=after[-1][1] / _MIB, unit="MiB"),
            Figure(
                job=job, what=f"{name}: rise after the warm-up", value=rises, unit="%", goal=f"< {MOST:g}",
                met=rises < MOST,
            ),
        ]  # fmt: skip
    return figures


def main() -> int:
    """Read the arguments, measure, print."""
    short = f"{_SHORT_MINUTES:g} minutes: shows that it runs, not more"
    parser = arguments("soak", __doc__, example="--minutes 10", short=short)
    parser.add_argument("--minutes", type=float, help=f"how long (default: {_MINUTES:g}; 10 to try it)")
    given = parser.parse_args()
    minutes = given.minutes or (_SHORT_MINUTES if given.short else _MINUTES)
    orders = _SHORT_ORDERS if given.short else _ORDERS
    return run(
        "soak",
        given,
        lambda kafka, folder: measured(kafka, folder, minutes, orders),
        lambda found: _line(found, minutes),
    )


def _line(figures: Sequence[Figure], minutes: float) -> str:
    rises = {figure.what: f"{figure.value:.1f} %" for figure in figures if figure.met is not None}
    roles = ", ".join(f"{what.partition(':')[0]} {value}" for what, value in rises.items())
    verdict = "failed" if exit_code(figures) else "ok"
    return f"soak: {verdict}: {minutes:g} minutes, {figures[0].value:.1f} orders/s, {roles}"


if __name__ == "__main__":
    sys.exit(main())
