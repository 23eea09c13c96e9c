"""How a worker behaves towards its neighbours: forwarding, several tables, deadlines, health, topics."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from streams.engine import recovery
from streams.engine.batch_path import FORWARDED
from streams.engine.engine import Engine
from streams.engine.fold import Folded, Out
from streams.engine.partitioner import partition_of
from streams.engine.ship import Shipper
from streams.engine.topics import CHANGELOG, TopicSpec, apply
from streams.engine.worker import create_worker
from tests.integration.engine.cluster import PARTITIONS, Cluster, Process, event, eventually, ids
from tests.integration.engine.worker_main import SetFold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from streams.engine.worker import Worker

pytestmark = pytest.mark.kafka
LONG = {"session_timeout": 45.0, "request_timeout": 50.0}
"""Longer than a busy machine needs to start a worker anew."""


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(kafka, f"b{uuid.uuid4().hex[:8]}-", tmp_path)
    await made.create()
    yield made
    await made.close()


def set_fold(cluster: Cluster) -> SetFold:
    return SetFold(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))


async def test_events_of_a_foreign_partitioner_are_forwarded_once_to_where_they_belong(cluster: Cluster) -> None:
    await cluster.produce([("in-a", b"k%d" % n, event(n)) for n in range(40)], partition=2)
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
        await eventually(cluster.drained)
    for partition in range(PARTITIONS):
        held = cluster.states("w1", [partition])
        assert set(held) == {b"k%d" % n for n in range(40) if partition_of(b"k%d" % n, PARTITIONS) == partition}
    forwarded = [r for r in await cluster.read("in-a") if FORWARDED in dict(r.headers)]
    assert len(forwarded) == len([n for n in range(40) if partition_of(b"k%d" % n, PARTITIONS) != 2])


class Forwarding(SetFold):
    """A second table that hands what it sees to the first one's source."""

    def fold(self, partition: int, records: Any, states: Any, now: Any, broadcast: Any) -> Folded:
        folded = super().fold(partition, records, states, now, broadcast)
        return folded._replace(outs=[Out(self._out, r.key, r.value) for r in records])


async def test_two_tables_with_different_partition_counts_run_in_one_worker(cluster: Cluster) -> None:
    await apply(
        cluster.bootstrap,
        [
            TopicSpec(cluster.name("links"), 2, 1),
            TopicSpec(cluster.name("links-table-changelog"), 2, 1, CHANGELOG),
        ],
    )
    links = Forwarding(cluster.name("links-table"), (cluster.name("links"),), cluster.name("in-a"))
    await cluster.produce([("links", b"k%d" % (n % 30), event(n)) for n in range(600)])
    settings = cluster.settings()
    worker = create_worker(settings, [set_fold(cluster), links])
    task = asyncio.create_task(worker.run(signals=False))

    async def all_arrived() -> bool:
        return sum((await cluster.ends("in-a")).values()) >= 600 and await cluster.drained()

    await eventually(all_arrived)
    worker.stop()
    assert await task == 0
    assert {k: ids(v) for k, v in cluster.states("w1").items()} == {
        b"k%d" % key: list(range(key, 600, 30)) for key in range(30)
    }


async def test_a_batch_that_does_not_end_in_time_is_cancelled_and_not_committed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.produce([("in-a", b"k", event(1))])
    hanging = asyncio.Event()
    cancelled = 0.0
    send = Shipper._send

    async def hang(self: Shipper, to: str, partition: int, parcel: Any) -> Any:
        nonlocal cancelled
        if to == cluster.name("out"):
            hanging.set()
            try:
                await asyncio.sleep(3_600)
            finally:
                cancelled = time.monotonic()
        return await send(self, to, partition, parcel)

    monkeypatch.setattr(Shipper, "_send", hang)
    async with cluster.worker(set_fold(cluster), drain_deadline=1.0):
        await asyncio.wait_for(hanging.wait(), 120)
        stopping = time.monotonic()
    assert 1.0 <= cancelled - stopping < 5
    assert time.monotonic() - stopping < 10
    assert sum((await cluster.committed()).values()) == 0
    assert cluster.states("w1") == {}


