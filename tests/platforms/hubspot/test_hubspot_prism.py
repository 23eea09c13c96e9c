"""Every request of HubSpot's sink and source, taken by a mock server that nobody here wrote, run on the vendor's files.

`npm install --global @stoplight/prism-cli`, then `pytest -m long tests/platforms/hubspot/test_hubspot_prism.py`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.core.errors import O2CError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Hint
from schemas.facts import Credit, Customer, Invoice, Line, Order, Party, Payment, Shipment
from schemas.platforms.hubspot import PLATFORM
from schemas.refs import ObjectRef
from sinks.platforms.hubspot import HubspotSink
from streams.sources.platforms.hubspot import HubspotSource
from tests.platforms.conversation import send

pytestmark = pytest.mark.long
FILES = {
    "/crm/v3/objects/0-3": "crm-deals-v3",
    "/crm/v3/objects/orders": "crm-orders-v3",
    "/crm/v3/objects/contacts": "crm-contacts-v3",
    "/crm/v3/objects/line_items": "crm-line-items-v3",
    "/crm/v3/objects/notes": "crm-notes-v3",
    "/crm/v3/objects/invoices": "crm-invoices-v3",
    "/crm/v3/objects/commerce_payments": "crm-commerce-payments-v3",
    "/crm/v4/": "crm-associations-v4",
    "/crm/v3/pipelines": "crm-pipelines-v3",
    "/crm/v3/properties": "crm-properties-v3",
}
AUTH = {"Authorization": "Bearer pat-made-up"}
ADA = Party(name="Ada Lovelace", email="ada@example.com")
LINE = Line(sku="M1", name="Mug", quantity=Decimal(2), unit_price=Decimal(5), net_amount=Decimal(10))
ORDER = Order(
    number="SO-1",
    headline="open",
    currency="EUR",
    customer=ADA,
    lines=(LINE,),
    payable_amount=Decimal(10),
    placed_at=datetime(2026, 11, 1, tzinfo=UTC),
)
CREDIT = Credit(number="CN-1", amount=Decimal(2), currency="EUR")
FACTS: dict[str, Any] = {
    "upsert_order": ORDER,
    "set_status": ORDER,
    "add_note": ORDER,
    "upsert_customer": Customer(party=ADA),
    "upsert_invoice": Invoice(currency="EUR", customer=ADA, lines=(LINE,), payable_amount=Decimal(10)),
    "void_invoice": Invoice(currency="EUR", payable_amount=Decimal(10)),
    "record_payment": Payment(amount=Decimal(10), currency="EUR", date=date(2026, 11, 3), reference="B1"),
    "reverse_payment": Payment(amount=Decimal(10), currency="EUR"),
    "issue_credit": CREDIT,
    "record_refund": CREDIT,
    "record_shipment": Shipment(carrier="UPS", tracking_numbers=("1Z1",)),
}


class Mocks:
    """One mock server per file, started when it is first needed."""

    def __init__(self, prism: str, folder: Path) -> None:
        self._prism, self._folder = prism, folder
        self._running: dict[str, tuple[asyncio.subprocess.Process, str]] = {}
        self.answers: list[tuple[str, list[str]]] = []

    async def url(self, path: str) -> str:
        name = next(file for start, file in FILES.items() if path.startswith(start))
        if name not in self._running:
            self._running[name] = await self._start(name)
        return self._running[name][1]

    async def _start(self, name: str) -> tuple[asyncio.subprocess.Process, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            self._prism,
            *("mock", "--host", "127.0.0.1", "--port", str(port), "--dynamic", str(self._folder / f"{name}.json")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout
        async with asyncio.timeout(60):
            while b"listening" not in (line := await process.stdout.readline()):
                assert line, f"the mock of {name} ended"
        return process, f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        for process, _ in self._running.values():
            process.terminate()
            await process.wait()

    async def converse(self, talk: Talk[Any]) -> None:
        """Run *talk* to its end; a mock's made-up replies may end it early, what it finds wrong is kept."""
        async with aiohttp.ClientSession() as session:
            try:
                request = next(talk)
                while True:
                    # The file of deals calls the type by its id; both names are one resource.
                    path = request.path.replace("/crm/v3/objects/deals", "/crm/v3/objects/0-3")
                    there = (await self.url(path)) + path
                    moved = type(request)(**{**_fields(request), "path": there})
                    reply = await send(session, "", moved, AUTH)
                    found = json.loads(reply.headers.get("sl-violations", "[]"))
                    wrong = [str(one) for one in found if one["location"][0] == "request"]
                    self.answers.append((f"{request.method} {request.path}", wrong))
                    request = talk.send(reply)
            except (StopIteration, O2CError):
                return


@pytest.fixture(scope="module")
def prism() -> str:
    found = shutil.which("prism")
    if found is None:
        pytest.skip("prism is not installed")
    return found


@pytest.fixture
async def mocks(prism: str, shared: Path) -> AsyncIterator[Mocks]:
    running = Mocks(prism, shared / "specs" / "hubspot")
    yield running
    await running.stop()


@pytest.mark.parametrize("kind", ["deals", "orders"])
async def test_the_mock_accepts_every_request(kind: str, mocks: Mocks) -> None:
    connection = Connection(
        name="crm",
        tenant="acme",
        platform="hubspot",
        account="1",
        options={"order_object": kind, "commerce": "yes"},
        stages={"open": "string"},
    )
    sink, source = HubspotSink(connection), HubspotSource(connection)
    for capability in PLATFORM.capabilities:
        for bound in ("", "7"):
            await mocks.converse(sink.write(_command(capability, bound)))
        await mocks.converse(sink.probe(_command(capability, "7")))
    for type_ in (kind, "invoices", "commerce_payments", "contacts", "line_items"):
        hints = [Hint(tenant="acme", object=ObjectRef("crm", "1", type_, id_)) for id_ in ("7", "8")]
        await mocks.converse(source.read(hints[0]))
        await mocks.converse(source.read_many(hints))
    for name in source.sweeps():
        await mocks.converse(source.sweep(name, "", datetime(2026, 11, 25, tzinfo=UTC)))
    assert [answer for answer in mocks.answers if answer[1]] == []
    assert len(mocks.answers) > 60


def _command(capability: str, bound: str) -> Command:
    return Command(
        id="f" * 32,
        kind="create",
        tenant="acme",
        connection="crm",
        account="1",
        capability=capability,
        order="a" * 32,
        entity="e",
        write="w",
        canonical="c",
        mark=f"o2c1:{'a' * 32}:{'b' * 12}",
        facts=FACTS[capability],
        bound_id=bound,
        changes=("note", "lines", "email", "status") if bound else (),
        status="open",
        text="Paid",
        links={"order": "7", "invoice": "8", "payment": "9"},
        presence="unknown",
    )


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
