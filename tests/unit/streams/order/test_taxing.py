"""The tax of a credit that names none: the order's, in its share, or none where rates differ."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Credit, Line, Order
from streams.order.plan.taxing import taxed


def _line(net: str, tax: str, rate: str | None = None) -> Line:
    return Line(name="x", net_amount=Decimal(net), tax_amount=Decimal(tax), tax_rate=Decimal(rate) if rate else None)


def _order(*lines: Line, **changes: Any) -> tuple[Order, Decimal]:
    payable = sum((line.net_amount + line.tax_amount for line in lines), Decimal(0))
    tax = sum((line.tax_amount for line in lines), Decimal(0))
    return Order(
        **{"currency": "EUR", "lines": lines, "tax_amount": tax, "payable_amount": payable, **changes}
    ), payable


def _credit(amount: str, **changes: Any) -> Credit:
    return Credit(**{"document": "refund", "amount": Decimal(amount), "currency": "EUR", **changes})


ONE = (_line("27.00", "5.13"), _line("-7.00", "-1.33"), _line("0", "0"))
MIXED = (_line("100.00", "19.00"), _line("10.00", "0.70"))
ROUNDED = (_line("0.33", "0.06"), _line("0.33", "0.06"), _line("0.34", "0.07"))


@pytest.mark.parametrize(
    ("lines", "amount", "tax"),
    [
        (ONE, "11.90", "1.90"),
        (ONE, "0.01", "0.00"),
        (ONE, "35.70", "5.70"),
        (ROUNDED, "0.60", "0.10"),
        ((_line("10.00", "1.90", "19"), _line("5.00", "0.95", "19")), "5.95", "0.95"),
        ((_line("0.03", "0.01", "19"), _line("0.03", "0.01", "20")), "0.04", None),
        (MIXED, "11.90", None),
        ((_line("100.00", "19.00"), _line("10.00", "0")), "10.00", None),
    ],
)
def test_a_part_has_its_share_where_every_line_bears_the_same_rate(
    lines: tuple[Line, ...], amount: str, tax: str | None
) -> None:
    order, payable = _order(*lines)
    found = taxed(_credit(amount), order, payable)
    assert (found.tax_amount, found.lines) == (None if tax is None else Decimal(tax), ())


def test_a_credit_over_all_of_it_is_the_orders_own_lines() -> None:
    order, payable = _order(*MIXED)
    found = taxed(_credit("129.70"), order, payable)
    assert (found.tax_amount, found.lines) == (Decimal("19.70"), MIXED)


def test_where_the_lines_are_not_the_total_it_has_the_tax_alone() -> None:
    order, payable = _order(*MIXED)
    found = taxed(_credit("129.71"), order, payable + Decimal("0.01"))
    assert (found.tax_amount, found.lines) == (Decimal("19.70"), ())


def test_the_tax_of_lines_counts_where_the_order_names_none() -> None:
    order, payable = _order(*ONE, tax_amount=None)
    assert taxed(_credit("11.90"), order, payable).tax_amount == Decimal("1.90")


@pytest.mark.parametrize(
    "credit", [_credit("11.90", tax_amount=Decimal("0.70")), _credit("11.90", lines=(_line("10", "1.90"),))]
)
def test_a_credit_that_says_its_tax_or_its_lines_is_left_alone(credit: Credit) -> None:
    assert taxed(credit, *_order(*ONE)) == credit


@pytest.mark.parametrize("lines", [(), (_line("20", "0"),)])
def test_an_order_without_tax_gives_none(lines: tuple[Line, ...]) -> None:
    assert taxed(_credit("10"), *_order(*lines)) == _credit("10")


def test_an_order_of_nothing_but_tax_gives_no_rate() -> None:
    order, payable = _order(_line("0", "5.00"))
    assert taxed(_credit("1"), order, payable) == _credit("1")
