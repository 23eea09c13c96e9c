"""The tax in a credit that names none, where it follows from the order without a guess."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from schemas.facts import Credit, Line, Order
from schemas.money import ZERO, minor, rounded


def taxed(credit: Credit, order: Order, payable: Decimal) -> Credit:
    """Return *credit* with the tax that it takes back of an order over *payable*.

    A credit over all of it is the order's own lines; a part has its share where every line bears the same rate.
    Where rates differ nobody can tell, so the credit stays as it is.
    """
    tax = order.tax_amount if order.tax_amount is not None else sum((line.tax_amount for line in order.lines), ZERO)
    if credit.tax_amount is not None or credit.lines or not tax:
        return credit
    if credit.amount == payable:
        whole = sum((line.net_amount + line.tax_amount for line in order.lines), ZERO) == payable
        return msgspec.structs.replace(credit, tax_amount=tax, lines=order.lines if whole else ())
    if not _one_rate(order, tax, payable):
        return credit
    return msgspec.structs.replace(credit, tax_amount=rounded(credit.amount * tax / payable, credit.currency))


def _one_rate(order: Order, tax: Decimal, payable: Decimal) -> bool:
    lines = [line for line in order.lines if line.net_amount]
    if not lines or payable <= tax:
        return False
    rates = {line.tax_rate for line in lines}
    if None not in rates:
        return len(rates) == 1
    return all(_bears(line, tax / (payable - tax), minor(order.currency)) for line in lines)


def _bears(line: Line, rate: Decimal, cent: Decimal) -> bool:
    return abs(line.tax_amount - line.net_amount * rate) <= cent
