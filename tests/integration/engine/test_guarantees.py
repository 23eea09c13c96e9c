"""L1-L8 and D1 of stock Faust, against our path on a real Kafka: nothing lost, nothing counted twice."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from streams.engine.fold import Folded, NewerFormat, Out
from streams.engine.header import StateHeader
from streams.engine.partitioner import partition_of
from streams.engine.ship import Shipper
from streams.engine.store import Change, Store, StoreOptions
from tests.integration.engine.cluster import PARTITIONS, Cluster, event, eventually, ids
from tests.integration.engine.worker_main import SetFold

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> Cluster:
    made = Cluster(kafka, f"g{uuid.uuid4().hex[:8]}-", tmp_path)
    await made.create()
    return made


def set_fold(cluster: Cluster) -> SetFold:
    return SetFold(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))


def reasons(records: list[Any]) -> list[str]:
    return [dict(record.headers)["reason"].decode() for record in records]


async def test_every_event_of_both_topics_is_in_one_state_per_key(cluster: Cluster) -> None:
    await cluster.produce([("in-a" if n % 2 else "in-b", b"k%d" % (n % 50), event(n)) for n in range(2_000)])
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    states = cluster.states("w1")
    assert {key: ids(state) for key, state in states.items()} == {
        b"k%d" % key: list(range(key, 2_000, 50)) for key in range(50)
    }


async def test_a_disk_that_was_away_for_longer_than_deletions_are_kept_begins_anew(cluster: Cluster) -> None:
    """What was deleted meanwhile may have left the changelog together with its deletion: nothing there undoes it."""
    await cluster.produce([("in-a", b"k%d" % n, event(n)) for n in range(40)])
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    options, header = StoreOptions(cluster.settings()), StateHeader(1, 1)
    path = cluster.folder / "w1" / "state" / cluster.name("sets") / "0"
    store = Store(path, options)
    ghost = Change(b"deleted while it was away", None, header, header.pack(), b"[]")
    store.write([ghost], store.position, store.epoch)
    store.current(time.time() - 2 * 86_400)
    store.close()
    async with cluster.worker(set_fold(cluster)):
        await cluster.produce([("in-a", b"k0", event(40))])
        await eventually(cluster.drained)
    assert set(cluster.states("w1")) == {b"k%d" % n for n in range(40)}


async def test_out_records_carry_epoch_and_source_position(cluster: Cluster) -> None:
    await cluster.produce([("in-a", b"k", event(1))])
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    (out,) = await cluster.read("out")
    table, _, epoch, position = dict(out.headers)["o2c-origin"].split(b"/")
    assert (table.decode(), epoch, position) == (cluster.name("sets"), b"1", b"1")


async def test_l1_l2_l3_a_fold_that_raises_loses_only_that_record_and_that_into_dead_letters(cluster: Cluster) -> None:
    events = [("in-a", b"k%d" % (n % 100), event(n)) for n in range(1_000)]
    events[500] = ("in-a", b"k0", event(500, boom=True))
    await cluster.produce(events)
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    held = {key: ids(state) for key, state in cluster.states("w1").items()}
    dead = await cluster.read("dead")
    assert all(held[b"k%d" % key] == list(range(key, 1_000, 100)) for key in range(1, 100))
    assert reasons(dead) == ["quarantined"]
    assert [json.loads(record.value)["id"] for record in dead] == [500]
    assert held[b"k0"] == [number for number in range(0, 1_000, 100) if number != 500]


async def test_l4_undecodable_bytes_are_in_dead_letters_with_their_origin(cluster: Cluster) -> None:
    await cluster.produce([("in-a", b"k", event(1)), ("in-a", b"k", b"\xff{"), ("in-a", b"k", event(2))])
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    (dead,) = await cluster.read("dead")
    headers = dict(dead.headers)
    assert ids(cluster.states("w1")[b"k"]) == [1, 2]
    assert dead.value == b"\xff{"
    assert headers["reason"] == b"undecodable"
    assert headers["origin-topic"] == cluster.name("in-a").encode()
    assert headers["origin-offset"] == b"1"


@pytest.mark.parametrize("topic", ["dead", "sets-changelog", "out"])
async def test_l5_l6_l7_offsets_stay_until_every_record_is_acknowledged(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    await cluster.produce([("in-a", b"k", event(1)), ("in-a", b"k", b"\xff{")])
    held_back, go_on = asyncio.Event(), asyncio.Event()
    send = Shipper._send

    async def slow(self: Shipper, to: str, partition: int, parcel: Any) -> Any:
        is_marker = to.endswith("changelog") and parcel[0][0].startswith(b"\x00")
        if to == cluster.name(topic) and not is_marker:
            held_back.set()
            await go_on.wait()
        return await send(self, to, partition, parcel)

    monkeypatch.setattr(Shipper, "_send", slow)
    async with cluster.worker(set_fold(cluster)) as worker:
        await asyncio.wait_for(held_back.wait(), 120)
        await asyncio.sleep(1)
        assert sum((await cluster.committed()).values()) == 0
        assert worker.engine is not None
        assert not [key for p in range(4) for key, _ in worker.engine.store(cluster.name("sets-changelog"), p).items()]  # type: ignore[union-attr]
        go_on.set()
        await eventually(cluster.drained)


async def test_l6_a_refused_changelog_record_stops_the_worker_before_the_offset_moves(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.produce([("in-a", b"k", event(1))])
    send = Shipper._send

    async def refuse(self: Shipper, to: str, partition: int, parcel: Any) -> Any:
        if to == cluster.name("sets-changelog") and parcel[0][0] == b"k":
            raise KafkaTimeoutError
        return await send(self, to, partition, parcel)

    monkeypatch.setattr(Shipper, "_send", refuse)
    from streams.engine.worker import create_worker  # noqa: PLC0415

    code = await create_worker(cluster.settings(), [set_fold(cluster)]).run(signals=False)
    assert code == 1
    assert sum((await cluster.committed()).values()) == 0
    assert cluster.states("w1") == {}
    monkeypatch.undo()
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    assert ids(cluster.states("w1")[b"k"]) == [1]


async def test_l8_a_state_too_big_for_its_topic_is_quarantined_and_the_others_go_on(cluster: Cluster) -> None:
    events = [("in-a", b"k%d" % (n % 10), event(n)) for n in range(100)]
    events[40] = ("in-a", b"k0", event(40, pad=1_200_000))
    await cluster.produce(events)
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    held = {key: ids(state) for key, state in cluster.states("w1").items()}
    dead = await cluster.read("dead")
    assert all(held[b"k%d" % key] == list(range(key, 100, 10)) for key in range(1, 10))
    assert set(reasons(dead)) == {"oversize"}
    assert {record.key for record in dead} == {b"k0"}


async def test_a_batch_bigger_than_a_request_is_written_in_order_and_seen_as_nobody_elses(cluster: Cluster) -> None:
    events = [("in-a", b"k%d" % (n % 200), event(n, pad=4_000)) for n in range(400)]
    await cluster.produce(events)
    async with cluster.worker(set_fold(cluster), produce_batch=64 * 1024, compression=None) as worker:
        await eventually(cluster.drained)
        assert worker._metrics.registry.get_sample_value("o2c_changelog_foreign_total") == 0
    assert {key: ids(state) for key, state in cluster.states("w1").items()} == {
        b"k%d" % key: [key, key + 200] for key in range(200)
    }


async def test_l5_markers_of_a_transaction_are_neither_events_nor_work_that_is_left(cluster: Cluster) -> None:
    """A foreign producer with transactions leaves offsets that hold no event, also at the end; what it aborts is none."""
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap, transactional_id=cluster.name("erp"))
    await producer.start()
    for number in range(3):
        async with producer.transaction():
            await producer.send(cluster.name("in-a"), event(number), key=b"k")
    await producer.begin_transaction()
    await producer.send_and_wait(cluster.name("in-a"), event(99), key=b"k")
    await producer.abort_transaction()
    await producer.stop()
    async with cluster.worker(set_fold(cluster), stuck_after=3.0) as worker:
        await eventually(lambda: _some_progress(cluster, 4))
        await asyncio.sleep(8)
        assert worker.live().ok, worker.live().reasons
    assert ids(cluster.states("w1")[b"k"]) == [0, 1, 2]


class Refusing(SetFold):
    """Emits a record the broker itself refuses, although it passed our own check."""

    def fold(self, *args: Any) -> Folded:
        folded = super().fold(*args)
        big = [Out(out.topic, out.key, b"x" * 200_000) if out.key == b"k0" else out for out in folded.outs]
        return folded._replace(outs=big)


async def test_l8_what_only_the_broker_refuses_is_quarantined_too(cluster: Cluster) -> None:
    from streams.engine.topics import TopicSpec, apply  # noqa: PLC0415

    await apply(cluster.bootstrap, [TopicSpec(cluster.name("small"), 2, 1, {"max.message.bytes": "100000"})])
    fold = Refusing(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("small"))
    await cluster.produce([("in-a", b"k%d" % (n % 10), event(n)) for n in range(100)])
    async with cluster.worker(fold, compression=None):
        await eventually(cluster.drained)
    held = {key: ids(state) for key, state in cluster.states("w1").items()}
    assert {record.key for record in await cluster.read("dead")} == {b"k0"}
    assert all(held[b"k%d" % key] == list(range(key, 100, 10)) for key in range(1, 10))


class Counting(SetFold):
    """Counts what it folds: the worst case for anything that is applied twice."""

    def fold(self, partition: int, records: Any, states: Any, now: Any, broadcast: Any) -> Folded:
        counts: dict[bytes, int] = {}
        for record in records:
            known = counts.get(record.key, int(states[record.key] or 0))
            counts[record.key] = known + 1
        return Folded({key: b"%d" % count for key, count in counts.items()}, [], [], {})


async def test_d1_a_crash_between_changelog_and_store_leaves_the_store_behind_never_ahead(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streams.engine.store import Store  # noqa: PLC0415
    from streams.engine.worker import create_worker  # noqa: PLC0415

    await cluster.produce([("in-a", b"k%d" % (n % 20), event(n)) for n in range(500)])
    write = Store.write

    def crash(self: Store, changes: Any, position: int, epoch: int, **how: Any) -> None:
        changes = list(changes)
        if changes:
            raise RuntimeError("killed")
        write(self, changes, position, epoch, **how)

    monkeypatch.setattr(Store, "write", crash)
    assert await create_worker(cluster.settings(), [set_fold(cluster)]).run(signals=False) == 1
    assert cluster.states("w1") == {}
    assert sum((await cluster.committed()).values()) == 0
    monkeypatch.undo()
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    assert {key: ids(state) for key, state in cluster.states("w1").items()} == {
        b"k%d" % key: list(range(key, 500, 20)) for key in range(20)
    }


async def test_d2_a_clean_restart_processes_nothing_twice(cluster: Cluster) -> None:
    counting = Counting(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))
    for round_ in range(3):
        await cluster.produce([("in-a", b"k%d" % (n % 20), event(n)) for n in range(1_000)])
        async with cluster.worker(counting):
            await eventually(lambda at_least=round_ * 300: _some_progress(cluster, at_least))
    async with cluster.worker(counting):
        await eventually(cluster.drained)
    assert sum(int(state) for state in cluster.states("w1").values()) == 3_000


async def _some_progress(cluster: Cluster, at_least: int) -> bool:
    return sum((await cluster.committed()).values()) > at_least


class Newer(SetFold):
    """Meets a state that a newer version wrote, in one partition."""

    def fold(self, partition: int, records: Any, states: Any, now: Any, broadcast: Any) -> Folded:
        if any(b"newer" in record.value for record in records):
            raise NewerFormat("format 9, this version knows 3")
        return super().fold(partition, records, states, now, broadcast)


async def test_a_newer_format_stops_its_partition_and_no_other(cluster: Cluster) -> None:
    newer = Newer(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))
    stopped, going = partition_of(b"stop", PARTITIONS), partition_of(b"go on", PARTITIONS)
    assert stopped != going
    await cluster.produce([("in-a", b"stop", event(0, newer=1)), ("in-a", b"go on", event(1))])
    async with cluster.worker(newer) as worker:
        await eventually(lambda: bool(worker.engine and any(p.state == "stopped" for p in worker.engine.paths)))
        await eventually(lambda: _committed(cluster, going))
        assert not worker.ready().ok
        assert worker.live().ok
        assert "is stopped" in worker.ready().reasons[0]
    assert (await cluster.committed()).get(("in-a", stopped), 0) == 0


async def _committed(cluster: Cluster, partition: int) -> bool:
    return (await cluster.committed()).get(("in-a", partition), 0) > 0


async def test_sources_with_unequal_partition_counts_are_refused_at_start(cluster: Cluster, tmp_path: Path) -> None:
    from app.core.errors import ConfigError  # noqa: PLC0415
    from streams.engine.topics import TopicSpec, apply  # noqa: PLC0415
    from streams.engine.worker import create_worker  # noqa: PLC0415

    await apply(cluster.bootstrap, [TopicSpec(cluster.name("odd"), 3, 1)])
    fold = SetFold(cluster.name("sets"), (cluster.name("in-a"), cluster.name("odd")), cluster.name("out"))
    settings = replace(cluster.settings(), data_dir=tmp_path / "odd")
    with pytest.raises(ConfigError, match="equal partition counts"):
        await create_worker(settings, [fold]).run(signals=False)
