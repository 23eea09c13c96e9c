"""Commands that read and write a real Kafka, as a person types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from app.cli import main
from app.core import topics
from schemas.events import ChangeEvent
from schemas.facts import Order
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef

pytestmark = pytest.mark.kafka
_PARTITIONS = 2


@dataclass
class Desk:
    """Where a person sits."""

    bootstrap: str
    prefix: str
    config: Path

    def tell(self, *orders: PublicOrder) -> None:
        """Publish states, as stream workers do."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all"})
        for order in orders:
            producer.produce(self.prefix + topics.ORDER_STATES, key=order.key, value=msgspec.json.encode(order))
        assert producer.flush(60) == 0

    def held(self, topic: str) -> list[ChangeEvent]:
        """Return what a topic of changes holds."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": self.prefix})
        places = [TopicPartition(self.prefix + topic, number, 0) for number in range(_PARTITIONS)]
        ends = sum(_end(consumer, place) for place in places)
        consumer.assign(places)
        found = [consumer.poll(60) for _ in range(ends)]
        consumer.close()
        return [msgspec.json.decode(record.value() or b"", type=ChangeEvent) for record in found if record is not None]


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Return the offset after the last record; a topic that was just made has no leader for a moment."""
    for _ in range(100):
        try:
            _, end = consumer.get_watermark_offsets(place, timeout=60)
        except KafkaException:
            time.sleep(0.1)
        else:
            return int(end)
    raise TimeoutError(f"{place} has no leader")


@pytest.fixture
def desk(kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    prefix = f"cli-{uuid.uuid4().hex[:8]}."
    config = tmp_path / "o2c.toml"
    config.write_text(
        f'[kafka]\nbootstrap = "{kafka}"\npartitions = {_PARTITIONS}\n[topics]\nprefix = "{prefix}"\n'
        '[[tenant]]\nname = "acme"\n[tenant.connections.shop]\nplatform = "shopify"\naccount = "acme.myshopify.com"\n'
    )
    assert main(["topics", "apply", "--config", str(config)]) == 0
    capsys.readouterr()
    return Desk(kafka, prefix, config)


def _order(number: str, headline: str, key: str = "") -> PublicOrder:
    return PublicOrder(key=key or uuid.uuid4().hex, tenant="acme", number=number, headline=headline, currency="EUR")


def test_the_list_has_the_newest_state_of_each_order(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    first = _order("SO-1", "open")
    desk.tell(first, _order("SO-2", "open"), msgspec.structs.replace(first, headline="paid"))
    assert main(["orders", "list", "--config", str(desk.config), "--json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {order["number"]: order["headline"] for order in listed} == {"SO-1": "paid", "SO-2": "open"}
    assert main(["orders", "list", "--config", str(desk.config), "--headline", "paid"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("SO-1 ")
    assert line.endswith(first.key)


def test_watch_shows_a_change_as_it_happens_until_it_is_interrupted(desk: Desk, root: Path) -> None:
    words = [sys.executable, "-m", "app", "orders", "watch", "--json", "--config", str(desk.config)]
    desk.tell(_order("SO-1", "before"))
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs do not hear it
    pipe = subprocess.PIPE
    with subprocess.Popen(words, cwd=root, stdout=pipe, stderr=pipe, text=True) as watching:
        signal.signal(signal.SIGINT, heard)
        assert watching.stdout is not None
        os.set_blocking(watching.stdout.fileno(), False)
        until, seen = time.monotonic() + 60, ""
        while not seen and time.monotonic() < until:
            desk.tell(_order("SO-2", "open"))
            time.sleep(0.2)
            seen = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        os.set_blocking(watching.stdout.fileno(), True)
        _, err = watching.communicate(timeout=60)
    order = json.loads(seen)
    assert (order["number"], order["headline"]) == ("SO-2", "open"), "not what was there before"
    assert (watching.returncode, err) == (130, "")


def test_replay_publishes_every_event_of_the_file_and_again(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        ChangeEvent(
            tenant="acme",
            object=ObjectRef("shop", "acme.myshopify.com", "order", str(number)),
            facts=Order(currency="EUR", payable_amount=Decimal(number)),
        )
        for number in range(1, 4)
    ]
    file = desk.config.with_name("events.jsonl")
    hint = b'{"kind": "hint", "object": {"connection": "shop", "account": "a", "type": "order", "id": "9"}}\n'
    file.write_bytes(hint + b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    for _ in range(2):
        assert main(["replay", str(file), "--config", str(desk.config), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"published": 3}
    told = Counter(event.object.id for event in desk.held(topics.CRM_CHANGES))
    assert told == {"1": 2, "2": 2, "3": 2}
    assert {
        event.facts.payable_amount for event in desk.held(topics.CRM_CHANGES) if isinstance(event.facts, Order)
    } == {
        Decimal(1),
        Decimal(2),
        Decimal(3),
    }


def test_replay_stops_at_a_line_that_is_none(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    file = desk.config.with_name("events.jsonl")
    file.write_text('{"tenant": 1}\n')
    assert main(["replay", str(file), "--config", str(desk.config)]) == 1
    assert "events.jsonl:1: not a change event" in capsys.readouterr().err
    assert desk.held(topics.CRM_CHANGES) == []
