"""Fills the source topics, and reads what workers left in their changelogs."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.peer.job import BATCH_BYTES, COMPRESSION, PARTITIONS
from benchmarks.peer.orders import Outcome
from benchmarks.peer.work import read_state
from streams.engine.partitioner import partition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AT_ONCE = 500


async def fill(bootstrap: str, topics: Mapping[str, str], records: Iterator[tuple[str, bytes, bytes]]) -> int:
    """Write *records* in batches where their keys belong, a millisecond between two; return how many."""
    waiting: dict[tuple[str, int], list[tuple[bytes, bytes, int]]] = defaultdict(list)
    count, now = 0, int(time.time() * 1000)
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, compression_type=COMPRESSION, max_batch_size=2 * BATCH_BYTES
    ) as producer:
        for name, key, value in records:
            count += 1
            place = topics[name], partition_of(key, PARTITIONS)
            waiting[place].append((key, value, now + count))
            if len(waiting[place]) >= _AT_ONCE:
                await _send(producer, *place, waiting.pop(place))
        for place, rest in waiting.items():
            await _send(producer, *place, rest)
        await producer.flush()
    return count


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, batch: list[tuple[bytes, bytes, int]]) -> None:
    builder = producer.create_batch()
    for key, value, timestamp in batch:
        if builder.append(key=key, value=value, timestamp=timestamp) is None:
            raise RuntimeError(f"{_AT_ONCE} events do not fit into one batch.")
    await producer.send_batch(builder, topic, partition=partition)


async def states(bootstrap: str, changelog: str) -> dict[bytes, Outcome]:
    """Return what a worker's changelog says of every order: the last record of each key."""
    newest: dict[bytes, bytes | None] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=4 * 1024 * 1024)
    async with consumer:
        tps = [TopicPartition(changelog, partition) for partition in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning()
        left = {tp for tp, end in (await consumer.end_offsets(tps)).items() if end}
        ends = await consumer.end_offsets(tps)
        while left:
            for tp, records in (await consumer.getmany(timeout_ms=500, max_records=5_000)).items():
                newest.update((key, record.value) for record in records if (key := _order(record)))
                if records[-1].offset + 1 >= ends[tp]:
                    left.discard(tp)
            await asyncio.sleep(0)
    return {key: _outcome(value) for key, value in newest.items() if value is not None}


def _order(record: Any) -> bytes:  # noqa: ANN401  aiokafka ships no types
    """Return the order's key, empty for what is no state; Quix Streams writes the name of the value behind it."""
    at = record.key.find(b"order-")
    return bytes(record.key[at : at + len(b"order-00000000")]) if at >= 0 else b""


def _outcome(value: bytes) -> Outcome:
    state = read_state(value)
    return Outcome(state.status, state.invoiced, state.paid, state.credited)


def differences(found: Mapping[bytes, Outcome], expected: Mapping[bytes, Outcome]) -> str:
    """Return how *found* differs from *expected*, in words; empty when it does not."""
    missing = len(expected.keys() - found.keys())
    extra = len(found.keys() - expected.keys())
    wrong = [key for key in expected.keys() & found.keys() if expected[key] != found[key]]
    if not (missing or extra or wrong):
        return ""
    example = f", such as {wrong[0].decode()}: {found[wrong[0]]} instead of {expected[wrong[0]]}" if wrong else ""
    return f"{missing} orders missing, {extra} unknown, {len(wrong)} wrong{example}"
