"""The floor: aiokafka alone reads what the streams read and writes what they wrote, byte for byte, and no more.

`python -m benchmarks.full.floor --config o2c.toml` prints CPU seconds as JSON; the bytes to write are fetched before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.config.load import load
from benchmarks.full.running import INPUTS, OUTPUTS
from streams.engine.settings import WorkerSettings

if TYPE_CHECKING:
    from app.config.model import Settings

_SETTINGS = WorkerSettings(bootstrap="", group="", name="floor", data_dir=Path())
_BEFORE_ACK = 16
"""Batches under way at once: as many as a worker's partitions of both tables come to."""
Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]


def consumer(settings: Settings) -> AIOKafkaConsumer:
    """Return a consumer that fetches as a worker does."""
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        max_partition_fetch_bytes=_SETTINGS.max_fetch_size,
        max_poll_records=_SETTINGS.max_poll_records,
        auto_offset_reset="earliest",
    )


async def records(settings: Settings, names: tuple[str, ...], kept: list[Row] | None) -> int:
    """Read topics whole and return how many records they have; *kept* gets the records."""
    reading, read = consumer(settings), 0
    await reading.start()
    try:
        places = [
            TopicPartition(settings.topics.prefix + name, partition)
            for name in names
            for partition in range(settings.kafka.partitions)
        ]
        reading.assign(places)
        total = sum((await reading.end_offsets(places)).values())
        while read < total:
            polled = await reading.getmany(timeout_ms=1_000)
            for batch in polled.values():
                read += len(batch)
                if kept is not None:
                    kept += [(one.key, one.value, list(one.headers)) for one in batch]
    finally:
        await reading.stop()
    return read


async def write(settings: Settings, rows: list[Row]) -> None:
    """Write *rows* as a worker's shipper does and wait until all are acknowledged."""
    topic, partitions = f"{settings.topics.prefix}floor", settings.kafka.partitions
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", enable_idempotence=True,
        compression_type=_SETTINGS.compression, max_batch_size=_SETTINGS.produce_batch,
        max_request_size=_SETTINGS.max_record + _SETTINGS.produce_batch,
    )  # fmt: skip
    await producer.start()
    try:
        at, number, pending = 0, 0, []
        while at < len(rows):
            builder, now = producer.create_batch(), int(time.time() * 1000)
            while at < len(rows):
                key, value, headers = rows[at]
                if builder.append(key=key, value=value, timestamp=now, headers=headers) is None:
                    break
                at += 1
            pending.append(await producer.send_batch(builder, topic, partition=number % partitions))
            number += 1
            if len(pending) == _BEFORE_ACK:
                await asyncio.gather(*pending)
                pending = []
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


async def measure(settings: Settings) -> dict[str, float]:
    """Return what the floor takes."""
    rows: list[Row] = []
    written = await records(settings, OUTPUTS, rows)
    began = time.process_time()
    read = await records(settings, INPUTS, None)
    await write(settings, rows)
    return {"cpu": time.process_time() - began, "read": read, "written": written}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    print(json.dumps(asyncio.run(measure(load(parser.parse_args().config, os.environ)))))


if __name__ == "__main__":
    main()
