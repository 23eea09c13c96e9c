"""Workers of the machine: the real engine as a guest of a host that dies, sleeps and wakes when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from faust.types import TP

from app.core.metrics import new_metrics
from streams.engine.broadcast import Broadcast
from streams.engine.engine import Engine
from streams.engine.header import EPOCH_KEY
from streams.engine.host import GroupGuard, now_with_suspend
from streams.engine.instruments import Instruments
from streams.engine.recovery import reading as real_reading
from streams.engine.settings import WorkerSettings
from streams.engine.store import Store
from streams.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from datetime import datetime
    from pathlib import Path

    from streams.engine.batch_path import PartitionPath
    from streams.engine.ship import Address, Landed, Parcel
    from tests.property.engine.logs import Logs
    from tests.property.engine.versions import Versions

PARTITIONS = 2
POINTS = (
    "outs:before", "outs:partial", "outs:after",
    "changelog:before", "changelog:partial", "changelog:after",
    "marker:before", "marker:after",
    "store:before", "store:after",
    "commit:before", "commit:after",
    "read",
)  # fmt: skip
"""Where a worker can die: on either side of every await that has an effect, and within those that have several."""
_PATIENCE = 30.0
_ACTING: contextvars.ContextVar[Worker] = contextvars.ContextVar("acting")


class Killed(BaseException):
    """The process is gone."""


class Plan(NamedTuple):
    """What happens when a worker comes to *point* for the time after *skip* times."""

    point: str
    skip: int
    action: str
    """kill, sleep (until it is woken), wake (who sleeps goes on in this moment), or commit (as its timer would)."""


class Group:
    """What the broker knows of the group: who owns what, and which generation may commit."""

    def __init__(self, logs: Logs, on_commit: Callable[[Mapping[TopicPartition, int]], None]) -> None:
        self.generation = 0
        self.owners: dict[int, Worker | None] = dict.fromkeys(range(PARTITIONS))
        self._logs = logs
        self._on_commit = on_commit

    async def commit(self, generation: int, offsets: Mapping[TopicPartition, int]) -> bool:
        if generation != self.generation:
            return False
        await self._logs.refresh()
        self._on_commit(offsets)
        await self._logs.commit(offsets)
        return True


class Host:
    """Stands where the Faust app stands: membership as this worker believes it, and its commits."""

    def __init__(self, worker: Worker, group: Group, logs: Logs) -> None:
        self._worker, self._group, self._logs = worker, group, logs
        self.thread = self
        self.belief = 0
        self.heard = now_with_suspend()

    def generation(self) -> int:
        return self.belief

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        await self._worker.come_to("commit:before")
        given = {TopicPartition(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
        accepted = await self._group.commit(self.belief, given)
        await self._worker.come_to("commit:after")
        return accepted

    async def committed(self, tps: set[TP]) -> dict[TP, int]:
        return {tp: await self._logs.committed(TopicPartition(tp.topic, tp.partition)) for tp in tps}


class Ships:
    """The engine's shipper over the machine's logs; it is where most deaths happen."""

    def __init__(self, worker: Worker, logs: Logs) -> None:
        self._worker, self._logs = worker, logs

    async def ship(self, parcels: dict[Address, Parcel]) -> dict[Address, list[Landed]]:
        where = self._kind(parcels)
        await self._worker.come_to(f"{where}:before")
        if self._worker.reaches(f"{where}:partial"):
            await self._logs.ship(_half(parcels))
            await self._worker.come_to(f"{where}:partial", known=True)
        landed = await self._logs.ship(parcels)
        await self._worker.come_to(f"{where}:after")
        return landed

    def _kind(self, parcels: dict[Address, Parcel]) -> str:
        address, parcel = next(iter(parcels.items()))
        if address[0] != self._worker.fold.changelog:
            return "outs"
        return "marker" if parcel[0][0] == EPOCH_KEY else "changelog"

    async def partitions(self, topic: str) -> int:
        return PARTITIONS if topic in self._worker.fold.topics else 1

    def check(self, key: bytes | None, value: bytes | None, headers: int) -> None: ...


def _half(parcels: dict[Address, Parcel]) -> dict[Address, Parcel]:
    if len(parcels) > 1:
        return dict(list(parcels.items())[: len(parcels) // 2])
    return {address: parcel[: len(parcel) // 2] for address, parcel in parcels.items() if len(parcel) > 1}


class Worker:
    """One worker process and its disk."""

    def __init__(
        self, name: str, folder: Path, fold: Versions, group: Group, logs: Logs, now: Callable[[], datetime]
    ) -> None:
        self.name, self.fold, self.group, self.logs = name, fold, group, logs
        self.folder = folder
        self.state = "down"
        self.plan: Plan | None = None
        self.wake_others: Callable[[], Coroutine[Any, Any, None]] = _nobody
        self._now = now
        self._disks = 0
        self._dead = False
        self._awake, self._asleep = asyncio.Event(), asyncio.Event()
        self._unfinished: list[asyncio.Task[Any]] = []
        self._context = contextvars.copy_context()
        self._context.run(_ACTING.set, self)

    @property
    def disk(self) -> Path:
        """The folder that it has now."""
        return self.folder / f"{self.name}-{self._disks}"

    async def start(self, disk: str, copy: Path | None = None) -> None:
        """Start with the *same*, an *empty* or an *older* disk."""
        if disk != "same":
            self._disks += 1
        if disk == "older" and copy is not None and copy.exists():  # noqa: ASYNC240  nothing else runs yet
            shutil.copytree(copy, self.disk)
        self._dead = False
        self._awake.set()
        self._asleep.clear()
        self._unfinished.clear()
        self.plan = None
        settings = WorkerSettings(
            bootstrap="", group="", name=self.name, data_dir=self.disk, dead_letters=self.fold.dead,
            max_batch=6, drain_deadline=5.0,
        )  # fmt: skip
        self.host = Host(self, self.group, self.logs)
        ships: Any = Ships(self, self.logs)
        around = Surroundings(
            settings=settings,
            shipper=ships,
            broadcast=Broadcast(settings, ships.partitions),
            instruments=Instruments(new_metrics()),
            guard=GroupGuard(self.host, settings),  # type: ignore[arg-type]
            now=self._now,
            cpu=asyncio.Lock(),
        )
        self.engine = Engine(self.host, [self.fold], {self.fold.name: PARTITIONS}, around)  # type: ignore[arg-type]
        self.state = "up"

    # ------------------------------------------------------------------------------------------ what happens to it

    def reaches(self, point: str) -> bool:
        """Whether the plan says that something happens at *point* now."""
        if self.plan is None or self.plan.point != point:
            return False
        if self.plan.skip:
            self.plan = self.plan._replace(skip=self.plan.skip - 1)
            return False
        return True

    async def come_to(self, point: str, *, known: bool = False) -> None:
        """Die, sleep, or wake somebody here, if that is the plan."""
        plan = self.plan
        if not self._dead and plan is not None and (known or self.reaches(point)):
            self.plan = None
            if plan.action == "kill":
                self._dead = True
            elif plan.action == "sleep":
                self.state = "asleep"
                self._awake.clear()
                self._asleep.set()
            elif plan.action == "commit" and not self.engine._committing.locked():
                await self.engine.commit()
            elif plan.action == "wake":
                await self.wake_others()
        await self._awake.wait()
        self.stop_here()

    def write_to_store(self, point: str) -> None:
        """Die here, if that is the plan; a store does not wait."""
        self.stop_here()
        if self.reaches(point) and self.plan is not None and self.plan.action == "kill":
            self._dead = True
            self.stop_here()

    def stop_here(self) -> None:
        if self._dead:
            raise Killed

    @property
    def killed(self) -> bool:
        return self._dead and self.state != "down"

    async def within(self, doing: Coroutine[Any, Any, Any]) -> None:
        """Do something as this worker; when it dies of it, only it does; when it falls asleep, it ends that later."""
        task = asyncio.create_task(doing, context=self._context)
        falling_asleep = asyncio.create_task(self._asleep.wait())
        await asyncio.wait({task, falling_asleep}, return_when=asyncio.FIRST_COMPLETED)
        falling_asleep.cancel()
        if not task.done():
            self._unfinished.append(task)
            return
        with contextlib.suppress(Killed):
            await task

    async def bury(self) -> None:
        """Leave of a killed worker what is on its disk; what was only in memory is gone."""
        self._dead = True
        self._awake.set()
        engine = self.engine
        stores = list(engine._stores.values())
        for store in stores:
            await _copied(store.path, store.path.with_suffix(".left"))
        tasks = [
            *self._unfinished,
            engine._activation,
            *engine._tasks.values(),
            engine._standby and engine._standby._task,
        ]
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        for store in stores:
            store.close()
            shutil.rmtree(store.path)
            store.path.with_suffix(".left").rename(store.path)
        self.state = "down"

    async def wake(self) -> None:
        """Go on after a sleep that was longer than the session, not knowing of it yet."""
        self.host.heard = 0.0
        self._asleep.clear()
        self._awake.set()
        for _ in range(50):
            await self.logs.turn()

    async def hear(self) -> None:
        """Try to commit, then hear from the group that it went on."""
        await self.within(self.engine.commit())
        self.host.belief = -1
        await self.within(self.engine.quiesce())
        if not self.killed:
            self.state = "up"

    # ----------------------------------------------------------------------------------------------- what it does

    async def assigned(self, owned: set[int], followed: set[int], generation: int) -> None:
        topics = (*self.fold.topics, self.fold.changelog)
        self.host.belief, self.host.heard = generation, now_with_suspend()
        actives = {TP(topic, n) for topic in topics for n in owned}
        await self.within(self.engine.assigned(actives, {TP(self.fold.changelog, n) for n in followed}, generation))

    def feed(self) -> None:
        """Offer what a poll would bring: a few records of each partition."""
        for path in self.engine.paths:
            if path.state != "running":
                continue
            for topic in self.fold.topics:
                at = path._read[topic]
                records: Any = self.logs.history[topic, path.partition][at : at + 5]
                self.engine.offer({TP(topic, path.partition): records})

    async def settle(self) -> None:
        """Wait until there is nothing to do, or it is killed, or asleep."""
        async with asyncio.timeout(_PATIENCE):
            while not (self.state != "up" or self.killed or self._idle()):
                await self.logs.turn()
        if not self.killed and self.state == "up" and self.engine.failure.done():
            raise self.engine.failure.result()

    def _idle(self) -> bool:
        if self.engine.failure.done():
            return True
        return not self.engine.activating and all(_waits(path) for path in self.engine.paths)


def _waits(path: PartitionPath) -> bool:
    return path.state not in ("starting", "running") or (bool(path._wake._waiters) and not path._wake.is_set())  # type: ignore[attr-defined]


async def _nobody() -> None:
    return


async def _copied(source: Path, target: Path) -> None:
    """Copy a database that is open; its background threads may take a file away meanwhile."""
    for _ in range(5):
        shutil.rmtree(target, ignore_errors=True)
        try:
            shutil.copytree(source, target)
        except (shutil.Error, FileNotFoundError):
            await asyncio.sleep(0.01)
        else:
            return
    raise RuntimeError(f"{source} does not keep still")


_WRITE = Store.write


def watched_write(self: Store, *given: Any, **named: Any) -> None:
    """Store.write with a place to die before and after."""
    worker = _ACTING.get(None)
    if worker is None:
        _WRITE(self, *given, **named)
        return
    worker.write_to_store("store:before")
    _WRITE(self, *given, **named)
    worker.write_to_store("store:after")


class _Watched:
    """A consumer that reads little at a time, with a place to die before each poll."""

    def __init__(self, consumer: Any, worker: Worker) -> None:
        self._consumer, self._worker = consumer, worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    async def getmany(self, *, timeout_ms: int, max_records: int = 500) -> Any:
        await self._worker.come_to("read")
        return await self._consumer.getmany(timeout_ms=timeout_ms, max_records=min(max_records, 3))


@contextlib.asynccontextmanager
async def watched_reading(settings: WorkerSettings, purpose: str) -> AsyncIterator[Any]:
    """`recovery.reading` over the machine's logs."""
    worker = _ACTING.get(None)
    if worker is None:
        async with real_reading(settings, purpose) as consumer:
            yield consumer
        return
    async with worker.logs.reading(settings, purpose) as consumer:
        yield _Watched(consumer, worker)
