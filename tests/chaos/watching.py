"""Reads every topic while a run goes on, and says whether a committed offset ever was past work that was not finished.

What is finished shows itself on the topics alone, as plain JSON: a change event once a state of the order table holds its
object in that version or newer, or once it was sent on to its home in the link table; a placed fact likewise; a link
message once its row is in the changelog; a command once it is in its inbox or has a result; and everything that became a
dead letter. Committed offsets are read first and the topics after them, so that lateness never looks like a loss.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from app.core import consumers
from tests.chaos.journal import Asked

EVENTS = ("crm-changes", "accounting-changes")
_JUDGED = {"o2c-streams": (*EVENTS, "order-facts", "links"), "o2c-connectors": ("commands",)}
_EVIDENCE = ("orders-changelog", "links-changelog", "inbox", "results", "dead-letters", "journal", "order-states")
_PATIENCE = 60.0
Version = tuple[int, bool, int, int]


@dataclass(frozen=True)
class Work:
    """One record that somebody's committed offset must not pass before it is finished."""

    topic: str
    partition: int
    offset: int
    kind: str
    """object, row, command or nobody's."""
    id: str
    version: Version = (0, False, 0, 0)


def version_of(row: dict[str, Any]) -> Version:
    """Return a version as something that compares; what is 0 or false is left out on the topics."""
    found = row.get("version") or {}
    return (
        int(found.get("native", 0)),
        bool(found.get("read", False)),
        int(found.get("epoch", 0)),
        int(found.get("seq", 0)),
    )


def object_key(ref: dict[str, str]) -> str:
    """Return the published key of an object."""
    return f"{ref['connection']}@{ref['account']}/{ref['type']}/{ref['id']}"


@dataclass
class Evidence:
    """What the topics show as finished."""

    objects: dict[str, Version] = field(default_factory=dict)
    """Object -> the newest version that a table holds or that was sent on."""
    rows: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)
    dead: set[tuple[str, int, int]] = field(default_factory=set)
    waiting: defaultdict[tuple[str, int], deque[Work]] = field(default_factory=lambda: defaultdict(deque))
    judged: int = 0

    def take(self, topic: str, partition: int, offset: int, key: str, value: bytes | None, headers: Any) -> None:
        """Take one record, its topic without the prefix."""
        if topic in EVENTS or topic == "order-facts":
            self._event(topic, partition, offset, value)
        elif topic == "links":
            self._wait(Work(topic, partition, offset, "row", key))
            message = json.loads(value or b"{}")
            if message.get("type") == "place":
                self._held(message["event"])
        elif topic == "commands":
            self._wait(Work(topic, partition, offset, "command", json.loads(value or b"{}")["id"]))
        else:
            self._finish(topic, key, value, headers)

    def _finish(self, topic: str, key: str, value: bytes | None, headers: Any) -> None:
        if topic == "orders-changelog" and value and not key.startswith("\x00"):
            for seen in json.loads(value).get("objects", {}).values():
                self._held(seen)
        elif topic == "links-changelog":
            self.rows.add(key)
        elif topic == "inbox":
            self.commands.add(key.partition("|")[2])
        elif topic == "results":
            self.commands.add(json.loads(value or b"{}")["command"])
        elif topic == "dead-letters":
            self._dead(dict(headers))

    def _event(self, topic: str, partition: int, offset: int, value: bytes | None) -> None:
        record = json.loads(value or b"{}")
        event = record.get("event", record) if topic == "order-facts" else record
        if "object" not in event:
            return  # a hand-over of a merged order
        nobodys = (event.get("facts") or {}).get("type") in {"customer", "payout"} and not event.get("anchors")
        kind = "nobody's" if nobodys else "object"
        self._wait(Work(topic, partition, offset, kind, object_key(event["object"]), version_of(event)))

    def _held(self, seen: dict[str, Any]) -> None:
        key, version = object_key(seen["object"]), version_of(seen)
        self.objects[key] = max(version, self.objects.get(key, version))

    def _wait(self, work: Work) -> None:
        self.waiting[work.topic, work.partition].append(work)

    def _dead(self, headers: dict[str, bytes]) -> None:
        if "origin-offset" in headers:
            numbers = (int(headers[name]) for name in ("origin-partition", "origin-offset"))
            self.dead.add((headers["origin-topic"].decode().rpartition("-")[2], *numbers))  # type: ignore[arg-type]

    def finished(self, work: Work) -> bool:
        """Tell whether *work* has left what it was to leave."""
        if (work.topic.rpartition("-")[2], work.partition, work.offset) in self.dead or work.kind == "nobody's":
            return True
        if work.kind == "object":
            return self.objects.get(work.id, (-1, False, 0, 0)) >= work.version
        return work.id in (self.rows if work.kind == "row" else self.commands)

    def judge(self, committed: dict[tuple[str, int], int]) -> list[str]:
        """Return a sentence for each record below a committed offset that is not finished."""
        found = []
        for place, offset in committed.items():
            waiting = self.waiting[place]
            while waiting and waiting[0].offset < offset:
                work = waiting.popleft()
                self.judged += 1
                if not self.finished(work):
                    found.append(
                        f"{work.topic}/{work.partition} was committed up to {offset}, but {work.kind} {work.id} of"
                        f" offset {work.offset} is in no table."
                    )
        return found


