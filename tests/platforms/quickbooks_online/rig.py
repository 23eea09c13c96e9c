"""A sink and a source at work on a sandbox, as the delivery loop would run them."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid5

import msgspec

from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Address, Credit, Facts, Invoice, Line, Party, Payment, Shipment
from schemas.refs import NAMESPACE, ObjectRef, mark_of, order_key, write_id
from sinks.base import Written
from sinks.platforms.quickbooks_online import SINK
from streams.sources.platforms.quickbooks_online import SOURCE
from tests.platforms.conversation import converse

T = TypeVar("T")
ACCOUNT = "310687"
HEADERS = {"Authorization": "Bearer sandbox-access-token", "Accept": "application/json"}
ADA = Party(
    name="Ada Lovelace", email="ada@example.com", address=Address(line1="1 High St", city="London", country="GB")
)
DAY = date(2026, 5, 5)


def connection(**more: Any) -> Connection:
    return Connection(name="books", tenant="acme", platform="quickbooks_online", account=ACCOUNT, **more)


def invoice(**more: Any) -> Invoice:
    lines = (
        Line(sku="A-1", name="thing", quantity=Decimal(3), unit_price=Decimal("2.93"), net_amount=Decimal("8.78"), tax_amount=Decimal("1.67"), tax_rate=Decimal(19)),
        Line(kind="shipping", name="Shipping", unit_price=Decimal(5), net_amount=Decimal(5), tax_amount=Decimal("0.95"), tax_rate=Decimal(19)),
        Line(kind="discount", name="Loyal", unit_price=Decimal(-1), net_amount=Decimal(-1), tax_rate=Decimal(0)),
        Line(kind="rounding", name="Rounding", unit_price=Decimal("0.01"), net_amount=Decimal("0.01"), tax_rate=Decimal(0)),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "currency": "EUR", "customer": ADA, "lines": lines, "tax_amount": Decimal("2.62"), "payable_amount": Decimal("15.41"),
        "issue_date": DAY, "due_date": date(2026, 5, 19), "reference": "1001", "note": "thanks",
    }  # fmt: skip
    return Invoice(**{**fields, **more})


def payment(amount: str = "15.41", **more: Any) -> Payment:
    return Payment(amount=Decimal(amount), currency="EUR", date=DAY, reference="pi_3MtwBwLkdIwHu7ix28a3tqPa", **more)


def credit(amount: str = "5.95", **more: Any) -> Credit:
    return Credit(amount=Decimal(amount), currency="EUR", date=DAY, reason="returned", reference="re_1", **more)


def shipment(*numbers: str, carrier: str = "DHL") -> Shipment:
    return Shipment(carrier=carrier, tracking_numbers=numbers, shipped_at=datetime(2026, 5, 6, tzinfo=UTC))


def command(capability: Any, facts: Facts, *, order: str = "1001", generation: int = 0, **more: Any) -> Command:
    giver = ObjectRef("shop", "s", "order", order)
    key = order_key("acme", giver)
    canonical = f"{giver.key}|{more.pop('what', '')}"
    id_ = write_id("books", ACCOUNT, capability, canonical, generation)
    return Command(
        id=id_, kind=more.pop("kind", "create"), tenant="acme", connection="books", account=ACCOUNT, capability=capability, order=key,
        entity=f"document:{key}", write="w", canonical=canonical, generation=generation, mark=mark_of(key, id_), facts=facts, **more,
    )  # fmt: skip


class Rig:
    """Sends talks, remembers requests and what was answered."""

    def __init__(self, sandbox: QuickbooksOnlineSandbox, url: str, **settings: Any) -> None:
        self.sandbox, self.url = sandbox, url
        self.connection = connection(**settings)
        self.sink, self.source = SINK(self.connection), SOURCE(self.connection)
        self.requests: list[Request] = []
        self.replies: list[Response] = []

    async def run(self, talk: Talk[T], name: str = "") -> T:
        return await converse(self._keyed(talk, name), self.url, HEADERS)

    def _keyed(self, talk: Talk[T], name: str) -> Generator[Request, Response, T]:
        try:
            request = next(talk)
            while True:
                self.requests.append(request)
                key = str(uuid5(NAMESPACE, f"{name}|{request.step}")) if request.key_in else ""
                reply = yield msgspec.structs.replace(request, key=key)
                self.replies.append(reply)
                request = talk.send(reply)
        except StopIteration as done:
            found: T = done.value
            return found

    async def write(self, command: Command) -> Written:
        return await self.run(self.sink.write(command), command.id)

    async def read(self, type_: str, id_: str) -> ChangeEvent:
        hint = Hint(tenant="acme", object=ObjectRef("books", ACCOUNT, type_, id_))
        (event,) = await self.run(self.source.read(hint))
        return event

    def row(self, entity: str, id_: str) -> dict[str, Any]:
        return self.sandbox.company.store.get(entity, id_)

    def books(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.books() if row["kind"] == kind]

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.mutates]


async def billed(rig: Rig, **more: Any) -> Written:
    return await rig.write(command("upsert_invoice", invoice(**more)))


async def stopped(rig: Rig, talk: Any, name: str, step: str) -> None:
    """Run *talk* until it wants to do *step*: there it dies."""

    def cut() -> Any:
        request = next(talk)
        while request.step != step:
            reply = yield request
            request = talk.send(reply)

    await rig.run(cut(), name)


def refusal(code: str, kind: str = "ValidationFault") -> bytes:
    return f'{{"Fault":{{"Error":[{{"Message":"m","code":"{code}"}}],"type":"{kind}"}}}}'.encode()
