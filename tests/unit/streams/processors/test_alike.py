"""Orders that look alike find each other over the link table, and the row is gone after a day."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from app.core import topics
from schemas.cloudevents import encode
from schemas.events import ChangeEvent
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef, order_key
from streams.engine.fold import TICK_TOPIC, Folded, Out, Processor, Record
from streams.processors.links import Links
from streams.processors.orders import Orders
from tests.simulator import company
from tests.unit.streams.processors.test_echoed import FACTS

NOW = company.START + timedelta(seconds=5)


class Table:
    """A processor and its states."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.states: dict[bytes, bytes | None] = {}

    def fold(self, record: Record, now: datetime = NOW) -> Folded:
        keys = self.processor.keys([record])
        folded = self.processor.fold(0, [record], {key: self.states.get(key) for key in keys}, now, {})
        assert not folded.dead
        self.states |= folded.states
        return folded


def placed(id_: str) -> Record:
    shop = ObjectRef("shop", "s", "order", id_)
    facts = msgspec.structs.replace(FACTS, number=f"SO-{id_}")
    event = ChangeEvent(tenant="acme", object=shop, facts=facts, order=order_key("acme", shop), origin="webhook")
    key, headers, value = encode(event, "order")
    return Record(topics.CRM_CHANGES, 0, int(id_), key, value, tuple(headers), 1)


def passed(out: Out) -> Record:
    return Record(out.topic, 0, 0, out.key or b"", out.value or b"", out.headers, 1)


def resembling(folded: Folded) -> list[Out]:
    return [out for out in folded.outs if out.topic == topics.LINKS and (out.key or b"").startswith(b"alike/")]


def test_two_that_look_alike_are_told_of_each_other_and_the_row_is_gone_after_a_day() -> None:
    orders, links = Table(Orders(company.world())), Table(Links())
    told: list[Out] = []
    for id_ in ("1", "2"):
        (looks,) = resembling(orders.fold(placed(id_)))
        folded = links.fold(passed(looks))
        told += [out for out in folded.outs if out.topic == topics.ORDER_FACTS]
        assert resembling(orders.fold(placed(id_))) == [], "told once"
    assert len(told) == 2
    row = looks.key or b""
    shown = [out for one in told for out in orders.fold(passed(one)).outs]
    published = [msgspec.json.decode(out.value or b"", type=PublicOrder) for out in shown]
    assert [[one.code for one in order.findings if one.code == "alike"] for order in published] == [["alike"]] * 2
    assert {out.topic for out in shown} == {topics.ORDER_STATES}, "nothing is planned"

    due = folded.timers[row]
    assert due == company.START + timedelta(hours=25)
    faded = links.fold(Record(TICK_TOPIC, 0, 0, row, b"", (), 1), due)
    assert (faded.states, faded.timers, faded.outs) == ({row: None}, {row: None}, [])
