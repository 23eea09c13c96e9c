"""The connectors role as a process, on a real Kafka, against a simulated QuickBooks that ignores idempotency keys."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from app.connectors.bus import Bus, partition_of
from app.core import consumers, topics
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from app.sandbox.platforms.quickbooks_online.acts import Acts
from schemas.broadcast import Fact
from schemas.cloudevents import decode
from schemas.commands import Command, Result
from schemas.events import ChangeEvent, Hint
from schemas.order_state import PublicOrder, Shown
from schemas.refs import ObjectRef, find_mark
from schemas.trace import new_trace, trace_id
from tests.integration.connectors.process import PARTITIONS, Connectors
from tests.platforms.quickbooks_online.rig import ACCOUNT, command, invoice

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
ENCODE = msgspec.json.Encoder().encode
OWN = partition_of("books", PARTITIONS)
CONFIG = """
[tenant.connections.books]
platform = "quickbooks_online"
account = "{account}"
base_url = "{url}"
quota_share = 100.0
allow_private = true
sweep_seconds = 2
secrets = {{ token = "sandbox-access-token", webhook_secret = "w" }}
options = {{ settle_seconds = "3" }}
accounts = {{ sales = "1", payments = "35", rounding = "1" }}
taxes = {{ "19" = "TAX", "0" = "NON" }}
"""


class Stand(Connectors):
    """Connectors of one ledger, and the sandbox that it is."""

    def __init__(self, bootstrap: str, folder: Path, sandbox: QuickbooksOnlineSandbox, account: str = ACCOUNT) -> None:
        super().__init__(bootstrap, folder)
        self.sandbox, self.account = sandbox, account

    async def open(self, url: str) -> None:
        await self.configure(CONFIG.format(account=self.account, url=url))
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all")
        await self.producer.start()

    async def close(self) -> None:
        await self.end(signal.SIGKILL)
        await self.producer.stop()

    async def send(self, topic: str, value: bytes) -> None:
        await self.producer.send_and_wait(self.prefix + topic, value, key=b"books")

    async def order(self, *commands: Command) -> None:
        for one in commands:
            await self.send(topics.COMMANDS, ENCODE(one))

    async def records(self, topic: str, count: int, seconds: float = 180.0) -> list[ConsumerRecord]:
        """Return everything on *topic* once there are *count* records."""
        name = self.prefix + topic
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        found: list[ConsumerRecord] = []
        try:
            consumer.assign(
                [TopicPartition(name, number) for number in sorted(await self.producer.partitions_for(name))]
            )
            deadline = time.monotonic() + seconds
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} records on {topic}"
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    found += records
        finally:
            await consumers.stop(consumer)
        return found

    async def results(self, count: int) -> list[Result]:
        return [msgspec.json.decode(record.value, type=Result) for record in await self.records(topics.RESULTS, count)]

    async def results_of(self, commands: list[Command]) -> list[Result]:
        """Return the results once every command has one; a killed owner's command may have two, at least once."""
        wanted, found = {one.id for one in commands}, await self.results(len(commands))
        while not wanted <= {result.command for result in found}:
            found = await self.results(len(found) + 1)
        return found

    def invoices(self) -> list[str]:
        return [find_mark(row["mark"]) or "" for row in self.sandbox.books() if row["kind"] == "invoice"]


@pytest.fixture
async def stand(kafka: str, tmp_path: Path) -> AsyncIterator[Stand]:
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, quota_scale=100)
    sandbox.injector.faults = sandbox.faults.changed({"idempotency_off": 1})
    stand = Stand(kafka, tmp_path, sandbox)
    await stand.open(await sandbox.start(0))
    try:
        yield stand
    finally:
        await stand.close()
        await sandbox.stop()


def orders(count: int) -> list[Command]:
    return [
        msgspec.structs.replace(command("upsert_invoice", invoice(reference=f"{n}"), order=f"{n}"), presence="unknown")
        for n in range(count)
    ]


