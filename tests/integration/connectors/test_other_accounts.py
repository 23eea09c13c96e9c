"""Another account behind a connection than the configured one: no platform is written to, and a person is told why."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.cli.topics import apply_topics
from app.config.load import load
from app.core import topics
from schemas.commands import Command, Result
from schemas.facts import Order
from tests.integration.check.test_check import Company

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
OTHERS = {
    "shop": "other.myshopify.com",
    "crm": "4712",
    "books": "00000000-0000-4000-8000-000000000002",
    "qbo": "9130000000000002",
    "pay": "acct_other",
}


@pytest.fixture
async def company(kafka: str, tmp_path: Path) -> AsyncIterator[Company]:
    found = Company(kafka, tmp_path)
    await found.start()
    yield found
    await found.stop()


def note(connection: str, account: str) -> Command:
    facts = Order(currency="EUR", payable_amount=Decimal(1))
    return Command(
        facts=facts, id=connection, kind="create", tenant="acme", connection=connection, account=account, capability="add_note",
        order="a" * 32, entity="e", write="w", canonical="c", links={"invoice": "1", "order": "1"}, text="Hello",
    )  # fmt: skip


async def test_no_platform_is_written_to(company: Company, kafka: str, tmp_path: Path) -> None:
    path = company.write(**{name: {"account": account} for name, account in OTHERS.items()})
    text = path.read_text("utf-8").replace("[topics]", "[connectors]\nport = 0\n[topics]")
    path.write_text(text, encoding="utf-8")
    await apply_topics(load(path, {}))
    before = {name: sandbox.books() for name, sandbox in company.sandboxes.items()}
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for name, account in OTHERS.items():
            value = msgspec.json.encode(note(name, account))
            await producer.send_and_wait(company.prefix + topics.COMMANDS, value, key=name.encode())
    words = ["-m", "app", "run", "connectors", "--config", str(path), "--worker", "w1", "--json"]
    with (tmp_path / "connectors.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=log, stderr=log)
    found: dict[str, Result] = {}
    consumer = AIOKafkaConsumer(company.prefix + topics.RESULTS, bootstrap_servers=kafka, auto_offset_reset="earliest")
    try:
        await consumer.start()
        deadline = time.monotonic() + 180
        while len(found) < len(OTHERS):
            assert time.monotonic() < deadline, (sorted(found), (tmp_path / "connectors.log").read_text()[-2_000:])
            for records in (await consumer.getmany(timeout_ms=300)).values():
                found |= {one.command: one for one in (msgspec.json.decode(row.value, type=Result) for row in records)}
    finally:
        await consumer.stop()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert {result.outcome for result in found.values()} == {"deferred"}
    assert {name: sandbox.books() for name, sandbox in company.sandboxes.items()} == before
    assert found["crm"].reason == "crm is connected to account 4711 instead of 4712."
    assert found["pay"].reason == "pay is connected to account acct_demo instead of acct_other."
    assert all(result.reason.endswith(".") for result in found.values())
