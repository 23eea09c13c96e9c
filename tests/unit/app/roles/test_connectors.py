"""What is polled while the group rebalances is polled again: its commands may sit in an inbox that nobody reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from app.config.model import Settings
from app.connectors.lease import Lease
from app.connectors.rows import least_epoch
from app.core import topics
from app.core.metrics import new_metrics
from app.roles.connectors import Office, take
from schemas.commands import Command, Result
from schemas.facts import Payment

PLACE = TopicPartition(topics.COMMANDS, 0)


class Consumer:
    """The calls of aiokafka's consumer that taking makes."""

    def __init__(self, *values: bytes) -> None:
        self.records = [
            SimpleNamespace(offset=10 + n, value=value, timestamp=1_000, headers=()) for n, value in enumerate(values)
        ]
        self.committed: list[dict[TopicPartition, int] | None] = []
        self.sought: list[tuple[TopicPartition, int]] = []
        self._coordinator = SimpleNamespace(generation=3)
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while offsets are committed."""

    async def position(self, _: TopicPartition) -> int:
        return 10

    async def getmany(self, **_: int) -> dict[TopicPartition, list[Any]]:
        return {PLACE: self.records} if self.records else {}

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought.append((place, offset))

    async def commit(self, offsets: dict[TopicPartition, int] | None) -> None:
        self.committed.append(offsets)
        self.meanwhile()

    def highwater(self, _: TopicPartition) -> None:
        return None


class Desk:
    """A desk that takes commands, and may see the group rebalance meanwhile."""

    def __init__(self, office: Office, *, rebalances: bool) -> None:
        self.office, self.rebalances, self.accepted = office, rebalances, list[str]()

    async def accept(self, command: Command, _sent_at: float, _headers: object) -> None:
        self.accepted.append(command.id)
        if self.rebalances:
            self.rebalances = False
            await self.office.on_partitions_revoked(())

    async def stop(self) -> None:
        """Nothing runs here."""


class Bus:
    """Remembers what is published."""

    prefix, partitions = "", 1

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.values: list[bytes] = []

    async def send(self, topic: str, _key: bytes, value: bytes) -> None:
        self.sent.append(topic)
        self.values.append(value)


def command(name: str) -> bytes:
    made = Command(
        id=name, kind="append", tenant="t", connection="books", account="1", capability="record_payment", order="o",
        entity=name, write="w", canonical="c", facts=Payment(amount=1, currency="EUR"),  # type: ignore[arg-type]
    )  # fmt: skip
    return msgspec.json.encode(made)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Office(Settings(data_dir=tmp_path, key="made up"), Bus(), new_metrics())  # type: ignore[arg-type]
    made.ready.set()
    return made


async def test_what_was_handed_over_is_committed(office: Office) -> None:
    desk = Desk(office, rebalances=False)
    office.desks = {"books": desk}  # type: ignore[dict-item]
    consumer = Consumer(command("a"), command("b"))
    await take(consumer, office, "")
    assert (desk.accepted, consumer.committed, consumer.sought) == (["a", "b"], [{PLACE: 12}], [])


async def test_what_was_handed_over_during_a_rebalance_is_neither_committed_nor_answered(office: Office) -> None:
    desk = Desk(office, rebalances=True)
    office.desks = {"books": desk}  # type: ignore[dict-item]
    consumer = Consumer(command("a"), command("b"))
    await take(consumer, office, "")
    assert (consumer.committed, consumer.sought) == ([], [(PLACE, 10)])
    assert office._bus.sent == [], "no command of a configured connection may be rejected"  # type: ignore[attr-defined]


async def test_what_an_owner_says_counts_more_than_that_there_was_none_before(office: Office) -> None:
    """The connection may be configured again, and its owner answers later wishes of the same write."""
    await take(Consumer(command("a")), office, "")
    answer = msgspec.json.decode(office._bus.values[0], type=Result)  # type: ignore[attr-defined]
    assert (answer.command, answer.outcome) == ("a", "rejected")
    assert (answer.epoch, answer.offset) < (least_epoch(time.time()), 1)


async def test_whoever_is_without_partitions_polls_on_and_hears_why(office: Office) -> None:
    """aiokafka tells of an error by the next poll, and joins the group again only once it was heard."""
    office.ready.clear()
    consumer = Consumer(command("a"))
    async with asyncio.timeout(5):
        await take(consumer, office, "")
    assert (consumer.committed, consumer.sought) == ([], [(PLACE, 10)])


@pytest.fixture
def lapsed(office: Office) -> Office:
    """Return an office that was stopped for longer than its lease."""
    now = [0.0]
    office.lease = Lease(7.0, lambda: now[0])
    now[0] = 30.0
    assert not office.lease.held()
    return office


@pytest.mark.parametrize("values", [(), (command("a"),)])
async def test_a_commit_of_a_member_is_a_lease(lapsed: Office, values: tuple[bytes, ...]) -> None:
    lapsed.desks = {"books": Desk(lapsed, rebalances=False)}  # type: ignore[dict-item]
    consumer = Consumer(*values)
    await take(consumer, lapsed, "")
    assert (lapsed.lease.held(), consumer.committed) == (True, [{PLACE: 10 + len(values)}])


async def test_whoever_the_group_forgot_gets_no_lease_by_a_commit_that_it_takes_from_anybody(lapsed: Office) -> None:
    """Kafka takes the offsets of a stranger while a group has no members, as after all of them were stopped for long."""
    consumer = Consumer()
    consumer._coordinator.generation = -1
    await take(consumer, lapsed, "")
    assert (lapsed.lease.held(), consumer.committed) == (False, [])
    consumer._coordinator.generation = 3
    consumer.meanwhile = lambda: setattr(consumer._coordinator, "generation", -1)
    await take(consumer, lapsed, "")
    assert not lapsed.lease.held()


async def test_what_asks_no_broker_is_no_lease(lapsed: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer()
    monkeypatch.setattr(Consumer, "assignment", lambda _: set())
    await take(consumer, lapsed, "")
    assert not lapsed.lease.held()
    await lapsed.on_partitions_assigned([PLACE])  # it may have been stopped between the broker's answer and this
    assert not lapsed.lease.held()


class Unstarted:
    """A desk that cannot start."""

    def __init__(self, error: Exception) -> None:
        self.error, self.stopped = error, 0

    async def start(self) -> None:
        raise self.error

    async def stop(self) -> None:
        self.stopped += 1


@pytest.mark.parametrize(
    ("error", "broken"), [(KafkaConnectionError("away"), []), (msgspec.ValidationError("newer"), ["group"])]
)
async def test_a_desk_that_cannot_start_is_told_and_ends_the_process_where_waiting_does_not_help(
    office: Office, monkeypatch: pytest.MonkeyPatch, error: Exception, broken: list[str]
) -> None:
    """aiokafka would log it, and the process would own partitions whose connections nobody serves."""
    desk = Unstarted(error)
    monkeypatch.setattr("app.roles.connectors.Desk", lambda *_, **__: desk)
    resolved = SimpleNamespace(connection=SimpleNamespace(name="books"))
    office._settings = SimpleNamespace(connections=[resolved])  # type: ignore[assignment]
    office.ready.clear()
    await office.on_partitions_assigned([PLACE])
    assert office.unstarted is error
    assert list(office.broken()) == broken
    assert ("Kafka" in office.wrong()["group"]) == (not broken)
    assert desk.stopped == 1
    assert not office.ready.is_set()
