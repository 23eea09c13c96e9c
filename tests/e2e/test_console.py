"""The console over a real Kafka with a real stream worker: found, linked, read again, reverted, by HTTP and command line."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import openapi_core
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from openapi_core.testing import MockRequest, MockResponse

from app.cli import main
from app.cli.topics import apply_topics
from app.config.load import load
from app.console.routes import openapi
from app.core import consumers, topics
from app.demo.stack import free_port
from schemas.decisions import Decision
from schemas.events import SYNC, Hint
from schemas.links import Parked, Say
from schemas.order_state import PublicOrder, Waiting
from schemas.refs import ObjectRef
from schemas.state import Conflict
from tests.e2e.test_external import CONFIG, REALM, XERO, looked_at, order, payment, process, publish

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]
NOWHERE = {"books": "http://127.0.0.1:9", "qbo": "http://127.0.0.1:9"}
"""No connector runs here: what is planned waits."""
CONSOLE = """
[[tenant]]
name = "other"
[tenant.connections.till]
platform = "external"
account = "till-1"
[console]
port = {port}
api_keys = [
  {{ name = "boss", tenant = "acme", role = "admin", key = "admin of acme, long enough" }},
  {{ name = "rival", tenant = "other", role = "admin", key = "admin of other, long enough" }},
]
"""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAYMENT = ObjectRef("erp", "erp-1", "payment", "E-1-p")
FOREIGN = PublicOrder(key="f" * 32, tenant="other", number="O-1", headline="paid")


@dataclass
class Stand:
    """One Kafka with topics of its own, a stream worker and a console."""

    kafka: str
    prefix: str
    config: Path
    url: str
    producer: AIOKafkaProducer

    async def put(self, topic: str, key: str, value: msgspec.Struct) -> None:
        await self.producer.send_and_wait(self.prefix + topic, msgspec.json.encode(value), key=key.encode())

    async def ask(self, method: str, path: str, who: str = "acme", **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer admin of {who}, long enough"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers, **more) as reply,
        ):
            return reply.status, await reply.json()

    async def until(self, done: Callable[[], Awaitable[Any]], seconds: float = 120.0) -> Any:
        """Ask again and again until *done* answers something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (found := await done()):
            assert time.monotonic() < deadline, "it did not come to pass"
            await asyncio.sleep(0.3)
        return found

    async def order(self, id_: str, shows: Callable[[Any], Any] = bool, **wanted: Any) -> Any:
        """Return all about an order once its state is as *wanted* and the view *shows* what is looked for.

        The console reads each topic by itself, so that what one tells may be there long before the other.
        """

        async def shown() -> Any:
            _, found = await self.ask("GET", f"/api/orders?id={id_}")
            if len(found["orders"]) != 1 or not wanted.items() <= found["orders"][0].items():
                return None
            view = (await self.ask("GET", f"/api/orders/{found['orders'][0]['key']}"))[1]
            return view if shows(view) else None

        return await self.until(shown)

    async def records(self, topic: str, wanted: Callable[[bytes], Any], count: int = 1) -> list[Any]:
        """Return what *wanted* makes of records on *topic*, once there are *count*."""
        consumer = AIOKafkaConsumer(self.prefix + topic, bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        found: list[Any] = []
        deadline = time.monotonic() + 120
        try:
            while len(found) < count:
                assert time.monotonic() < deadline, f"{len(found)} of {count} on {topic}"
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    found += [one for record in records if (one := wanted(record.value)) is not None]
        finally:
            await consumers.stop(consumer)
        return found

    async def says(self, *words: str) -> int:
        return await asyncio.to_thread(main, [*words, "--config", str(self.config)])


@pytest.fixture
async def stand(kafka: str, tmp_path: Path) -> AsyncIterator[Stand]:
    prefix, port = f"e2e-{uuid.uuid4().hex[:8]}-", free_port()
    path = tmp_path / "o2c.toml"
    text = CONFIG.format(bootstrap=kafka, prefix=prefix, xero=XERO, realm=REALM, **NOWHERE)
    path.write_text(text + CONSOLE.format(port=port))
    settings = load(path, os.environ)
    await apply_topics(settings)
    await looked_at(settings)
    publish(kafka, f"{prefix}crm-changes", "order", order("E-1", "24.00"))
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await producer.start()
    found = Stand(kafka, prefix, path, f"http://127.0.0.1:{port}", producer)
    await found.put(topics.ORDER_STATES, FOREIGN.key, FOREIGN)
    role = ("-m", "app", "run")
    async with (
        process(tmp_path, "streams", *role, "streams", "--config", str(path), "--worker", "w1"),
        process(tmp_path, "console", *role, "console", "--config", str(path), "--worker", "w2"),
    ):
        await found.until(lambda: _ready(found.url))
        yield found
    await producer.stop()


async def _ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/health/ready") as reply:
            return reply.status == 200
    except aiohttp.ClientError:
        return False


async def test_one_order_from_being_found_to_being_linked_read_again_and_reverted(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    view = await stand.order("E-1", lambda view: _whats(view) >= {"seen", "asked", "shown"} and len(_stops(view)) == 2)
    key = view["order"]["key"]
    assert {write["capability"] for write in view["writes"]} == {"upsert_invoice"}
    assert _stops(view) == {"books", "qbo"}

    # Another tenant sees nothing of it, and acme nothing of the other's.
    assert await stand.ask("GET", "/api/orders?id=E-1", "other") == (200, {"orders": []})
    assert (await stand.ask("GET", f"/api/orders/{key}", "other"))[0] == 404
    assert (await stand.ask("POST", f"/api/orders/{key}/sync", "other"))[0] == 404
    assert await stand.ask("GET", "/api/orders?id=O-1") == (200, {"orders": []})

    # A payment that names an order which nobody knows: a person says whose it is.
    lost = payment("E-1", "24.00")
    lost["anchors"] = [{"kind": "number", "ref": {"connection": "", "account": "", "type": "order", "id": "NOPE"}}]
    publish(stand.kafka, f"{stand.prefix}accounting-changes", "payment", lost)
    parked = Parked(object=PAYMENT, tenant="acme", anchors=("number/acme/NOPE",), since=NOON)
    await stand.put(topics.PARKED, PAYMENT.key, parked)

    async def listed() -> Any:
        found = (await stand.ask("GET", "/api/parked"))[1]["parked"]
        return [one for one in found if one.get("amount")]

    (waiting,) = await stand.until(listed)
    assert await stand.says("parked", "show", waiting["id"]) == 0
    assert "maybe E-1" in capsys.readouterr().out
    assert (await stand.ask("POST", f"/api/parked/{waiting['id']}/link", "other", json={"order": "O-1"}))[0] == 404
    assert await stand.says("parked", "link", waiting["id"], "E-1") == 0
    await stand.order("E-1", lambda view: "E-1-p" in _ids(view), financial="paid")

    # Everything of it is read again, told who said so.
    assert await stand.says("sync", "BANK-E-1") == 0
    hints = await stand.records(topics.HINTS, _synced, 2)
    assert {hint.object.id for hint in hints} == {"E-1", "E-1-p"}
    await stand.order("E-1", lambda view: "boss said sync" in _texts(view), financial="paid")

    # The command line prints all that, also where no console runs.
    capsys.readouterr()
    assert await stand.says("orders", "get", "BANK-E-1") == 0
    assert "boss said sync" in capsys.readouterr().out
    alone = stand.config.with_name("alone.toml")
    alone.write_text(stand.config.read_text().partition("[console]")[0])
    words = ["orders", "get", "E-1-p", "--json", "--config", str(alone)]
    assert await asyncio.to_thread(main, words) == 0
    assert json.loads(capsys.readouterr().out)["order"]["key"] == key
    assert await stand.says("orders", "get", "NOPE") == 1
    assert "There is no order NOPE" in capsys.readouterr().err


async def test_a_lost_value_is_given_back_and_nobodys_payment_is_dismissed(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = PublicOrder(
        key="e" * 32,
        tenant="acme",
        number="E-9",
        conflicts=(Conflict(field="note", kept="a", lost="b"),),
        waiting=(Waiting(connection="books", capability="add_note", outcome="rejected", write="w", digest="d"),),
    )
    await stand.put(topics.ORDER_STATES, edited.key, edited)
    stray = ObjectRef("qbo", REALM, "payment", "p-7")
    await stand.put(topics.PARKED, stray.key, Parked(object=stray, tenant="acme", anchors=(), since=NOON))
    await stand.order("E-9")
    assert await stand.says("conflicts", "list") == 0
    assert "'b' of a person lost" in capsys.readouterr().out
    assert await stand.says("conflicts", "revert", "E-9", "email") == 1
    assert await stand.says("conflicts", "revert", "E-9", "note") == 0
    assert await stand.says("orders", "retry", "E-9", "w") == 0
    decisions = await stand.records(topics.DECISIONS, lambda value: msgspec.json.decode(value, type=Decision), 2)
    reverted, retried = sorted(decisions, key=lambda one: one.kind != "revert")
    assert (reverted.field, reverted.by, reverted.tenant) == ("note", "boss", "acme")
    assert (retried.kind, retried.write, retried.digest, retried.by) == ("retry", "w", "d", "boss")

    async def listed() -> Any:
        return (await stand.ask("GET", "/api/parked"))[1]["parked"]

    await stand.until(listed)
    assert await stand.says("parked", "dismiss", "p-7") == 0
    (said,) = await stand.records(topics.LINKS, _said)
    assert (said.key, said.word, said.by) == (stray.key, "dismiss", "boss")


async def test_connections_and_flows_are_told_of_and_held_within_one_tenant(stand: Stand) -> None:
    await stand.order("E-1")

    async def waiting() -> Any:
        _, found = await stand.ask("GET", "/api/connections")
        return {one["connection"]: one for one in found["connections"] if one["waiting"] or one["connection"] == "erp"}

    async def three() -> Any:
        found = await waiting()
        return found if len(found) == 3 else None

    known = await stand.until(three)
    assert set(known) == {"erp", "books", "qbo"}
    assert (known["books"]["account"], known["books"]["waiting"], known["books"]["state"]) == (XERO, 1, "unknown")
    for path in ("/api/connections", "/api/connections/books"):
        await _is_valid(stand, path)

    # Nothing of that is the other tenant's.
    _, own = await stand.ask("GET", "/api/connections", "other")
    assert [one["connection"] for one in own["connections"]] == ["till"]
    assert await stand.ask("GET", "/api/flows", "other") == (200, {"flows": []})
    for method, path in (
        ("GET", "/api/connections/books"),
        ("POST", "/api/connections/books/pause"),
        ("POST", "/api/flows/erp/stop"),
    ):
        assert (await stand.ask(method, path, "other"))[0] == 404

    async def paused(*, yes: bool) -> Any:
        _, one = await stand.ask("GET", "/api/connections/books")
        return one.get("paused", False) is yes and one

    assert (await stand.ask("POST", "/api/connections/books/pause"))[0] == 202
    assert (await stand.until(lambda: paused(yes=True)))["why"] == "A person paused it."

    await stand.order("E-1", lambda view: "A person paused books." in {stop["why"] for stop in view["stopped"]})
    assert (await stand.ask("POST", "/api/connections/books/resume"))[0] == 202
    await stand.until(lambda: paused(yes=False))

    assert await stand.ask("POST", "/api/flows/erp/stop") == (202, {"told": "stop", "subject": "erp"})

    async def stopped() -> Any:
        _, found = await stand.ask("GET", "/api/flows")
        return found["flows"][0]["mode"] == "stopped"

    await stand.until(stopped)
    why = "The flow erp is in mode stopped: nothing is written."
    await stand.order("E-1", lambda view: view["stopped"][0]["why"] == why)


def _whats(view: Any) -> set[str]:
    return {hop["what"] for hop in view.get("hops", ())}


def _texts(view: Any) -> set[str]:
    return {hop.get("text", "") for hop in view.get("hops", ())}


def _stops(view: Any) -> set[str]:
    return {stop["connection"] for stop in view.get("stopped", ())}


def _ids(view: Any) -> set[str]:
    return {shown["id"] for system in view.get("systems", ()) for shown in system.get("objects", ())}


async def _is_valid(stand: Stand, path: str) -> None:
    spec = openapi_core.OpenAPI.from_dict(openapi())
    _, told = await stand.ask("GET", path)
    headers = {"Authorization": "Bearer any"}
    request = MockRequest("http://x", "get", path, headers=headers)
    spec.validate_response(request, MockResponse(json.dumps(told).encode(), 200, content_type="application/json"))


def _said(value: bytes) -> Say | None:
    try:
        return msgspec.json.decode(value, type=Say)
    except msgspec.ValidationError:
        return None


def _synced(value: bytes) -> Hint | None:
    hint = msgspec.json.decode(value, type=Hint)
    return hint if hint.reason == SYNC else None
