"""A stock Faust worker, to see what it does with events that its agent cannot bear: `python stock_faust.py GIVEN`.

It appends each event that it handled to a file, with a table what the table then holds. What fails does so only while
the file *mended* is missing, so that whatever comes again afterwards is handled.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import faust


class Agents:
    """What the cases do with their events; *kept* is the table of those that have one."""

    def __init__(self, folder: Path) -> None:
        self._seen, self._mended = folder / "seen", folder / "mended"
        self.kept: Any = None

    def handled(self, event: Any) -> None:
        if event in (b"boom", "boom") and not self._mended.exists():
            raise RuntimeError("boom")
        with self._seen.open("a") as file:
            file.write(f"{event.decode() if isinstance(event, bytes) else event}\n")

    async def plain(self, stream: Any) -> None:
        async for event in stream:
            self.handled(event)

    async def take(self, stream: Any) -> None:
        async for batch in stream.take(10, within=1):
            for event in batch:
                self.handled(event)

    async def noack_take(self, stream: Any) -> None:
        async for batch in stream.noack_take(10, within=1):
            for event in batch:
                self.handled(event.value)
            for event in batch:
                event.ack()

    async def slow(self, stream: Any) -> None:
        async for event in stream:
            if event == b"slow" and not self._mended.exists():
                await asyncio.sleep(600)
            self.handled(event)

    async def count(self, stream: Any) -> None:
        async for _ in stream:
            self.kept[b"k"] = b"%d" % (int(self.kept.get(b"k") or 0) + 1)
            self.handled(self.kept[b"k"])

    async def grow(self, stream: Any) -> None:
        async for event in stream:
            self.kept[b"k"] = b"x" * int(event)
            self.handled(event)


def create(given: dict[str, Any]) -> faust.App:
    case = given["case"]
    app = faust.App(
        given["group"],
        broker=f"kafka://{given['bootstrap']}",
        datadir=given["folder"],
        store="rocksdb://" if case == "count" else "memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=float(given.get("commit", 0.2)),
        broker_session_timeout=6,
        broker_request_timeout=10,
        broker_heartbeat_interval=0.5,
    )
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    topic = app.topic(given["topic"], **({"value_serializer": "json"} if case == "decode" else raw))
    agents = Agents(Path(given["folder"]))
    if case in ("count", "grow"):
        options = {"driver": "rocksdict"} if case == "count" else {}
        agents.kept = app.Table("kept", partitions=1, key_type=bytes, value_type=bytes, options=options)
    handle = {"raise": agents.plain, "decode": agents.plain}.get(case) or getattr(agents, case)
    app.agent(topic, name="agent", concurrency=2 if case == "slow" else 1)(handle)
    return app


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    os.environ.setdefault("NO_CYTHON", "1")
    sys.argv = ["stock", "worker", "--loglevel", "error", "--without-web"]
    create(told).main()