class Watch:
    """Follows the topics of a run from their beginning."""

    def __init__(self, bootstrap: str, prefix: str, partitions: int) -> None:
        """Nothing is read before `start`."""
        self.evidence = Evidence()
        self.asked = Asked()
        self.outcomes: Counter[str] = Counter()
        self.dead: list[str] = []
        self.early: list[str] = []
        """Committed offsets that were past unfinished work."""
        self.events: list[dict[str, Any]] = []
        """Every change event on the topics: id, object, version, facts."""
        self.states: dict[str, dict[str, Any]] = {}
        """Order -> its newest public state."""
        self.raw: list[tuple[str, int, bytes, bytes | None, Any]] = []
        """The change events as they are, to play them again."""
        self._prefix, self._bootstrap, self._partitions = prefix, bootstrap, partitions
        self._places: list[TopicPartition] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
            max_partition_fetch_bytes=4 * 1024 * 1024, request_timeout_ms=20_000,
        )  # fmt: skip
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await asyncio.gather(self._consumer.start(), self._admin.start())
        names = {name for topics in _JUDGED.values() for name in topics} | set(_EVIDENCE)
        self._places = [
            TopicPartition(self._prefix + name, part) for name in sorted(names) for part in range(self._partitions)
        ]
        self._consumer.assign(self._places)
        await self._consumer.seek_to_beginning(*self._places)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; what went wrong meanwhile is raised."""
        if self._task is not None:
            self._task.cancel()
            failed = (await asyncio.gather(self._task, return_exceptions=True))[0]
            await consumers.stop(self._consumer)
            await self._admin.close()
            if isinstance(failed, Exception):
                raise failed

    async def _run(self) -> None:
        while True:
            for place, records in (await self._consumer.getmany(timeout_ms=300)).items():
                for record in records:
                    self._take(place.topic.removeprefix(self._prefix), record)

    def _take(self, topic: str, record: ConsumerRecord) -> None:
        key = (record.key or b"").decode("utf-8", "replace")
        self.evidence.take(topic, record.partition, record.offset, key, record.value, record.headers)
        if topic == "journal":
            self.asked.take(key, record.value)
        elif topic == "results":
            self.outcomes[json.loads(record.value)["outcome"]] += 1
            self.asked.tell(record.value)
        elif topic == "dead-letters":
            self.dead.append("; ".join(f"{name}: {text.decode(errors='replace')}" for name, text in record.headers))
        elif topic == "order-states" and record.value:
            self.states[key] = json.loads(record.value)
        elif topic in EVENTS:
            self._note(topic, record)

    def _note(self, topic: str, record: ConsumerRecord) -> None:
        names = {name: value.decode("utf-8", "replace") for name, value in record.headers}
        event = json.loads(record.value)
        row = {"topic": topic, "id": names.get("ce_id", ""), "key": (record.key or b"").decode()}
        row |= {name: event.get(name) for name in ("tenant", "object", "version", "facts", "anchors")}
        self.events.append(row)
        self.raw.append((topic, record.partition, record.key, record.value, record.headers))

    async def check_offsets(self) -> int:
        """Compare what the groups have committed with what is finished; return how many records were judged so far."""
        try:
            committed = await self._committed()
            await self._caught_up()
        except (KafkaError, TimeoutError, OSError):  # no broker answers now: the next look sees the same records
            return self.evidence.judged
        self.early += self.evidence.judge(committed)
        return self.evidence.judged

    async def _committed(self) -> dict[tuple[str, int], int]:
        found: dict[tuple[str, int], int] = {}
        for group, names in _JUDGED.items():
            told = await self._admin.list_consumer_group_offsets(self._prefix + group)
            for place, what in told.items():
                name = place.topic.removeprefix(self._prefix)
                if name in names:
                    found[name, place.partition] = what.offset
        return found

    async def _caught_up(self) -> None:
        """Wait until everything that is there now was taken: a position moves when records are handed over."""
        ends = await self._consumer.end_offsets(self._places)
        began = time.monotonic()
        for place, end in ends.items():
            while await self._consumer.position(place) < end:
                if time.monotonic() - began > _PATIENCE:
                    raise TimeoutError
                await asyncio.sleep(0.05)

    async def lag(self, groups: Iterable[str] = ("o2c-streams", "o2c-connectors", "o2c-deliveries")) -> int:
        """Return how many records the groups have not committed."""
        left = 0
        for group in groups:
            told = await self._admin.list_consumer_group_offsets(self._prefix + group)
            ends = await self._consumer.end_offsets([TopicPartition(*place) for place in told])
            left += sum(ends[TopicPartition(*place)] - max(0, what.offset) for place, what in told.items())
        return left
