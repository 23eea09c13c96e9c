"""The floor: read every record and write its bytes again, with aiokafka alone: `python -m benchmarks.peer.floor JOB`.

Whole batches in and out, all acknowledged, offsets committed each second; no decoding, no state.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peer.job import AIOKAFKA_COMPRESSION, BATCH_BYTES, COMMIT_SECONDS, Job

if TYPE_CHECKING:
    from collections.abc import Sequence


async def copy(job: Job, stop: asyncio.Event) -> None:
    """Copy until told to stop."""
    consumer = AIOKafkaConsumer(
        job.shop,
        job.books,
        bootstrap_servers=job.bootstrap,
        group_id=job.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=45_000,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=job.bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type=AIOKAFKA_COMPRESSION,
        max_batch_size=BATCH_BYTES,
        max_request_size=2 * BATCH_BYTES,
    )
    async with consumer, producer:
        committed = time.monotonic()
        while not stop.is_set():
            polled = await consumer.getmany(timeout_ms=200, max_records=4_000)
            await asyncio.gather(*(send(producer, job.commands, batch) for batch in polled.values()))
            if time.monotonic() - committed >= COMMIT_SECONDS:
                await consumer.commit()
                committed = time.monotonic()


async def send(producer: AIOKafkaProducer, topic: str, batch: Sequence[Any]) -> None:
    """Write *batch* to the partition it came from and return when all of it is acknowledged."""
    futures, at = [], 0
    while at < len(batch):
        builder = producer.create_batch()
        while at < len(batch):
            record = batch[at]
            if builder.append(key=record.key, value=record.value, timestamp=record.timestamp) is None:
                break
            at += 1
        futures.append(await producer.send_batch(builder, topic, partition=batch[0].partition))
    await asyncio.gather(*futures)


async def run() -> None:
    """Copy until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await copy(Job.read(sys.argv[1]), stop)


if __name__ == "__main__":
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(run())
