"""One worker of a group on the peer job: `python -m benchmarks.groups.member GIVEN`; tells what it owns, and when."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from app.core.metrics import new_metrics
from benchmarks.peer.job import Job
from benchmarks.peer.ours import Orders
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker

if TYPE_CHECKING:
    from faust.types import TP

    from app.core.metrics import Metrics
    from streams.engine.engine import Engine
    from streams.engine.worker import Worker

_LOOK_EVERY = 0.02


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is told; while the file *hold* is missing it fetches nothing."""

    job: Job
    partitions: int
    session_timeout: float = 45.0
    standbys: int = 0
    hold: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What a member tells whenever it changed.

    Partitions that run, how far it follows the changelogs of others, changelog records recovered, events done.
    """

    at: float
    running: list[int]
    followed: int
    recovered: int
    done: int
    cpu: float


def line(worker: Worker, given: Given, recovered: float) -> Line:
    """Return how *worker* stands now."""
    engine = worker.engine
    paths = engine.paths if engine is not None else ()
    stores = [engine.store(given.job.changelog, number) for number in range(given.partitions)] if engine else []
    return Line(
        at=time.time(),
        running=[path.partition for path in paths if path.state == "running"],
        followed=sum(store.position for store in stores if store is not None),
        recovered=int(recovered),
        done=sum(sum(path.done.values()) for path in paths),
        cpu=time.process_time(),
    )


async def work(given: Given) -> int:
    """Work until told to stop."""
    settings = WorkerSettings(
        bootstrap=given.job.bootstrap,
        group=given.job.group,
        name=given.job.worker,
        data_dir=given.job.folder,
        dead_letters=given.job.dead_letters,
        static_membership=False,
        session_timeout=given.session_timeout,
        standby_replicas=given.standbys,
    )
    metrics = new_metrics()
    worker = create_worker(settings, [Orders(given.job)], metrics)
    telling = asyncio.create_task(_tell(worker, given, metrics))
    try:
        return await worker.run()
    finally:
        telling.cancel()
        _say(msgspec.structs.replace(line(worker, given, 0), running=[]))


async def _tell(worker: Worker, given: Given, metrics: Metrics) -> None:
    last: Line | None = None
    held, recovered, recovering = given.hold, 0.0, True
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        if worker.engine is None:
            continue
        if held:
            _hold(worker.engine, Path(held))
            held = ""
        if recovering:  # a look at the metrics costs as much as twenty events
            recovered = metrics.registry.get_sample_value("o2c_recovered_total") or 0
        recovering = worker.engine.activating or not worker.engine.has_assignment
        now = line(worker, given, recovered)
        if last is None or msgspec.structs.replace(now, at=last.at, cpu=last.cpu) != last:
            last = now
            _say(now)


def _say(told: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


def _hold(engine: Engine, until: Path) -> None:
    """Have *engine* hungry only once *until* is there, so that all members start on the same backlog together."""
    hungry = engine.hungry

    def once_it_is_there() -> set[TP]:
        if not until.exists():
            return set()
        engine.hungry = hungry  # type: ignore[method-assign]
        return hungry()

    engine.hungry = once_it_is_there  # type: ignore[method-assign]


def log_aside() -> None:
    """Have warnings logged on standard error: who measures reads every line of standard output."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )


def main() -> int:
    """Read the argument and work."""
    gc.freeze()  # this and the next as app/roles/streams.py does
    gc.set_threshold(20_000, 20, 20)
    log_aside()
    return asyncio.run(work(msgspec.json.decode(sys.argv[1], type=Given)))


if __name__ == "__main__":
    sys.exit(main())
