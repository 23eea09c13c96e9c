"""What a system tells back of our own write is counted by where it was typed and who told it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec

from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command, Pair, Result
from schemas.events import ChangeEvent, Version
from schemas.facts import Line, Order, Party
from schemas.refs import ObjectRef, order_key
from streams.engine.fold import Record
from streams.processors.orders import Orders
from tests.simulator import company

NOW = company.START + timedelta(seconds=5)
BILL = ObjectRef("books", "b", "invoice", "inv-1")
LINES = (Line(id="l1", sku="MUG", unit_price=Decimal(24), net_amount=Decimal(24)),)
ADA = Party(name="Ada", email="ada@example.com")
FACTS = Order(
    number="SO-1", stage="open", currency="EUR", payable_amount=Decimal(24), tax_amount=Decimal(0),
    placed_at=company.START, customer=ADA, lines=LINES,
)  # fmt: skip
SHOP = ObjectRef("shop", "s", "order", "1")
KEY = order_key("acme", SHOP)
PLACED = ChangeEvent(tenant="acme", object=SHOP, facts=FACTS, version=Version(native=1), order=KEY)


def record(event: ChangeEvent, kind: str) -> Record:
    key, headers, value = encode(event, kind)
    return Record("crm-changes", 0, 0, key, value, tuple(headers), 1)


def answer(command: Command, shown: ChangeEvent) -> Record:
    """Return the confirmation of *command*, which shows the bill as it was made."""
    made = {name: Pair(sent, sent) for name, sent in command.fields.items()}
    result = Result(
        command=command.id, order=command.order, write=command.write, tenant="acme", connection="books", account="b",
        capability=command.capability, outcome="confirmed", digest=command.digest, bound=BILL, made=made, look=(1, 1),
        epoch=1, offset=1, source=command.source, events=(shown,),
    )  # fmt: skip
    return Record(topics.RESULTS, 0, 0, command.order.encode(), msgspec.json.encode(result), (), 1)


def test_the_first_look_that_shows_what_we_wrote_is_counted_and_changes_nothing() -> None:
    table, states = Orders(company.world()), dict[bytes, bytes | None]()

    def folded(one: Record) -> tuple[dict[str, int], list[Command]]:
        (key,) = table.keys([one])
        found = table.fold(0, [one], {key: states.get(key)}, NOW, {})
        states.update(found.states)
        values = [out.value for out in found.outs if out.topic == topics.COMMANDS and out.value is not None]
        commands = [msgspec.json.decode(value, type=Command) for value in values]
        counts = {name: count for name, count in found.counts.items() if name.endswith("/echo")}
        return counts, [one for one in commands if one.connection == "books"]

    counts, commands = folded(record(PLACED, "order"))
    (asked,) = commands
    assert (asked.source, counts) == ("shop", {})
    look = ChangeEvent(
        tenant="acme", object=BILL, facts=asked.facts, version=Version(read=True, epoch=1, seq=1), mirror_of=asked.mark,
        origin="write", order=asked.order,
    )  # fmt: skip
    assert folded(answer(asked, look)) == ({}, [])
    for seq, count in ((2, {"shop>books/echo": 1}), (3, {})):
        version = Version(read=True, epoch=1, seq=seq)
        again = msgspec.structs.replace(look, version=version, origin="read")
        assert folded(record(again, "invoice")) == (count, [])
