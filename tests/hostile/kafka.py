"""The same records on a real Kafka: the streams process lives on, and each hostile one is a dead letter."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.cli.topics import apply_topics
from app.config.load import load as load_config
from app.config.model import Settings
from app.core import consumers, topics
from app.demo.stack import Stack, free_port
from schemas.cloudevents import decode
from schemas.errors import DecodeError
from tests.hostile import shapes
from tests.hostile.canaries import flown
from tests.hostile.cases import Case, load
from tests.hostile.play import HEADERS
from tests.hostile.table import home
from tests.kafka import provided

PARTITIONS = 2
PATIENCE = 180.0
GOOD = 10
_CONFIG = """\
data_dir = "data"
key = "a made-up key for the play of hostile input"
[kafka]
bootstrap = "{bootstrap}"
partitions = {partitions}
[streams]
port = {port}
[[tenant]]
name = "acme"
[tenant.connections.erp]
platform = "external"
account = "1"
[[tenant.flows]]
name = "orders"
key_giver = "erp"
mode = "live"
"""


def through_kafka(source: Path) -> tuple[list[str], int]:
    """Return lines about the play and how many things went wrong; ConfigError where no Kafka can be had."""
    with tempfile.TemporaryDirectory() as scratch, provided(Path(scratch) / "kafka") as bootstrap:
        lines, wrong = asyncio.run(_played(bootstrap, Path(scratch), source))
        birds = Path(scratch) / "canaries"
        birds.mkdir()
        found = asyncio.run(flown(bootstrap, birds))
        return [*lines, found.line, *(f"wrong: {leak}" for leak in found.leaks)], wrong + len(found.leaks)


def _records(case: Case) -> list[bytes]:
    if case.file == "order-json":
        return [shapes.contract(case)]
    if case.file == "strings":
        return [shapes.named(case.body.decode()), shapes.numbered(case.body.decode())]
    return [case.body]


def _is_event(value: bytes) -> bool:
    try:
        return bool(decode(HEADERS, value))
    except DecodeError:
        return False


async def _played(bootstrap: str, scratch: Path, source: Path) -> tuple[list[str], int]:
    path = scratch / "o2c.toml"
    path.write_text(_CONFIG.format(bootstrap=bootstrap, partitions=PARTITIONS, port=free_port()), encoding="utf-8")
    settings = load_config(path, {})
    await apply_topics(settings)
    values = [
        value
        for name in ("json", "xml", "strings", "order-json")
        for case in load(name, source)
        for value in _records(case)
    ]
    values = [value for value in values if len(value) < 900_000]  # what the topic itself refuses
    stack = Stack(scratch)
    try:
        await stack.start_role("streams", path, "streams-1")
        sent = await _send(settings, values)
        orders, letters = await _read(settings, {home(id_) for id_ in sent})
        dead = stack.dead()
    finally:
        await stack.stop()
    hostile = Counter(value for value in values if not _is_event(value))
    lost = sum((hostile - letters).values())
    extra = sum((letters - hostile).values())
    missing = len(sent) - orders
    said = (
        f"kafka: {len(values)} records on {topics.CRM_CHANGES}, {sum(letters.values())} dead letters, {lost} lost, "
        f"{extra} more than must be; {orders} of {len(sent)} good orders between and behind them shown; "
        f"{len(dead)} times the streams process ended"
    )
    return [said], lost + extra + missing + len(dead)


async def _send(settings: Settings, values: list[bytes]) -> list[str]:
    """Send *values*, a good order among each hundred and some behind all; return the ids of the good ones."""
    good = []
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
    await producer.start()
    try:
        for number, value in enumerate([*values, *[b""] * GOOD]):
            if number % 100 == 0 or not value:
                good.append(f"good-{number}")
                data = shapes.numbered(good[-1])
                await producer.send_and_wait(topics.CRM_CHANGES, data, key=home(good[-1]), headers=list(HEADERS))
            if value:
                await producer.send(topics.CRM_CHANGES, value, key=home("7"), headers=list(HEADERS))
        await producer.flush()
    finally:
        await producer.stop()
    return good


async def _read(settings: Settings, wanted: set[bytes]) -> tuple[int, Counter[bytes]]:
    """Return how many of the orders *wanted* are shown, and the letters, once all are there and nothing follows."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    names = (topics.ORDER_STATES, topics.DEAD_LETTERS)
    consumer.assign([TopicPartition(name, part) for name in names for part in range(PARTITIONS)])
    shown: set[bytes] = set()
    letters: Counter[bytes] = Counter()
    until, quiet = time.monotonic() + PATIENCE, 0.0
    try:
        while time.monotonic() < until and (shown < wanted or time.monotonic() - quiet < 3):
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                quiet = time.monotonic()
                for record in records:
                    if place.topic == topics.DEAD_LETTERS:
                        letters[record.value] += 1
                    elif record.key in wanted:
                        shown.add(record.key)
    finally:
        await consumers.stop(consumer)
    return len(shown), letters
