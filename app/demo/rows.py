"""What a history row must hold, by its type: checked before anything is started, money as decimals.

Fields that are none of these are passed over: real exports have many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

from app.demo.stack import SYSTEMS

_CENT = Decimal("0.01")
_RATES = sorted({Decimal(rate) for system in SYSTEMS for rate in system.taxes})


class Line(msgspec.Struct):
    """One line of an order; *price* is of one piece, before tax."""

    price: Decimal
    quantity: int = 1
    title: str = ""
    sku: str = ""
    tax_rate: Decimal = Decimal(0)
    """Percent."""

    def __post_init__(self) -> None:
        """Refuse what the sandbox systems cannot hold."""
        _amounts(price=self.price)
        if self.quantity < 1:
            raise ValueError("quantity is less than 1")
        if self.tax_rate not in _RATES:
            known = " or ".join(str(rate) for rate in _RATES)
            raise ValueError(f"tax_rate {self.tax_rate} is none that the sandbox ledgers have; write {known}")
        self.title = self.title or self.sku or "Item"

    def total(self) -> Decimal:
        """Return the amount with tax."""
        net = self.price * self.quantity
        return net + (net * self.tax_rate / 100).quantize(_CENT, ROUND_HALF_UP)


class Item(msgspec.Struct):
    """One piece as the Olist histories tell it, without tax."""

    product_id: str
    price: Decimal
    freight: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        """Refuse amounts that are none."""
        _amounts(price=self.price, freight=self.freight)

    def total(self) -> Decimal:
        """Return the amount with freight."""
        return self.price + self.freight


class Begun(msgspec.Struct, omit_defaults=True):
    """An order or a deal: lines, or items, or a total alone, which then is one line."""

    currency: str | None = None
    total: Decimal | None = None
    lines: list[Line] | None = None
    items: list[Item] | None = None
    reference: str | None = None
    name: str | None = None
    email: str | None = None
    customer_id: str | None = None

    def __post_init__(self) -> None:
        """Complete the lines or the total by each other; ValueError when they disagree."""
        _currency(self.currency)
        self.currency = self.currency or ("BRL" if self.items else "EUR")
        _amounts(total=self.total)
        if not self.lines and not self.items and self.total:
            self.lines = [Line(self.total, title="Order")]
        parts: Iterable[Line | Item] = self.lines or self.items or ()
        sum_ = sum((part.total() for part in parts), Decimal(0))
        if self.total is not None and self.total != sum_:
            raise ValueError(f"total {self.total} is not what the lines come to with tax, {sum_}")
        self.total = sum_


class Paid(msgspec.Struct, omit_defaults=True):
    """Money that came."""

    amount: Decimal
    currency: str | None = None
    method: str | None = None
    id: str | None = None
    payment_id: str | None = None
    reference: str | None = None
    email: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        _amounts(amount=self.amount)
        _currency(self.currency)


class Refunded(msgspec.Struct):
    """Money that went back."""

    amount: Decimal

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        _amounts(amount=self.amount)


class Parcel(msgspec.Struct):
    """What was sent."""

    carrier: str = ""
    tracking: str = ""


class Ended(msgspec.Struct, omit_defaults=True):
    """What came to nothing."""

    reason: str | None = None


class Nothing(msgspec.Struct):
    """What happened says it all."""


BEGINNINGS = frozenset(("order.created", "deal.won"))
TYPES: Mapping[str, type[msgspec.Struct]] = {
    "order.created": Begun,
    "payment.recorded": Paid,
    "order.paid_in_ledger": Paid,
    "order.shipped": Parcel,
    "order.delivered": Nothing,
    "order.refunded": Refunded,
    "order.canceled": Ended,
    "order.unavailable": Ended,
    "deal.won": Begun,
    "deal.paid": Paid,
    "deal.charged": Paid,
}
"""Row type -> what its data holds; rows of other types are passed over."""


def checked(type_: str, data: object, *, texts: bool = False) -> dict[str, Any]:
    """Return *data* of a row as plain values, amounts as decimal strings; msgspec.ValidationError names the field.

    *texts* takes numbers that are written as text, as CSV cells are.
    """
    found = msgspec.convert(data, TYPES.get(type_, Nothing), strict=not texts)
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain


def _amounts(**amounts: Decimal | None) -> None:
    for name, amount in amounts.items():
        if amount is not None and not (amount.is_finite() and amount >= 0):
            raise ValueError(f"{name} {amount} is no amount")


def _currency(word: str | None) -> None:
    if word is not None and not (len(word) == 3 and word.isascii() and word.isupper()):  # noqa: PLR2004 - ISO 4217
        raise ValueError(f"currency {word} is no ISO 4217 code; write one as EUR")
