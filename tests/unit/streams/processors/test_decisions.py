"""Decisions, hand-overs and what is forwarded, from topic to topic through the real processor."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command, Result
from schemas.connection import Connection
from schemas.decisions import Decision
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Line, Order, Payment
from schemas.flow import Facts, Flow, Target
from schemas.links import Bind, LinkMessage
from schemas.order_state import PublicOrder
from schemas.platforms.external import PLATFORM as ERP
from schemas.platforms.quickbooks_online import PLATFORM as BOOKS
from schemas.refs import ObjectRef, order_key
from schemas.state import Handover, OrderState
from streams.engine.fold import NewerFormat, Out, Record
from streams.order.world import World
from streams.processors.orders import Orders

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO = (ObjectRef("erp", "1", "order", id_) for id_ in ("7", "8"))
KEYS = tuple(order_key("acme", ref) for ref in (ONE, TWO))
FLOW = Flow(
    name="main", tenant="acme", key_giver="erp", mode="live", targets=(Target(connection="books", document="invoice"),)
)
CONNECTIONS = {
    "erp": Connection(name="erp", tenant="acme", platform="external", account="1"),
    "books": Connection(name="books", tenant="acme", platform="quickbooks_online", account="2"),
}
WORLD = World(
    facts=Facts(connections=CONNECTIONS, flows=(FLOW,)), platforms={"external": ERP, "quickbooks_online": BOOKS}
)


class Topics:
    """The orders table in memory; what it writes to its own topics comes back to it."""

    def __init__(self) -> None:
        self.orders = Orders(WORLD)
        self.states: dict[bytes, bytes | None] = {}
        self.outs: list[Out] = []
        self.offset = 0

    def take(self, topic: str, key: bytes, value: bytes, headers: Any = ()) -> None:
        rest = deque([Out(topic, key, value, tuple(headers))])
        while rest:
            out = rest.popleft()
            self.offset += 1
            record = Record(out.topic, 0, self.offset, out.key or b"", out.value or b"", out.headers, 0)
            keys = self.orders.keys([record])
            folded = self.orders.fold(0, [record], {name: self.states.get(name) for name in keys}, NOW, {})
            assert folded.dead == []
            self.states.update(folded.states)
            self.outs += folded.outs
            rest += [one for one in folded.outs if one.topic in self.orders.topics]

    def event(self, ref: ObjectRef, facts: Any, native: int = 1, *anchors: Anchor) -> None:
        event = ChangeEvent(
            tenant="acme", object=ref, facts=facts, version=Version(native), anchors=anchors, changed_at=NOW
        )
        _, headers, value = encode(event, type(facts).__name__.lower())
        key = order_key("acme", anchors[0].ref if anchors else ref)
        self.take(topics.CRM_CHANGES, key.encode(), value, headers)

    def decide(self, kind: Any, order: int, **more: Any) -> None:
        decision = Decision(id=f"{kind}-{self.offset}", tenant="acme", order=KEYS[order], kind=kind, **more)
        self.take(topics.DECISIONS, decision.order.encode(), msgspec.json.encode(decision))

    def commands(self) -> list[Command]:
        return [
            msgspec.json.decode(one.value or b"", type=Command) for one in self.outs if one.topic == topics.COMMANDS
        ]

    def public(self, order: int) -> PublicOrder:
        key = KEYS[order].encode()
        shown = [one.value or b"" for one in self.outs if one.topic == topics.ORDER_STATES and one.key == key]
        return msgspec.json.decode(shown[-1], type=PublicOrder)

    def state(self, order: int) -> OrderState:
        return msgspec.json.decode(self.states[KEYS[order].encode()] or b"", type=OrderState)


def _order(**more: Any) -> Order:
    line = Line(id="1", net_amount=Decimal(20), tax_amount=Decimal(4))
    values = {"number": "7", "currency": "EUR", "payable_amount": Decimal(24), "lines": (line,), "placed_at": NOW}
    return Order(**{**values, **more})


def _answer(command: Command, outcome: Any, **more: Any) -> bytes:
    result = Result(
        command=command.id, order=command.order, write=command.write, tenant="acme", connection="books", account="2",
        capability=command.capability, outcome=outcome, digest=command.digest, epoch=1, offset=1, **more,
    )  # fmt: skip
    return msgspec.json.encode(result)


def test_a_refused_write_is_planned_again_when_a_person_says_retry() -> None:
    table = Topics()
    table.event(ONE, _order())
    (command,) = table.commands()
    table.take(topics.RESULTS, KEYS[0].encode(), _answer(command, "rejected", reason="no such account"))
    (waiting,) = table.public(0).waiting
    assert (waiting.write, waiting.digest) == (command.write, command.digest)
    table.decide("retry", 0, write=waiting.write, digest="something else")
    assert table.commands() == [command]
    table.decide("retry", 0, write=waiting.write, digest=waiting.digest)
    assert [one.id for one in table.commands()] == [command.id, command.id]


def test_orders_that_a_person_calls_one_are_one_and_results_still_arrive() -> None:
    table = Topics()
    table.event(ONE, _order())
    table.event(TWO, _order(number="8", status="draft"))
    (command,) = table.commands()
    table.decide("merge", 0, into=KEYS[1])
    assert (table.public(0).alias_of, table.public(0).number) == (KEYS[1], "7")
    assert table.state(1).aliases == (KEYS[0],)
    bound = ObjectRef("books", "2", "Invoice", "130")
    table.take(topics.RESULTS, KEYS[0].encode(), _answer(command, "confirmed", bound=bound))
    assert table.state(1).writes[command.write].bound == bound
    paid = Payment(amount=Decimal(24), currency="EUR")
    table.event(ObjectRef("erp", "1", "payment", "p"), paid, 1, Anchor("order", ONE))
    assert table.public(1).paid_amount == Decimal(24)
    table.decide("resume", 0)
    table.event(TWO, _order(number="8"), 2)
    assert [one.capability for one in table.commands()] == ["upsert_invoice", "record_payment"]
    assert {one.version for one in _binds(table) if one.order == KEYS[1]} == {1, 2}


def test_the_word_of_another_tenant_counts_for_nothing() -> None:
    table = Topics()
    table.event(ONE, _order())
    decision = Decision(id="d", tenant="beta", order=KEYS[0], kind="merge", into=KEYS[1])
    table.take(topics.DECISIONS, KEYS[0].encode(), msgspec.json.encode(decision))
    assert (table.state(0).alias_of, KEYS[1].encode() in table.states) == ("", False)
    handover = Handover(order=KEYS[0], state=OrderState(key=KEYS[1], tenant="beta"), path=(KEYS[1],))
    table.take(topics.ORDER_FACTS, KEYS[0].encode(), msgspec.json.encode(handover), (("o2c-kind", b"handover"),))
    assert table.state(0).aliases == ()


def _binds(table: Topics) -> list[Bind]:
    found = [msgspec.json.decode(one.value or b"", type=LinkMessage) for one in table.outs if one.topic == topics.LINKS]
    return [one for one in found if isinstance(one, Bind)]


def test_a_hand_over_of_a_newer_worker_stops_the_partition() -> None:
    table = Topics()
    table.event(ONE, _order())
    table.decide("merge", 0, into=KEYS[1])
    (out,) = [one for one in table.outs if one.topic == topics.ORDER_FACTS]
    newer = msgspec.json.decode(out.value or b"")
    newer["state"]["format"] = 99
    record = Record(out.topic, 0, 999, out.key or b"", msgspec.json.encode(newer), out.headers, 0)
    with pytest.raises(NewerFormat):
        table.orders.keys([record])


def test_the_format_of_a_state_is_stored() -> None:
    table = Topics()
    table.event(ONE, _order())
    assert msgspec.json.decode(table.states[KEYS[0].encode()] or b"")["format"] == 1