async def test_a_killed_owner_leaves_each_document_once(stand: Stand) -> None:
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"idempotency_off": 1, "latency_s": 0.3})
    await stand.start()
    commands = orders(12)
    await stand.order(*commands)
    for _ in range(3):
        before = len(stand.invoices())
        deadline = time.monotonic() + 40
        while len(stand.invoices()) == before < len(commands) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # another process writes them
        await stand.end(signal.SIGKILL)
        ups = stand.log().count('"connection.up"')
        await stand.start()
    results = await stand.results_of(commands)
    assert {result.command for result in results} == {one.id for one in commands}
    assert {result.outcome for result in results} == {"confirmed"}
    assert sorted(stand.invoices()) == sorted(one.mark for one in commands)
    await stand.logged("connection.up", ups + 1)  # before it listens to signals, one ends it with another code
    await stand.end()
    assert stand.process is not None
    assert stand.process.returncode == 0


async def test_what_is_unreadable_or_for_nobody_is_answered_and_the_rest_goes_on(stand: Stand) -> None:
    await stand.start()
    (good,) = orders(1)
    await stand.send(topics.COMMANDS, b"{not json")
    await stand.order(msgspec.structs.replace(good, id="nobody", connection="gone"))
    await stand.order(msgspec.structs.replace(good, id="stranger", account="999"))
    await stand.order(good)
    found = {result.command: result.outcome for result in await stand.results(3)}
    assert found == {"nobody": "rejected", "stranger": "rejected", good.id: "confirmed"}
    (dead,) = await stand.records(topics.DEAD_LETTERS, 1)
    assert dead.value == b"{not json"


async def test_a_hint_is_read_and_a_sweep_finds_what_nobody_told(stand: Stand) -> None:
    await stand.start()
    await stand.order(*orders(1))
    (result,) = await stand.results(1)
    assert result.bound is not None
    await stand.send(topics.HINTS, ENCODE(Hint(tenant="acme", object=result.bound, reason="tie")))
    read = [decode(record.headers, record.value) for record in await stand.records(topics.ACCOUNTING_CHANGES, 1)]
    assert {(event.object, event.origin) for event in read} == {(result.bound, "read")}
    line = {"sku": "MUG", "title": "Mug", "quantity": 1, "price": "10.00", "tax_rate": "19"}
    typed = {"customer": "Ada Example", "email": "ada@example.com", "currency": "EUR", "lines": [line]}
    made = stand.sandbox.verbs["type_invoice"](typed)
    deadline = time.monotonic() + 180
    found = {event.object.id: event.origin for event in read}
    while made["id"] not in found:
        assert time.monotonic() < deadline, f"no sweep found {made['id']}: {found}"
        records = await stand.records(topics.ACCOUNTING_CHANGES, len(found) + 1)
        found = {event.object.id: event.origin for event in (decode(one.headers, one.value) for one in records)}
    assert found[made["id"]] == "sweep"
    assert await stand.records(topics.CURSORS, 1)


async def test_a_killed_owner_loses_no_hint_that_it_had_taken_and_not_read(stand: Stand) -> None:
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"error_5xx": 1})
    await stand.start()
    trace = new_trace()
    invoice_ = ObjectRef("books", ACCOUNT, "invoice", "999999")
    await stand.send(topics.HINTS, ENCODE(Hint(tenant="acme", object=invoice_, trace=trace)))
    await stand.order(msgspec.structs.replace(orders(1)[0], account="999"))
    await stand.results(1)
    await asyncio.sleep(2)  # offsets are committed each half second
    await stand.end(signal.SIGKILL)
    assert trace_id(trace) not in stand.log()
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"error_5xx": 0})
    await stand.start()
    deadline = time.monotonic() + 180
    while trace_id(trace) not in stand.log():
        assert time.monotonic() < deadline, "the hint was lost"
        await asyncio.sleep(0.2)


