"""Deliveries on a real Kafka: what they mean is published in their order and once they are safe, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from app.cli import main
from app.cli.dead_letters import letters
from app.cli.topics import apply_topics
from app.config.load import load
from app.config.model import Settings
from app.core import topics
from app.core.metrics import new_metrics
from app.deliveries.translator import Translator
from app.gateway.publisher import KafkaPublisher
from schemas.cloudevents import decode
from schemas.events import ChangeEvent, Hint
from tests.made_up_deliveries import SHOP, order, served

pytestmark = pytest.mark.kafka
SHOP_KEY = b"acme/shop"
HEADERS = (("x-shopify-topic", b"orders/updated"), ("x-shopify-shop-domain", SHOP.encode()))


@pytest.fixture
async def path(kafka: str, tmp_path: Path) -> Path:
    path, prefix = tmp_path / "o2c.toml", f"t{uuid4().hex[:12]}."
    path.write_text(f'[kafka]\nbootstrap = "{kafka}"\npartitions = 2\n[topics]\nprefix = "{prefix}"\n')
    await apply_topics(load(path, {}))
    return path


class Failing(KafkaPublisher):
    """A publisher whose first tries are not acknowledged."""

    failures: Sequence[Exception] = ()

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        if self.failures:
            error, *self.failures = self.failures
            raise error
        await super().publish(events, hints)


@asynccontextmanager
async def translating(settings: Settings, *failures: Exception) -> AsyncIterator[Translator]:
    """Run a translator in the background."""
    publisher = Failing(settings.kafka.bootstrap, settings.topics.prefix)
    publisher.failures = failures
    translator = Translator(served(), publisher, new_metrics(), settings.topics.prefix)
    await translator.start(settings.kafka.bootstrap, None, {})
    running = asyncio.create_task(translator.run())
    try:
        yield translator
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await translator.stop()


async def keep(settings: Settings, *bodies: bytes, key: bytes = SHOP_KEY) -> None:
    publisher = KafkaPublisher(settings.kafka.bootstrap, settings.topics.prefix)
    await publisher.start()
    try:
        for body in bodies:
            await publisher.keep(key, body, HEADERS)
    finally:
        await publisher.stop()


async def until_on(settings: Settings, topic: str, count: int) -> list[ConsumerRecord]:
    """Return the records of *topic*, oldest first in each partition, once there are *count* of them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        consumer.assign([TopicPartition(settings.topics.prefix + topic, number) for number in range(2)])
        async with asyncio.timeout(60):
            while len(found) < count:
                found += [one for some in (await consumer.getmany(timeout_ms=200)).values() for one in some]
        return found
    finally:
        await consumer.stop()


def totals(records: Sequence[ConsumerRecord]) -> list[str]:
    events = [decode(record.headers, record.value) for record in records]
    return [str(getattr(event.facts, "payable_amount", "")) for event in events]


async def test_what_deliveries_mean_is_published_in_their_order_and_rubbish_is_put_aside_and_can_be_tried_again(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(path, {})
    changes = [order(1, total_price=f"{number}.00") for number in range(1, 21)]
    await keep(settings, *changes[:10], b"rubbish", *changes[10:])
    await keep(settings, order(2), key=b"acme/gone")
    async with translating(settings):
        found = await until_on(settings, topics.CRM_CHANGES, 20)
        assert totals(found) == [f"{number}.00" for number in range(1, 21)]
        await until_on(settings, topics.DEAD_LETTERS, 2)
    put_aside = {record.value: dict(record.headers) async for record in letters(settings)}
    assert put_aside[b"rubbish"]["origin"] == b"hook:shopify"
    assert b"JSON" in put_aside[b"rubbish"]["reason"]
    assert b"/hooks/acme/gone" in put_aside[order(2)]["reason"]

    async def run(*words: str) -> str:
        assert await asyncio.to_thread(main, ["dead-letters", *words, "--config", str(path)]) == 0
        return capsys.readouterr().out

    capsys.readouterr()
    rows = [json.loads(line) for line in (await run("list", "--json")).splitlines()]
    (letter,) = [row["id"] for row in rows if row["origin"] == "hook:shopify"]
    await run("replay", letter)
    again = (await until_on(settings, topics.DELIVERIES, 23))[-23:]
    tried = [record for record in again if record.value == b"rubbish"]
    assert [(record.key, tuple(record.headers)) for record in tried] == [(SHOP_KEY, HEADERS)] * 2, "as it came"


async def test_what_was_not_acknowledged_is_taken_again_and_what_was_is_not(path: Path) -> None:
    settings = load(path, {})
    await keep(settings, order(1, total_price="1.00"), order(1, total_price="2.00"))
    async with translating(settings, KafkaTimeoutError()) as translator:
        assert totals(await until_on(settings, topics.CRM_CHANGES, 2)) == ["1.00", "2.00"]
        async with asyncio.timeout(60):
            while translator.wrong():  # noqa: ASYNC110 - the translator ends it once its offsets are committed
                await asyncio.sleep(0.01)
    await keep(settings, order(1, total_price="3.00"))
    async with translating(settings):
        assert totals(await until_on(settings, topics.CRM_CHANGES, 3)) == ["1.00", "2.00", "3.00"]


async def test_an_event_that_its_topic_cannot_hold_is_put_aside_and_those_beside_it_are_not(path: Path) -> None:
    settings = load(path, {})
    await keep(settings, order(1), order(2), order(3))
    too_large = MessageSizeTooLargeError()
    async with translating(settings, too_large, too_large):  # all at once, then the first alone
        found = await until_on(settings, topics.CRM_CHANGES, 2)
        (letter,) = await until_on(settings, topics.DEAD_LETTERS, 1)
    assert {decode(record.headers, record.value).object.id for record in found} == {"2", "3"}
    assert letter.value == order(1)
