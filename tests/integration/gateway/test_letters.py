"""Dead letters in Kafka: bodies that no other topic could hold, and the commands that show and replay them."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from app import platforms
from app.cli import main
from app.cli.dead_letters import letters
from app.cli.topics import apply_topics
from app.config.load import load
from app.connectors.bus import Bus
from app.core import topics
from app.deliveries.record import letter_headers
from app.gateway.publisher import KafkaPublisher
from streams.engine import batch_path
from streams.engine.fold import Record

pytestmark = pytest.mark.kafka


@pytest.fixture
async def path(kafka: str, tmp_path: Path) -> Path:
    path = tmp_path / "o2c.toml"
    prefix = f"t{uuid4().hex[:12]}."
    path.write_text(f'[kafka]\nbootstrap = "{kafka}"\npartitions = 2\n[topics]\nprefix = "{prefix}"\n')
    await apply_topics(load(path, {}))
    return path


async def test_the_largest_body_of_any_platform_is_kept_as_delivery_and_with_its_reason(path: Path) -> None:
    settings = load(path, {})
    largest = max(platforms.load(slug).platform.body_limit for slug in platforms.slugs())
    body = random.Random(1).randbytes(largest)  # what lz4 cannot make smaller
    publisher = KafkaPublisher(settings.kafka.bootstrap, settings.topics.prefix)
    await publisher.start()
    try:
        await publisher.keep(b"acme/shop", body, [("x-shopify-topic", b"t" * 8_000)])
        await publisher.dead_letter(b"acme/shop", body, letter_headers("the body is not JSON", "hook:shopify"))
    finally:
        await publisher.stop()
    (found,) = [record async for record in letters(settings)]
    assert found.value == body
    assert dict(found.headers)["reason"] == b"the body is not JSON"


async def test_a_producer_that_kafka_believes_no_more_is_replaced(path: Path) -> None:
    settings = load(path, {})
    publisher = KafkaPublisher(settings.kafka.bootstrap, settings.topics.prefix)
    await publisher.start()
    try:
        await publisher.dead_letter(b"acme/shop", b"first", [])
        numbers = publisher._producer._txn_manager._sequence_numbers  # type: ignore[union-attr]
        for place in numbers:  # as after a batch that expired while no broker took it
            numbers[place] += 3
        with pytest.raises(OutOfOrderSequenceNumber):
            await publisher.dead_letter(b"acme/shop", b"lost", [])
        await publisher.dead_letter(b"acme/shop", b"second", [])
    finally:
        await publisher.stop()
    assert [record.value async for record in letters(settings)] == [b"first", b"second"]


async def test_a_letter_is_listed_shown_and_published_where_it_came_from(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(path, {})
    bus = Bus(settings.kafka.bootstrap, settings.topics.prefix, 2, {})
    await bus.start()
    headers = (("reason", b"unreadable"), ("origin-topic", topics.HINTS.encode()))
    await bus.send(topics.DEAD_LETTERS, b"hints", b"no hint", partition=1, headers=headers)
    await bus.stop()

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["dead-letters", *words, "--config", str(path)])
        return code, "".join(capsys.readouterr())

    code, listed = await run("list", "--json")
    assert (code, json.loads(listed)["id"], json.loads(listed)["reason"]) == (0, "1/0", "unreadable")
    code, shown = await run("show", "1/0", "--json")
    assert base64.b64decode(json.loads(shown)["body"]) == b"no hint"
    assert (await run("replay", "1/0"))[0] == 0
    rows = [await bus.read_all(topics.HINTS, partition) for partition in range(2)]
    assert {key: value for found in rows for key, value in found.items()} == {b"hints": b"no hint"}
    code, said = await run("show", "0/9")
    assert (code, "see `o2c dead-letters list`" in said) == (1, True)


async def test_what_a_stream_worker_put_aside_is_published_again_where_it_came_from(path: Path) -> None:
    """Its letters name the whole topic, prefix and all, and carry what tells a hand-over from other facts."""
    settings = load(path, {})
    bus = Bus(settings.kafka.bootstrap, settings.topics.prefix, settings.kafka.partitions, {})
    await bus.start()
    try:
        came = Record(settings.topics.prefix + topics.ORDER_FACTS, 0, 7, b"o", b"{}", (("o2c-kind", b"handover"),), 1)
        headers = (*came.headers, *batch_path._origin(came, "quarantined", "KeyError in orders"))
        await bus.send(topics.DEAD_LETTERS, came.key, came.value, partition=0, headers=headers)
        assert await asyncio.to_thread(main, ["dead-letters", "replay", "0/0", "--config", str(path)]) == 0
        (again,) = [record async for record in bus.entries(topics.ORDER_FACTS)]
        assert (again.key, again.value, again.headers) == (came.key, came.value, came.headers)
    finally:
        await bus.stop()
