"""A group of members: its topics, its processes, and what they told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiokafka import AIOKafkaProducer

from app.core.errors import ConfigError
from app.core.metrics import new_metrics
from benchmarks.groups.member import Given, Line
from benchmarks.peer.job import Job
from benchmarks.peer.orders import records
from streams.engine.header import HEADER, StateHeader
from streams.engine.partitioner import partition_of
from streams.engine.settings import WorkerSettings
from streams.engine.ship import Parcels, Shipper
from streams.engine.topics import CHANGELOG, TopicSpec, apply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

_PAUSE = 0.05
_CHUNK = 5_000
_ROOT = Path(__file__).parents[2]


@dataclass
class Member:
    """One worker process."""

    name: str
    process: asyncio.subprocess.Process
    told: Path
    started: float
    _read: int = 0
    _lines: list[Line] = field(default_factory=list)

    def lines(self) -> Sequence[Line]:
        """Return everything that it told so far."""
        with self.told.open("rb") as file:
            file.seek(self._read)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._read += len(raw)
                self._lines.append(msgspec.json.decode(raw, type=Line))
        return self._lines

    @property
    def running(self) -> int:
        """Return how many partitions it works on."""
        told = self.lines()
        return len(told[-1].running) if told and self.process.returncode is None else 0

    async def kill(self) -> float:
        """Send SIGKILL; return when."""
        at = time.time()
        self.process.kill()
        await self.process.wait()
        return at

    async def stop(self) -> float:
        """Ask it to stop and wait; return when it was asked."""
        at = time.time()
        if self.process.returncode is None:
            self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 40)
            if self.process.returncode is None:
                await self.kill()
        return at


class Group:
    """Topics of its own on a Kafka, a folder, and members."""

    def __init__(self, bootstrap: str, folder: Path, partitions: int, *, sources: str = "") -> None:
        """Read the sources of the group with the prefix *sources*, where one is given."""
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.prefix = f"group-{uuid.uuid4().hex[:8]}-"
        self.sources = sources or self.prefix
        self.folder = folder / self.prefix
        self.members: list[Member] = []

    def job(self, worker: str) -> Job:
        """Return what a member called *worker* does."""
        return Job(
            bootstrap=self.bootstrap,
            worker=worker,
            group=f"{self.prefix}group",
            shop=f"{self.sources}shop",
            books=f"{self.sources}books",
            commands=f"{self.prefix}commands",
            changelog=f"{self.prefix}changelog",
            dead_letters=f"{self.prefix}dead",
            data=str(self.folder / worker),
        )

    async def create(self) -> None:
        """Create the topics."""
        self.folder.mkdir(parents=True)
        job, count = self.job(""), self.partitions
        own = [TopicSpec(job.shop, count, 1), TopicSpec(job.books, count, 1)] if self.sources == self.prefix else []
        specs = [
            *own,
            TopicSpec(job.changelog, count, 1, CHANGELOG),
            TopicSpec(job.commands, count, 1),
            TopicSpec(job.dead_letters, 1, 1),
        ]
        await apply(self.bootstrap, specs)

    async def start(self, worker: str, *, session: float = 45.0, standbys: int = 0, hold: Path | None = None) -> Member:
        """Start a member."""
        given = Given(
            job=self.job(worker), partitions=self.partitions, session_timeout=session, standbys=standbys,
            hold=str(hold) if hold is not None else "",
        )  # fmt: skip
        told, log = self.folder / f"{worker}.jsonl", self.folder / f"{worker}.log"
        with told.open("wb") as out, log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.groups.member", msgspec.json.encode(given).decode(),
                stdout=out, stderr=errors, cwd=_ROOT, env=os.environ,
            )  # fmt: skip
        member = Member(worker, process, told, time.time())
        self.members.append(member)
        return member

    async def until(self, true: Callable[[], bool], what: str, within: float) -> None:
        """Wait until *true* holds; ConfigError when a member ended or it takes too long."""
        deadline = time.monotonic() + within
        while not true():
            ended = [member for member in self.members if member.process.returncode not in (None, 0, -9)]
            if ended or time.monotonic() > deadline:
                raise ConfigError(f"Not within {within:.0f} s: {what}; the logs are in {self.folder}.")
            await asyncio.sleep(_PAUSE)

    async def until_all_run(self, members: Sequence[Member], within: float) -> None:
        """Wait until *members* share all partitions and each has some."""

        def shared() -> bool:
            running = [member.running for member in members]
            return all(running) and sum(running) == self.partitions

        await self.until(shared, f"{len(members)} workers run {self.partitions} partitions", within)

    async def stop(self) -> None:
        """Stop every member."""
        for member in self.members:
            await member.stop()

    async def fill_changelog(self, states: Iterable[tuple[bytes, bytes]]) -> int:
        """Append *states* to the changelog as the engine does; return how many there were."""
        settings = WorkerSettings(bootstrap=self.bootstrap, group="", name="filler", data_dir=self.folder)
        shipper = Shipper(settings, new_metrics())
        await shipper.start()
        topic, count = self.job("").changelog, 0
        chunk: Parcels = defaultdict(list)
        try:
            for key, state in states:
                header = HEADER, StateHeader(1, count).pack()
                chunk[topic, partition_of(key, self.partitions)].append((key, state, [header]))
                count += 1
                if count % _CHUNK == 0:
                    await shipper.ship(chunk)
                    chunk.clear()
            await shipper.ship(chunk)
        finally:
            await shipper.stop()
        return count

    async def fill_sources(self, orders: int, seed: int = 7) -> int:
        """Write the events of the peer job; return how many there are."""
        job = self.job("")
        topics = {"shop": job.shop, "books": job.books}
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, linger_ms=10, max_batch_size=262_144, compression_type="lz4"
        )
        await producer.start()
        count = 0
        try:
            sent = []
            for topic, key, value in records(orders, seed):
                partition = partition_of(key, self.partitions)
                sent.append(await producer.send(topics[topic], value, key=key, partition=partition))
                count += 1
                if len(sent) == _CHUNK:
                    await asyncio.gather(*sent)
                    sent.clear()
            await asyncio.gather(*sent)
        finally:
            await producer.stop()
        return count


@contextlib.asynccontextmanager
async def group(bootstrap: str, folder: Path, partitions: int, *, sources: str = "") -> AsyncIterator[Group]:
    """Provide a group with its topics; its members are stopped afterwards."""
    made = Group(bootstrap, folder, partitions, sources=sources)
    await made.create()
    try:
        yield made
    finally:
        await made.stop()
