"""The guest in Faust's house: owns the paths, stores and readers of whatever is assigned to this worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import structlog
from aiokafka import TopicPartition
from faust.types import TP

from app.core.errors import ConfigError
from app.core.faultpoints import around
from streams.engine.batch_path import PartitionPath
from streams.engine.recovery import Standby, restore
from streams.engine.store import Store, StoreOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from streams.engine.fold import Processor
    from streams.engine.host import HostApp
    from streams.engine.surroundings import Surroundings

_log = structlog.get_logger(__name__)


class Engine:
    """Activates, feeds, quiesces and closes table partitions as the group's assignment changes."""

    def __init__(
        self,
        app: HostApp,
        processors: Sequence[Processor],
        partitions: Mapping[str, int],
        around: Surroundings,
    ) -> None:
        self._app = app
        self._partitions = partitions
        self._processors = {processor.changelog: processor for processor in processors}
        self._around = around
        self._settings = around.settings
        self._options = StoreOptions(around.settings)
        self._stores: dict[TopicPartition, Store] = {}
        self._paths: dict[TopicPartition, PartitionPath] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._feeds: dict[TP, PartitionPath] = {}
        self._committed: dict[TP, int] = {}
        self._standby: Standby | None = None
        self._activation: asyncio.Task[None] | None = None
        self._committing = asyncio.Lock()
        self._closing = False
        self.committed_at = time.monotonic()
        self.has_assignment = False
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    @property
    def paths(self) -> Sequence[PartitionPath]:
        """Return the paths of all partitions owned now."""
        return tuple(self._paths.values())

    @property
    def activating(self) -> bool:
        """Whether some owned partition is still being recovered."""
        return self._activation is not None and not self._activation.done()

    @property
    def cache_bytes(self) -> int:
        """Return how much of the shared block cache is in use."""
        return int(self._options.cache.get_usage())

    def store(self, changelog: str, partition: int) -> Store | None:
        """Return the open store of a table partition, if this worker has it."""
        return self._stores.get(TopicPartition(changelog, partition))

    async def positions(self) -> dict[TP, int]:
        """Return what is fetched next of each source partition."""
        return await self._app.thread.positions(list(self._feeds))

    # ---------------------------------------------------------------------------------------- guest

    def hungry(self) -> set[TP]:
        """Return the source partitions whose path has room."""
        return {tp for tp, path in self._feeds.items() if path.hungry}

    def offer(self, records: Mapping[TP, Sequence[Any]]) -> None:
        """Give fetched records to their paths."""
        for tp, batch in records.items():
            path = self._feeds.get(TP(tp.topic, tp.partition))
            if path is not None and batch:
                path.offer(batch)

    def revoking(self) -> None:
        """Stop feeding; batches whose fold has begun go on."""
        self._feeds.clear()
        for path in self._paths.values():
            path.stop()

    async def quiesce(self) -> None:
        """Wait for batches in flight, commit what they finished, forget the paths."""
        self.revoking()
        self.has_assignment = False
        await _cancel(self._activation)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=self._settings.drain_deadline)
            for task in late:
                await _cancel(task)
        await self.commit()
        self._paths.clear()
        self._tasks.clear()
        if self._standby is not None:
            await self._standby.stop()
            self._standby = None

    async def commit(self) -> bool:
        """Commit the offsets of finished batches; False when there was nothing or the group refused."""
        self._keep_current()
        async with self._committing:
            offsets = self._committable()
            if not offsets:
                self.committed_at = time.monotonic()
                return False
            async with around("offsets", "streams"):
                taken = await self._app.thread.commit_offsets(offsets)
            if not taken:
                self._around.instruments.commit_failures.inc()
                return False
            self._committed.update(offsets)
            self.committed_at = time.monotonic()
            return True

    def _keep_current(self) -> None:
        """Have one store written to disk that was not for long: each stalls the loop, so not all in one moment."""
        now, every = time.time(), self._settings.flush_interval
        for path in self._paths.values():
            if path.state == "running" and path.store.current(now, every):
                return

    def _committable(self) -> dict[TP, int]:
        guard = self._around.guard
        offsets = {
            TP(topic, path.partition): offset
            for path in self._paths.values()
            if path.state != "fenced" and guard.current(path.generation)
            for topic, offset in path.done.items()
        }
        return {tp: offset for tp, offset in offsets.items() if offset != self._committed.get(tp, 0)}

    async def assigned(self, actives: set[TP], standbys: set[TP], generation: int) -> None:
        """Close what moved away, then recover and run what is here; returns before recovery ends."""
        instruments = self._around.instruments
        instruments.rebalances.inc()
        instruments.generation.set(generation)
        owned = {tp for tp in map(_plain, actives) if tp.topic in self._processors}
        followed = {tp for tp in map(_plain, standbys) if tp.topic in self._processors} - owned
        for tp in set(self._stores) - owned - followed:
            self._stores.pop(tp).close()
        for tp in owned | followed:
            if tp not in self._stores:
                path = self._settings.data_dir / "state" / self._processors[tp.topic].name / str(tp.partition)
                self._stores[tp] = self._opened(path)
        self._standby = Standby(self._settings, {tp: self._stores[tp] for tp in followed})
        self._standby.start()
        self._activation = asyncio.create_task(self._activate(owned, actives, generation))
        self._activation.add_done_callback(self._watch)
        self.has_assignment = True
        _log.info("assigned", generation=generation, owned=len(owned), followed=len(followed))

    def _opened(self, path: Path) -> Store:
        store = Store(path, self._options)
        if store.outdated(time.time() - self._settings.disk_age):
            _log.warning("store.outdated", store="/".join(path.parts[-2:]), position=store.position)
            store.reset()
        return store

    async def _activate(self, owned: set[TopicPartition], actives: set[TP], generation: int) -> None:
        sources = {TP(topic, tp.partition) for tp in owned for topic in self._processors[tp.topic].topics}
        if missing := sources - {TP(tp.topic, tp.partition) for tp in actives}:
            raise ConfigError(f"Sources and changelog of a table were not assigned together: {sorted(missing)}.")
        self._committed = await self._app.thread.committed(sources)
        if not owned:
            return
        stores = {tp: self._stores[tp] for tp in owned}
        async with contextlib.aclosing(restore(self._settings, stores, self._around.instruments)) as restored:
            async for tp in restored:
                self._begin(tp, generation, 1 / len(owned))

    def _begin(self, tp: TopicPartition, generation: int, share: float) -> None:
        processor = self._processors[tp.topic]
        committed = {topic: self._committed[TP(topic, tp.partition)] for topic in processor.topics}
        path = PartitionPath(
            processor,
            tp.partition,
            partitions=self._partitions[processor.name],
            store=self._stores[tp],
            generation=generation,
            committed=committed,
            around=self._around,
            share=share,
        )
        task = asyncio.create_task(path.run(), name=f"{processor.name}-{tp.partition}")
        task.add_done_callback(self._watch)
        self._paths[tp], self._tasks[tp] = path, task
        self._feeds.update({TP(topic, tp.partition): path for topic in processor.topics})

    def _watch(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self.failure.done():
            self.failure.set_result(error)

    async def close(self) -> None:
        """Stop everything and close every database."""
        if self._closing:
            return
        self._closing = True
        self.revoking()
        await _cancel(self._activation)
        for task in self._tasks.values():
            await _cancel(task)
        if self._standby is not None:
            await self._standby.stop()
        for store in self._stores.values():
            store.close()
        self._stores.clear()

    def broadcast_changed(self) -> None:
        """Wake every path: some state may wait for what changed."""
        for path in self._paths.values():
            path.wake()


def _plain(tp: TP) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is None:
        return
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
