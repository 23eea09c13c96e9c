"""What every benchmark has in common as a command: its arguments, a folder and a Kafka while it measures, its end."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.errors import ConfigError
from benchmarks.broker import provided
from benchmarks.figures import Figure, exit_code, table, write

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    Remark = Callable[[Sequence[Figure]], str]
    OnKafka = Callable[[str, Path], Coroutine[Any, Any, list[Figure]]]
    """What measures, given the bootstrap servers and a folder."""

SMALL = "small sizes: shows that it runs, not how fast"
_NOT_MEASURED = 2


def arguments(
    name: str, description: str | None, *, example: str = "--short", short: str = SMALL
) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark takes: --kafka, --short and --json."""
    words = f"python -m benchmarks.{name}"
    parser = argparse.ArgumentParser(
        prog=words, description=description, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example: {words} {example}",
    )  # fmt: skip
    parser.add_argument("--kafka", help="HOST:PORT of a Kafka that runs (default: one is started)")
    parser.add_argument("--short", action="store_true", help=short)
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser


def on_kafka(given: argparse.Namespace, folder: Path, measured: OnKafka) -> list[Figure]:
    """Return what *measured* finds on the Kafka that is given, or on one that is there meanwhile."""
    with provided(given.kafka, folder / "kafka", os.environ) as kafka:
        return asyncio.run(measured(kafka, folder))


def concluded(
    name: str,
    given: argparse.Namespace,
    measured: Callable[[Path], list[Figure]],
    remark: Remark = lambda _: "",
) -> int:
    """Measure in a folder that is gone afterwards, print the table and the remark on it, write --json.

    Returns the exit code: 0 all goals met, 1 one was missed, 2 ConfigError, which is printed.
    """
    with tempfile.TemporaryDirectory(prefix=f"o2c-{name}-") as folder:
        try:
            figures = measured(Path(folder))
        except ConfigError as error:
            print(error, file=sys.stderr)
            return _NOT_MEASURED
    print(table(figures))
    if said := remark(figures):
        print(said)
    if given.json:
        write(given.json, figures)
    return exit_code(figures)


def run(name: str, given: argparse.Namespace, measured: OnKafka, remark: Remark = lambda _: "") -> int:
    """Do as `concluded` with what *measured* finds on one Kafka."""
    return concluded(name, given, lambda folder: on_kafka(given, folder, measured), remark)
