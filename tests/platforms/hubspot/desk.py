"""A simulated portal with our source and sink on it, and the orders that its tests write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

from app.core.talk import Talk
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.portal import Portal
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Invoice, Line, Order, Party, Payment
from schemas.refs import ObjectRef
from sinks.platforms.hubspot import HubspotSink
from streams.sources.platforms.hubspot import HubspotSource
from tests.platforms.conversation import send
from tests.platforms.hubspot.spec import Spec

T = TypeVar("T")
KINDS = pytest.mark.parametrize("kind", ["deals", "orders"])
AUTH = {"Authorization": "Bearer pat-made-up"}
MARKS = tuple(f"o2c1:{'a' * 32}:{n:012x}" for n in range(9))
ADA = Party(name="Ada Lovelace", email="ada@example.com")
LINES = (
    Line(sku="M1", name="Mug", quantity=Decimal(3), unit_price=Decimal("3.50"), net_amount=Decimal("10.00")),
    Line(kind="shipping", name="Shipping", unit_price=Decimal("2.00"), net_amount=Decimal("2.00")),
)
ORDER = Order(
    number="SO-1001",
    headline="open",
    currency="EUR",
    customer=ADA,
    lines=LINES,
    payable_amount=Decimal("12.00"),
    placed_at=datetime(2026, 11, 1, 9, tzinfo=UTC),
    note="gift",
)
INVOICE = Invoice(
    currency="EUR",
    customer=ADA,
    lines=(
        Line(
            name="Mug",
            quantity=Decimal(2),
            unit_price=Decimal(5),
            net_amount=Decimal(10),
            tax_amount=Decimal("1.90"),
            tax_rate=Decimal(19),
        ),
    ),
    payable_amount=Decimal("11.90"),
    issue_date=date(2026, 11, 2),
    due_date=date(2026, 12, 2),
)
PAYMENT = Payment(amount=Decimal("11.90"), currency="EUR", date=date(2026, 11, 3), reference="BANK 77")


class Desk:
    """A sandbox, our source and sink on it, and the vendor's files as a witness where they are present."""

    def __init__(self, sandbox: HubspotSandbox, url: str, spec: Spec | None, **options: str) -> None:
        self.sandbox, self.url, self.spec = sandbox, url, spec
        self.connection = Connection(
            name="crm",
            tenant="acme",
            platform="hubspot",
            account=sandbox.account,
            options={"commerce": "yes", **options},
        )
        self.source, self.sink = HubspotSource(self.connection), HubspotSink(self.connection)
        self.calls: list[str] = []

    async def converse(self, talk: Talk[T], after: Mapping[str, Callable[[Portal], None]] | None = None) -> T:
        """Run *talk*; *after* says what somebody does in the portal once a step was made."""
        async with aiohttp.ClientSession() as session:
            try:
                request = next(talk)
                while True:
                    self.calls.append(f"{request.method} {request.path}")
                    body, _ = request.content()
                    reply = await send(session, self.url, request, AUTH)
                    if self.spec:
                        self.spec.check_request(request.method, request.path, body, dict(request.params))
                        self.spec.check_reply(request.method, request.path, reply.status, reply.body)
                    if after and request.step in after:
                        after[request.step](self.sandbox.portal)
                    request = talk.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # StopIteration carries Any

    async def write(self, command: Command, after: Mapping[str, Callable[[Portal], None]] | None = None) -> Any:
        return await self.converse(self.sink.write(command), after)

    async def read(self, kind: str, id_: str) -> list[ChangeEvent]:
        return await self.converse(self.source.read(self.hint(kind, id_)))

    def hint(self, kind: str, id_: str) -> Hint:
        return Hint(tenant="acme", object=ObjectRef("crm", self.sandbox.account, kind, id_))

    def books(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.books() if row["kind"] == kind]


def command_of(capability: str, facts: Any, mark: int | str = 0, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": "f" * 32,
        "kind": "create",
        "tenant": "acme",
        "connection": "crm",
        "account": "48975575",
        "capability": capability,
        "order": "a" * 32,
        "entity": "e",
        "write": "w",
        "canonical": "c",
        "mark": mark if isinstance(mark, str) else MARKS[mark],
        "facts": facts,
    }
    return Command(**{**values, **changes})


@asynccontextmanager
async def desks(root: Path) -> AsyncIterator[Callable[..., Any]]:
    """Give a function that opens a desk with its own portal; all are closed at the end.

    The vendor's files beside the project at *root* judge every call where they are at hand.
    """
    folder = root.parent / "shared" / "specs" / "hubspot"
    spec = Spec(folder) if folder.is_dir() else None
    running: list[HubspotSandbox] = []

    async def start(**options: str) -> Desk:
        sandbox = HubspotSandbox(quota_scale=100)
        running.append(sandbox)
        return Desk(sandbox, await sandbox.start(), spec, **options)

    yield start
    for sandbox in running:
        await sandbox.stop()


def fields(facts: Any) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__struct_fields__}
