"""One order of another system, planned by the core and written to a platform's sandbox, step by step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from app import platforms
from app.connectors.sending import conversed
from app.render.order import default_target
from app.render.studio import Studio
from schemas.commands import Command, Result
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Hint, Version
from schemas.facts import Invoice, Line, Order, Party, Payment
from schemas.findings import Finding
from schemas.flow import Facts, Flow
from schemas.platform import Platform
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Input, Seen, step
from streams.order.world import World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Meanwhile = Callable[[Command], Awaitable[object]]
ORDER = ObjectRef("erp", "1", "order", "7")
ERP = Connection(name="erp", tenant="local", platform="external", account="1")


def order(price: str, version: int = 1, status: str = "open") -> ChangeEvent:
    """Return a look at an order of one mug."""
    amount = Decimal(price)
    facts = Order(
        number="SO-7", currency="EUR", payable_amount=amount, placed_at=NOW, status=status,  # type: ignore[arg-type]
        customer=Party(name="Ada Example", email="ada@example.com"),
        lines=(Line(id="1", sku="MUG", name="Mug", unit_price=amount, net_amount=amount),),
    )  # fmt: skip
    return ChangeEvent(tenant="local", object=ORDER, facts=facts, version=Version(version), changed_at=NOW)


def paid(amount: str, version: int = 1, status: str = "succeeded") -> ChangeEvent:
    """Return a look at a payment of the order."""
    facts = Payment(amount=Decimal(amount), currency="EUR", paid_at=NOW, status=status)  # type: ignore[arg-type]
    ref, hangs = ObjectRef("erp", "1", "payment", "p"), (Anchor("order", ORDER),)
    return ChangeEvent(tenant="local", object=ref, facts=facts, version=Version(version), anchors=hangs)


class Planned:
    """An order in a flow with one target; `document` and `allow` are the target's where they differ from its default."""

    def __init__(self, bench: Studio, document: str = "", allow: tuple[str, ...] = ()) -> None:
        """Begin with nothing."""
        platform = platforms.load(bench.connection.platform).platform
        words = {platform.slug: platform, "external": platforms.load("external").platform}
        self._world = World(facts=_facts(bench, platform, document, allow), platforms=words)
        self.bench, self._state = bench, OrderState(key=order_key("local", ORDER), tenant="local")
        self.findings: tuple[Finding, ...] = ()

    async def see(self, *events: ChangeEvent, meanwhile: Meanwhile | None = None) -> list[Result]:
        """Plan and deliver what *events* ask for, until nothing is left; return the results.

        *meanwhile* is done once after the first plan, before the first of its commands is delivered.
        """
        inputs: list[Input] = [Seen(event) for event in events]
        results: list[Result] = []
        while inputs:
            stepped = step(self._state, inputs, self._world, NOW)
            self._state, inputs = stepped.state, []
            self.findings = stepped.public.findings if stepped.public else ()
            for command in stepped.commands:
                if meanwhile is not None:
                    await meanwhile(command)
                    meanwhile = None
                results.append(await self.bench.deliver(command))
                inputs += [results[-1], *map(Seen, results[-1].events)]
        return results

    def writes(self, capability: str) -> list[str]:
        """Return the writes that left for *capability*, method and path."""
        sent = self.bench.recorder.sent
        return [f"{one.method} {one.path}" for one in sent if one.mutates and one.capability == capability]

    async def swept(self) -> list[ChangeEvent]:
        """Return what a first pass of all sweeps finds, as looks that are later than every write."""
        source = platforms.load(self.bench.connection.platform).source(self.bench.connection)
        pages = [await conversed(source.sweep(name, "", NOW), self.bench.sending) for name in source.sweeps()]
        read = Version(read=True, epoch=1, seq=1_000)
        return [msgspec.structs.replace(event, version=read) for page in pages for event in page.events]

    async def total(self, document: ObjectRef) -> Decimal | None:
        """Return what a read shows that the document bills."""
        source = platforms.load(self.bench.connection.platform).source(self.bench.connection)
        shown = await conversed(source.read(Hint(tenant="local", object=document)), self.bench.sending)
        facts = next(event.facts for event in shown if event.object == document)
        assert isinstance(facts, Invoice | Order)
        return facts.payable_amount


def _facts(bench: Studio, platform: Platform, document: str, allow: tuple[str, ...]) -> Facts:
    name = bench.connection.name
    target = default_target(platform, name, allow)
    if document:
        target = msgspec.structs.replace(target, document=document)
    flow = Flow(name="main", tenant="local", key_giver="erp", mode="live", targets=(target,))
    return Facts(connections={"erp": ERP, name: bench.connection}, flows=(flow,))
