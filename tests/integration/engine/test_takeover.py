"""Workers that share partitions, die, sleep and return: the states are the same whoever holds them."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from typing import TYPE_CHECKING

import pytest
from faust.assignor.partition_assignor import PartitionAssignor

from app.demo.stack import free_port
from streams.engine.header import EPOCH_KEY, HEADER, StateHeader
from streams.engine.topics import CHANGELOG, TopicSpec, apply
from streams.engine.worker import create_worker
from tests.integration.engine.cluster import PARTITIONS, Cluster, Process, event, eventually, ids
from tests.integration.engine.worker_main import SetFold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    made = Cluster(kafka, f"t{uuid.uuid4().hex[:8]}-", tmp_path)
    await made.create()
    yield made
    await made.close()


def set_fold(cluster: Cluster) -> SetFold:
    return SetFold(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))


def expected(events: int, keys: int) -> dict[bytes, list[int]]:
    return {b"k%d" % key: list(range(key, events, keys)) for key in range(keys)}


def history(events: int, keys: int, start: int = 0) -> list[tuple[str, bytes, bytes]]:
    return [("in-a" if n % 3 else "in-b", b"k%d" % (n % keys), event(n)) for n in range(start, events)]


async def final_states(cluster: Cluster, worker: str = "final") -> dict[bytes, list[int]]:
    """Recover everything onto an empty disk and return it: what the changelog holds is what counts."""
    async with cluster.worker(set_fold(cluster), worker) as running:
        await eventually(lambda: running.ready().ok)
        await eventually(cluster.drained)
    return {key: ids(state) for key, state in cluster.states(worker).items()}


async def test_two_workers_share_the_partitions_and_survive_each_others_sigkill(cluster: Cluster) -> None:
    workers = {name: await Process.start(cluster, name) for name in ("w1", "w2")}
    total, keys = 30_000, 2_000
    for round_ in range(6):
        await cluster.produce(history((round_ + 1) * total // 6, keys, round_ * total // 6))
        victim = ("w1", "w2")[round_ % 2]
        await asyncio.sleep(1.5)
        await workers[victim].kill()
        workers[victim] = await Process.start(cluster, victim)
    await eventually(cluster.drained)
    assert [await worker.terminate() for worker in workers.values()] == [0, 0]
    assert await final_states(cluster) == expected(total, keys)


async def test_a_static_member_that_comes_back_on_another_port_goes_on_at_once(cluster: Cluster) -> None:
    """Its assignment is that of before: nobody waits for the end of its session, which is 60 s away."""
    fixed = {"static_membership": True, "session_timeout": 60.0, "request_timeout": 70.0}
    worker = await Process.start(cluster, "w1", web_port=free_port(), **fixed)
    await cluster.produce(history(100, 10))
    await eventually(cluster.drained)
    await worker.kill()
    worker = await Process.start(cluster, "w1", web_port=free_port(), **fixed)
    await cluster.produce(history(200, 10, 100))
    await eventually(cluster.drained, within=40)
    assert await worker.terminate() == 0


async def test_a_worker_to_which_the_group_will_never_assign_anything_ends(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(PartitionAssignor, "on_assignment", refuse)
    worker = create_worker(cluster.settings(), [set_fold(cluster)])
    async with asyncio.timeout(60):
        assert await worker.run(signals=False) == 1


async def test_workers_that_come_and_go_while_events_trickle_in_lose_none(cluster: Cluster) -> None:
    """A fetch that waits while the group rebalances must not take the first records of the next assignment."""
    keys, sent = 50, 0

    async def trickle(until: Callable[[], bool]) -> None:
        nonlocal sent
        async with asyncio.timeout(200):
            while not until():
                await cluster.produce(history(sent + 10, keys, sent))
                sent += 10

    async with cluster.worker(set_fold(cluster), "w1") as running:
        await trickle(lambda: running.ready().ok)
        for _ in range(2):
            other = await Process.start(cluster, "w2")
            await trickle(lambda: _owned(running) == PARTITIONS // 2)
            assert await other.terminate() == 0
            await trickle(lambda: _owned(running) == PARTITIONS)
        await eventually(cluster.drained)
    assert await final_states(cluster) == expected(sent, keys)


async def test_both_workers_own_partitions_once_the_group_has_settled(cluster: Cluster) -> None:
    fold = set_fold(cluster)
    async with cluster.worker(fold, "w1") as one, cluster.worker(set_fold(cluster), "w2") as two:

        def shared() -> bool:
            owned = [{path.partition for path in w.engine.paths} if w.engine else set() for w in (one, two)]
            return all(owned) and not owned[0] & owned[1] and owned[0] | owned[1] == set(range(PARTITIONS))

        await eventually(shared)
        assert {path.processor.name for path in one.engine.paths} == {fold.name}  # type: ignore[union-attr]


async def test_recovery_gives_the_same_digest_for_same_empty_and_stale_disks(cluster: Cluster) -> None:
    fold = set_fold(cluster)
    await cluster.produce(history(2_000, 300))
    async with cluster.worker(fold):
        await eventually(cluster.drained)
    shutil.copytree(cluster.folder / "w1", cluster.folder / "stale")
    await cluster.produce([*history(4_000, 300, 2_000), ("in-a", b"timer", event(1, due_in=3_600))])
    async with cluster.worker(fold):
        await eventually(cluster.drained)
    before = cluster.digests("w1")
    for worker in ("w1", "stale", "empty"):
        async with cluster.worker(fold, worker) as running:
            await eventually(lambda running=running: running.ready().ok)  # type: ignore[misc]
        assert cluster.digests(worker) == before


async def test_a_standby_follows_and_takes_over_with_the_same_digest(cluster: Cluster) -> None:
    await cluster.produce(history(3_000, 300))
    async with cluster.worker(set_fold(cluster), "w2", standby_replicas=1) as survivor:
        first = await Process.start(cluster, "w1", standby_replicas=1)
        await eventually(lambda: _owned(survivor) == PARTITIONS // 2)
        await cluster.produce(history(6_000, 300, 3_000))
        await eventually(cluster.drained)
        await eventually(lambda: _followed_to_the_end(cluster, survivor))
        await first.kill()
        await eventually(lambda: _owned(survivor) == PARTITIONS and survivor.ready().ok)
    survived = cluster.digests("w2")
    assert await final_states(cluster) == expected(6_000, 300)
    assert cluster.digests("final") == survived


def _owned(worker: object) -> int:
    return len(worker.engine.paths) if worker.engine else 0  # type: ignore[attr-defined]


async def _followed_to_the_end(cluster: Cluster, worker: object) -> bool:
    ends = await cluster.ends("sets-changelog")
    stores = [worker.engine.store(cluster.name("sets-changelog"), p) for p in range(PARTITIONS)]  # type: ignore[attr-defined]
    return all(store is not None and store.position == ends[p] for p, store in enumerate(stores))


async def test_a_store_that_is_ahead_of_its_changelog_is_thrown_away_and_rebuilt(cluster: Cluster) -> None:
    fold = set_fold(cluster)
    await cluster.produce(history(500, 50))
    async with cluster.worker(fold):
        await eventually(cluster.drained)
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415

    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    await admin.delete_topics([cluster.name("sets-changelog")])

    async def gone() -> bool:
        return cluster.name("sets-changelog") not in await admin.list_topics()

    await eventually(gone)  # a broker that has not heard of it yet says that the topic is there
    await admin.close()
    spec = TopicSpec(cluster.name("sets-changelog"), PARTITIONS, 1, CHANGELOG)

    async def created() -> bool:
        return (await apply(cluster.bootstrap, [spec]))[0].outcome == "ok"

    await eventually(created)
    await cluster.produce(history(600, 50, 500))
    async with cluster.worker(fold) as worker:
        await eventually(cluster.drained)
        assert b"o2c_persisted_above_end_total 4.0" in worker._metrics.exposition()
    held = {key: ids(state) for key, state in cluster.states("w1").items()}
    assert held == {key: [n for n in numbers if n >= 500] for key, numbers in expected(600, 50).items()}


async def test_a_worker_that_slept_through_its_session_cannot_spoil_the_new_owners_states(cluster: Cluster) -> None:
    total, keys = 20_000, 500
    sleeper = await Process.start(cluster, "w1")
    await cluster.produce(history(total // 2, keys))

    async def written(before: int = 0) -> bool:
        return sum((await cluster.ends("out", 2)).values()) > before

    await eventually(written)
    sleeper.pause()
    await asyncio.sleep(1)  # what it had sent is there
    reached = sum((await cluster.ends("out", 2)).values())
    other = await Process.start(cluster, "w2")
    await cluster.produce(history(total, keys, total // 2))
    await eventually(lambda: written(reached))  # its session is over
    sleeper.resume()
    await eventually(cluster.drained)
    assert [await sleeper.terminate(), await other.terminate()] == [0, 0]
    assert await final_states(cluster) == expected(total, keys)


async def test_a_late_record_of_an_older_epoch_is_repaired_by_the_owner_and_ignored_by_recovery(
    cluster: Cluster,
) -> None:
    fold = set_fold(cluster)
    await cluster.produce([("in-a", b"k", event(n)) for n in range(3)], partition=0)
    async with cluster.worker(fold, "w0"):
        await eventually(cluster.drained)
    async with cluster.worker(fold, tail_check_interval=0.5):
        await cluster.produce([("in-a", b"k", event(n)) for n in range(3, 5)], partition=0)
        await eventually(cluster.drained)
        await _zombie_writes(cluster)
        end = (await cluster.ends("sets-changelog"))[0]
        await eventually(lambda: _grew(cluster, end))
    last = [r for r in await cluster.read("sets-changelog") if r.key == b"k"][-1]
    assert ids(last.value) == [0, 1, 2, 3, 4]
    assert (await final_states(cluster))[b"k"] == [0, 1, 2, 3, 4]


async def test_recovery_keeps_the_higher_epoch_even_when_nobody_repaired(cluster: Cluster) -> None:
    fold = set_fold(cluster)
    await cluster.produce([("in-a", b"k", event(n)) for n in range(3)], partition=0)
    for worker in ("w0", "w1"):
        async with cluster.worker(fold, worker):
            await cluster.produce([("in-a", b"k", event(3 if worker == "w0" else 4))], partition=0)
            await eventually(cluster.drained)
    await _zombie_writes(cluster)
    assert (await final_states(cluster))[b"k"] == [0, 1, 2, 3, 4]


async def _zombie_writes(cluster: Cluster) -> None:
    from aiokafka import AIOKafkaProducer  # noqa: PLC0415

    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap)
    await producer.start()
    header = [(HEADER, StateHeader(1, 99).pack())]
    old = b'{"ids":[0,1],"ticks":0}'
    await producer.send_and_wait(cluster.name("sets-changelog"), old, key=b"k", partition=0, headers=header)
    await producer.stop()


async def _grew(cluster: Cluster, end: int) -> bool:
    return (await cluster.ends("sets-changelog"))[0] > end


async def test_each_takeover_claims_a_higher_epoch(cluster: Cluster) -> None:
    fold = set_fold(cluster)
    for worker in ("a", "b", "c"):
        async with cluster.worker(fold, worker) as running:
            await eventually(lambda running=running: running.ready().ok)  # type: ignore[misc]
    markers = [r for r in await cluster.read("sets-changelog") if r.key == EPOCH_KEY and r.partition == 0]
    assert [r.value for r in markers] == [b"a", b"b", b"c"]
    assert [dict(r.headers)[HEADER][:4] for r in markers] == [n.to_bytes(4) for n in (1, 2, 3)]
