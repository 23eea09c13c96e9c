"""All benchmarks one after another on one Kafka: `python -m benchmarks [--only peer,gateway] [--short]`.

Prints one table of all figures and a last line that sums up; keeps them as JSON in benchmarks/results, with date,
commit and machine. Exit: 0 all goals met, 1 a goal was missed or a benchmark failed, 2 the arguments are wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from benchmarks.broker import provided
from benchmarks.figures import Figure, Machine, machine, read, table

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each is a module of this package with the arguments --kafka, --short and --json; they run in this order. The minutes,
# on two quiet cores, are reckoned from the sizes: they tell who waits how far it is.
BENCHMARKS: dict[str, float] = {
    "peer": 6, "full": 4, "gateway": 5, "delivery": 7, "latency": 3, "recovery": 5, "scaling": 4,
}  # fmt: skip
_SHORT_SHARE = 0.25
_ROOT = Path(__file__).parents[1]
_RESULTS = Path(__file__).parent / "results"
_JUDGED = (0, 1)


class Outcome(NamedTuple):
    """What one benchmark came to; *failure* is empty when it measured."""

    name: str
    figures: list[Figure]
    failure: str


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run as it is kept."""

    date: str
    commit: str
    machine: Machine
    short: bool
    seconds: int
    failures: list[str]
    figures: list[Figure]


def run(name: str, bootstrap: str, folder: Path, *, short: bool) -> Outcome:
    """Run one benchmark as a process of its own."""
    kept = folder / f"{name}.json"
    words = [sys.executable, "-m", f"benchmarks.{name}", "--kafka", bootstrap, "--json", str(kept)]
    ended = subprocess.run([*words, *(["--short"] if short else [])], cwd=_ROOT, check=False)  # noqa: S603  ours
    if ended.returncode not in _JUDGED or not kept.exists():
        return Outcome(name, [], f"{name} ended with {ended.returncode} and without figures")
    return Outcome(name, read(kept), "")


def keep(results: Results) -> Path:
    """Write *results* beside those before, named by their date."""
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{results.date.replace(':', '').replace('+0000', 'Z')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    return path


def commit() -> str:
    """Return the commit that is measured, with a plus when files differ from it."""
    words = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    told = subprocess.run(words, cwd=_ROOT, check=False, capture_output=True, text=True)  # noqa: S603  ours
    return told.stdout.strip() or "unknown"


def summary(results: Results) -> str:
    """Return the one line that says how it went."""
    met = [figure.met for figure in results.figures]
    missed = met.count(False)
    verdict = "failed" if missed or results.failures else "ok"
    told = f"bench: {verdict}: {len(met)} figures, {met.count(True)} goals met, {missed} missed, {results.seconds} s"
    return "; ".join([told, *results.failures])


def progress(names: Sequence[str], at: int, elapsed: float, *, short: bool) -> str:
    """Return the line that says which benchmark begins, how long it went on, and about how long it will."""
    left = sum(BENCHMARKS[name] for name in names[at:]) * (_SHORT_SHARE if short else 1)
    return f"== {names[at]} ({at + 1} of {len(names)}; {elapsed / 60:.0f} min so far, about {left:.0f} min to go)"


def _all(names: Sequence[str], bootstrap: str, folder: Path, *, short: bool) -> list[Outcome]:
    began, outcomes = time.monotonic(), []
    for at, name in enumerate(names):
        print(progress(names, at, time.monotonic() - began, short=short), flush=True)
        outcomes.append(run(name, bootstrap, folder, short=short))
    return outcomes


def chosen(only: str) -> list[str]:
    """Return the names to run; SystemExit says which are unknown."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        print(f"Unknown: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        raise SystemExit(2)
    return [name for name in BENCHMARKS if name in names]


def main() -> int:
    """Read the arguments, run, print and keep."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog="example: python -m benchmarks --only peer --short"
    )
    parser.add_argument("--only", default="", help=f"these alone, with commas between: {', '.join(BENCHMARKS)}")
    parser.add_argument("--short", action="store_true", help="small sizes: shows that it runs, not how fast")
    parser.add_argument("--kafka", help="HOST:PORT of a Kafka that runs (default: one is started)")
    given = parser.parse_args()
    names, began = chosen(given.only), time.monotonic()
    date, where = datetime.now(UTC).isoformat(timespec="seconds"), machine()
    with tempfile.TemporaryDirectory() as folder, provided(given.kafka, Path(folder) / "kafka", os.environ) as kafka:
        outcomes = _all(names, kafka, Path(folder), short=given.short)
    results = Results(
        date=date,
        commit=commit(),
        machine=where,
        short=given.short,
        seconds=round(time.monotonic() - began),
        failures=[outcome.failure for outcome in outcomes if outcome.failure],
        figures=[figure for outcome in outcomes for figure in outcome.figures],
    )
    print(f"\n{table(results.figures)}\n\nKept in {keep(results).relative_to(_ROOT)}.")
    print(summary(results))
    return int(bool(results.failures) or any(figure.met is False for figure in results.figures))


if __name__ == "__main__":
    sys.exit(main())