async def test_a_batch_whose_fold_has_not_begun_when_partitions_are_given_back_is_left_to_the_next_owner(
    cluster: Cluster,
) -> None:
    folded: list[int] = []

    class Noting(SetFold):
        """Tells of which partition it folds."""

        def fold(self, partition: int, records: Any, states: Any, now: Any, broadcast: Any) -> Folded:
            folded.append(partition)
            return super().fold(partition, records, states, now, broadcast)

    noting = Noting(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))
    async with cluster.worker(noting) as worker:
        await eventually(lambda: worker.ready().ok)
        engine: Any = worker.engine
        paths = engine.paths
        async with engine._around.cpu:
            await cluster.produce([("in-a", b"k%d" % n, event(n)) for n in range(40)])
            topic = cluster.name("in-a")
            await eventually(lambda: all(not path.rests(topic) and not path._pending for path in paths))
            engine.revoking()
        await eventually(lambda: all(path.state == "ended" for path in paths))
        assert folded == []
    assert sum((await cluster.committed()).values()) == 0
    async with cluster.worker(noting):
        await eventually(cluster.drained)
    assert len(cluster.states("w1")) == 40


async def test_liveness_turns_false_when_a_partition_with_work_does_not_move(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Shipper._send

    async def hang(self: Shipper, to: str, partition: int, parcel: Any) -> Any:
        if to == cluster.name("out"):
            await asyncio.sleep(3_600)
        return await send(self, to, partition, parcel)

    monkeypatch.setattr(Shipper, "_send", hang)
    async with cluster.worker(set_fold(cluster), drain_deadline=0.5, stuck_after=3.0, broker_patience=3.0) as worker:
        await eventually(lambda: worker.ready().ok)
        assert worker.live().ok
        await cluster.produce([("in-a", b"k", event(1))])
        await eventually(lambda: not worker.live().ok)
        assert "in-a" in worker.live().reasons[0]
        with pytest.MonkeyPatch.context() as away:
            away.setattr(AIOKafkaConsumer, "end_offsets", _nobody)
            await eventually(lambda: not worker.ready().ok)
            assert "the broker has not answered" in worker.ready().reasons[0]
            assert worker.live().ok, "no restart brings a broker back"
        await eventually(lambda: worker.ready().ok)


async def test_liveness_turns_false_where_the_group_assigns_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiesce, go_on = Engine.quiesce, asyncio.Event()

    async def held(self: Engine) -> None:
        await go_on.wait()
        await quiesce(self)

    async with cluster.worker(set_fold(cluster)) as first:
        await eventually(lambda: first.ready().ok)
        monkeypatch.setattr(Engine, "quiesce", held)
        async with cluster.worker(set_fold(cluster), "w2", unassigned_after=3.0) as second:
            try:
                await eventually(lambda: not second.live().ok)
                assert "the group has assigned nothing for" in second.live().reasons[0]
                with pytest.MonkeyPatch.context() as away:
                    away.setattr(AIOKafkaConsumer, "topics", _nobody)
                    await eventually(lambda: second.live().ok)
            finally:
                go_on.set()
            await eventually(lambda: second.ready().ok)
            await eventually(lambda: second.live().ok)


async def _nobody(*_: Any) -> Any:
    raise KafkaConnectionError


async def test_a_worker_that_recovers_is_not_ready_and_says_why(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster.worker(set_fold(cluster)) as first:
        await eventually(lambda: first.ready().ok)
        await cluster.produce([("in-a", b"k%d" % n, event(n)) for n in range(40)])
        await eventually(cluster.drained)
    advance, go_on = recovery._advance, asyncio.Event()

    async def held(*given: Any) -> Any:
        await go_on.wait()
        return await advance(*given)

    monkeypatch.setattr(recovery, "_advance", held)
    names = [{"topic": cluster.name("sets-changelog"), "partition": str(n)} for n in range(PARTITIONS)]
    async with cluster.worker(set_fold(cluster), "w2") as worker:

        def remaining() -> float:
            value = worker._metrics.registry.get_sample_value
            return sum(value("o2c_recovery_remaining", name) or 0 for name in names)

        await eventually(lambda: remaining() > 0)
        assert "partitions are being recovered" in worker.ready().reasons
        assert worker.live().ok
        go_on.set()
        await eventually(lambda: worker.ready().ok)
        assert remaining() == 0
    assert await worker.engine.positions() == {}, "its health may be asked until the very end"  # type: ignore[union-attr]


async def test_lag_is_shown_by_the_owner_alone(cluster: Cluster) -> None:
    def shown(worker: Worker) -> set[int]:
        mine = worker._metrics.registry.get_sample_value
        name = cluster.name("in-a")
        return {n for n in range(PARTITIONS) if mine("o2c_lag", {"topic": name, "partition": str(n)}) is not None}

    async with cluster.worker(set_fold(cluster)) as first:
        await eventually(lambda: shown(first) == set(range(PARTITIONS)))
        async with cluster.worker(set_fold(cluster), "w2") as second:
            await eventually(lambda: len(shown(second)) == PARTITIONS // 2)
            await eventually(lambda: shown(first) == set(range(PARTITIONS)) - shown(second))


class Slow(SetFold):
    """Burns CPU for longer than a session lasts, in all; what one key has in a batch is folded in one go."""

    def fold(self, partition: int, records: Any, states: Any, now: Any, broadcast: Any) -> Folded:
        until = time.thread_time() + 0.002 * len(records)
        while time.thread_time() < until:
            pass
        return super().fold(partition, records, states, now, broadcast)


async def test_a_fold_that_needs_seconds_of_cpu_leaves_the_loop_alive_and_the_membership_whole(
    cluster: Cluster,
) -> None:
    slow = Slow(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))
    longest = 0.0

    async def measured() -> None:
        nonlocal longest
        while True:
            before = time.process_time()  # what others compute meanwhile does not count
            await asyncio.sleep(0.01)
            longest = max(longest, time.process_time() - before)

    async with cluster.worker(slow, session_timeout=6.0) as worker:
        await eventually(lambda: worker.ready().ok)
        generation = worker.engine.paths[0].generation  # type: ignore[union-attr]
        measuring = asyncio.create_task(measured())
        await cluster.produce([("in-a", b"k%d" % n, event(n)) for n in range(3_500)])
        await eventually(cluster.drained)
        measuring.cancel()
        assert worker.engine.paths[0].generation == generation  # type: ignore[union-attr]
    assert longest < 1, "the first slices of four partitions take half a second, all of them seven"


async def test_a_static_member_that_is_killed_and_returns_causes_no_rebalance_for_others(cluster: Cluster) -> None:
    async with cluster.worker(set_fold(cluster), "w2", static_membership=True, **LONG) as other:
        first = await Process.start(cluster, "w1", static_membership=True, **LONG)
        await eventually(lambda: bool(other.engine) and len(other.engine.paths) == PARTITIONS // 2)  # type: ignore[union-attr]
        await eventually(lambda: other.ready().ok)
        generation = other.engine.paths[0].generation  # type: ignore[union-attr]
        await first.kill()
        again = await Process.start(cluster, "w1", static_membership=True, **LONG)
        await cluster.produce([("in-a", b"k%d" % (n % 40), event(n)) for n in range(400)])
        await eventually(cluster.drained)
        assert other.engine.paths[0].generation == generation  # type: ignore[union-attr]
        assert await again.terminate() == 0


async def test_without_a_broker_a_worker_says_so_and_exits(tmp_path: Path, unused_tcp_port: int) -> None:
    cluster = Cluster(f"127.0.0.1:{unused_tcp_port}", "x-", tmp_path)
    assert await create_worker(cluster.settings(), [set_fold(cluster)]).run(signals=False) == 1


async def test_topics_are_created_once_and_differences_are_told_not_changed(cluster: Cluster) -> None:
    name = cluster.name("new")
    specs = [TopicSpec(name, 3, 1, {"cleanup.policy": "compact"})]
    assert [a.outcome for a in await apply(cluster.bootstrap, specs)] == ["created"]
    assert [a.outcome for a in await apply(cluster.bootstrap, specs)] == ["ok"]
    other = [TopicSpec(name, 5, 1, {"cleanup.policy": "delete"})]
    (applied,) = await apply(cluster.bootstrap, other)
    assert applied.outcome == "differs"
    assert applied.differences == ("3 partitions instead of 5", "cleanup.policy is compact instead of delete")
    assert [a.outcome for a in await apply(cluster.bootstrap, specs)] == ["ok"]
