"""The fold of the machine: the newest version of each part of an order, and commands with ids that replays repeat."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streams.engine.fold import TICK_TOPIC, Folded, Out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streams.engine.fold import Record


class Versions:
    """A part that is new is created once; every change of the order sets all its versions.

    Values are JSON: {"id": n, "part": "x", "version": n}, with "due": ms for a tick, or {"id": n, "poison": true}.
    """

    name = "versions"

    def __init__(self, prefix: str) -> None:
        self.topics = (f"{prefix}orders", f"{prefix}books")
        self.changelog = f"{prefix}changelog"
        self.commands = f"{prefix}commands"
        self.dead = f"{prefix}dead"

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
        held: dict[bytes, dict[str, int]] = {}
        outs: list[Out] = []
        timers: dict[bytes, datetime | None] = {}
        for record in records:
            if record.topic == TICK_TOPIC:
                outs.append(Out(self.commands, record.key, command("tick", record.key)))
                continue
            event: dict[str, Any] = json.loads(record.value)
            if event.get("poison"):
                raise RuntimeError("poison")
            if record.key not in held:
                held[record.key] = parts(states[record.key])
            known, part = held[record.key], event["part"]
            if part not in known:
                outs.append(Out(self.commands, record.key, command(f"create/{part}", record.key)))
            if event["version"] <= known.get(part, 0):
                continue
            known[part] = event["version"]
            outs.append(Out(self.commands, record.key, command("set", record.key, known)))
            if "due" in event:
                timers[record.key] = datetime.fromtimestamp(event["due"] / 1000, UTC)
        return Folded({key: packed(known) for key, known in held.items()}, outs, [], {}, timers)


def parts(state: bytes | None) -> dict[str, int]:
    found: dict[str, int] = json.loads(state) if state else {}
    return found


def packed(known: dict[str, int]) -> bytes:
    return json.dumps(known, sort_keys=True).encode()


def command(what: str, key: bytes, known: dict[str, int] | None = None) -> bytes:
    """Return a command; its id is made of what is done to which order, never of when."""
    return json.dumps({"id": f"{what}/{key.decode()}", "parts": known}, sort_keys=True).encode()
