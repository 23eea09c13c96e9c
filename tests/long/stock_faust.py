"""A stock Faust worker, to see what it does with events that its agent cannot bear: `python stock_faust.py GIVEN`.

It appends each event that it handled to a file. What fails does so only while the file *mended* is missing, so that
whatever comes again afterwards is handled.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import faust


def create(given: dict[str, Any]) -> faust.App:
    app = faust.App(
        given["group"],
        broker=f"kafka://{given['bootstrap']}",
        datadir=given["folder"],
        store="memory://" if given["case"] != "count" else "rocksdb://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=float(given.get("commit", 0.2)),
        broker_session_timeout=6,
        broker_request_timeout=10,
        broker_heartbeat_interval=0.5,
    )
    seen, mended = Path(given["folder"]) / "seen", Path(given["folder"]) / "mended"
    as_json = given["case"] == "decode"
    raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    topic = app.topic(given["topic"], **({"value_serializer": "json"} if as_json else raw))

    def handled(event: Any) -> None:
        if event in (b"boom", "boom") and not mended.exists():
            raise RuntimeError("boom")
        with seen.open("a") as file:
            file.write(f"{event.decode() if isinstance(event, bytes) else event}\n")

    async def one_by_one(stream: Any) -> None:
        async for event in stream:
            handled(event)

    async def by_batch(stream: Any) -> None:
        async for batch in stream.take(10, within=1):
            for event in batch:
                handled(event)

    app.agent(topic, name="agent")(by_batch if given["case"] == "take" else one_by_one)
    return app


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    os.environ.setdefault("NO_CYTHON", "1")
    sys.argv = ["stock", "worker", "--loglevel", "error", "--without-web"]
    create(told).main()
