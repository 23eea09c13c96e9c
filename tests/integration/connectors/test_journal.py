"""HubSpot's journal in place of webhooks: the connectors as a process, on a real Kafka, against the simulated portal."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.cli import main
from app.connectors.bus import Bus, partition_of
from app.connectors.following import PLACE
from app.connectors.reading import Cursor
from app.core import consumers, topics
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.server import CLIENT
from schemas.cloudevents import decode
from schemas.events import ChangeEvent
from tests.integration.connectors.process import PARTITIONS, Connectors

pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
CONFIG = """
[tenant.connections.crm]
platform = "hubspot"
account = "{account}"
base_url = "{url}"
quota_share = 100.0
allow_private = true
sweep_seconds = 3600
recheck_seconds = 0
webhooks_seconds = 1
secrets = {{ token = "pat-sandbox", client_id = "{client}", client_secret = "{secret}" }}
options = {{ journal = "{journal}", journal_seconds = "0.2", currency = "EUR" }}
"""


class Stand(Connectors):
    """Connectors of one portal, and the sandbox that it is."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        super().__init__(bootstrap, folder)
        self.sandbox = HubspotSandbox(quota_scale=100)

    async def open(self, journal: str) -> None:
        values = {"account": self.sandbox.account, "client": CLIENT[0], "secret": CLIENT[1], "journal": journal}
        await self.configure(CONFIG.format(url=await self.sandbox.start(), **values))

    def act(self, verb: str, **asked: Any) -> Any:
        return self.sandbox.verbs[verb](asked)

    def deal(self, number: int) -> str:
        return str(self.act("create_deal", name=f"Order {number}", amount="5")["id"])

    def archive(self, id_: str) -> None:
        self.sandbox.portal.archive(self.sandbox.portal.records["deals"][id_], "CRM_UI")

    def subscribed(self) -> list[dict[str, Any]]:
        return list(self.sandbox.journal.call("GET", [], {})[1]["results"])  # type: ignore[index,call-overload]

    async def events(self) -> list[ChangeEvent]:
        name = self.prefix + topics.CRM_CHANGES
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        found: list[ChangeEvent] = []
        try:
            places = [TopicPartition(name, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    found += [decode(record.headers, record.value) for record in records]
        finally:
            await consumers.stop(consumer)
        return found

    async def told(self, id_: str, presence: str = "present") -> ChangeEvent:
        """Wait until the object is told of so."""
        deadline = time.monotonic() + 120
        while True:
            for event in await self.events():
                if event.object.id == id_ and event.presence == presence:
                    return event
            assert time.monotonic() < deadline, f"{id_} was not told: {self.log()[-3000:]}"

    async def place(self) -> str:
        rows = await Bus(self.bootstrap, self.prefix, PARTITIONS, {}).read_all(
            topics.CURSORS, partition_of("crm", PARTITIONS)
        )
        kept = [value for key, value in rows.items() if key.decode().endswith(PLACE)]
        return msgspec.json.decode(kept[0], type=Cursor).value if kept else ""

    async def placed(self) -> None:
        """Wait until a place in the journal is kept."""
        deadline = time.monotonic() + 120
        while not await self.place():
            assert time.monotonic() < deadline, f"no place is kept: {self.log()[-3000:]}"


@pytest.fixture(params=["yes", "app"])
async def stand(request: pytest.FixtureRequest, kafka: str, tmp_path: Path) -> AsyncIterator[Stand]:
    stand = Stand(kafka, tmp_path)
    await stand.open(request.param)
    try:
        yield stand
    finally:
        await stand.end(signal.SIGKILL)
        await stand.sandbox.stop()


@pytest.mark.parametrize("stand", ["yes", "app"], indirect=True)
async def test_what_is_made_changed_and_deleted_is_told_without_a_webhook_or_a_sweep(stand: Stand) -> None:
    await stand.start()
    await stand.until(lambda: "journal.subscribed" in stand.log(), "nobody subscribed")
    await stand.until(lambda: len(stand.subscribed()) >= 5, "not all was subscribed to")
    deal = stand.deal(1)
    assert (await stand.told(deal)).origin == "read"
    stand.archive(deal)
    assert (await stand.told(deal, "deleted")).facts is None


@pytest.mark.parametrize("stand", ["yes"], indirect=True)
async def test_a_killed_owner_goes_on_where_it_was_and_lost_subscriptions_come_back(stand: Stand) -> None:
    await stand.start()
    await stand.until(lambda: len(stand.subscribed()) >= 5, "nobody subscribed")
    first = stand.deal(1)
    await stand.told(first)
    await stand.placed()
    await stand.end(signal.SIGKILL)
    place, before = await stand.place(), len(await stand.events())
    second = stand.deal(2)
    stand.archive(first)
    stand.sandbox.log.clear()
    await stand.start()
    await stand.told(second)
    await stand.told(first, "deleted")
    paths = [entry.path for entry in stand.sandbox.log if "/journal-local/" in entry.path]
    assert f"/offset/{place.partition('|')[2]}/next?" in paths[0]
    assert not any("/earliest" in path for path in paths)
    assert len(await stand.events()) > before
    stand.act("unsubscribe_journal")
    await stand.until(lambda: len(stand.subscribed()) >= 5, "nobody subscribed again")


@pytest.mark.parametrize("stand", ["yes"], indirect=True)
async def test_what_the_journal_forgot_a_sweep_finds(stand: Stand) -> None:
    text = stand.config.read_text("utf-8")
    stand.config.write_text(text.replace("sweep_seconds = 3600", "sweep_seconds = 40"), encoding="utf-8")
    await stand.start()
    await stand.until(lambda: len(stand.subscribed()) >= 5, "nobody subscribed")
    await stand.told(stand.deal(1))
    await stand.placed()
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"error_5xx": 1})
    lost = stand.deal(2)
    await asyncio.sleep(1)
    stand.act("forget_journal")
    stand.sandbox.injector.faults = stand.sandbox.faults.changed({"error_5xx": 0})
    await stand.until(lambda: '"journal.gap"' in stand.log(), "nobody noticed")
    assert (await stand.told(lost)).facts is not None
    later = stand.deal(3)
    await stand.told(later)


@pytest.mark.parametrize("stand", ["yes"], indirect=True)
async def test_who_has_no_app_is_told_so_and_all_else_goes_on(stand: Stand) -> None:
    text = stand.config.read_text("utf-8").replace(f'client_secret = "{CLIENT[1]}"', 'client_secret = "wrong"')
    stand.config.write_text(text, encoding="utf-8")
    deal = stand.deal(1)
    await stand.start()
    await stand.told(deal)
    await stand.until(lambda: "bad_client_id" in stand.log(), "nobody said so")
    assert '"connection.up"' in stand.log()
    assert CLIENT[0] not in stand.log()


@pytest.mark.parametrize("stand", ["yes"], indirect=True)
async def test_the_command_says_that_nobody_needs_to_register(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["webhooks", "register", "crm", "--config", str(stand.config), "--json"]
    assert await asyncio.to_thread(main, words) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["notes"] == ["HubSpot's journal is followed instead: the connectors subscribe to it themselves."]
    assert stand.subscribed() == []
