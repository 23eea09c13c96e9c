"""SCENARIO 24 with its number: of a million orders that look alike none is taken for another one, and none is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec
import pytest

from schemas.cloudevents import encode
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Version
from schemas.facts import Line, Order, Party
from schemas.flow import Facts, Flow, Target
from schemas.refs import ObjectRef, write_id
from streams.engine.fold import Record
from streams.order.link import route
from streams.order.world import World
from streams.processors.orders import Orders
from tests.simulator import company

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_800)]
ORDERS = 1_000_000
WHOLE = 10_000
"""Of these every step is taken, to the commands that leave."""
BATCH = 1_000
TENANTS = ("acme", "bolt")
SHOPS = ("web", "till")
"""Each tenant has both, and both count their orders 1, 2, 3 ..."""


class Seller(NamedTuple):
    """One shop of one tenant."""

    tenant: str
    shop: str

    @property
    def connection(self) -> str:
        return f"{self.tenant}-{self.shop}"


SELLERS = [Seller(tenant, shop) for tenant in TENANTS for shop in SHOPS]


def world() -> World:
    """Return two tenants with two shops and a ledger each."""
    names = [(one.connection, one.tenant, "shopp") for one in SELLERS]
    names += [(f"{tenant}-books", tenant, "ledgerr") for tenant in TENANTS]
    connections = {
        name: Connection(name=name, tenant=tenant, platform=slug, account="1") for name, tenant, slug in names
    }
    flows = tuple(
        Flow(
            name=one.connection, tenant=one.tenant, key_giver=one.connection, mode="live",
            targets=(Target(connection=f"{one.tenant}-books", document="invoice"),),
        )
        for one in SELLERS
    )  # fmt: skip
    return World(facts=Facts(connections=connections, flows=flows), platforms=company.PLATFORMS)


_FACTS = Order(
    number="WEEKLY",
    stage="open",
    currency="EUR",
    payable_amount=Decimal("24.00"),
    tax_amount=Decimal(0),
    placed_at=company.START,
    customer=Party(name="Ada", email="ada@example.com"),
    lines=(Line(id="l1", sku="MUG", unit_price=Decimal("24.00"), net_amount=Decimal("24.00")),),
)


def orders(count: int) -> Iterator[ChangeEvent]:
    """Yield *count* orders that differ in nothing but tenant, shop and the number that the shop counts."""
    for number in range(count):
        tenant, shop = SELLERS[number % len(SELLERS)]
        ref = ObjectRef(f"{tenant}-{shop}", "1", "order", str(number // len(SELLERS)))
        yield ChangeEvent(tenant=tenant, object=ref, facts=_FACTS, version=Version(native=1), changed_at=company.START)


def batches(count: int) -> Iterator[list[Record]]:
    """Yield the orders as records, as the gateway puts them on the topic; each a second time, as webhooks are sent."""
    found: list[Record] = []
    known = world()
    for place, event in enumerate(orders(count)):
        key, headers, value = encode(msgspec.structs.replace(event, order=route(event, known)), "order")
        found += [Record("crm-changes", 0, 2 * place + again, key, value, tuple(headers), 0) for again in (0, 1)]
        if len(found) == 2 * BATCH:
            yield found
            found = []


def test_24_a_million_orders_that_look_alike_are_a_million_orders() -> None:
    table, keys, writes = Orders(world()), set[int](), set[int]()
    for records in batches(ORDERS):
        found = table.keys(records)
        keys |= {int(key, 16) for key in found}
        writes |= {int(write_id("books", "1", "upsert_invoice", key.decode(), 0), 16) for key in found}
        assert len(found) == BATCH, "a repeat is the same order"
    assert (len(keys), len(writes)) == (ORDERS, ORDERS)


def test_24_ten_thousand_of_them_become_ten_thousand_documents() -> None:
    table, commands = Orders(world()), list[Command]()
    for records in batches(WHOLE):
        folded = table.fold(0, records, dict.fromkeys(table.keys(records)), company.START + timedelta(seconds=1), {})
        assert folded.dead == []
        commands += [
            msgspec.json.decode(out.value, type=Command) for out in folded.outs if out.topic == "commands" and out.value
        ]
    assert len(commands) == len({one.id for one in commands}) == WHOLE
    assert {one.capability for one in commands} == {"upsert_invoice"}
