"""Processes that are measured: started, awaited, their processor time read, ended; and what lies on a topic."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.core.errors import ConfigError

_READY_SECONDS = 60.0
_FINE = 200


@dataclass(frozen=True)
class Running:
    """A process that works."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def cpu(self) -> float:
        """Return the processor seconds that it took so far."""
        spent = psutil.Process(self.process.pid).cpu_times()
        return float(spent.user + spent.system)

    async def until_ready(self, url: str, *, path: str = "/health/ready") -> None:
        """Wait until it answers 200 at *url*; ConfigError when it ended or takes too long."""
        deadline = time.monotonic() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline and self.process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url + path) as reply:
                        if reply.status == _FINE or not path:
                            return
                await asyncio.sleep(0.1)
        last = self.log.read_text(errors="replace").splitlines()[-3:]
        raise ConfigError(f"{self.name} did not start: {' '.join(last)[:400] or 'it said nothing'}.")

    async def stop(self) -> None:
        """End it."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 30)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


@contextlib.asynccontextmanager
async def started(folder: Path, name: str, *words: str) -> AsyncIterator[Running]:
    """Run `python -m WORDS` with its output in *folder* while the body runs."""
    log = folder / f"{name}.log"
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=out, stderr=out)
    running = Running(name, process, log)
    try:
        yield running
    finally:
        await running.stop()


async def said(*words: str) -> bytes:
    """Return what `python -m WORDS` prints; ConfigError when it fails."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise ConfigError(f"{words[0]} ended with {process.returncode}.")
    return out


async def records(bootstrap: str, topics: Sequence[str], partitions: int) -> int:
    """Return how many records *topics* hold."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for topic in topics for partition in range(partitions)]
        begin, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return int(sum(end.values()) - sum(begin.values()))
    finally:
        await consumer.stop()


def new_prefix() -> str:
    """Return a prefix of topics that nobody else uses."""
    return f"bench-{uuid.uuid4().hex[:8]}."


class Machine:
    """How busy all processors were while the body ran, as a share of one."""

    busy = 0.0

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Measure while the body runs."""
        began, before = time.perf_counter(), _busy()
        yield
        self.busy = (_busy() - before) / (time.perf_counter() - began)


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def told(what: str) -> None:
    """Say on standard error what is done, and how busy the machine is."""
    print(f"{time.strftime('%H:%M:%S')} {what} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
