"""The controls of the guarantees: a stock Faust worker does lose what ours keeps, in the versions that are pinned.

Each case fails once on an event that would pass a moment later. Were one of these tests to fail, Faust would have
learnt to keep that event, and the defence of ours that tests/integration/engine/test_guarantees.py shows would be free.
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from streams.engine.topics import TopicSpec, apply
from tests.integration.engine.cluster import eventually

pytestmark = [pytest.mark.long, pytest.mark.kafka, pytest.mark.timeout(600)]
WORKER = Path(__file__).with_name("stock_faust.py")


class Stock:
    """One topic with one partition, and the stock worker that reads it."""

    def __init__(self, kafka: str, folder: Path, case: str) -> None:
        name = f"stock-{uuid.uuid4().hex[:8]}"
        self.given = {"bootstrap": kafka, "group": f"{name}-group", "topic": name, "folder": str(folder), "case": case}
        self.folder = folder

    async def produce(self, values: list[bytes]) -> None:
        await apply(self.given["bootstrap"], [TopicSpec(self.given["topic"], 1, 1)])
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
        seen = self.folder / "seen"
        return seen.read_text().split() if seen.exists() else []

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
