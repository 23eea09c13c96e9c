"""The controls of the guarantees: a stock Faust worker does lose what ours keeps, in the versions that are pinned.

Each case fails once on an event that would pass a moment later. Were one of these tests to fail, Faust would have
learnt to keep that event, and the defence of ours that tests/integration/engine/test_guarantees.py shows would be free.
L7, commits that overtake records which wait in the producer's memory, has no control: it needs a broker that is slow at
the right moment. Nor has L8, a record above the producer's limit: the worker did not end within 90 s of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streams.engine.topics import CHANGELOG, TopicSpec, apply
from tests.integration.engine.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(600)]
WORKER = Path(__file__).with_name("stock_faust.py")


class Stock:
    """One topic with one partition, and the stock worker that reads it."""

    def __init__(self, kafka: str, folder: Path, case: str) -> None:
        name = f"stock-{uuid.uuid4().hex[:8]}"
        self.given = {"bootstrap": kafka, "group": f"{name}-group", "topic": name, "folder": str(folder), "case": case}
        self.folder = folder

    @property
    def changelog(self) -> str:
        return f"{self.given['group']}-kept-changelog"

    async def produce(self, values: list[bytes], changelog: Mapping[str, str] = CHANGELOG) -> None:
        specs = [TopicSpec(self.given["topic"], 1, 1), TopicSpec(self.changelog, 1, 1, changelog)]
        await apply(self.given["bootstrap"], specs)
        producer = AIOKafkaProducer(bootstrap_servers=self.given["bootstrap"])
        await producer.start()
        for value in values:
            await producer.send_and_wait(self.given["topic"], value, key=b"k")
        await producer.stop()

    async def start(self) -> Any:
        with (self.folder / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, str(WORKER), json.dumps(self.given), stdout=log, stderr=log
            )

    async def committed(self) -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.given["bootstrap"])
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.given["group"])
            return sum(one.offset for one in offsets.values())
        finally:
            await admin.close()

    async def seen_until_committed(self, count: int) -> list[str]:
        """Work until *count* is committed, mend what failed, work once more, and return what was handled in all."""
        for _ in range(2):
            process = await self.start()
            try:
                await eventually(lambda: self._reached(count), 90)
                await asyncio.sleep(3)
            finally:
                process.kill()
                await process.wait()
            (self.folder / "mended").touch()
        return self.seen()

    def seen(self) -> list[str]:
        """Return what was handled so far."""
        seen = self.folder / "seen"
        return seen.read_text().split() if seen.exists() else []

    async def killed_when_it_saw(self, count: int) -> None:
        """Work until *count* events were handled by all workers so far, then die."""
        process = await self.start()
        try:
            await eventually(lambda: len(self.seen()) >= count, 90)
        finally:
            process.kill()
            await process.wait()

    async def changes(self) -> int:
        """Return how many records the changelog has."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.given["bootstrap"])
        await consumer.start()
        try:
            tp = TopicPartition(self.changelog, 0)
            return int((await consumer.end_offsets([tp]))[tp])
        finally:
            await consumer.stop()

    async def _reached(self, count: int) -> bool:
        return await self.committed() >= count


async def test_l1_an_event_that_its_agent_raises_on_is_committed_and_never_seen_again(
    kafka: str, tmp_path: Path
) -> None:
    stock = Stock(kafka, tmp_path, "raise")
    await stock.produce([b"first", b"boom", b"last"])
    seen = await stock.seen_until_committed(3)
    assert "boom" not in seen
    assert "last" in seen


async def test_l2_a_batch_of_take_that_its_agent_raises_on_is_gone_whole(kafka: str, tmp_path: Path) -> None:
    stock = Stock(kafka, tmp_path, "take")
    await stock.produce([b"boom", *(b"e%d" % number for number in range(9))])
    assert await stock.seen_until_committed(10) == []


async def test_l4_bytes_that_cannot_be_decoded_are_committed_and_told_to_nobody(kafka: str, tmp_path: Path) -> None:
    stock = Stock(kafka, tmp_path, "decode")
    await stock.produce([b'"first"', b"\xff{", b'"last"'])
    assert await stock.seen_until_committed(3) == ["first", "last"]


async def test_l3_a_batch_that_nobody_acknowledged_is_committed_past_by_the_next(kafka: str, tmp_path: Path) -> None:
    stock = Stock(kafka, tmp_path, "noack_take")
    await stock.produce([b"boom", *(b"e%d" % number for number in range(19))])
    seen = await stock.seen_until_committed(20)
    assert "boom" not in seen
    assert "e18" in seen


async def test_l5_with_two_at_once_an_event_under_way_is_committed_by_those_behind_it(
    kafka: str, tmp_path: Path
) -> None:
    stock = Stock(kafka, tmp_path, "slow")
    await stock.produce([b"slow", *(b"e%d" % number for number in range(9))])
    seen = await stock.seen_until_committed(2)
    assert "slow" not in seen
    assert "e8" in seen


async def test_l6_a_state_that_the_broker_refuses_is_in_no_changelog_and_its_event_committed(
    kafka: str, tmp_path: Path
) -> None:
    stock = Stock(kafka, tmp_path, "grow")
    await stock.produce([b"5000"], {"max.message.bytes": "1000"})
    assert await stock.seen_until_committed(1) == ["5000"]
    assert await stock.changes() == 0


async def test_d1_a_count_of_a_killed_worker_goes_on_from_what_its_disk_says_and_counts_again(
    kafka: str, tmp_path: Path
) -> None:
    stock = Stock(kafka, tmp_path, "count")
    stock.given["commit"] = "600"
    await stock.produce([b"e"] * 100)
    await stock.killed_when_it_saw(100)
    await stock.killed_when_it_saw(200)
    assert int(stock.seen()[-1]) > 100


async def test_d2_what_was_handled_and_not_committed_is_handled_again_by_the_next_owner(
    kafka: str, tmp_path: Path
) -> None:
    stock = Stock(kafka, tmp_path, "plain")
    stock.given["commit"] = "600"
    await stock.produce([b"e%d" % number for number in range(50)])
    await stock.killed_when_it_saw(50)
    await stock.killed_when_it_saw(100)
    assert sorted(stock.seen()) == sorted(2 * [f"e{number}" for number in range(50)])
