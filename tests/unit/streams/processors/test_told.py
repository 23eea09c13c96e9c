"""What the orders table tells: a result with what its write showed at once, a public order only where it is news."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command, Pair, Result
from schemas.events import ChangeEvent, Version
from schemas.facts import Customer, Order, Party
from schemas.projection import project
from schemas.refs import ObjectRef
from schemas.state import OrderState
from streams.engine.fold import Folded, Record
from tests.unit.streams.processors.test_decisions import KEYS, NOW, ONE, WORLD, Topics, _order

ORDER = _order()


def _result(command: Command, *, events: bool) -> Result:
    ref = ObjectRef(command.connection, command.account, "Invoice", "103")
    event = ChangeEvent(
        tenant="acme", object=ref, facts=command.facts, mirror_of=command.mark, origin="write", order=command.order,
        version=Version(read=True, epoch=1, seq=1),
    )  # fmt: skip
    made = {name: Pair(value, value) for name, value in project(command.facts).items() if name in command.fields}
    return Result(
        command=command.id, order=command.order, write=command.write, tenant="acme", connection=command.connection,
        account=command.account, capability=command.capability, outcome="confirmed", digest=command.digest, bound=ref,
        made=made, look=(1, 1), epoch=1, offset=1, events=(event,) if events else (),
    )  # fmt: skip


def _billed() -> tuple[Topics, Command]:
    table = Topics()
    table.event(ONE, ORDER)
    (command,) = table.commands()
    return table, command


def test_a_result_brings_what_its_write_showed_and_both_are_folded_at_once() -> None:
    table, command = _billed()
    table.outs.clear()
    result = _result(command, events=True)
    table.take(topics.RESULTS, KEYS[0].encode(), msgspec.json.encode(result))
    state = msgspec.json.decode(table.states[KEYS[0].encode()] or b"", type=OrderState)
    assert result.bound is not None
    assert state.objects[result.bound.key].facts == command.facts
    assert state.writes[command.write].outcome == "confirmed"
    public = [out for out in table.outs if out.topic == topics.ORDER_STATES]
    assert len(public) == 1
    assert b'"invoiced_amount":"24"' in (public[0].value or b"")


def test_what_an_order_shows_is_published_only_when_it_is_news() -> None:
    table, command = _billed()
    table.outs.clear()
    # Another reading of the same version asks for a look, and nobody who follows the order sees a difference.
    again = msgspec.structs.replace(_result(command, events=True), offset=2)
    for result in (_result(command, events=True), again, msgspec.structs.replace(again, offset=3, look=(1, 5))):
        table.take(topics.RESULTS, KEYS[0].encode(), msgspec.json.encode(result))
    assert len([out for out in table.outs if out.topic == topics.ORDER_STATES]) == 1
    table.event(ONE, msgspec.structs.replace(ORDER, status="closed"), 2)
    assert len([out for out in table.outs if out.topic == topics.ORDER_STATES]) == 2


def _folded(event: ChangeEvent, canonical: str) -> Folded:
    key, headers, value = encode(event, canonical)
    record = Record(topics.CRM_CHANGES, 0, 1, key, value, headers, 0)
    orders = Topics().orders
    orders.keys([record])
    return orders.fold(0, [record], {}, NOW, {})


def test_a_customer_is_nobodys_and_an_unplaced_order_document_is_looked_for() -> None:
    ref = ObjectRef("books", "2", "Customer", "3")
    customer = ChangeEvent(tenant="acme", object=ref, facts=Customer(party=Party(name="Ada")), version=Version(1))
    folded = _folded(customer, "customer")
    assert folded.outs == []
    assert folded.counts == {"crm-changes/ignored": 1}
    gone = msgspec.structs.replace(customer, facts=None, presence="deleted")
    assert _folded(gone, "customer").outs == []


def test_an_order_without_its_giver_goes_to_the_links() -> None:
    ref = ObjectRef("books", "2", "Estimate", "9")
    facts = Order(number="Q-1", currency="EUR", payable_amount=Decimal(1))
    event = ChangeEvent(tenant="acme", object=ref, facts=facts, version=Version(1))
    assert WORLD.flow_of("acme", ref) is None
    assert [out.topic for out in _folded(event, "order").outs] == [topics.LINKS]
