"""Liveness and readiness that tell the truth: they ask the broker, not the client's own idea of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from streams.engine.recovery import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka import AIOKafkaConsumer

    from streams.engine.engine import Engine
    from streams.engine.surroundings import Surroundings

_log = structlog.get_logger(__name__)
_INTERVAL = 2.0
_PATIENCE = 1.0


@dataclass(frozen=True)
class Verdict:
    """Whether all is well, and if not, why, in words for a person."""

    ok: bool
    reasons: tuple[str, ...] = ()


@dataclass
class _Progress:
    position: int
    lag: int
    moved: float


class Health:
    """Compares what was done with what the broker has, partition by partition."""

    def __init__(self, engine: Engine, around: Surroundings) -> None:
        self._engine = engine
        self._around = around
        self._settings = around.settings
        self._progress: dict[TopicPartition, _Progress] = {}
        self._lagging: set[TopicPartition] = set()
        self._broker_seen = time.monotonic()
        self._assigned_seen = time.monotonic()
        self._tail_checked = time.monotonic()

    def live(self) -> Verdict:
        """Say no when a partition with work left did not move for `stuck_after`: a restart may help.

        So it may where the group assigned nothing for `unassigned_after` although the broker answers.
        """
        now, limit = time.monotonic(), self._settings.stuck_after
        stuck = [
            f"{tp.topic}/{tp.partition} has not moved for {now - seen.moved:.0f} s, {seen.lag} records behind"
            for tp, seen in self._progress.items()
            if seen.lag > 0 and now - seen.moved > limit
        ]
        if (alone := now - self._assigned_seen) > self._settings.unassigned_after:
            stuck.append(f"the group has assigned nothing for {alone:.0f} s")
        return Verdict(not stuck, tuple(stuck))

    def ready(self) -> Verdict:
        """Say no while the group rebalances, during recovery, after a partition stopped, without a broker."""
        reasons = []
        if not self._engine.has_assignment:
            reasons.append("the group has assigned nothing yet")
        if self._engine.activating:
            reasons.append("partitions are being recovered")
        reasons += [
            f"{path.processor.name}/{path.partition} is {path.state}"
            for path in self._engine.paths
            if path.state != "running"
        ]
        if (silent := time.monotonic() - self._broker_seen) > self._settings.broker_patience:
            reasons.append(f"the broker has not answered for {silent:.0f} s")
        return Verdict(not reasons, tuple(reasons))

    async def watch(self) -> None:
        """Measure until cancelled, also while the broker is away."""
        while True:
            try:
                async with reading(self._settings, "health") as consumer:
                    await self._ask(consumer)
            except (KafkaError, TimeoutError) as error:
                _log.warning("health.broker", error=type(error).__name__)
                self._progress = {}  # nobody moves while the broker is away, and no restart brings it back
                self._assigned_seen = time.monotonic()
                self._measure()
                await asyncio.sleep(_INTERVAL)

    async def _ask(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            self._measure()
            tps = [tp for path in self._engine.paths for tp in (*_sources(path), path.changelog)]
            positions = await self._positions()
            async with asyncio.timeout(self._settings.broker_patience / 2):
                ends = await consumer.end_offsets(tps) if tps else await consumer.topics() and {}
            self._broker_seen = time.monotonic()
            if self._engine.has_assignment:
                self._assigned_seen = self._broker_seen
            self._compare(ends, positions)
            await asyncio.sleep(_INTERVAL)

    async def _positions(self) -> Mapping[TopicPartition, int]:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._engine.positions()
        except (IllegalStateError, TimeoutError):  # partitions are given back in this moment
            return {}
        return {TopicPartition(tp.topic, tp.partition): at for tp, at in found.items()}

    def _compare(self, ends: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]) -> None:
        now = time.monotonic()
        check_tail = now - self._tail_checked > self._settings.tail_check_interval
        seen: dict[TopicPartition, _Progress] = {}
        lags: dict[TopicPartition, int] = {}
        for path in self._engine.paths:
            if check_tail and path.changelog in ends:
                path.tail_seen(ends[path.changelog])
            for tp in _sources(path):
                if tp not in ends:
                    continue
                at = path.done[tp.topic]
                over = path.rests(tp.topic) and positions.get(tp, 0) >= ends[tp]
                lag = 0 if over else max(0, ends[tp] - at)  # the last offsets may hold markers of a transaction
                lags[tp] = lag
                if path.state in ("stopped", "fenced"):
                    continue
                before = self._progress.get(tp)
                moved = before.moved if before is not None and before.position == at and lag else now
                seen[tp] = _Progress(at, lag, moved)
        self._progress = seen
        self._show(lags)
        if check_tail:
            self._tail_checked = now

    def _show(self, lags: Mapping[TopicPartition, int]) -> None:
        """Show what waits; of what moved away its new owner tells."""
        gauge = self._around.instruments.shared.lag
        for tp in self._lagging - lags.keys():
            gauge.remove(tp.topic, str(tp.partition))
        for tp, lag in lags.items():
            gauge.labels(tp.topic, str(tp.partition)).set(lag)
        self._lagging = set(lags)

    def _measure(self) -> None:
        instruments = self._around.instruments
        instruments.store_bytes.set(self._engine.cache_bytes)
        instruments.commit_age.set(time.monotonic() - self._engine.committed_at)
        instruments.show_counted(path.store.counted for path in self._engine.paths)
        states = [path.state for path in self._engine.paths]
        for state in ("starting", "running", "stopped", "fenced"):
            instruments.partitions.labels(state).set(states.count(state))


def _sources(path: object) -> list[TopicPartition]:
    return [TopicPartition(topic, path.partition) for topic in path.processor.topics]  # type: ignore[attr-defined]
