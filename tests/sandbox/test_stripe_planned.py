"""Stripe as the target of a flow: what the planner asks for is what the sink can do, from command to account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest

from app import platforms
from app.connectors.sending import conversed
from app.render.studio import Studio, studio
from schemas.commands import Result
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Hint, Version
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment, Shipment
from schemas.facts import Facts as Said
from schemas.flow import Facts, Flow, Target
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Input, Seen, step
from streams.order.world import World

pytestmark = pytest.mark.sandbox
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = ObjectRef("erp", "1", "order", "7")
ERP = Connection(name="erp", tenant="local", platform="external", account="1")


class Business:
    """One order of an ERP whose money and documents Stripe is told of."""

    def __init__(self, bench: Studio, target: Target) -> None:
        self._bench, self._version = bench, 0
        flow = Flow(name="main", tenant="local", key_giver="erp", mode="live", targets=(target,))
        words = {slug: platforms.load(slug).platform for slug in ("stripe", "external")}
        connections = {"erp": ERP, bench.connection.name: bench.connection}
        self._world = World(facts=Facts(connections=connections, flows=(flow,)), platforms=words)
        self._state = OrderState(key=order_key("local", ORDER), tenant="local")

    async def see(self, facts: Said, type_: str = "order", id_: str = "7") -> dict[str, list[str]]:
        """Plan and deliver what a look asks for, until nothing is left; return the outcomes by capability."""
        self._version += 1
        anchors = () if type_ == "order" else (Anchor("object", ORDER),)
        event = ChangeEvent(
            tenant="local", object=ObjectRef("erp", "1", type_, id_), facts=facts, version=Version(self._version),
            changed_at=NOW, anchors=anchors,
        )  # fmt: skip
        inputs: list[Input] = [Seen(event)]
        outcomes: dict[str, list[str]] = {}
        while inputs:
            stepped = step(self._state, inputs, self._world, NOW)
            self._state, inputs = stepped.state, []
            for command in stepped.commands:
                result = await self._bench.deliver(command)
                outcomes.setdefault(result.capability, []).append(_said(result))
                inputs += [result, *map(Seen, result.events)]
        return outcomes

    async def shown(self, last: str = "|document") -> Invoice:
        """Return what a read shows of the document, by the end of its write's key."""
        (ref,) = {one.bound for key, one in self._state.writes.items() if key.endswith(last) and one.bound}
        source = platforms.load("stripe").source(self._bench.connection)
        (event,) = await conversed(source.read(Hint(tenant="local", object=ref)), self._bench.sending)
        assert isinstance(event.facts, Invoice)
        return event.facts

    def forms(self, ending: str) -> list[Any]:
        return [one.body for one in self._bench.recorder.sent if one.path.endswith(ending) and one.mutates]


def _said(result: Result) -> str:
    return f"{result.outcome} {result.reason}".strip()


@pytest.fixture
async def bench() -> AsyncIterator[Studio]:
    async with studio("stripe") as running:
        yield running


def _order(price: str) -> Order:
    amount = Decimal(price)
    return Order(
        number="SO-7", currency="EUR", payable_amount=amount, placed_at=NOW,
        customer=Party(name="Ada Example", email="ada@example.com"),
        lines=(Line(id="1", sku="MUG", name="Mug", unit_price=amount, net_amount=amount),),
    )  # fmt: skip


def _target(bench: Studio, **values: Any) -> Target:
    return Target(connection=bench.connection.name, **{"document": "invoice", **values})


async def test_a_payment_request_is_made_once_and_mailed_once(bench: Studio) -> None:
    shop = Business(bench, _target(bench, document="payment_request", allow=("request_payment",)))
    assert await shop.see(_order("24.00")) == {"request_payment": ["confirmed"]}
    assert ((await shop.shown()).payable_amount, len(shop.forms("/send"))) == (Decimal(24), 1)
    noted = msgspec.structs.replace(_order("24.00"), note="Ring twice")
    assert await shop.see(noted) == {"request_payment": ["confirmed"]}
    assert ((await shop.shown()).note, len(shop.forms("/send"))) == ("Ring twice", 1)


async def test_a_changed_total_is_billed_by_another_invoice_once_the_first_is_void(bench: Studio) -> None:
    shop = Business(bench, _target(bench))
    await shop.see(_order("24.00"))
    first = await shop.shown()
    assert await shop.see(_order("30.00")) == {"void_invoice": ["confirmed"], "upsert_invoice": ["confirmed"]}
    second = await shop.shown("|document|1")
    assert (second.payable_amount, second.status, second.number == first.number) == (Decimal(30), "invoiced", False)
    assert await shop.see(_order("30.00")) == {}
    money = Payment(amount=Decimal("30.00"), currency="EUR", paid_at=NOW, reference="ch_1")
    assert await shop.see(money, "payment", "p1") == {"record_payment": ["confirmed"]}
    bills = [await shop.shown(), await shop.shown("|document|1")]
    assert [(one.payable_amount, one.status) for one in bills] == [(Decimal(24), "void"), (Decimal(30), "paid")]


async def test_an_order_is_billed_paid_shipped_credited_and_paid_back(bench: Studio) -> None:
    shop = Business(bench, _target(bench, allow=("record_refund",)))
    assert await shop.see(_order("24.00")) == {"upsert_invoice": ["confirmed"]}
    money = Payment(amount=Decimal("24.00"), currency="EUR", paid_at=NOW, reference="ch_1")
    assert await shop.see(money, "payment", "p1") == {"record_payment": ["confirmed"]}
    parcels = [Shipment(carrier="UPS", tracking_numbers=(number,)) for number in ("1Z1", "1Z2")]
    for number, parcel in enumerate(parcels):
        assert await shop.see(parcel, "shipment", f"s{number}") == {"record_shipment": ["confirmed"]}
    back = Credit(document="refund", amount=Decimal(5), currency="EUR", date=NOW.date(), reference="re_1")
    assert await shop.see(back, "refund", "r1") == {"issue_credit": ["confirmed"], "record_refund": ["confirmed"]}
    bill = await shop.shown()
    assert (bill.status, bill.paid_amount, bill.credited_amount) == ("partially_refunded", Decimal(24), Decimal(5))
    assert len(shop.forms("/report_refund")) == 1


async def test_an_order_changed_after_payment_is_credited_and_billed_anew(bench: Studio) -> None:
    shop = Business(bench, _target(bench))
    await shop.see(_order("24.00"))
    await shop.see(Payment(amount=Decimal("24.00"), currency="EUR", paid_at=NOW), "payment", "p1")
    assert await shop.see(_order("30.00")) == {"issue_credit": ["confirmed"], "upsert_invoice": ["confirmed"]}
    assert ((await shop.shown()).status) == "refunded"
    assert [form["out_of_band_amount"] for form in map(parse_qs, shop.forms("/credit_notes"))] == [["2400"]]
