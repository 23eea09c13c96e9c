"""An order waits for the first look at its ledger's account, and is planned with what the ledger keeps closed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from app.world import unseen
from schemas.broadcast import Fact
from schemas.cloudevents import encode
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import ChangeEvent, Version
from schemas.facts import Invoice, Line, Order
from schemas.flow import Facts, Flow, Target
from schemas.platforms.external import PLATFORM as EXTERNAL
from schemas.platforms.xero import PLATFORM as XERO
from schemas.refs import ObjectRef, order_key
from streams.engine.fold import TICK_TOPIC, Folded, Record, wait_label
from streams.order.world import World
from streams.processors.orders import Orders
from tests.unit.streams.order.sample import NOW

ORDER = ObjectRef("erp", "1", "order", "7")
KEY = order_key("acme", ORDER).encode()
FLOW = Flow(
    name="main",
    tenant="acme",
    key_giver="erp",
    mode="live",
    targets=(Target(connection="books", document="invoice"),),
)
CONNECTIONS = {
    "erp": Connection(name="erp", tenant="acme", platform="external", account="1"),
    "books": Connection(name="books", tenant="acme", platform="xero", account="b"),
}
WORLD = World(facts=Facts(connections=CONNECTIONS, flows=(FLOW,)), platforms={"external": EXTERNAL, "xero": XERO})
STARTED = Fact(kind="start", subject="books@b", value=NOW.isoformat())
LOCKED = Fact(kind="lock_date", subject="books", value="2026-03-05")


def _order() -> Record:
    line = Line(id="1", net_amount=Decimal(20), tax_amount=Decimal(4))
    facts = Order(number="7", currency="EUR", payable_amount=Decimal(24), lines=(line,), placed_at=NOW)
    event = ChangeEvent(tenant="acme", object=ORDER, facts=facts, version=Version(1), order=KEY.decode())
    key, headers, value = encode(event, "order")
    return Record("crm-changes", 0, 1, key, value, headers, 1)


def _commands(folded: Folded) -> list[Command]:
    return [msgspec.json.decode(out.value or b"", type=Command) for out in folded.outs if out.topic == "commands"]


def test_an_order_is_planned_when_the_account_was_looked_at_and_not_before() -> None:
    orders = Orders(unseen(WORLD))
    first = orders.fold(0, [_order()], {KEY: None}, NOW, {"broadcast": {}})
    label = wait_label("broadcast", STARTED.key)
    assert _commands(first) == []
    assert label in first.waits[KEY]

    told = {"broadcast": {fact.key: msgspec.json.encode(fact) for fact in (LOCKED, STARTED)}}
    tick = Record(TICK_TOPIC, 0, -1, KEY, label, (), 1)
    second = orders.fold(0, [tick], {KEY: first.states[KEY]}, NOW, told)
    (command,) = _commands(second)
    assert isinstance(command.facts, Invoice)
    assert command.facts.issue_date == date(2026, 3, 6)
    assert label not in second.waits[KEY]
