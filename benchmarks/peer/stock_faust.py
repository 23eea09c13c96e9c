"""The peer job as a stock Faust agent with a RocksDB table: `python -m benchmarks.peer.stock_faust JOB`.

As Faust's documentation asks for throughput: uvloop, RocksDB by rocksdict, no web server, large producer batches.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import mode.loop

mode.loop.use("uvloop")  # must come before faust is imported

import faust  # noqa: E402  see above

from benchmarks.peer.job import AIOKAFKA_COMPRESSION, BATCH_BYTES, COMMIT_SECONDS, LINGER_SECONDS, PARTITIONS, Job  # noqa: E402
from benchmarks.peer.work import step  # noqa: E402

if TYPE_CHECKING:
    from faust.types import StreamT


def create_app(job: Job) -> faust.App:
    """Return the app with its agent."""
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="rocksdb://",
        datadir=job.folder,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=COMMIT_SECONDS,
        broker_max_poll_records=2_000,
        stream_wait_empty=False,
        producer_acks=-1,
        producer_compression_type=AIOKAFKA_COMPRESSION,
        producer_linger=LINGER_SECONDS,
        producer_max_batch_size=BATCH_BYTES,
        web_enabled=False,
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    events = app.topic(job.shop, job.books, **raw)
    commands = app.topic(job.commands, **raw)
    orders = app.Table(
        "orders", partitions=PARTITIONS, key_type=bytes, value_type=bytes, options={"driver": "rocksdict"}
    )

    @app.agent(events)
    async def fold(stream: StreamT[bytes]) -> None:
        async for key, value in stream.items():
            state, told = step(key, orders.get(key), value)
            if state is not None:
                orders[key] = state
            if told is not None:
                await commands.send(key=key, value=told)

    return app


if __name__ == "__main__":
    faust.Worker(create_app(Job.read(sys.argv[1])), loglevel="WARNING").execute_from_commandline()
