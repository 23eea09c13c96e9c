"""Order histories as plain rows: generated here, read from a file in app/demo/reading.py.

A row is {"at", "order", "type", "data"}. Types: order.created, payment.recorded, order.shipped, order.delivered,
order.refunded, order.canceled, order.paid_in_ledger (typed by the bookkeeper), deal.won, deal.paid (typed into the
ledger) and deal.charged (by the payment processor); others are passed over and counted.
Amounts are decimal strings. What the data of each type holds: app/demo/rows.py.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.demo.rows import BEGINNINGS

CENT = Decimal("0.01")
_NAMES = (
    "Ada Example",
    "Bo Lindqvist",
    "Chi Nguyen",
    "Dara O'Shea",
    "Eva Müller",
    "Farid Ben Ali",
    "Gül Demir",
)
_GOODS = (
    ("MUG", "Blue mug", "19.99"),
    ("TEE", "Tee, size M", "24.50"),
    ("LAMP", "Desk lamp", "89.00"),
    ("PEN", "Pen", "1.35"),
)
_RATE = Decimal(20)


@dataclass(frozen=True)
class Row:
    """One thing that happened to one order."""

    at: str
    order: str
    type: str
    data: Mapping[str, Any]


def generated(orders: int, deals: int, seed: int = 1) -> list[Row]:
    """Return the histories of *orders* shop orders and *deals* CRM deals, in time order; the same for a seed."""
    dice = random.Random(seed)  # noqa: S311 - a demo needs repeatable, not secret, numbers
    start = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    rows: list[Row] = []
    for number in range(orders):
        rows += _shop_order(dice, f"SO-{1001 + number}", start + timedelta(minutes=7 * number))
    for number in range(deals):
        rows += _deal(dice, f"D-{5001 + number}", start + timedelta(minutes=31 * number))
    return sorted(rows, key=lambda row: (row.at, row.order))


def _shop_order(dice: random.Random, order: str, at: datetime) -> Iterator[Row]:
    data, total = _basket(dice, order)
    yield _row(at, order, "order.created", data)
    fate = dice.choices(
        ("one payment", "two payments", "part paid", "unpaid", "refunded", "cancelled"), (55, 12, 8, 8, 10, 7)
    )[0]
    if fate == "cancelled":
        yield _row(at + timedelta(hours=2), order, "order.canceled", {"reason": "CUSTOMER"})
        return
    amounts = {
        "two payments": [(total / 3).quantize(CENT)],
        "part paid": [(total / 2).quantize(CENT)],
        "unpaid": [],
    }.get(fate, [total])
    if fate == "two payments":
        amounts.append(total - amounts[0])
    for position, amount in enumerate(amounts):
        paid = {"id": f"{order}-P{position + 1}", "amount": str(amount), "method": "bank transfer"}
        yield _row(at + timedelta(hours=1 + position), order, "payment.recorded", paid)
    if fate == "unpaid" and dice.random() < 0.5:  # noqa: PLR2004 - half of them pay the ledger by bank transfer
        typed = {"amount": str(total), "reference": f"BANK-{order}"}
        yield _row(at + timedelta(days=3), order, "order.paid_in_ledger", typed)
    if fate in {"unpaid", "part paid"}:
        return
    tracking = f"1Z{dice.randrange(10**12):012d}"
    yield _row(at + timedelta(hours=26), order, "order.shipped", {"carrier": "UPS", "tracking": tracking})
    if dice.random() < 0.8:  # noqa: PLR2004 - most parcels arrive
        yield _row(at + timedelta(hours=60), order, "order.delivered", {})
    if fate == "refunded":
        part = total if dice.random() < 0.5 else (total / 4).quantize(CENT)  # noqa: PLR2004 - half of them whole
        yield _row(at + timedelta(hours=90), order, "order.refunded", {"amount": str(part)})


def _deal(dice: random.Random, deal: str, at: datetime) -> Iterator[Row]:
    data, total = _basket(dice, deal)
    yield _row(at, deal, "deal.won", data)
    way = dice.choice(("deal.paid", "deal.charged", ""))
    if way:
        paid = {"amount": str(total), "currency": data["currency"], "reference": f"BANK-{deal}", "email": data["email"]}
        yield _row(at + timedelta(days=5), deal, way, paid)


def _basket(dice: random.Random, order: str) -> tuple[dict[str, Any], Decimal]:
    name = dice.choice(_NAMES)
    lines, total = [], Decimal(0)
    for sku, title, price in dice.sample(_GOODS, dice.randint(1, 3)):
        quantity = dice.randint(1, 4)
        net = Decimal(price) * quantity
        total += net + (net * _RATE / 100).quantize(CENT)
        lines.append({"sku": sku, "title": title, "quantity": quantity, "price": price, "tax_rate": str(_RATE)})
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    email = plain.lower().replace(" ", ".").replace("'", "") + "@example.com"
    data = {
        "reference": order,
        "name": name,
        "email": email,
        "currency": "EUR",
        "lines": lines,
        "total": str(total),
    }
    return data, total


def _row(at: datetime, order: str, type_: str, data: Mapping[str, Any]) -> Row:
    return Row(at.isoformat(), order, type_, data)


def possible(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield *rows* with those held back that come before their order: in real histories some clocks run backwards.

    Rows of an order that never comes are left out: there is nothing that they could happen to.
    """
    there: set[str] = set()
    early: dict[str, list[Row]] = {}
    for row in rows:
        if row.type in BEGINNINGS:
            there.add(row.order)
            yield row
            yield from early.pop(row.order, ())
        elif row.order in there:
            yield row
        else:
            early.setdefault(row.order, []).append(row)
