"""Runs one worker over the whole backlog and takes the time, from outside: all workers are watched the same way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from benchmarks.peer.job import PARTITIONS, Job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from benchmarks.peer.workers import Worker

_ROOT = Path(__file__).parents[2]
_PAUSE = 0.05
_ASK_GROUP_EVERY = 0.5
_QUIET_SECONDS = 2.0
_DEADLINE = 900.0
_STOP_SECONDS = 30.0


class Failed(Exception):
    """A worker did not do the job; says why in one sentence."""


class Sample(NamedTuple):
    """What could be seen of a worker at one moment; *written* are the records in its topics."""

    at: float
    cpu: float
    memory: int
    commands: int
    written: int


class Measured(NamedTuple):
    """What a worker needed, and where its states are."""

    events: int
    """Those that were done while the clock ran."""
    cpu: float
    wall: float
    startup_cpu: float
    memory: int
    commands: int
    states: int
    changelog: str

    @property
    def rate(self) -> float:
        """Return events per CPU second."""
        return self.events / self.cpu


async def measure(worker: Worker, job: Job) -> Measured:
    """Start *worker*, let it read its sources to their ends, stop it, and return what that took.

    The clock runs from the first look that shows a command to the last acknowledged write, and what had been done by
    then is left out, as its share of the commands says: some do a lot before they write, some nothing. CPU is that of
    the process with all its threads and children.
    """
    words = await asyncio.to_thread(worker.command, job)
    async with _eyes(job.bootstrap) as (consumer, admin):
        sources = _partitions(job.shop, job.books)
        ends = await consumer.end_offsets(sources)
        with _started(words, job) as process:
            watch = _Watch(process, job, consumer, admin, keeps_state=worker.keeps_state)
            samples = await watch.until_done(ends)
    return _measured(samples, sum(ends.values()), watch.changelog)


class _Watch:
    """Samples a process and its topics until the group has committed everything and nothing more is written."""

    def __init__(
        self,
        process: psutil.Popen,
        job: Job,
        consumer: AIOKafkaConsumer,
        admin: AIOKafkaAdminClient,
        *,
        keeps_state: bool,
    ) -> None:
        self._process = process
        self._job = job
        self._consumer = consumer
        self._admin = admin
        self._keeps_state = keeps_state
        self.changelog = ""

    async def until_done(self, ends: dict[TopicPartition, int]) -> list[Sample]:
        samples = [await self._sample()]
        asked = last_write = time.monotonic()
        while True:
            if self._process.poll() is not None:
                raise Failed(f"{self._job.worker} ended with {self._process.returncode}; {_last_words(self._job)}")
            samples.append(sample := await self._sample())
            if sample.written != samples[-2].written:
                last_write = sample.at
            if sample.at - asked > _ASK_GROUP_EVERY:
                asked = sample.at
                if sample.at - last_write > _QUIET_SECONDS and await self._committed(ends):
                    return samples
            if sample.at - samples[0].at > _DEADLINE:
                raise Failed(f"{self._job.worker} was not done after {_DEADLINE:.0f} s; {_last_words(self._job)}")
            await asyncio.sleep(_PAUSE)

    async def _sample(self) -> Sample:
        if self._keeps_state and not self.changelog:
            named = await self._admin.list_topics()
            found = [name for name in named if self._job.group in name and "changelog" in name]
            self.changelog = found[0] if found else ""
        commands = await self._records(self._job.commands)
        states = await self._records(self.changelog) if self.changelog else 0
        cpu, memory = _used(self._process)
        return Sample(time.monotonic(), cpu, memory, commands, commands + states)

    async def _records(self, topic: str) -> int:
        return int(sum((await self._consumer.end_offsets(_partitions(topic))).values()))

    async def _committed(self, ends: dict[TopicPartition, int]) -> bool:
        try:
            found = await self._admin.list_consumer_group_offsets(self._job.group)
        except GroupCoordinatorNotAvailableError:  # a new broker makes the topic of offsets first
            return False
        return all(tp in found and found[tp].offset >= end for tp, end in ends.items())


def _measured(samples: Sequence[Sample], events: int, changelog: str) -> Measured:
    begin = next(sample for sample in samples if sample.commands)
    end = next(sample for sample in samples if sample.written == samples[-1].written)
    return Measured(
        events=round(events * (1 - begin.commands / end.commands)),
        cpu=end.cpu - begin.cpu,
        wall=end.at - begin.at,
        startup_cpu=begin.cpu,
        memory=max(sample.memory for sample in samples),
        commands=end.commands,
        states=end.written - end.commands,
        changelog=changelog,
    )


@asynccontextmanager
async def _eyes(bootstrap: str) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    consumer, admin = AIOKafkaConsumer(bootstrap_servers=bootstrap), AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with consumer:
        await admin.start()
        try:
            yield consumer, admin
        finally:
            await admin.close()


@contextlib.contextmanager
def _started(words: list[str], job: Job) -> Iterator[psutil.Popen]:
    job.folder.mkdir(parents=True)
    with _log(job).open("wb") as log:
        process = psutil.Popen(words, cwd=_ROOT, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            _end(process)


def _end(process: psutil.Popen) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    """Return ours without what an outer test or session set for Python alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _used(process: psutil.Popen) -> tuple[float, int]:
    """Return CPU seconds and resident bytes of *process*, its threads and its children, ended ones included."""
    try:
        alive = [process, *process.children(recursive=True)]
        times = [one.cpu_times() for one in alive]
        ended = times[0].children_user + times[0].children_system
        return sum(each.user + each.system for each in times) + ended, sum(one.memory_info().rss for one in alive)
    except psutil.NoSuchProcess:
        return 0.0, 0


def _log(job: Job) -> Path:
    return job.folder.with_suffix(".log")


def _last_words(job: Job) -> str:
    lines = _log(job).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "its last words: " + " | ".join(lines[-5:]) if lines else "it said nothing"


def _partitions(*topics: str) -> list[TopicPartition]:
    return [TopicPartition(topic, partition) for topic in topics for partition in range(PARTITIONS)]
