"""Rows of the link table: asked, answered, moved, split, parked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Credit, Customer, Party, Payment
from schemas.links import Answer, Ask, Bind, LinkMessage, LinkRow, Place, Placed
from schemas.refs import ObjectRef
from streams.order.link import PATIENCE, on_message, on_tick, plain_number

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAYMENT = ObjectRef("books", "b", "payment", "p1")
INVOICE_1 = ObjectRef("books", "b", "invoice", "i1")
INVOICE_2 = ObjectRef("books", "b", "invoice", "i2")


def _payment(seq: int, *anchors: tuple[ObjectRef, str]) -> ChangeEvent:
    facts = Payment(amount=Decimal(50), currency="EUR")
    found = tuple(Anchor("object", ref, share) for ref, share in anchors)
    return ChangeEvent(
        tenant="t", object=PAYMENT, facts=facts, anchors=found, version=Version(read=True, epoch=1, seq=seq)
    )


class Table:
    """The link table in memory: delivers messages until there are none."""

    def __init__(self) -> None:
        self.rows: dict[str, LinkRow] = {}
        self.shares: dict[str, tuple[str | None, int]] = {}

    def send(self, *messages: LinkMessage) -> None:
        rest = list(messages)
        while rest:
            message = rest.pop(0)
            linked = on_message(self.rows.get(message.key) or LinkRow(key=message.key), message, NOW)
            self.rows[message.key] = linked.row
            rest += linked.messages
            for placed in linked.placed:
                self._take(placed)

    def _take(self, placed: Placed) -> None:
        known = self.shares.get(placed.order, (None, -1))
        if placed.share_version >= known[1]:
            self.shares[placed.order] = (placed.share, placed.share_version)


def _place(event: ChangeEvent) -> Place:
    return Place(key=event.object.key, event=event)


def test_an_object_waits_until_its_anchor_is_bound_and_is_then_released() -> None:
    table = Table()
    table.send(_place(_payment(1, (INVOICE_1, "50.00"))))
    assert table.shares == {}
    table.send(Bind(key=INVOICE_1.key, order="o1"))
    assert table.shares == {"o1": ("50.00", 1)}


def test_a_payment_that_moves_leaves_share_zero_behind() -> None:
    table = Table()
    table.send(Bind(key=INVOICE_1.key, order="o1"), Bind(key=INVOICE_2.key, order="o2"))
    table.send(_place(_payment(1, (INVOICE_1, "50.00"))))
    table.send(_place(_payment(2, (INVOICE_2, "50.00"))))
    assert table.shares["o1"][0] == "0"
    assert table.shares["o2"][0] == "50.00"


def test_a_payment_of_ours_that_was_moved_before_anybody_looked_leaves_its_order() -> None:
    table = Table()
    table.send(Bind(key=PAYMENT.key, order="o1"), Bind(key=INVOICE_2.key, order="o2"))
    table.send(_place(_payment(1, (INVOICE_2, "50.00"))))
    assert table.shares["o1"][0] == "0"
    assert table.shares["o2"][0] == "50.00"


def test_a_payment_of_ours_whose_invoice_is_nobodys_stays() -> None:
    table = Table()
    table.send(Bind(key=PAYMENT.key, order="o1"))
    table.send(_place(_payment(1, (INVOICE_2, "50.00"))))
    assert table.shares == {}


def test_a_payment_over_two_invoices_is_split() -> None:
    table = Table()
    table.send(Bind(key=INVOICE_1.key, order="o1"), Bind(key=INVOICE_2.key, order="o2"))
    table.send(_place(_payment(1, (INVOICE_1, "30.00"), (INVOICE_2, "20.00"))))
    assert {order: share for order, (share, _) in table.shares.items()} == {"o1": "30.00", "o2": "20.00"}


def test_the_second_anchor_may_be_bound_first() -> None:
    table = Table()
    table.send(_place(_payment(1, (INVOICE_1, "30.00"), (INVOICE_2, "20.00"))))
    table.send(Bind(key=INVOICE_2.key, order="o2"))
    assert table.shares["o2"][0] == "20.00"
    table.send(Bind(key=INVOICE_1.key, order="o1"))
    assert table.shares["o1"][0] == "30.00"


@given(st.permutations(range(6)))
def test_the_order_of_messages_does_not_matter(order: list[int]) -> None:
    messages: list[LinkMessage] = [
        Bind(key=INVOICE_1.key, order="o1"),
        Bind(key=INVOICE_2.key, order="o2"),
        _place(_payment(1, (INVOICE_1, "50.00"))),
        _place(_payment(2, (INVOICE_2, "50.00"))),
        Ask(key=INVOICE_2.key, asker=PAYMENT.key),
        Answer(key=PAYMENT.key, anchor=INVOICE_1.key),
    ]
    table = Table()
    for position in order:
        table.send(messages[position])
    shares = {name: share for name, (share, _) in table.shares.items()}
    assert shares.get("o2") == "50.00"
    assert shares.get("o1", "0") == "0"


def test_what_waits_too_long_asks_the_source_and_is_then_parked() -> None:
    table = Table()
    table.send(_place(_payment(1, (INVOICE_1, "50.00"))))
    row = table.rows[PAYMENT.key]
    assert on_tick(row, NOW + timedelta(minutes=5)).hints == ()
    asked = on_tick(row, NOW + timedelta(minutes=16))
    assert [hint.object for hint in asked.hints] == [INVOICE_1]
    parked = on_tick(asked.row, NOW + timedelta(minutes=40))
    assert parked.parked is not None
    assert parked.parked.object == PAYMENT


def test_nobody_waits_for_the_order_of_a_customer_or_of_what_an_order_has() -> None:
    ref = ObjectRef("crm", "c", "contact", "1")
    contact = ChangeEvent(tenant="acme", object=ref, facts=Customer(party=Party(name="Ada")), version=Version(1))
    assert on_message(LinkRow(key=ref.key), Place(key=ref.key, event=contact), NOW).due_at is None
    note = ObjectRef("books", "b", "credit_note", "1")
    facts = Credit(currency="EUR", amount=Decimal(5))
    credit = ChangeEvent(tenant="acme", object=note, facts=facts, version=Version(1))
    waiting = on_message(LinkRow(key=note.key), Place(key=note.key, event=credit), NOW)
    assert waiting.due_at is not None
    bound = on_message(waiting.row, Bind(key=note.key, order="o1"), NOW).row
    assert on_tick(bound, NOW + 9 * PATIENCE).parked is None
    again = msgspec.structs.replace(credit, version=Version(2), facts=msgspec.structs.replace(facts, number="N"))
    assert on_message(bound, Place(key=note.key, event=again), NOW).due_at is None


@pytest.mark.parametrize(
    "typed", ["1001", "#1001", " # 1001 ", "Order 1001", "order #1001", "ORDER NO. 1001", "Nr. 1001"]
)
def test_an_order_number_is_one_however_people_write_it(typed: str) -> None:
    assert plain_number(typed) == "1001"


@pytest.mark.parametrize("typed", ["SO-1001", "1001-A", "10 01", "NO-1001", "Orders 1001", "#", "order", ""])
def test_what_may_be_another_number_stays_apart(typed: str) -> None:
    assert plain_number(typed) != "1001"
    assert plain_number(typed) == typed.casefold() or typed == "order"
