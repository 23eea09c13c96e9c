"""The batch path under every crash we could think of, against an in-memory Kafka and a real store."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.core.metrics import new_metrics
from streams.engine import changelog
from streams.engine.batch_path import PartitionPath
from streams.engine.broadcast import Broadcast
from streams.engine.fold import Fenced, Folded, Out, Record
from streams.engine.header import EPOCH_KEY, HEADER, state_of, unpack_header
from streams.engine.instruments import Instruments
from streams.engine.recovery import apply
from streams.engine.settings import WorkerSettings
from streams.engine.ship import Landed
from streams.engine.store import Store, StoreOptions
from streams.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.engine.ship import Address, Parcel

CHANGELOG = ("sets-changelog", 0)
KEYS = (b"a", b"b", b"c")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone."""


class Logged(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Log(dict[tuple[str, int], list[Logged]]):
    """All topics; a shipper appends to it, completely, in part, or not at all."""

    fault = "none"

    async def ship(self, parcels: dict[Address, Parcel]) -> dict[Address, list[Landed]]:
        fault, marker = self.fault, any(parcel[0][0] == EPOCH_KEY for parcel in parcels.values())
        fault = "none" if marker else fault
        await asyncio.sleep(0)
        if fault == "before":
            raise Killed
        landed: dict[Address, list[Landed]] = {}
        for number, (address, parcel) in enumerate(parcels.items()):
            if fault == "partial" and number:
                raise Killed
            log = self.setdefault(address, [])
            landed[address] = [Landed(len(log), len(parcel))]
            log.extend(Logged(len(log) + i, *entry) for i, entry in enumerate(parcel))
        if fault in ("after", "partial"):
            raise Killed
        return landed

    async def partitions(self, topic: str) -> int:
        return 1

    async def address(self, out: Out) -> Address:
        return out.topic, 0

    def check(self, key: bytes | None, value: bytes | None, headers: int) -> None: ...


class Membership:
    """The generation of the group as the worker knows it."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.generation = 1

    def current(self, generation: int) -> bool:
        return generation == self.generation and self.log.fault != "fenced"

    async def check(self, generation: int) -> None:
        if generation != self.generation:
            raise Fenced("moved")


class Sets:
    """States are sets of ids; each new id is also emitted."""

    name = "sets"
    topics: tuple[str, ...] = ("one", "two")
    changelog = "sets-changelog"

    def keys(self, records: Sequence[Record]) -> list[bytes]:
        return [record.key for record in records]

    def fold(self, partition: int, records: Sequence[Record], states: Any, now: Any, broadcast: Any) -> Folded:
        held: dict[bytes, set[int]] = {}
        outs = []
        for record in records:
            known = held.setdefault(record.key, set(json.loads(states[record.key] or b"[]")))
            number = int(record.value)
            if number < 0:
                raise RuntimeError("poison")
            if number not in known:
                known.add(number)
                outs.append(Out("out", record.key, record.value))
        return Folded({key: json.dumps(sorted(ids)).encode() for key, ids in held.items()}, outs, [], {})


class PathMachine(RuleBasedStateMachine):
    """One partition that is produced to, polled, killed in the worst moments, and taken over."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.log = Log()
        self.sources: dict[str, list[tuple[bytes, int]]] = {"one": [], "two": []}
        self.committed = {"one": 0, "two": 0}
        self.settings = WorkerSettings(bootstrap="", group="", name="w", data_dir=self.folder, max_batch=8)
        self.options = StoreOptions(self.settings)
        self.disks = 0
        self.numbers = 0
        self.poisoned: set[bytes] = set()
        self.membership = Membership(self.log)
        self.zombie: PartitionPath | None = None
        patch = mock.patch.object(changelog, "read_range", self.read_range)
        patch.start()
        self.unpatch = patch.stop
        self.store = Store(self.folder / "0", self.options)
        self.path = self.take_over()

    async def read_range(self, given: Any, tp: Any, start: int, end: int) -> list[Logged]:
        return self.log[tp.topic, tp.partition][start:end]

    def around(self, membership: Membership) -> Surroundings:
        return Surroundings(
            settings=self.settings,
            shipper=self.log,  # type: ignore[arg-type]
            broadcast=Broadcast(self.settings, self.log.partitions),
            instruments=Instruments(new_metrics()),
            guard=membership,
            now=lambda: NOW,
            cpu=asyncio.Lock(),
        )

    def take_over(self, intruder: bytes | None = None) -> PartitionPath:
        """Recover, then claim; *intruder* names a key that a late writer appends between the two."""
        self.log.fault = "none"
        entries = self.log.setdefault(CHANGELOG, [])
        if self.store.position > len(entries):
            self.store.reset()
        apply(self.store, entries[self.store.position :], len(entries), durable=True)
        highest = self.store.epoch
        if intruder is not None:
            self.append_old(intruder)
        self.membership.generation += 1
        self.path = PartitionPath(
            Sets(),
            0,
            partitions=1,
            store=self.store,
            generation=self.membership.generation,
            committed=self.committed,
            around=self.around(self.membership),
        )
        self.loop.run_until_complete(self.path.log.claim())
        assert self.store.epoch > highest
        assert self.store.position == len(entries)
        self.path.state = "running"
        return self.path

    @rule(topic=st.sampled_from(["one", "two"]), key=st.sampled_from(KEYS), again=st.integers(0, 30))
    def produce(self, topic: str, key: bytes, again: int) -> None:
        """A new event, or one of the last thirty once more."""
        self.numbers += 1
        everything = [event for log in self.sources.values() for event in log if event[1] >= 0]
        known = everything[-again] if 0 < again <= len(everything) else (key, self.numbers)
        self.sources[topic].append(known)

    @rule(key=st.sampled_from(KEYS))
    def produce_poison(self, key: bytes) -> None:
        self.sources["one"].append((key, -1))
        self.poisoned.add(key)

    @rule(fault=st.sampled_from(["none", "before", "partial", "after", "write", "fenced", "uncommitted"]))
    def poll(self, fault: str) -> None:
        self.feed()
        self.log.fault = fault
        write = mock.patch.object(Store, "write", side_effect=Killed)
        try:
            if fault == "write":
                with write:
                    self.step()
            else:
                self.step()
        except (Killed, Fenced):
            self.path = self.take_over()
            return
        self.log.fault = "none"
        if fault != "uncommitted":
            self.commit()

    def feed(self) -> None:
        for topic, log in self.sources.items():
            at = self.path._read[topic]
            records = [Record(topic, 0, at + i, key, b"%d" % n, (), 0) for i, (key, n) in enumerate(log[at : at + 5])]
            if records:
                self.path.offer(records)

    def step(self) -> None:
        self.loop.run_until_complete(self.path._step(*self.path._next()))

    def commit(self) -> None:
        for topic, offset in self.path.done.items():
            assert offset >= self.committed[topic]
            self.committed[topic] = offset

    @rule(disk=st.sampled_from(["same", "empty", "stale"]), intruder=st.sampled_from([None, *KEYS]))
    def move(self, disk: str, intruder: bytes | None) -> None:
        """Another worker takes over, with the same, an empty or an old copy of the disk."""
        self.store.close()
        if disk == "empty":
            self.disks += 1
        if disk == "stale" and (self.folder / "copy").exists():
            self.disks += 1
            shutil.copytree(self.folder / "copy", self.folder / str(self.disks))
        self.store = Store(self.folder / str(self.disks), self.options)
        self.path = self.take_over(intruder)

    @rule()
    def copy_disk(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder / "copy", ignore_errors=True)
        shutil.copytree(self.folder / str(self.disks), self.folder / "copy")
        self.store = Store(self.folder / str(self.disks), self.options)
        self.path = self.take_over()

    @rule(key=st.sampled_from(KEYS))
    def late_write(self, key: bytes) -> None:
        """A worker that lost the partition long ago wakes up and appends one of its old states."""
        self.work(key)
        self.path = self.take_over()
        self.work(key)
        if self.append_old(key):
            log = self.log[CHANGELOG]
            self.path.tail_seen(len(log))
            self.loop.run_until_complete(self.path.log.repair(self.store.position, len(log)))

    @rule(key=st.sampled_from(KEYS))
    def work(self, key: bytes) -> None:
        self.produce("one", key, 0)
        self.poll("none")

    def append_old(self, key: bytes) -> bool:
        log = self.log[CHANGELOG]
        older = [entry for entry in log if entry.key == key and self.epoch(entry) < self.store.epoch]
        log.extend(entry._replace(offset=len(log)) for entry in older[:1])
        return bool(older)

    def epoch(self, entry: Logged) -> int:
        return unpack_header(dict(entry.headers)[HEADER]).epoch

    @invariant()
    def offsets_never_pass_an_unfinished_event(self) -> None:
        if not hasattr(self, "path"):
            return
        for topic, offset in self.committed.items():
            for key, number in self.sources[topic][:offset]:
                value = state_of(self.store.get_many([key])[0])
                assert number in json.loads(value or b"[]") or key in self.poisoned

    def teardown(self) -> None:
        if not hasattr(self, "path"):
            return
        try:
            self.drain()
            self.check()
        finally:
            self.store.close()
            self.loop.close()
            self.unpatch()
            shutil.rmtree(self.folder)

    def drain(self) -> None:
        while any(self.path.done[topic] < len(log) for topic, log in self.sources.items()):
            self.feed()
            self.step()

    def check(self) -> None:
        wanted: dict[bytes, set[int]] = {}
        for log in self.sources.values():
            for key, number in log:
                if number >= 0:
                    wanted.setdefault(key, set()).add(number)
        dead = {(entry.key, int(entry.value or b"0")) for entry in self.log.get(("dead-letters", 0), [])}
        emitted = {(entry.key, int(entry.value or b"0")) for entry in self.log.get(("out", 0), [])}
        for key, numbers in wanted.items():
            held = set(json.loads(state_of(self.store.get_many([key])[0]) or b"[]"))
            assert held <= numbers
            assert all((key, number) in dead for number in numbers - held)
            assert all((key, number) in emitted for number in held)
        fresh = Store(self.folder / "fresh", self.options)
        apply(fresh, self.log[CHANGELOG], len(self.log[CHANGELOG]), durable=True)
        assert fresh.digest() == self.store.digest()
        compacted = {entry.key: entry for entry in self.log[CHANGELOG]}
        for key in wanted:
            if key in compacted and fresh.get_many([key])[0] is not None:
                assert compacted[key].value == state_of(fresh.get_many([key])[0])
        fresh.close()


PathMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPath = PathMachine.TestCase
