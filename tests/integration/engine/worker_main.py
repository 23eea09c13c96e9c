"""A worker process for tests: `python worker_main.py SETTINGS_JSON`; the folds are simple and deterministic."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from streams.engine.fold import TICK_TOPIC, Folded, Out, wait_label
from streams.engine.settings import WorkerSettings
from streams.engine.worker import create_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.engine.fold import Record


class SetFold:
    """A state is the sorted set of event ids seen, so that duplicates and order do not matter.

    Each change of the set emits its size to `out`. Values are JSON: {"id": n, "boom": true, "bad": true, ...}.
    """

    def __init__(self, name: str = "sets", topics: tuple[str, ...] = ("in-a", "in-b"), out: str = "out") -> None:
        self.name = name
        self.topics = topics
        self.changelog = f"{name}-changelog"
        self.facts = "facts"
        self._out = out

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        return [record.key for record in records]

    def fold(
        self,
        partition: int,
        records: Sequence[Record],
        states: Mapping[bytes, bytes | None],
        now: datetime,
        broadcast: Mapping[str, Mapping[bytes, bytes]],
    ) -> Folded:
        held: dict[bytes, dict[str, Any]] = {}
        result = Folded({}, [], [], {}, {}, {})
        outs: list[Out] = []
        dead: list[tuple[Record, str, str]] = []
        for record in records:
            if record.key not in held:
                state = states[record.key]
                held[record.key] = json.loads(state) if state else {"ids": [], "ticks": 0}
            mine = held[record.key]
            if record.topic == TICK_TOPIC:
                mine["ticks"] += 1
                outs.append(Out(self._out, record.key, b"tick:" + record.value))
                continue
            try:
                event = json.loads(record.value)
            except ValueError as error:
                dead.append((record, "undecodable", str(error)))
                continue
            if event.get("show"):
                outs += [Out(self._out, record.key, k + b"=" + v) for k, v in broadcast[self.facts].items()]
            self._event(record, event, mine, now, result, outs)
        states_out = {key: _bytes(value) for key, value in held.items()}
        return Folded(states_out, outs, dead, {"applied": len(records)}, result.timers, result.waits)

    def _event(
        self,
        record: Record,
        event: dict[str, Any],
        mine: dict[str, Any],
        now: datetime,
        result: Folded,
        outs: list[Out],
    ) -> None:
        if event.get("boom"):
            raise RuntimeError("boom")
        if "pad" in event:
            mine["pad"] = "x" * event["pad"]
        if "due_in" in event:
            result.timers[record.key] = now + timedelta(seconds=event["due_in"])  # type: ignore[index]
        if "wait" in event:
            result.waits[record.key] = [wait_label(self.facts, event["wait"].encode())]  # type: ignore[index]
        if event["id"] not in mine["ids"]:
            mine["ids"] = sorted([*mine["ids"], event["id"]])
            outs.append(Out(self._out, record.key, str(len(mine["ids"])).encode()))


def _bytes(value: dict[str, Any]) -> bytes | None:
    return json.dumps(value, separators=(",", ":")).encode() if value["ids"] or value["ticks"] else None


def main() -> int:
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()])
    given = json.loads(sys.argv[1])
    given["data_dir"] = Path(given["data_dir"])
    given["broadcast_topics"] = tuple(given.get("broadcast_topics", ()))
    prefix = given.pop("prefix", "")
    topics = tuple(f"{prefix}{name}" for name in ("in-a", "in-b"))
    fold = SetFold(f"{prefix}sets", topics, f"{prefix}out")
    fold.facts = f"{prefix}facts"

    async def run() -> int:
        return await create_worker(WorkerSettings(**given), [fold], now=lambda: datetime.now(UTC)).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
