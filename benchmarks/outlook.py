"""What the measured figures come to at a load that no machine here carries: the tables of docs/scaling.md."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.__main__ import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
RESULTS = Path(__file__).parent / "results"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"
ORDERS = 10_000
"""Orders a second."""
LIVE = 100_000_000
"""Orders whose state is kept."""
EVENTS = 10
"""Change events of an order in its life, results of writes among them: assumed."""
WEBHOOKS = 6
"""Webhooks among them: assumed."""
BUSY = 0.7
"""Share of a core that is planned with."""
REPLICAS = 3
READERS = 2
"""How often every record is read: by its worker, and by a console or a standby."""
BROKER = 100e6
"""Bytes a second that a broker takes in with all replicas: assumed."""
_FACTOR = 1.25
"""A compacted changelog of `min.cleanable.dirty.ratio` 0.2 is at most so much longer than its states."""


class Source(NamedTuple):
    """One figure that the outlook rests on: where it is in the results, and how it is called on the page."""

    name: str
    job: str
    what: str


SOURCES = (
    Source("full", "full: mixed backlog", "events per CPU second"),
    Source("told", "full: mixed backlog", "bytes told per event"),
    Source("out", "full: mixed backlog", "bytes written per event"),
    Source("gateway", "gateway", "the same per CPU second"),
    Source("recovery", "recovery", "changelog records per CPU second"),
    Source("disk", "recovery", "disk per key, states of 1 kB"),
    Source("memory", "recovery", "resident memory of the worker that holds them"),
    Source("session", "recovery", "session time-out"),
    Source("standby", "recovery", "fail-over to a standby, beyond the session time-out"),
    Source("pause", "scaling", "rebalance pause, a third worker joins"),
    Source("two", "scaling", "CPU per event, 2 workers"),
    Source("four", "scaling", "CPU per event, 4 workers"),
)
Values = dict[str, float]


class Row(NamedTuple):
    """One line of the outlook; *value* is taken once every name in *needs* is known."""

    what: str
    name: str
    formula: str
    needs: tuple[str, ...]
    value: Callable[[Values], float]
    unit: str


ROWS = (
    Row("events", "events", f"{ORDERS:,} orders/s x {EVENTS}", (), lambda _: ORDERS * EVENTS, "1/s"),
    Row(
        "cores of stream workers", "cores", f"events / (full x {BUSY})", ("events", "full"),
        lambda v: math.ceil(v["events"] / (v["full"] * BUSY)), "cores",
    ),
    Row(
        "partitions of every source and changelog", "partitions", "the power of two that is at least 2 x cores",
        ("cores",), lambda v: 2 ** math.ceil(math.log2(2 * v["cores"])), "partitions",
    ),
    Row(
        "cores of gateways", "gateways", f"{ORDERS:,} x {WEBHOOKS} / (gateway x {BUSY})", ("gateway",),
        lambda v: math.ceil(ORDERS * WEBHOOKS / (v["gateway"] * BUSY)), "cores",
    ),
    Row(
        "disk of all stream workers", "disks", f"{LIVE:,} x disk", ("disk",), lambda v: LIVE * v["disk"] / 1e9, "GB",
    ),
    Row(
        "disk of each, one core each", "each", "disk of all / cores", ("disks", "cores"),
        lambda v: v["disks"] / v["cores"], "GB",
    ),
    Row(
        "memory of all stream workers", "memories", "cores x memory", ("cores", "memory"),
        lambda v: v["cores"] * v["memory"] / 1024, "GiB",
    ),
    Row(
        "written to the brokers, without replicas", "in", "events x (told + out)", ("events", "told", "out"),
        lambda v: v["events"] * (v["told"] + v["out"]) / 1e6, "MB/s",
    ),
    Row(
        "brokers", "brokers", f"in x {REPLICAS} replicas / {BROKER / 1e6:.0f} MB/s", ("in",),
        lambda v: max(3, math.ceil(v["in"] * 1e6 * REPLICAS / BROKER)), "brokers",
    ),
    Row("read from the brokers", "read", f"in x {READERS}", ("in",), lambda v: v["in"] * READERS, "MB/s"),
    Row(
        "changelogs on the brokers", "logs", f"disk of all x {REPLICAS} x {_FACTOR}", ("disks",),
        lambda v: v["disks"] * REPLICAS * _FACTOR, "GB",
    ),
    Row(
        "a lost worker without standby", "lost", f"session + {LIVE:,} / cores / recovery",
        ("session", "cores", "recovery"), lambda v: v["session"] + LIVE / v["cores"] / v["recovery"], "s",
    ),
    Row(
        "a lost worker with a standby", "kept", "session + standby", ("session", "standby"),
        lambda v: v["session"] + v["standby"], "s",
    ),
    Row(
        "everything anew on empty disks", "anew", f"{LIVE:,} / cores / recovery", ("cores", "recovery"),
        lambda v: LIVE / v["cores"] / v["recovery"], "s",
    ),
)  # fmt: skip


def newest() -> tuple[str, Results] | None:
    """Return the newest full run that was kept, with the name of its file."""
    for path in sorted(RESULTS.glob("*.json"), reverse=True):
        found = read(path.name)
        if not found.short:
            return path.name, found
    return None


def read(name: str) -> Results:
    """Return the run in the file *name* of benchmarks/results."""
    return msgspec.json.decode((RESULTS / name).read_bytes(), type=Results)


def sources(results: Results | None) -> Values:
    """Return the figures that *results* have of those that the outlook rests on."""
    figures = {(one.job, one.what): one.value for one in results.figures} if results is not None else {}
    return {one.name: figures[one.job, one.what] for one in SOURCES if (one.job, one.what) in figures}


def carried(known: Mapping[str, float]) -> dict[str, float | None]:
    """Return the value of every row, None where a figure is missing that it needs."""
    values, found = dict(known), dict[str, float | None]()
    for row in ROWS:
        if all(name in values for name in row.needs):
            found[row.name] = values[row.name] = row.value(values)
        else:
            found[row.name] = None
    return found


def block(run: tuple[str, Results] | None) -> str:
    """Return both tables of the page, from a run and the name of its file."""
    results = run[1] if run is not None else None
    known = sources(results)
    values = carried(known)
    units = {(one.job, one.what): one.unit for one in results.figures} if results is not None else {}
    lines = [_from(run), "", "| source | job | figure | value |", "|---|---|---|---|"]
    for one in SOURCES:
        told = _number(known.get(one.name), units.get((one.job, one.what), ""))
        lines.append(f"| `{one.name}` | {one.job} | {one.what} | {told} |")
    lines += ["", "| at 10,000 orders/s and 100 million live orders | formula | value |", "|---|---|---|"]
    lines += [f"| {row.what} (`{row.name}`) | {row.formula} | {_number(values[row.name], row.unit)} |" for row in ROWS]
    return "\n".join(lines)


def _from(run: tuple[str, Results] | None) -> str:
    if run is None:
        return "No full run of `make bench` is in `benchmarks/results`."
    name, results = run
    machine = results.machine
    return (
        f"From `benchmarks/results/{name}`, commit {results.commit}: {machine.processor}, {machine.cores} cores, "
        f"{machine.memory_gib} GiB, Python {machine.python}, load {machine.load:g} before."
    )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    told = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004  as in figures
    return f"{told} {unit}".rstrip()


def with_block(page: str, tables: str) -> str:
    """Return *page* with *tables* between its marks."""
    return re.sub(f"{_BEGIN}.*{_END}", lambda _: f"{_BEGIN}\n{tables}\n{_END}", page, count=1, flags=re.DOTALL)


def write_page() -> int:
    """Write the tables of the page from the newest run; 1 when there is none."""
    run = newest()
    PAGE.write_text(with_block(PAGE.read_text(encoding="utf-8"), block(run)), encoding="utf-8")
    if run is None:
        print("There is no full run in benchmarks/results; run `make bench` first.", file=sys.stderr)
        return 1
    missing = [one.what for one in SOURCES if one.name not in sources(run[1])]
    print(f"Wrote docs/scaling.md from {run[0]}; not measured: {', '.join(missing) or 'nothing'}.")
    return 0
