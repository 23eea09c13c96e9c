"""The peer job on Quix Streams with changelog: `python -m benchmarks.peer.quix_streams JOB`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from quixstreams import Application

from benchmarks.peer.job import BATCH_BYTES, COMMIT_SECONDS, COMPRESSION, LINGER_SECONDS, Job
from benchmarks.peer.work import step

if TYPE_CHECKING:
    from quixstreams import State

_KEY = "order"


def create_app(job: Job) -> Application:
    """Return the application; bytes in and out, since the work reads and writes its own formats faster."""
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=job.folder,
        loglevel="WARNING",
        producer_extra_config={
            "acks": "all",
            "compression.type": COMPRESSION,
            "linger.ms": int(LINGER_SECONDS * 1000),
            "batch.size": BATCH_BYTES,
        },
    )
    raw = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
    commands = app.topic(job.commands, key_serializer="bytes", value_serializer="bytes")
    shop, books = app.dataframe(app.topic(job.shop, **raw)), app.dataframe(app.topic(job.books, **raw))
    events = shop.concat(books)
    told = events.apply(fold, stateful=True, metadata=True)
    told.filter(lambda value: value is not None).to_topic(commands)
    return app


def fold(value: bytes, key: bytes, timestamp: int, headers: object, held: State) -> bytes | None:
    """Return the command that an event leads to."""
    del timestamp, headers
    state, told = step(key, held.get_bytes(_KEY), value)
    if state is not None:
        held.set_bytes(_KEY, state)
    return told


if __name__ == "__main__":
    create_app(Job.read(sys.argv[1])).run()
