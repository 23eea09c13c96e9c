"""A flow that asks its customers for payment: the planner's own command makes a document, a changed order amends it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from app import platforms
from app.connectors.sending import conversed
from app.render.order import default_target
from app.render.studio import Studio, studio
from schemas.commands import Result
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint, Version
from schemas.facts import Invoice, Line, Order, Party
from schemas.flow import Facts, Flow
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Input, Seen, step
from streams.order.world import World

pytestmark = pytest.mark.sandbox
MENDED = ("xero", "quickbooks_online")
"""Platforms whose sink takes the planner's command; each that has `request_payment` belongs here."""
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = ObjectRef("erp", "1", "order", "7")
ERP = Connection(name="erp", tenant="local", platform="external", account="1")


def order(price: str, version: int) -> ChangeEvent:
    """Return a look at an order of one mug."""
    amount = Decimal(price)
    facts = Order(
        number="SO-7", currency="EUR", payable_amount=amount, placed_at=NOW,
        customer=Party(name="Ada Example", email="ada@example.com"),
        lines=(Line(id="1", sku="MUG", name="Mug", unit_price=amount, net_amount=amount),),
    )  # fmt: skip
    return ChangeEvent(tenant="local", object=ORDER, facts=facts, version=Version(version), changed_at=NOW)


class Requesting:
    """One order in a flow whose target asks for payment."""

    def __init__(self, bench: Studio) -> None:
        platform = platforms.load(bench.connection.platform).platform
        target = msgspec.structs.replace(
            default_target(platform, bench.connection.name, ("request_payment",)), document="payment_request"
        )
        flow = Flow(name="main", tenant="local", key_giver="erp", mode="live", targets=(target,))
        connections = {"erp": ERP, bench.connection.name: bench.connection}
        words = {platform.slug: platform, "external": platforms.load("external").platform}
        self._world = World(facts=Facts(connections=connections, flows=(flow,)), platforms=words)
        self._bench, self._state = bench, OrderState(key=order_key("local", ORDER), tenant="local")

    async def see(self, event: ChangeEvent) -> list[Result]:
        """Plan and deliver what *event* asks for, until nothing is left; return the results."""
        inputs: list[Input] = [Seen(event)]
        results: list[Result] = []
        while inputs:
            stepped = step(self._state, inputs, self._world, NOW)
            self._state, inputs = stepped.state, []
            for command in stepped.commands:
                results.append(await self._bench.deliver(command))
                inputs += [results[-1], *map(Seen, results[-1].events)]
        return results

    def requests(self) -> Iterator[str]:
        """Yield the writes that left for the request, method and path."""
        sent = self._bench.recorder.sent
        return (f"{one.method} {one.path}" for one in sent if one.mutates and one.capability == "request_payment")

    async def total(self, document: ObjectRef) -> Decimal | None:
        """Return what a read shows that the document bills."""
        source = platforms.load(self._bench.connection.platform).source(self._bench.connection)
        shown = await conversed(source.read(Hint(tenant="local", object=document)), self._bench.sending)
        facts = next(event.facts for event in shown if event.object == document)
        assert isinstance(facts, Invoice | Order)
        return facts.payable_amount


@pytest.mark.parametrize("slug", MENDED)
async def test_a_request_makes_a_document_and_a_changed_order_amends_it_without_a_second_mail(slug: str) -> None:
    async with studio(slug) as bench:
        flow = Requesting(bench)
        made = [one for one in await flow.see(order("10.00", 1)) if one.capability == "request_payment"]
        assert [one.outcome for one in made] == ["confirmed"], made
        document = made[0].bound
        assert document is not None
        assert await flow.total(document) == Decimal(10)
        before = len(list(flow.requests()))
        changed = [one for one in await flow.see(order("12.00", 2)) if one.capability == "request_payment"]
        assert [one.outcome for one in changed] == ["confirmed"], changed
        assert await flow.total(document) == Decimal(12)
        assert [call for call in list(flow.requests())[before:] if is_mail(call)] == []


def is_mail(call: str) -> bool:
    """Tell whether a call mails the customer."""
    return call.partition("?")[0].lower().endswith(("/email", "/send"))
