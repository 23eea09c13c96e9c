"""Play all bad input and print the tally: `python -m tests.hostile`; exit 1 when anything went wrong."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

import msgspec
import structlog

from app.core.errors import ConfigError
from app.gateway import server
from tests.hostile import tally
from tests.hostile.cases import FILES, MADE_UP, ROOT, folder, load
from tests.hostile.door import Kept, open_door
from tests.hostile.kafka import through_kafka
from tests.hostile.play import BEHIND, PURE, Outcome, play
from tests.hostile.raw import raw
from tests.hostile.table import Table
from tests.hostile.watch import Watch


async def played(source: Path, files: tuple[str, ...] = FILES) -> list[Outcome]:
    """Play every case of *files* against one gateway and one table that stay up throughout."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch, _impatient():
        table = Table(Path(scratch))
        async with open_door(Kept()) as door:
            watch = Watch(door.port)
            for name in files:
                for case in (*load(name, source), *(raw(BEHIND) if name == "http" else ())):
                    watch.begin()
                    async for outcome in play(case, door, table):
                        taken = watch.end()
                        wrong = outcome.wrong or taken.wrong
                        found.append(msgspec.structs.replace(outcome, wrong=wrong, memory=taken.memory))
                        watch.begin()
        table.close()
    return found


def _impatient() -> AbstractContextManager[object]:
    """Give bodies a second where the pure parser reads: it waits for what the other one refuses."""
    return patch.object(server, "_SLOWEST", 1.0) if PURE else nullcontext()


def _purely() -> tuple[list[str], int]:
    """Play the raw requests once more against aiohttp's pure-Python parser, in a process of its own."""
    words = ["-m", "tests.hostile", "--files", "http", "--without-kafka"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env={**os.environ, "AIOHTTP_NO_EXTENSIONS": "1"}, check=False
    )  # fmt: skip
    lines = done.stdout.splitlines()
    shown = [line for line in lines if line.startswith(("| http", "wrong"))]
    return shown or [f"the pure-Python parser: {done.stderr[-500:]}"], done.returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Play, print, and say in the last line and by the exit code how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-kafka", action="store_true", help="leave out the part on a real Kafka")
    parser.add_argument("--files", nargs="+", choices=FILES, default=FILES, help="play these alone")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    source, began = folder(), time.monotonic()
    if source == MADE_UP:
        _say("../shared is not present: playing the made-up cases of tests/fixtures/hostile")
    outcomes = asyncio.run(played(source, tuple(args.files)))
    _say("\n".join(tally.lines(outcomes)))
    wrong = sum(bool(one.wrong) for one in outcomes)
    if "http" in args.files and not PURE:
        lines, failed = _purely()
        _say("\n".join(lines))
        wrong += failed
    if not args.without_kafka:
        try:
            lines, lost = through_kafka(source)
        except ConfigError as error:
            lines, lost = [f"no Kafka: {error}"], 1
        _say("\n".join(lines))
        wrong += lost
    cases = len({(one.case.file, one.case.name) for one in outcomes})
    end = f"{cases} cases, {len(outcomes)} plays, {wrong} wrong, {time.monotonic() - began:.0f} s"
    _say(f"hostile: {'ok' if not wrong else 'FAILED'}: {end}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
