"""Two axes and one word, derived from what was really paid and sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Line, Order, Shipment, ShipmentLine
from schemas.money import ZERO
from schemas.order_state import PublicOrder
from streams.order.derive.money import Counted
from streams.order.derive.status import financial, fulfilment, headline, life_cycle, reached
from tests.unit.streams.order.states import look


@pytest.mark.parametrize(
    ("paid", "refunded", "more", "word"),
    [
        ("0", "0", {}, "none"),
        ("0", "0", {"invoiced": True}, "invoiced"),
        ("0", "0", {"invoiced": True, "cancelled": True}, "void"),
        ("0.01", "0", {"cancelled": True}, "partially_paid"),
        ("9.99", "0", {}, "partially_paid"),
        ("10", "0", {}, "paid"),
        ("10.01", "0", {}, "overpaid"),
        ("10", "0.01", {}, "partially_refunded"),
        ("10", "10", {}, "refunded"),
        ("10", "11", {}, "refunded"),
        ("0.01", "0.01", {}, "refunded"),
        ("0", "5", {}, "none"),
    ],
)
def test_the_financial_word(paid: str, refunded: str, more: dict[str, bool], word: str) -> None:
    flags = {"invoiced": False, "cancelled": False, **more}
    assert financial(Decimal(10), Decimal(paid), Decimal(refunded), **flags) == word


def test_a_deleted_order_is_cancelled() -> None:
    order = Order(status="closed")
    assert life_cycle(order, look(order)) == "closed"
    assert life_cycle(order, look(order, presence="deleted")) == "cancelled"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("open", "on_hold"),
        ("closed", "on_hold"),
        ("draft", "draft"),
        ("cancelled", "cancelled"),
        ("on_hold", "on_hold"),
    ],
)
def test_what_is_held_is_on_hold_while_it_lives(said: Any, word: str) -> None:
    order = Order(status=said)
    assert life_cycle(order, look(order), held=True) == word
    assert life_cycle(order, look(order), held=False) == said
    assert life_cycle(order, look(order, presence="deleted"), held=True) == "cancelled"


LINES = (Line(id="a", quantity=Decimal(2)), Line(id="b"), Line(id="s", kind="shipping"))


def parcel(status: Any = "shipped", **lines: int) -> Counted:
    parts = tuple(ShipmentLine(line=line, quantity=Decimal(quantity)) for line, quantity in lines.items())
    return Counted(look(Shipment(status=status, lines=parts)), ZERO)


@pytest.mark.parametrize(
    ("order", "parcels", "word"),
    [
        ({}, [], "none"),
        ({"fulfilment": "partially_fulfilled"}, [], "partially_fulfilled"),
        ({"fulfilment": "returned"}, [parcel()], "returned"),
        ({}, [parcel()], "fulfilled"),
        ({}, [parcel("delivered")], "delivered"),
        ({}, [parcel("delivered"), parcel()], "fulfilled"),
        ({}, [parcel(a=2)], "partially_fulfilled"),
        ({}, [parcel(a=1, b=1)], "partially_fulfilled"),
        ({}, [parcel(a=1, b=1), parcel(a=1)], "fulfilled"),
        ({}, [parcel("delivered", a=2, b=1)], "delivered"),
        ({}, [parcel(a=3, b=1)], "fulfilled"),
        ({}, [parcel(a=1), parcel()], "fulfilled"),
        ({"fulfilment": "fulfilled"}, [parcel(a=1)], "fulfilled"),
        ({"fulfilment": "fulfilled"}, [parcel("delivered", a=1)], "delivered"),
        ({"fulfilment": "delivered"}, [parcel(a=1)], "delivered"),
        ({"fulfilment": "partially_fulfilled"}, [parcel(a=1)], "partially_fulfilled"),
        ({"lines": ()}, [parcel(a=1)], "partially_fulfilled"),
    ],
)
def test_how_far_the_goods_have_come(order: dict[str, Any], parcels: list[Counted], word: str) -> None:
    assert fulfilment(Order(**{"lines": LINES, **order}), parcels) == word


def test_what_is_no_parcel_delivers_nothing() -> None:
    assert fulfilment(Order(lines=LINES), [Counted(look(Order()), ZERO)]) == "none"


@pytest.mark.parametrize(
    ("life", "money", "goods", "word"),
    [
        ("draft", "paid", "fulfilled", "draft"),
        ("cancelled", "refunded", "fulfilled", "cancelled"),
        ("open", "none", "none", "open"),
        ("closed", "none", "none", "open"),
        ("on_hold", "none", "none", "open"),
        ("open", "paid", "none", "paid"),
        ("open", "paid", "fulfilled", "fulfilled"),
        ("closed", "refunded", "delivered", "refunded"),
    ],
)
def test_the_one_word_says_how_far_an_order_has_come(life: Any, money: Any, goods: Any, word: str) -> None:
    assert headline(life, money, goods) == word


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        ({}, "open"),
        ({"life_cycle": "closed"}, "closed open"),
        ({"life_cycle": "draft", "headline": "draft"}, "draft"),
        ({"financial": "invoiced", "headline": "invoiced"}, "open invoiced"),
        ({"financial": "partially_paid", "paid_amount": "9.99"}, "open partially_paid"),
        ({"financial": "paid", "paid_amount": "10"}, "open partially_paid paid"),
        ({"financial": "overpaid", "paid_amount": "10.01"}, "open partially_paid paid overpaid"),
        ({"financial": "refunded", "paid_amount": "10"}, "open partially_paid paid refunded"),
        ({"financial": "refunded", "paid_amount": "9"}, "open partially_paid refunded"),
        ({"financial": "paid", "paid_amount": "0", "payable_amount": "0"}, "open paid"),
        ({"financial": "none", "paid_amount": "0", "payable_amount": "0"}, "open"),
        ({"financial": "refunded", "paid_amount": "0.5", "payable_amount": "0.5"}, "open partially_paid paid refunded"),
        ({"fulfilment": "partially_fulfilled"}, "open partially_fulfilled"),
        ({"fulfilment": "fulfilled"}, "open partially_fulfilled fulfilled"),
        ({"fulfilment": "delivered"}, "open partially_fulfilled fulfilled delivered"),
        ({"fulfilment": "returned"}, "open partially_fulfilled fulfilled delivered returned"),
    ],
)
def test_an_order_has_reached_what_it_has_passed(shown: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"payable_amount": "10", "headline": "open", **shown}
    amounts = {name: Decimal(value) for name, value in values.items() if name.endswith("amount")}
    order = PublicOrder(key="k", tenant="acme", **{**values, **amounts})
    assert reached(order) - {"none"} == set(words.split())


@pytest.mark.parametrize(("said", "words"), [("open", "on_hold open"), ("on_hold", "on_hold"), (None, "on_hold")])
def test_what_a_bank_holds_is_open_all_the_same(said: Any, words: str) -> None:
    order = PublicOrder(key="k", tenant="acme", life_cycle="on_hold", payable_amount=Decimal(10), headline="none")
    assert reached(order, said) - {"none"} == set(words.split())
