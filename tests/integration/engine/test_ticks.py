"""Ticks come from an index: when a time is reached, when something a state waits for changes, after recovery too."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.integration.engine.cluster import Cluster, event, eventually
from tests.integration.engine.worker_main import SetFold

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka


@pytest.fixture
async def cluster(kafka: str, tmp_path: Path) -> Cluster:
    made = Cluster(kafka, f"k{uuid.uuid4().hex[:8]}-", tmp_path)
    await made.create()
    return made


def set_fold(cluster: Cluster) -> SetFold:
    fold = SetFold(cluster.name("sets"), (cluster.name("in-a"), cluster.name("in-b")), cluster.name("out"))
    fold.facts = cluster.name("facts")
    return fold


def ticks(cluster: Cluster, worker: str, key: bytes) -> int:
    found: int = json.loads(cluster.states(worker)[key])["ticks"]
    return found


async def ticked(cluster: Cluster, times: int = 1) -> bool:
    return len([r for r in await cluster.read("out") if r.value.startswith(b"tick:")]) >= times


async def test_a_timer_ticks_once_when_its_time_has_come(cluster: Cluster) -> None:
    await cluster.produce([("in-a", b"k", event(1, due_in=1)), ("in-a", b"later", event(1, due_in=3_600))])
    async with cluster.worker(set_fold(cluster)):
        await eventually(lambda: ticked(cluster))
        await asyncio.sleep(1)
    assert (ticks(cluster, "w1", b"k"), ticks(cluster, "w1", b"later")) == (1, 0)


async def test_a_timer_survives_the_loss_of_the_disk(cluster: Cluster) -> None:
    from streams.engine.worker import create_worker  # noqa: PLC0415

    await cluster.produce([("in-a", b"k", event(1, due_in=60))])
    async with cluster.worker(set_fold(cluster)):
        await eventually(cluster.drained)
    later = create_worker(
        cluster.settings("empty"), [set_fold(cluster)], now=lambda: datetime.now(UTC) + timedelta(seconds=61)
    )
    task = asyncio.create_task(later.run(signals=False))
    await eventually(lambda: ticked(cluster))
    later.stop()
    assert await task == 0
    assert ticks(cluster, "empty", b"k") == 1


async def test_a_change_of_a_broadcast_entry_ticks_the_states_that_wait_for_it_and_no_other(cluster: Cluster) -> None:
    facts = (cluster.name("facts"),)
    await cluster.produce([("in-a", b"a", event(1, wait="xero")), ("in-a", b"b", event(1, wait="stripe"))])
    async with cluster.worker(set_fold(cluster), broadcast_topics=facts):
        await eventually(cluster.drained)
        await cluster.produce([("facts", b"xero", b"7")])
        await eventually(lambda: ticked(cluster))
    assert (ticks(cluster, "w1", b"a"), ticks(cluster, "w1", b"b")) == (1, 0)
    (tick,) = [r for r in await cluster.read("out") if r.value.startswith(b"tick:")]
    assert tick.value == b"tick:" + cluster.name("facts").encode() + b"/xero"


async def test_a_change_that_nobody_saw_ticks_after_the_takeover(cluster: Cluster) -> None:
    facts = (cluster.name("facts"),)
    await cluster.produce([("in-a", b"a", event(1, wait="xero"))])
    async with cluster.worker(set_fold(cluster), broadcast_topics=facts):
        await eventually(cluster.drained)
    await cluster.produce([("facts", b"xero", b"8")])
    async with cluster.worker(set_fold(cluster), "other", broadcast_topics=facts):
        await eventually(lambda: ticked(cluster))
    assert ticks(cluster, "other", b"a") == 1


async def test_a_change_that_ticked_does_not_tick_again_at_every_takeover(cluster: Cluster) -> None:
    facts = (cluster.name("facts"),)
    await cluster.produce([("facts", b"xero", b"6"), ("in-a", b"a", event(1, wait="xero"))])
    async with cluster.worker(set_fold(cluster), broadcast_topics=facts):
        await eventually(cluster.drained)
        await cluster.produce([("facts", b"xero", b"7")])
        await eventually(lambda: ticked(cluster))
    before = len(await cluster.read("out"))
    for worker in ("w1", "empty"):
        async with cluster.worker(set_fold(cluster), worker, broadcast_topics=facts) as running:
            await eventually(lambda running=running: running.ready().ok)  # type: ignore[misc]
            await asyncio.sleep(0.5)
    assert len(await cluster.read("out")) == before


async def test_folds_see_the_newest_broadcast_values_from_the_first_batch_on(cluster: Cluster) -> None:
    await cluster.produce([("facts", b"mode", b"old"), ("facts", b"mode", b"live"), ("facts", b"gone", b"1")])
    await cluster.produce([("in-a", b"k", event(1, show=True))])
    async with cluster.worker(set_fold(cluster), broadcast_topics=(cluster.name("facts"),)):
        await eventually(cluster.drained)
    assert b"mode=live" in {record.value for record in await cluster.read("out")}


async def test_health_and_metrics_are_served_and_tell_the_truth(cluster: Cluster, unused_tcp_port: int) -> None:
    await cluster.produce([("in-a", b"k", event(1))])
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with (
        cluster.worker(set_fold(cluster), web_port=unused_tcp_port) as worker,
        aiohttp.ClientSession() as session,
    ):
        await eventually(lambda: worker.ready().ok)
        async with session.get(f"{base}/health/live") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/health/ready") as answer:
            assert await answer.json() == {"ok": True, "reasons": []}
        await eventually(cluster.drained)
        async with session.get(f"{base}/metrics") as answer:
            text = await answer.text()
    assert 'o2c_events_total{outcome="applied"' in text
    assert "o2c_ack_seconds_bucket" in text
