"""Play all bad input and print the tally: `python -m tests.hostile`; exit 1 when anything went wrong."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

from app.core.errors import ConfigError
from tests.hostile import tally
from tests.hostile.cases import FILES, MADE_UP, folder, load
from tests.hostile.door import Kept, open_door
from tests.hostile.kafka import through_kafka
from tests.hostile.play import Outcome, play
from tests.hostile.table import Table


async def played(source: Path, files: tuple[str, ...] = FILES) -> list[Outcome]:
    """Play every case of *files* against one gateway and one table that stay up throughout."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        table = Table(Path(scratch))
        async with open_door(Kept()) as door:
            for name in files:
                for case in load(name, source):
                    found += [outcome async for outcome in play(case, door, table)]
        table.close()
    return found


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
