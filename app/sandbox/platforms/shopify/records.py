"""What the sandbox shop stores: orders with their lines, transactions, refunds and fulfilments; and its money."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

ZERO = Decimal(0)
_DIGITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "JOD": 3, "TND": 3}


def cents(amount: Decimal, currency: str) -> Decimal:
    """Return *amount* in whole minor units."""
    return amount.quantize(Decimal(1).scaleb(-_DIGITS.get(currency, 2)), ROUND_HALF_UP)


def tax_of(amount: Decimal, percent: Decimal, currency: str, *, included: bool) -> Decimal:
    """Return the tax in or on *amount*."""
    rate = percent / 100
    return cents(amount - amount / (1 + rate) if included else amount * rate, currency)


@dataclass(slots=True)
class Customer:
    """A buyer of the shop; one per e-mail."""

    id: int
    email: str
    first: str
    last: str
    created_at: datetime
    updated_at: datetime
    phone: str = ""
    note: str = ""
    tags: list[str] = field(default_factory=list)
    version: int = 0

    @property
    def name(self) -> str:
        """Return what the admin shows."""
        return f"{self.first} {self.last}".strip() or self.email


@dataclass(slots=True)
class Line:
    """One line item; `quantity` is as bought, `current` after edits and refunds."""

    id: int
    sku: str
    title: str
    quantity: int
    price: Decimal
    tax_rate: Decimal = ZERO
    discount: Decimal = ZERO
    current: int = 0
    fulfilled: int = 0

    def value(self, quantity: int, currency: str) -> Decimal:
        """Return what *quantity* of this line costs after its discount."""
        share = self.discount * quantity / self.quantity if self.quantity else ZERO
        return cents(self.price * quantity - share, currency)


@dataclass(slots=True)
class Transaction:
    """One movement of money: sale, capture, authorization, refund or void."""

    id: int
    kind: str
    amount: Decimal
    gateway: str
    processed_at: datetime
    created_at: datetime
    status: str = "success"
    parent: Transaction | None = None
    reference: str = ""
    manual: bool = False
    test: bool = False
    rounding: Decimal = ZERO
    """By how much more, or less, cash changed hands at the till than `amount` says."""


@dataclass(slots=True)
class RefundLine:
    """How much of a line was given back."""

    id: int
    line: Line
    quantity: int
    restock: str
    subtotal: Decimal
    tax: Decimal


@dataclass(slots=True)
class Refund:
    """A credit, with or without money."""

    id: int
    note: str
    created_at: datetime
    processed_at: datetime
    lines: list[RefundLine] = field(default_factory=list)
    shipping: Decimal = ZERO
    transactions: list[Transaction] = field(default_factory=list)

    @property
    def money(self) -> Decimal:
        """Return the money given back."""
        return sum((one.amount for one in self.transactions if one.status == "success"), ZERO)


@dataclass(slots=True)
class Parcel:
    """One fulfilment."""

    id: int
    name: str
    lines: list[tuple[Line, int]]
    company: str
    numbers: list[str]
    urls: list[str]
    created_at: datetime
    updated_at: datetime
    status: str = "success"
    shipment_status: str = ""
    delivered_at: datetime | None = None
    events: list[tuple[int, str, datetime]] = field(default_factory=list)


@dataclass(slots=True)
class Share:
    """How much of a line one fulfilment order was given, and how much of that is left to ship."""

    id: int
    line: Line
    quantity: int
    left: int


@dataclass(slots=True)
class Split:
    """A further fulfilment order: what of an order is shipped from another place, or later."""

    id: int
    location: int
    shares: list[Share]


@dataclass(slots=True)
class Hold:
    """A reason not to ship a fulfilment order yet."""

    id: int
    reason: str
    notes: str
    external_id: str
    part: int


@dataclass(slots=True)
class Order:
    """One order of the shop with everything that hangs on it."""

    id: int
    number: int
    name: str
    currency: str
    customer: Customer | None
    email: str
    lines: list[Line]
    created_at: datetime
    processed_at: datetime
    updated_at: datetime
    changed_at: datetime
    """The unrounded time of the last change, for the search's lag."""
    buyer: tuple[str, Decimal] | None = None
    """The currency that the buyer pays in where it is not the shop's, and how much of it one unit of the shop's is."""
    included: bool = False
    shipping: Decimal = ZERO
    shipping_rate: Decimal = ZERO
    note: str = ""
    po_number: str = ""
    source_identifier: str = ""
    source_name: str = "web"
    tags: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)
    metafields: dict[tuple[str, str], tuple[int, str, str]] = field(default_factory=dict)
    address: dict[str, str] = field(default_factory=dict)
    test: bool = False
    due_at: datetime | None = None
    """When a business customer's payment terms want the money."""
    cancelled_at: datetime | None = None
    cancel_reason: str = ""
    closed_at: datetime | None = None
    transactions: list[Transaction] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    adjustment: Decimal = ZERO
    """Refunded money that no line or shipping explains."""
    version: int = 0
    """Raised by every change."""

    @property
    def presentment(self) -> str:
        """Return the currency that the buyer pays in."""
        return self.buyer[0] if self.buyer else self.currency

    def to_buyer(self, amount: Decimal) -> Decimal:
        """Return an amount of the shop's currency in the buyer's."""
        return cents(amount * self.buyer[1], self.buyer[0]) if self.buyer else amount

    def from_buyer(self, amount: Decimal) -> Decimal:
        """Return an amount of the buyer's currency in the shop's."""
        return cents(amount / self.buyer[1], self.currency) if self.buyer else amount

    def tax(self, *, current: bool) -> Decimal:
        """Return the tax of lines and shipping."""
        lines = (self.line_tax(line, line.current if current else line.quantity) for line in self.lines)
        return sum(lines, ZERO) + self.shipping_tax(current=current)

    def line_tax(self, line: Line, quantity: int) -> Decimal:
        """Return the tax of *quantity* of *line*."""
        return tax_of(line.value(quantity, self.currency), line.tax_rate, self.currency, included=self.included)

    def shipping_now(self) -> Decimal:
        """Return the shipping price that was not given back."""
        return self.shipping - sum((refund.shipping for refund in self.refunds), ZERO)

    def shipping_tax(self, *, current: bool) -> Decimal:
        """Return the tax of the shipping line."""
        price = self.shipping_now() if current else self.shipping
        return tax_of(price, self.shipping_rate, self.currency, included=self.included)

    def subtotal(self, *, current: bool) -> Decimal:
        """Return the value of the lines, after discounts."""
        return sum((line.value(line.current if current else line.quantity, self.currency) for line in self.lines), ZERO)

    def total(self) -> Decimal:
        """Return the price at checkout."""
        return self.subtotal(current=False) + self.shipping + (ZERO if self.included else self.tax(current=False))

    def current_total(self) -> Decimal:
        """Return the price after edits and refunds."""
        net = self.subtotal(current=True) + self.shipping_now() - self.adjustment
        return net + (ZERO if self.included else self.tax(current=True))

    def moved(self, *kinds: str) -> Decimal:
        """Return the sum of the successful transactions of *kinds*."""
        return sum((one.amount for one in self.transactions if one.kind in kinds and one.status == "success"), ZERO)

    def rounded(self, *kinds: str) -> Decimal:
        """Return by how much the cash of the successful transactions of *kinds* was rounded."""
        return sum((one.rounding for one in self.transactions if one.kind in kinds and one.status == "success"), ZERO)

    @property
    def received(self) -> Decimal:
        """Return the money that came in."""
        return self.moved("sale", "capture")

    @property
    def refunded(self) -> Decimal:
        """Return the money that went back."""
        return self.moved("refund")

    @property
    def outstanding(self) -> Decimal:
        """Return what is still owed; a cancelled order owes nothing."""
        if self.cancelled_at is not None:
            return ZERO
        return self.current_total() - (self.received - self.refunded)

    @property
    def authorized(self) -> Decimal:
        """Return the money that could still be captured."""
        return max(ZERO, self.moved("authorization") - self.moved("capture", "void"))

    @property
    def financial(self) -> str:
        """Return REST's financial_status."""
        if self.refunded > 0:
            return "refunded" if self.refunded >= self.received else "partially_refunded"
        if self.received > 0:
            return "paid" if self.outstanding <= 0 else "partially_paid"
        if self.cancelled_at is not None:
            return "voided"
        if self.authorized > 0:
            return "authorized"
        return "paid" if self.current_total() == 0 else "pending"

    @property
    def remaining(self) -> int:
        """Return how many pieces are still to be shipped."""
        return sum(max(0, line.current - line.fulfilled) for line in self.lines)

    @property
    def fulfilment(self) -> str:
        """Return REST's fulfillment_status; empty for none."""
        shipped = sum(line.fulfilled for line in self.lines)
        if not shipped:
            restocked = any(line.restock in {"cancel", "return"} for refund in self.refunds for line in refund.lines)
            return "restocked" if restocked and not self.remaining else ""
        return "partial" if self.remaining else "fulfilled"