async def test_a_deletion_that_nobody_told_is_found_by_reading_what_is_open_again(stand: Stand) -> None:
    text = stand.config.read_text("utf-8")
    often = text.replace("sweep_seconds = 2", "sweep_seconds = 3600\nrecheck_seconds = 2")
    stand.config.write_text(often, encoding="utf-8")
    await stand.start()
    await stand.order(*orders(1))
    (result,) = await stand.results(1)
    assert result.bound is not None
    open_ = Shown(
        connection="books", account=ACCOUNT, type=result.bound.type, id=result.bound.id, kind="invoice", ours=True
    )
    order = PublicOrder(key="0", tenant="acme", shown=(open_,))
    await stand.producer.send_and_wait(stand.prefix + topics.ORDER_STATES, ENCODE(order), key=b"0")
    Acts(stand.sandbox.company).delete("Invoice", {"id": result.bound.id})
    deadline = time.monotonic() + 180
    gone: list[ChangeEvent] = []
    while not gone:
        assert time.monotonic() < deadline, "nobody noticed"
        records = await stand.records(topics.ACCOUNTING_CHANGES, 1)
        found = [decode(record.headers, record.value) for record in records]
        gone = [event for event in found if event.object == result.bound and event.presence == "deleted"]


async def test_another_account_behind_the_connection_is_never_written_to(kafka: str, tmp_path: Path) -> None:
    sandbox = QuickbooksOnlineSandbox("111", quota_scale=100)
    stand = Stand(kafka, tmp_path, sandbox, account=ACCOUNT)
    await stand.open(await sandbox.start(0))
    try:
        await stand.start()
        await stand.order(*orders(2))
        results = await stand.results(2)
        assert {result.outcome for result in results} == {"deferred"}
        assert all(result.reason for result in results)
        assert stand.invoices() == []
        said = await Bus(stand.bootstrap, stand.prefix, 2, {}).read_all(topics.BROADCAST, 0)
        assert not [key for key in said if key.startswith((b"up/", b"start/"))]
    finally:
        await stand.close()
        await sandbox.stop()


async def test_a_connection_that_comes_back_says_up_with_the_number_of_its_outage(stand: Stand) -> None:
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"expired_token": 1})
    await stand.start()
    await stand.order(*orders(1))
    (result,) = await stand.results(1)
    assert (result.outcome, result.outage > 0) == ("deferred", True)
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"expired_token": 0})
    facts = [msgspec.json.decode(record.value, type=Fact) for record in await stand.records(topics.BROADCAST, 2)]
    assert [fact.kind for fact in facts[:2]] == ["start", "up"]
    assert facts[-1].number >= result.outage
    await stand.order(*orders(1))
    assert (await stand.results(2))[-1].outcome == "confirmed"


async def test_the_first_start_of_an_account_is_noted_once_and_a_period_that_was_opened_again_as_well(
    stand: Stand,
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    for times, closed in ((1, "2026-04-30"), (2, "")):
        stand.sandbox.verbs["set_lock_date"]({"date": closed})
        await stand.start()
        await stand.logged("connection.up", times)
        await stand.end()
        if times == 1:  # an owner that was stopped sends its last row when it goes on, after its successor's
            for writer, state in ((b"9", b"new"), (b"8", b"old")):
                await stand.producer.send_and_wait(
                    stand.prefix + topics.TOKENS, state, b"books|c", OWN, headers=[("owner-epoch", writer)]
                )
    bus = Bus(stand.bootstrap, stand.prefix, 2, {})
    assert (await bus.read_all(topics.TOKENS, OWN))[b"books|c"] == b"new"
    facts = [msgspec.json.decode(record.value, type=Fact) for record in await stand.records(topics.BROADCAST, 5)]
    assert [fact.value for fact in facts if fact.kind == "lock_date"] == ["2026-04-30", ""]
    facts = [fact for fact in facts if fact.kind != "lock_date"]
    assert [(fact.kind, fact.subject) for fact in facts if fact.kind == "start"] == [("start", f"books@{ACCOUNT}")]
    moment = facts[0].moment
    assert moment is not None
    assert before <= moment <= datetime.now(UTC)
