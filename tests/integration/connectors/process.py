"""One connectors process on a real Kafka, that a test starts, kills and starts again."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from app.cli.topics import apply_topics
from app.config.load import load

PARTITIONS = 2
_HEAD = """
data_dir = "data"
key = "a long random text for tests"
[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
[topics]
prefix = "{prefix}"
[connectors]
port = 0
[[tenant]]
name = "acme"
"""


class Connectors:
    """The process with topics and a folder of its own."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        """Write and start nothing yet."""
        self.bootstrap, self.folder = bootstrap, folder
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.config = folder / "o2c.toml"
        self.process: asyncio.subprocess.Process | None = None

    async def configure(self, connections: str) -> None:
        """Write the configuration with *connections* of its one tenant, and create the topics."""
        head = _HEAD.format(bootstrap=self.bootstrap, prefix=self.prefix, partitions=PARTITIONS)
        self.config.write_text(head + connections, encoding="utf-8")
        await apply_topics(load(self.config, {}))

    async def start(self) -> None:
        """Start the process; what it logs is kept."""
        words = ["-m", "app", "run", "connectors", "--config", str(self.config), "--worker", "w1", "--json"]
        with (self.folder / "connectors.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)

    async def end(self, number: int = signal.SIGTERM) -> None:
        """End the process by a signal, where it still runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    def log(self) -> str:
        """Return what it logged so far, over all its lives."""
        return (self.folder / "connectors.log").read_text("utf-8", "replace")

    async def until(self, true: Callable[[], object], what: str, seconds: float = 180.0) -> None:
        """Wait until *true* holds; an AssertionError says *what* did not come, and what was logged last."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"{what}: {self.log()[-3000:]}"
            await asyncio.sleep(0.1)

    async def logged(self, event: str, times: int = 1, seconds: float = 180.0) -> None:
        """Wait until it logged *event* so often."""
        await self.until(lambda: self.log().count(f'"{event}"') >= times, f"{event} was not logged", seconds)
