"""Events per CPU second through the whole engine on a real Kafka: `python benchmarks/engine.py --kafka HOST:PORT`.

CPU is that of this process: consumer thread, fold, store, changelog and commands, commits each second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.engine.fold import Folded, Out
from streams.engine.settings import WorkerSettings
from streams.engine.topics import CHANGELOG, TopicSpec, apply
from streams.engine.worker import Worker, create_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from streams.engine.fold import Processor, Record

PARTITIONS = 4


class Change(msgspec.Struct):
    """One change of a part of an order."""

    object: str
    version: int
    amount: int
    fields: dict[str, str]


class Part(msgspec.Struct):
    """The newest known version of one object of an order; its body stays raw."""

    version: int
    amount: int
    raw: msgspec.Raw


class State(msgspec.Struct):
    """An order: its objects and their total."""

    parts: dict[str, Part]
    total: int


class Base:
    """What both folds share."""

    def __init__(self, prefix: str) -> None:
        self.name = f"{prefix}bench"
        self.topics: tuple[str, ...] = (f"{prefix}a", f"{prefix}b")
        self.changelog = f"{prefix}bench-changelog"
        self.out = f"{prefix}out"

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        """Return the record keys."""
        return [record.key for record in records]


class Counting(Base):
    """Counts events per key."""

    def fold(
        self, partition: int, records: Sequence[Record], states: Mapping[bytes, bytes | None], *_: object
    ) -> Folded:
        """Return the counts."""
        del partition
        counts: dict[bytes, int] = {}
        for record in records:
            key = record.key
            counts[key] = (counts[key] if key in counts else int(states[key] or 0)) + 1
        return Folded({key: b"%d" % count for key, count in counts.items()}, [], [], {"applied": len(records)})


class Merging(Base):
    """Decodes JSON, keeps the newest version per object, recomputes the total, emits a command when it changed."""

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self._change = msgspec.json.Decoder(Change)
        self._state = msgspec.json.Decoder(State)
        self._encode = msgspec.json.Encoder().encode

    def fold(
        self,
        partition: int,
        records: Sequence[Record],
        states: Mapping[bytes, bytes | None],
        now: datetime,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        """Return merged states and commands."""
        del partition, now, broadcast
        held: dict[bytes, State] = {}
        outs: list[Out] = []
        for record in records:
            key = record.key
            state = held.get(key)
            if state is None:
                raw = states[key]
                state = held[key] = self._state.decode(raw) if raw else State({}, 0)
            change = self._change.decode(record.value)
            part = state.parts.get(change.object)
            if part is not None and part.version >= change.version:
                continue
            state.parts[change.object] = Part(change.version, change.amount, msgspec.Raw(record.value))
            total = sum(each.amount for each in state.parts.values())
            if total != state.total:
                state.total = total
                outs.append(Out(self.out, b"connection-1", b'{"total":%d,"order":"%s"}' % (total, key)))
        encode = self._encode
        return Folded({key: encode(state) for key, state in held.items()}, outs, [], {"applied": len(records)})


async def produce(bootstrap: str, prefix: str, events: int, window: int) -> None:
    """Write *events* of about 1 kB to both topics, five to an order, spread over *window* orders alive at a time."""
    rng = random.Random(7)
    fields = {f"field_{n}": f"{rng.random():.30f}" for n in range(20)}
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=262_144, compression_type="lz4"
    )
    await producer.start()
    futures = []
    for number in range(events):
        body = {"object": f"invoice-{rng.randrange(2)}", "version": number, "amount": rng.randrange(10_000)}
        value = json.dumps({**body, "fields": fields}).encode()
        key = b"order-%08d" % (number // 5 + rng.randrange(window))
        futures.append(await producer.send(f"{prefix}{'ab'[number % 2]}", value, key=key))
        if len(futures) >= 20_000:  # noqa: PLR2004  bounds memory
            await asyncio.gather(*futures)
            futures.clear()
    await asyncio.gather(*futures)
    await producer.stop()


async def ends(bootstrap: str, topics: Sequence[str]) -> int:
    """Return how many records *topics* hold."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    tps = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
    total = sum((await consumer.end_offsets(tps)).values())
    await consumer.stop()
    return int(total)


def done(worker: Worker) -> int:
    """Return how many events the worker has finished."""
    return sum(sum(path.done.values()) for path in worker.engine.paths) if worker.engine else 0


async def until(condition: Callable[[], bool], task: asyncio.Task[int]) -> None:
    """Return when *condition* holds or *task* has ended."""
    while True:
        if condition() or task.done():
            return
        await asyncio.sleep(0.01)


async def measure(settings: WorkerSettings, processor: Processor, events: int) -> tuple[float, float]:
    """Return events per CPU second and per wall second, from the first event to the last."""
    worker = create_worker(settings, [processor])
    task = asyncio.create_task(worker.run(signals=False))
    await until(lambda: done(worker) > 0, task)
    first, cpu, wall = done(worker), time.process_time(), time.perf_counter()
    await until(lambda: done(worker) >= events, task)
    counted = done(worker) - first
    rates = counted / (time.process_time() - cpu), counted / (time.perf_counter() - wall)
    worker.stop()
    await task
    return rates


async def recover(settings: WorkerSettings, processor: Processor, records: int) -> tuple[float, float]:
    """Return changelog records per CPU second and per wall second of a recovery onto an empty disk."""
    worker = create_worker(settings, [processor])
    task = asyncio.create_task(worker.run(signals=False))
    await until(lambda: worker.engine is not None and worker.engine.assigned_once, task)
    cpu, wall = time.process_time(), time.perf_counter()
    await until(lambda: worker.engine is not None and not worker.engine.activating, task)
    rates = records / (time.process_time() - cpu), records / (time.perf_counter() - wall)
    worker.stop()
    await task
    return rates


async def bench(bootstrap: str, events: int, window: int, folder: Path) -> None:
    """Measure and print."""
    prefix = f"bench-{uuid.uuid4().hex[:6]}-"
    topics = [TopicSpec(f"{prefix}{name}", PARTITIONS, 1) for name in ("a", "b", "out")]
    topics.append(TopicSpec(f"{prefix}dead", 1, 1))
    await produce_into(bootstrap, prefix, topics, events, window)
    for kind in (Counting, Merging):
        processor = kind(prefix)
        processor.name += kind.__name__
        processor.changelog += kind.__name__
        await apply(bootstrap, [TopicSpec(processor.changelog, PARTITIONS, 1, CHANGELOG)])

        def settings(disk: str, group: str = f"{prefix}{kind.__name__}") -> WorkerSettings:
            return WorkerSettings(
                bootstrap=bootstrap,
                group=group,
                name=disk,
                data_dir=folder / group / disk,
                dead_letters=f"{prefix}dead",
                static_membership=False,
            )

        cpu, wall = await measure(settings("one"), processor, events)
        print(f"{kind.__name__:10} {cpu:9,.0f} events per CPU s {wall:9,.0f} per wall s")
        records = await ends(bootstrap, [processor.changelog])
        cpu, wall = await recover(settings("two"), processor, records)
        print(f"{'recovery':10} {cpu:9,.0f} records per CPU s {wall:8,.0f} per wall s ({records:,} records)")


async def produce_into(bootstrap: str, prefix: str, topics: Sequence[TopicSpec], events: int, window: int) -> None:
    """Create *topics* and fill the sources."""
    await apply(bootstrap, topics)
    await asyncio.sleep(1)
    await produce(bootstrap, prefix, events, window)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--window", type=int, default=500)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bench(given.kafka, given.events, given.window, Path(folder)))


if __name__ == "__main__":
    main()
