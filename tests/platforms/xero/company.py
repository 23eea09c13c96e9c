"""A simulated company with our source and sink at its door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import msgspec

from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.xero import XeroSandbox
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Address, Facts, Invoice, Line, Party
from schemas.refs import ObjectRef, mark_of
from sinks.base import Written
from sinks.platforms.xero import XeroSink
from streams.sources.platforms.xero import XeroSource
from tests.platforms.conversation import send

T = TypeVar("T")
TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
NOBODY = "00000000-0000-4000-8000-000000000000"
AUTH = {"Authorization": "Bearer sandbox-token"}
CONNECTION = Connection(
    name="books", tenant="acme", platform="xero", account=TENANT, taxes={"20": "OUTPUT"}, accounts={"shipping": "210"}
)
ADA = Party(
    name="Ada Lovelace",
    email="ada@example.com",
    phone="123",
    tax_id="DE1",
    address=Address(line1="1 Street", city="Berlin", country="DE"),
)
LINES = (
    Line(
        sku="MUG",
        name="Mug",
        quantity=Decimal(3),
        unit_price=Decimal("2.93"),
        net_amount=Decimal("8.78"),
        tax_amount=Decimal("1.76"),
        tax_rate=Decimal(20),
    ),
    Line(kind="shipping", name="Parcel", unit_price=Decimal(5), net_amount=Decimal(5)),
    Line(kind="rounding", name="Rounding", net_amount=Decimal("-0.01")),
)
INVOICE = Invoice(
    currency="EUR",
    customer=ADA,
    lines=LINES,
    payable_amount=Decimal("15.53"),
    issue_date=date(2026, 5, 1),
    due_date=date(2026, 5, 31),
    reference="SO-1001",
    po_number="PO 7",
)


class Clock:
    now = datetime(2026, 5, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=20)
        return self.now


@dataclass
class Company:
    sandbox: XeroSandbox
    session: aiohttp.ClientSession
    url: str
    requests: list[Request]
    exchanges: list[tuple[Request, Response]]
    sink: XeroSink
    source: XeroSource

    async def send(self, request: Request) -> Response:
        """Send under a key that was never used: no test leans on the platform's memory of keys."""
        self.requests.append(request)
        fresh = msgspec.structs.replace(request, key=f"key-{len(self.exchanges)}")
        reply = await send(self.session, f"{self.url}/api.xro/2.0", fresh, AUTH)
        self.exchanges.append((fresh, reply))
        return reply

    async def talk(self, talk: Talk[T]) -> T:
        try:
            request = next(talk)
            while True:
                request = talk.send(await self.send(request))
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def write(self, capability: str, facts: Facts, **more: Any) -> Written:
        return await self.talk(self.sink.write(command(capability, facts, **more)))

    async def read(self, type_: str, id_: str) -> list[ChangeEvent]:
        ref = ObjectRef("books", TENANT, type_, id_)
        return await self.talk(self.source.read(Hint(tenant="acme", object=ref)))

    def books(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.books() if row["kind"] == kind]


def command(capability: str, facts: Facts, n: int = 1, **more: Any) -> Command:
    return Command(
        id=f"{n:032x}",
        kind="create",
        tenant="acme",
        connection="books",
        account=TENANT,
        capability=capability,  # type: ignore[arg-type]
        order="a" * 32,
        entity="document",
        write="books|x",
        canonical="x",
        mark=mark_of("a" * 32, f"{n:012x}" + "0" * 20),
        facts=facts,
        **more,
    )


@asynccontextmanager
async def opened() -> AsyncIterator[Company]:
    sandbox = XeroSandbox(TENANT, clock=Clock(), quota_scale=1000)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        yield Company(sandbox, session, url, [], [], XeroSink(CONNECTION), XeroSource(CONNECTION))
    await sandbox.stop()
