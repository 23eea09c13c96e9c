"""What the engine's integration tests share: topics of their own, workers, and views of Kafka."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.core import consumers
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store, StoreOptions
from streams.engine.topics import CHANGELOG, TopicSpec, apply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from streams.engine.fold import Processor
    from streams.engine.worker import Worker

ROOT = Path(__file__).resolve().parents[3]
MAIN = Path(__file__).with_name("worker_main.py")
PARTITIONS = 4


class Cluster:
    """One test's corner of a shared Kafka: every name starts with *prefix*."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.folder = folder
        self.started: list[Process] = []

    async def close(self) -> None:
        """Kill the processes that a failed test left behind."""
        for process in self.started:
            if process.process.returncode is None:
                await process.kill()

    def name(self, topic: str) -> str:
        return f"{self.prefix}{topic}"

    async def create(self, partitions: int = PARTITIONS) -> None:
        compacted = {"cleanup.policy": "compact"}
        await apply(
            self.bootstrap,
            [
                TopicSpec(self.name("in-a"), partitions, 1),
                TopicSpec(self.name("in-b"), partitions, 1),
                TopicSpec(self.name("sets-changelog"), partitions, 1, CHANGELOG),
                TopicSpec(self.name("out"), 2, 1),
                TopicSpec(self.name("dead"), 1, 1),
                TopicSpec(self.name("facts"), 1, 1, compacted),
            ],
        )

    def settings(self, worker: str = "w1", **changes: Any) -> WorkerSettings:
        return WorkerSettings(**{**self.given(worker), "data_dir": self.folder / worker, **changes})

    def given(self, worker: str) -> dict[str, Any]:
        return {
            "bootstrap": self.bootstrap,
            "group": f"{self.prefix}group",
            "name": worker,
            "data_dir": str(self.folder / worker),
            "dead_letters": self.name("dead"),
            "static_membership": False,
            "session_timeout": 6.0,
            "request_timeout": 10.0,
            "heartbeat_interval": 0.5,
            "commit_interval": 0.2,
        }

    async def produce(self, events: Iterable[tuple[str, bytes, bytes]], partition: int | None = None) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=2)
        await producer.start()
        try:
            sent = [
                await producer.send(self.name(topic), value, key=key, partition=partition)
                for topic, key, value in events
            ]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Any]:
        """Return every record that is in *topic* now."""
        consumer = AIOKafkaConsumer(self.name(topic), bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            tps = list(consumer.assignment())
            ends = await consumer.end_offsets(tps)
            found: list[Any] = []
            while any([await consumer.position(tp) < ends[tp] for tp in tps]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(records)
            return found
        finally:
            await consumers.stop(consumer)

    async def ends(self, topic: str, partitions: int = PARTITIONS) -> dict[int, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            tps = [TopicPartition(self.name(topic), p) for p in range(partitions)]
            return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
        finally:
            await consumers.stop(consumer)

    async def committed(self) -> dict[tuple[str, int], int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(f"{self.prefix}group")
            return {(tp.topic.removeprefix(self.prefix), tp.partition): o.offset for tp, o in offsets.items()}
        finally:
            await admin.close()

    async def drained(self, partitions: int = PARTITIONS) -> bool:
        try:
            committed = await self.committed()
        except GroupCoordinatorNotAvailableError:  # a Kafka that has just started makes its offsets topic first
            return False
        for topic in ("in-a", "in-b"):
            for partition, end in (await self.ends(topic, partitions)).items():
                if committed.get((topic, partition), 0) < end:
                    return False
        return True

    def states(self, worker: str, partitions: Iterable[int] = range(PARTITIONS)) -> dict[bytes, bytes]:
        """Return the states on the disk of a worker that is not running."""
        from streams.engine.header import split_value  # noqa: PLC0415

        found: dict[bytes, bytes] = {}
        for store in self.stores(worker, partitions):
            found.update({key: split_value(value)[1] for key, value in store.items()})
            store.close()
        return found

    def digests(self, worker: str, partitions: Iterable[int] = range(PARTITIONS)) -> dict[int, str]:
        found = {}
        for partition, store in zip(partitions, self.stores(worker, partitions), strict=True):
            found[partition] = store.digest()
            store.close()
        return found

    def stores(self, worker: str, partitions: Iterable[int]) -> list[Store]:
        options = StoreOptions(self.settings(worker))
        folder = self.folder / worker / "state" / self.name("sets")
        return [Store(folder / str(partition), options) for partition in partitions]

    @asynccontextmanager
    async def worker(self, processor: Processor, worker: str = "w1", **changes: Any) -> AsyncIterator[Worker]:
        """Run a worker in this loop; leaving the block stops it clean and demands exit code 0."""
        from streams.engine.worker import create_worker  # noqa: PLC0415

        made = create_worker(self.settings(worker, **changes), [processor])
        task = asyncio.create_task(made.run(signals=False))
        try:
            yield made
        finally:
            made.stop()
            code = await task
        assert code == 0


class Process:
    """A worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, cluster: Cluster, worker: str, **changes: Any) -> Process:
        given = json.dumps({**cluster.given(worker), "prefix": cluster.prefix, **changes})
        log = (cluster.folder / f"{worker}.log").open("ab")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(MAIN), given, stdout=log, stderr=log, env=environment
        )
        log.close()
        made = cls(process)
        cluster.started.append(made)
        return made

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def terminate(self) -> int:
        self.process.terminate()
        return await self.process.wait()


async def eventually(what: Callable[[], Awaitable[bool] | bool], within: float = 200.0) -> None:
    """Wait until *what* holds; where it never does, say what everything waits for."""
    try:
        async with asyncio.timeout(within):
            while True:
                answer = what()
                if await answer if not isinstance(answer, bool) else answer:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        error.add_note("\n".join(waiting()))
        raise


def waiting() -> Iterator[str]:
    """Return where each unfinished task of this process stands, those of a consumer's thread included."""
    for task in [one for one in gc.get_objects() if isinstance(one, asyncio.Task)]:
        at: Any = task.get_coro()
        path = []
        while (frame := getattr(at, "cr_frame", None)) is not None:
            path.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
            at = at.cr_await
        if not task.done():
            yield f"{task.get_name()}: {' > '.join(path)} waits for {at!r}"


def event(number: int, **more: Any) -> bytes:
    """Return an event for SetFold."""
    return json.dumps({"id": number, **more}).encode()


def ids(state: bytes) -> list[int]:
    """Return what a SetFold state holds."""
    found: list[int] = json.loads(state)["ids"]
    return found
