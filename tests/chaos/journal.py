"""Watches the journal and the results on Kafka: which outcomes nobody knew, and how they were found out.

Reads the records as plain JSON: the rows of `sinks/delivery/row.py` as they are on the topic.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from app.core import consumers

_UNKNOWN = frozenset(("intent", "uncertain"))
_MEMBER = "batch"


@dataclass
class Connection:
    """The journal of one connection, as far as it tells what was not known."""

    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    epoch: int = 0
    """Of the newest owner."""
    unresolved: set[str] = field(default_factory=set)
    """Commands whose last owner died, or lost an answer, between the request and its outcome."""


@dataclass
class Asked:
    """Follows every journal row; a command counts once for each time that its outcome was unknown."""

    connections: defaultdict[str, Connection] = field(default_factory=lambda: defaultdict(Connection))
    counts: Counter[str] = field(default_factory=Counter)
    """unknown, found (the ledger held it), repeated (the ledger did not: the same was sent again)."""
    confirmed: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(connection, owner epoch) -> requests answered."""
    told: dict[tuple[str, str], int] = field(default_factory=dict)
    """(connection, command) -> the newest owner epoch that told what it came to, or that it is put off."""

    @property
    def resolved(self) -> int:
        """Return how many unknown outcomes were found out by asking the platform."""
        return self.counts["found"] + self.counts["repeated"]

    @property
    def open(self) -> list[str]:
        """Return the unknown commands that nobody found out about and no later owner answered for."""
        return [
            command
            for name, connection in self.connections.items()
            for command in sorted(connection.unresolved)
            if self.told.get((name, command), -1) < _last_epoch(connection, command)
        ]

    def tell(self, value: bytes) -> None:
        """Take one result: what an owner told it knows, whatever row of an earlier one comes late.

        What it put off while the platform was away is planned again, and asked about then, unless it was seen before.
        """
        result = json.loads(value)
        if result["outcome"] in {"confirmed", "deferred"}:
            place, epoch = (result["connection"], result["command"]), result.get("epoch", 0)
            self.told[place] = max(epoch, self.told.get(place, 0))

    def take(self, key: str, value: bytes | None) -> None:
        """Take one record of the topic."""
        name, _, rest = key.partition("|")
        connection = self.connections[name]
        if rest == "@epoch":
            connection.epoch = int(value or b"0")
            self._new_owner(connection)
            return
        command, _, step = rest.partition("/")
        if value is None:  # the rows of a set go when it has its result
            connection.rows.pop((command, step), None)
            self._resolve(connection, [command], "found")
            return
        row = json.loads(value)
        if row["epoch"] < connection.epoch:  # a stopped owner's last batch: it did not send that
            return
        row.setdefault("state", "intent")
        known = connection.rows.get((command, step))
        connection.rows[command, step] = row
        self._follow(connection, command, row, known)
        if row["state"] == "confirmed" and step != _MEMBER:
            self.confirmed[name, row["epoch"]] += 1

    def _follow(self, connection: Connection, command: str, row: dict[str, Any], known: dict[str, Any] | None) -> None:
        commands = row.get("members") or [command]
        if row["state"] == "settled":
            self._resolve(connection, commands, "found")
        elif row["state"] in {"intent", "not_done"}:
            self._resolve(connection, commands, "repeated")
        elif row["state"] == "uncertain" and (known is None or known["state"] != "uncertain"):
            self._unknown(connection, [one for one in commands if not self._told(connection, one)])

    def _new_owner(self, connection: Connection) -> None:
        """What the last owner left open is unknown to the new one; a batch as long as a member has no row of its own."""
        for (command, _), row in connection.rows.items():
            if row.get("members"):
                if row["state"] in {*_UNKNOWN, "confirmed"}:
                    self._unknown(connection, [one for one in row["members"] if not self._told(connection, one)])
            elif row["state"] in _UNKNOWN:
                self._unknown(connection, [command])

    def _told(self, connection: Connection, command: str) -> bool:
        return (command, _MEMBER) in connection.rows

    def _unknown(self, connection: Connection, commands: Iterable[str]) -> None:
        fresh = set(commands) - connection.unresolved
        connection.unresolved |= fresh
        if fresh:
            self.counts["unknown"] += len(fresh)

    def _resolve(self, connection: Connection, commands: Iterable[str], how: str) -> None:
        known = connection.unresolved & set(commands)
        connection.unresolved -= known
        if known:
            self.counts[how] += len(known)


def _last_epoch(connection: Connection, command: str) -> int:
    """Return the epoch of the newest row that leaves the command in doubt."""
    rows = connection.rows.items()
    return max((row["epoch"] for (one, _), row in rows if command in (one, *row.get("members", ()))), default=0)


class Observer:
    """Reads the journal, the results and the dead letters from the beginning while the run goes on."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        """Nothing is read before `start`."""
        self.asked = Asked()
        self.outcomes: Counter[str] = Counter()
        self.dead: list[str] = []
        self._prefix = prefix
        topics = [prefix + name for name in ("journal", "results", "dead-letters")]
        self._consumer = AIOKafkaConsumer(
            *topics, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        await self._consumer.start()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Read to the present end and stop."""
        await asyncio.sleep(1.5)
        if self._task is not None:
            self._task.cancel()
            failed = (await asyncio.gather(self._task, return_exceptions=True))[0]
            await consumers.stop(self._consumer)
            if isinstance(failed, Exception):
                raise failed

    async def _run(self) -> None:
        while True:
            for place, records in (await self._consumer.getmany(timeout_ms=300)).items():
                for record in records:
                    self._take(place.topic.removeprefix(self._prefix), record)

    def _take(self, topic: str, record: ConsumerRecord) -> None:
        if topic == "journal":
            self.asked.take(record.key.decode(), record.value)
        elif topic == "results":
            self.outcomes[json.loads(record.value)["outcome"]] += 1
            self.asked.tell(record.value)
        else:
            self.dead.append("; ".join(f"{name}: {text.decode(errors='replace')}" for name, text in record.headers))
