"""The engine as a state machine: events come, workers die, sleep, wake late and take over; nothing may be lost.

The real engine runs (partition paths, changelogs, stores, recovery, standbys); what is modelled is the group, which
says who owns what, and in short runs the broker. `tests/long` runs the same machine on a real Kafka.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import mock

import structlog
from aiokafka import TopicPartition
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.engine import recovery
from streams.engine.batch_path import FORWARDED, ORIGIN
from streams.engine.header import EPOCH_KEY, HEADER, SEEN_KEY, pack_value, state_of, unpack_header
from streams.engine.partitioner import partition_of
from streams.engine.store import Store, StoreOptions
from tests.property.engine.logs import Memory
from tests.property.engine.versions import Versions, parts
from tests.property.engine.workers import PARTITIONS, POINTS, Group, Plan, Worker, watched_reading, watched_write

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from tests.property.engine.logs import Entry, Logs

KEYS = (b"a", b"b", b"c", b"d")
START = datetime(2026, 1, 1, tzinfo=UTC)
_ACTIONS = st.sampled_from(["kill", "sleep", "wake", "commit"])
_PLANS = st.none() | st.builds(Plan, st.sampled_from(POINTS), st.sampled_from([0, 0, 0, 1, 2]), _ACTIONS)
_NAMES = st.sampled_from([0, 1])
_IN_MEMORY = Path("/dev/shm")
"""Where there is one: a database syncs whenever it is opened, and hundreds are."""


class EngineMachine(RuleBasedStateMachine):
    """Two workers share two partitions of one table."""

    make_logs: ClassVar[Callable[[], Logs]] = Memory

    @initialize()
    def start(self) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        self.folder = Path(tempfile.mkdtemp(prefix="o2c-machine-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None))
        self.loop = asyncio.new_event_loop()
        self.patches = [
            mock.patch.object(Store, "write", watched_write),
            mock.patch.object(recovery, "reading", watched_reading),
        ]
        for patch in self.patches:
            patch.start()
        self.logs = type(self).make_logs()
        self.fold = Versions(self.logs.prefix)
        self.group = Group(self.logs, self.check_commit)
        self.now = START
        self.numbers = 0
        self.held_back: list[tuple[str, int, bytes, bytes]] = []
        self.shown: dict[bytes, dict[str, int]] = {}
        self.tries = 0
        self.do(self.begin())

    async def begin(self) -> None:
        counts = {
            **dict.fromkeys((*self.fold.topics, self.fold.changelog), PARTITIONS),
            self.fold.commands: 1,
            self.fold.dead: 1,
        }
        await self.logs.start(counts, self.folder)
        self.workers = [
            Worker(f"w{n}", self.folder, self.fold, self.group, self.logs, lambda: self.now) for n in (0, 1)
        ]
        for worker in self.workers:
            await worker.start("empty")
            worker.wake_others = self.wake_sleepers
        await self.share((0, 1))

    def do(self, doing: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(doing)

    # ---------------------------------------------------------------------------------------------------- events

    @rule(
        topic=st.sampled_from([0, 1]),
        key=st.sampled_from(KEYS),
        part=st.sampled_from("xyz"),
        how=st.sampled_from(["plain", "plain", "late", "due", "misplaced", "poison"]),
    )
    def produce(self, topic: int, key: bytes, part: str, how: str) -> None:
        """A new version; or one that comes later than the next; or one in the wrong partition; or one that no fold can bear."""
        self.numbers += 1
        body: dict[str, Any] = {"id": self.numbers, "part": part, "version": self.numbers}
        if how == "poison":
            body = {"id": self.numbers, "poison": True}
        if how == "due":
            body["due"] = int((self.now + timedelta(seconds=30)).timestamp() * 1000)
        home = partition_of(key, PARTITIONS)
        event = (self.fold.topics[topic], 1 - home if how == "misplaced" else home, key, json.dumps(body).encode())
        if how == "late":
            self.held_back.append(event)
        else:
            self.do(self.append(*event))

    @precondition(lambda self: self.held_back)
    @rule()
    def reorder(self) -> None:
        """What was held back arrives behind what came after it."""
        self.do(self.append(*self.held_back.pop(0)))

    @rule(topic=st.sampled_from([0, 1]), back=st.integers(1, 20))
    def duplicate(self, topic: int, back: int) -> None:
        """One of the last events comes again, on either topic."""
        known = [entry for entry in self.events() if b"poison" not in (entry.value or b"")]
        if known:
            entry = known[-min(back, len(known))]
            self.do(
                self.append(self.fold.topics[topic], partition_of(entry.key, PARTITIONS), entry.key, entry.value or b"")
            )

    async def append(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        await self.logs.ship({(topic, partition): [(key, value, [])]})
        await self.logs.refresh()

    def events(self) -> Iterator[Entry]:
        for topic in self.fold.topics:
            for partition in range(PARTITIONS):
                yield from self.logs.history[topic, partition]

    # --------------------------------------------------------------------------------------------------- workers

    @rule(number=_NAMES, plan=_PLANS, commit=st.booleans())
    def poll(self, number: int, plan: Plan | None, commit: bool) -> None:  # noqa: FBT001  drawn by its name
        """A worker takes what there is, and perhaps commits; or comes only as far as *plan* lets it."""
        self.do(self.polled(self.workers[number], plan, commit=commit))

    async def polled(self, worker: Worker, plan: Plan | None, *, commit: bool) -> None:
        if worker.state != "up":
            return
        worker.plan = plan
        worker.feed()
        await self.settled()
        if commit and worker.state == "up":
            await worker.within(worker.engine.commit())
            await self.settled()
        worker.plan = None

    @rule(number=_NAMES)
    def crash(self, number: int) -> None:
        """Somebody is killed while it does nothing."""
        worker = self.workers[number]
        if worker.state != "down":
            self.do(worker.bury())

    @rule(number=_NAMES, disk=st.sampled_from(["same", "same", "empty", "older"]))
    def restart(self, number: int, disk: str) -> None:
        worker = self.workers[number]
        if worker.state == "down":
            self.do(worker.start(disk, self.folder / f"copy-{worker.name}"))

    @rule(layout=st.sampled_from([(0, 0), (1, 1), (0, 1), (1, 0)]), plan=_PLANS, whose=_NAMES)
    def rebalance(self, layout: tuple[int, int], plan: Plan | None, whose: int) -> None:
        """The group deals its partitions anew; *plan* comes true while it does."""
        self.workers[whose].plan = plan
        self.do(self.share(layout))
        self.workers[whose].plan = None

    async def share(self, layout: tuple[int, int]) -> None:
        """Let all that live give back and take: each partition goes to whom *layout* names, else to the other one."""
        for worker in self.workers:
            if worker.state == "up":
                worker.engine.revoking()
                await worker.within(worker.engine.quiesce())
        await self.buried()
        members = [worker for worker in self.workers if worker.state == "up"]
        self.group.generation += 1
        self.group.owners = {n: self._owner(members, wanted) for n, wanted in enumerate(layout)}
        for worker in members:
            mine = {n for n, owner in self.group.owners.items() if owner is worker}
            await worker.assigned(mine, set(range(PARTITIONS)) - mine, self.group.generation)
        await self.settled()

    def _owner(self, members: list[Worker], wanted: int) -> Worker | None:
        return self.workers[wanted] if self.workers[wanted] in members else next(iter(members), None)

    async def settled(self) -> None:
        for worker in self.workers:
            if worker.state == "up":
                await worker.settle()
        await self.buried()
        await self.logs.refresh()

    async def buried(self) -> None:
        for worker in self.workers:
            if worker.killed:
                await worker.bury()

    @rule(number=_NAMES)
    def wake(self, number: int) -> None:
        """A worker that slept through its session goes on where it was, tries to commit, and only then hears of it."""
        if self.workers[number].state == "asleep":
            self.do(self.woken(self.workers[number]))

    async def woken(self, worker: Worker) -> None:
        if self.group.generation == worker.host.belief:  # a session ends before a sleeper is replaced
            await self.share((1, 1) if worker is self.workers[0] else (0, 0))
        await worker.wake()
        await worker.hear()
        await self.settled()

    @rule(
        number=_NAMES,
        point=st.sampled_from(["changelog:before", *POINTS]),
        action=_ACTIONS,
        key=st.sampled_from(KEYS),
        other=st.sampled_from(KEYS),
        back=st.booleans(),
    )
    def trouble(self, number: int, point: str, action: str, key: bytes, other: bytes, back: bool) -> None:  # noqa: FBT001  drawn
        """A worker meets its fate in its work, is replaced, goes on or is started again, and perhaps owns again."""
        self.do(self.share((number, number)))
        self.produce(0, key, "x", "plain")
        self.poll(number, Plan(point, 0, action), commit=True)
        self.do(self.share((1 - number, 1 - number)))
        self.produce(0, other, "y", "plain")
        self.poll(1 - number, None, commit=True)
        self.wake(number)
        self.restart(number, "same")
        if back:
            self.do(self.share((number, number)))

    async def wake_sleepers(self) -> None:
        for worker in self.workers:
            if worker.state == "asleep" and self.group.generation != worker.host.belief:
                await worker.wake()

    @rule(number=_NAMES)
    def copy_disk(self, number: int) -> None:
        """Keep what a worker that is down has on its disk, for a restart from a backup."""
        worker = self.workers[number]
        if worker.state == "down" and worker.disk.exists():
            copy = self.folder / f"copy-{worker.name}"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(worker.disk, copy)

    @rule(seconds=st.sampled_from([10, 60]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.do(self.looked())

    async def looked(self) -> None:
        """Owners look at the end of their changelogs, as they do every few seconds, and at their timers."""
        for worker in self.workers:
            if worker.state != "up":
                continue
            for path in worker.engine.paths:
                path.tail_seen(len(self.logs.history[self.fold.changelog, path.partition]))
        await self.settled()

    @rule()
    def compact(self) -> None:
        """The broker keeps the last record of each key; it waits longer than owners need to look at their changelogs."""
        self.do(self.looked())
        for partition, owner in self.group.owners.items():
            if owner is not None and owner.state == "up":
                self.logs.compact((self.fold.changelog, partition))

    # ----------------------------------------------------------------------------------------------------- truth

    def legitimate(self, partition: int) -> dict[bytes, Entry]:
        """Return the last state of each key, without what former owners wrote behind the claim of a newer one."""
        found: dict[bytes, Entry] = {}
        claimed = 0
        for entry in self.logs.history[self.fold.changelog, partition]:
            epoch = unpack_header(dict(entry.headers)[HEADER]).epoch
            if entry.key == EPOCH_KEY:
                claimed = max(claimed, epoch)
            elif entry.key != SEEN_KEY and epoch >= claimed:
                found[entry.key] = entry
        return {key: entry for key, entry in found.items() if entry.value is not None}

    def check_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """No committed offset lies beyond an unfinished event: it is in the changelog, forwarded, or a dead letter."""
        states = {key: parts(e.value) for n in range(PARTITIONS) for key, e in self.legitimate(n).items()}
        dead = {entry.value for entry in self.logs.history[self.fold.dead, 0]}
        forwarded = {entry.value for entry in self.events() if FORWARDED in dict(entry.headers)}
        for tp, offset in offsets.items():
            for entry in self.logs.history[tp.topic, tp.partition][:offset]:
                event = json.loads(entry.value or b"")
                away = partition_of(entry.key, PARTITIONS) != tp.partition and entry.value in forwarded
                reached = states.get(entry.key, {}).get(event.get("part", ""), 0)
                assert away or entry.value in dead or reached >= event.get("version", math.inf), (
                    f"{tp} was committed beyond {event}"
                )

    @invariant()
    def a_store_holds_what_the_changelog_holds(self) -> None:
        """Owners that rest have every state that an owner logged, with its header, and nothing else; no version fell."""
        for partition, worker in self.group.owners.items() if hasattr(self, "group") else ():
            store = worker and worker.state == "up" and worker.engine.store(self.fold.changelog, partition)
            if not store:
                continue
            (path,) = [path for path in worker.engine.paths if path.partition == partition]  # type: ignore[union-attr]
            assert path.state == "running"
            logged = {k: _stored(e) for k, e in self.legitimate(partition).items()}
            assert dict(store.items()) == logged
            for key, value in store.items():
                known = self.shown.setdefault(key, {})
                now = parts(state_of(value))
                assert all(now.get(part, 0) >= version for part, version in known.items()), f"{key!r} fell"
                known.update(now)

    @invariant()
    def no_disk_is_ahead_of_the_changelog(self) -> None:
        """What any store holds, also of a worker that sleeps, was acknowledged by Kafka before."""
        for worker in self.workers if hasattr(self, "workers") else ():
            if worker.state == "down":
                continue
            for tp, store in worker.engine._stores.items():
                appended = {
                    (e.key, _stored(e)) for e in self.logs.history[tp.topic, tp.partition] if e.value is not None
                }
                assert set(store.items()) <= appended
                assert store.position <= len(self.logs.history[tp.topic, tp.partition])

    def teardown(self) -> None:
        if not hasattr(self, "workers"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.do(self.finished())
                self.check_commands()
        finally:
            self.do(self.ended())
            self.loop.close()
            for patch in self.patches:
                patch.stop()
            structlog.reset_defaults()
            shutil.rmtree(self.folder)

    async def finished(self) -> None:
        """Let everybody live and work until all is committed, then recover onto an empty disk."""
        for event in self.held_back:
            await self.append(*event)
        for worker in self.workers:
            worker.plan = None
            if worker.state == "asleep":
                await self.woken(worker)
            if worker.state == "down":
                await worker.start("same")
        await self.share((0, 1))
        for _ in range(200):
            for worker in self.workers:
                await self.polled(worker, None, commit=True)
            if await self.all_committed():
                break
        assert await self.all_committed()
        await self.looked()
        self.a_store_holds_what_the_changelog_holds()
        for partition in range(PARTITIONS):
            self.logs.compact((self.fold.changelog, partition))
        await self.recovered()

    async def all_committed(self) -> bool:
        ends = {(t, n): len(self.logs.history[t, n]) for t in self.fold.topics for n in range(PARTITIONS)}
        return all([await self.logs.committed(TopicPartition(*place)) == end for place, end in ends.items()])

    async def recovered(self) -> None:
        """The digest of an empty disk after recovery is that of the owner."""
        fresh = Worker("fresh", self.folder, self.fold, self.group, self.logs, lambda: self.now)
        await fresh.start("empty")
        options = StoreOptions(fresh.engine._settings)
        for partition, owner in self.group.owners.items():
            held = owner.engine.store(self.fold.changelog, partition)  # type: ignore[union-attr]
            store = Store(self.folder / f"fresh-{partition}", options)
            tp = TopicPartition(self.fold.changelog, partition)
            await fresh.within(_restored(fresh, {tp: store}))
            digest = store.digest()
            store.close()
            assert held is not None
            assert digest == held.digest()

    def check_commands(self) -> None:
        """Each new part was created, with one id and nothing else said under it; the last set says the final state."""
        said: dict[str, set[bytes]] = {}
        sets: dict[bytes, tuple[int, int, Any]] = {}
        for entry in self.logs.history[self.fold.commands, 0]:
            told = json.loads(entry.value or b"")
            if told["id"].startswith("set/"):
                epoch = int(dict(entry.headers)[ORIGIN].split(b"/")[-2])
                newest = max(
                    sets.get(entry.key, (0, 0, None)), (epoch, entry.offset, told["parts"]), key=lambda s: s[:2]
                )
                sets[entry.key] = newest
            else:
                said.setdefault(told["id"], set()).add(entry.value or b"")
        assert all(len(bodies) == 1 for bodies in said.values())
        wanted = {n: self.legitimate(n) for n in range(PARTITIONS)}
        final = {key: parts(entry.value) for states in wanted.values() for key, entry in states.items()}
        assert {name for name in said if name.startswith("create/")} == {
            f"create/{part}/{key.decode()}" for key, known in final.items() for part in known
        }
        assert {key: newest[2] for key, newest in sets.items()} == final

    async def ended(self) -> None:
        for worker in self.workers:
            if worker.state == "asleep":
                await worker.bury()
            elif worker.state == "up":
                await worker.engine.close()
        await self.logs.stop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.wait([task])


async def _restored(worker: Worker, stores: dict[Any, Store]) -> None:
    settings = worker.engine._settings
    async for _ in recovery.restore(settings, stores, worker.engine._around.instruments):
        pass


def _stored(entry: Entry) -> bytes:
    return pack_value(dict(entry.headers)[HEADER], entry.value or b"")
