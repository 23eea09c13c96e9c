"""The peer job on the engine of this project, as a process: `python -m benchmarks.peer.ours JOB`."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING

import structlog

from benchmarks.peer.job import Job
from benchmarks.peer.work import State, command, merge, read_event, read_state, recompute, write_state
from streams.engine.fold import Folded, Out
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.engine.fold import Record


class Orders:
    """Folds the events of a slice into the states of their orders."""

    def __init__(self, job: Job) -> None:
        self.name = "orders"
        self.topics: tuple[str, ...] = (job.shop, job.books)
        self.changelog = job.changelog
        self._commands = job.commands

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        """Return the record keys."""
        return [record.key for record in records]

    def fold(
        self, partition: int, records: Sequence[Record], states: Mapping[bytes, bytes | None], *_: object
    ) -> Folded:
        """Return changed states, each encoded once, and a command per change of the totals."""
        del partition
        held: dict[bytes, State] = {}
        changed: dict[bytes, State] = {}
        outs: list[Out] = []
        for record in records:
            key = record.key
            state = held.get(key)
            if state is None:
                stored = states[key]
                state = held[key] = read_state(stored) if stored else State()
            if merge(state, read_event(record.value)):
                changed[key] = state
                if recompute(state):
                    outs.append(Out(self._commands, key, command(key, state)))
        return Folded({key: write_state(state) for key, state in changed.items()}, outs, [], {"applied": len(records)})


def main() -> int:
    """Work until told to stop, as in production."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    job = Job.read(sys.argv[1])
    settings = WorkerSettings(
        bootstrap=job.bootstrap,
        group=job.group,
        name="worker",
        data_dir=job.folder,
        dead_letters=job.dead_letters,
        static_membership=False,
    )

    gc.freeze()  # this and the next as app/roles/streams.py does
    gc.set_threshold(20_000, 20, 20)

    async def run() -> int:
        return await create_worker(settings, [Orders(job)]).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
