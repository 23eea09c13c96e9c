"""Canonical facts of the objects that systems show, in the terms of UBL and EN 16931.

Amounts are Decimal in the document's currency; JSON carries them as strings. Field names follow EN 16931 where it
has the term: `payable_amount` is the total with tax (BT-112), `tax_amount` BT-110, `net_amount` BT-109, a line's
`net_amount` BT-131, `unit_price` BT-146, `quantity` BT-129.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from schemas.money import ZERO

Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]

LifeCycle = Literal["draft", "open", "on_hold", "cancelled", "closed"]
Financial = Literal["none", "invoiced", "partially_paid", "paid", "overpaid", "partially_refunded", "refunded", "void"]
Fulfilment = Literal["none", "partially_fulfilled", "fulfilled", "delivered", "returned"]
DocumentStatus = Literal[
    "draft",
    "invoiced",
    "partially_paid",
    "paid",
    "partially_refunded",
    "refunded",
    "void",
    "cancelled",
    "on_hold",
]
PaymentStatus = Literal["pending", "authorised", "succeeded", "failed", "cancelled", "reversed"]
CreditStatus = Literal["draft", "pending", "issued", "void", "failed"]
PayoutStatus = Literal["pending", "in_transit", "paid", "failed", "cancelled"]
LineKind = Literal["goods", "shipping", "discount", "fee", "rounding"]


class _Facts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all facts: immutable, defaults left out of the JSON."""


class Address(_Facts, frozen=True, kw_only=True):
    """A postal address (BG-8); country is ISO 3166-1 alpha-2."""

    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postcode: str = ""
    country: str = ""


class Party(_Facts, frozen=True, kw_only=True):
    """A buyer by value: the owner of a connection keeps the binding to that system's own customer."""

    name: str = ""
    email: str = ""
    phone: str = ""
    tax_id: str = ""
    id: str = ""
    """The customer's id in the system that shows these facts."""
    address: Address | None = None


class Line(_Facts, frozen=True, kw_only=True):
    """One line: net_amount is quantity x unit_price - discount without tax; gross = net + tax."""

    id: str = ""
    kind: LineKind = "goods"
    sku: str = ""
    name: str = ""
    quantity: Decimal = Decimal(1)
    unit_price: Decimal = ZERO
    net_amount: Decimal = ZERO
    tax_amount: Decimal = ZERO
    tax_rate: Decimal | None = None
    """In percent, as BT-152 (19, not 0.19)."""
    tax_code: str = ""


class Allocation(_Facts, frozen=True, kw_only=True):
    """How much of a payment or credit goes to which document of the same system."""

    type: str
    id: str
    amount: Decimal


class Order(_Facts, frozen=True, tag="order", kw_only=True, dict=True):
    """An order, or the CRM object that stands for one."""

    number: str = ""
    status: LifeCycle = "open"
    stage: str = ""
    """The platform's own status word, verbatim."""
    headline: str = ""
    """The canonical one-word status that a platform with a single status axis shows (see `StatusMap`)."""
    fulfilment: Fulfilment | None = None
    financial: Financial | None = None
    currency: Currency = "XXX"
    customer: Party | None = None
    lines: tuple[Line, ...] = ()
    net_amount: Decimal | None = None
    tax_amount: Decimal | None = None
    payable_amount: Decimal | None = None
    prices_include_tax: bool = False
    placed_at: Instant | None = None
    due_date: date | None = None
    overdue: bool = False
    """What the system itself says of its due dates."""
    note: str = ""
    po_number: str = ""
    test: bool = False
    merged_into: str = ""
    """The id in the same system of the object that people merged this one into; counts also when this one is gone."""
    merged_from: tuple[str, ...] = ()
    """The ids of objects that were merged into this one."""


class Invoice(_Facts, frozen=True, tag="invoice", kw_only=True, dict=True):
    """A document that asks for money: invoice, sales receipt or payment request."""

    document: Literal["invoice", "sales_receipt", "payment_request"] = "invoice"
    number: str = ""
    status: DocumentStatus = "invoiced"
    stage: str = ""
    currency: Currency = "XXX"
    customer: Party | None = None
    lines: tuple[Line, ...] = ()
    net_amount: Decimal | None = None
    tax_amount: Decimal | None = None
    payable_amount: Decimal = ZERO
    paid_amount: Decimal | None = None
    credited_amount: Decimal | None = None
    amount_due: Decimal | None = None
    prices_include_tax: bool = False
    issue_date: date | None = None
    due_date: date | None = None
    overdue: bool = False
    reference: str = ""
    note: str = ""
    po_number: str = ""


class Payment(_Facts, frozen=True, tag="payment", kw_only=True, dict=True):
    """Money received from the buyer; amount > 0."""

    amount: Decimal
    currency: Currency
    status: PaymentStatus = "succeeded"
    stage: str = ""
    method: str = ""
    paid_at: Instant | None = None
    date: date | None = None
    reference: str = ""
    """The processor's or bank's own reference: two payments are one only by a shared reference."""
    fee: Decimal | None = None
    unapplied_amount: Decimal | None = None
    allocations: tuple[Allocation, ...] = ()
    customer: Party | None = None
    test: bool = False


class Credit(_Facts, frozen=True, tag="credit", kw_only=True, dict=True):
    """A credit note or a refund of money; amount > 0."""

    document: Literal["credit_note", "refund"] = "credit_note"
    number: str = ""
    amount: Decimal
    tax_amount: Decimal | None = None
    currency: Currency
    status: CreditStatus = "issued"
    stage: str = ""
    lines: tuple[Line, ...] = ()
    reason: str = ""
    date: date | None = None
    reference: str = ""
    remaining_amount: Decimal | None = None
    allocations: tuple[Allocation, ...] = ()
    restock: bool = False


class ShipmentLine(_Facts, frozen=True, kw_only=True):
    """How much of an order line is in a parcel."""

    line: str
    quantity: Decimal


class Shipment(_Facts, frozen=True, tag="shipment", kw_only=True, dict=True):
    """One parcel."""

    status: Literal["pending", "shipped", "delivered", "cancelled", "failed", "returned"] = "shipped"
    stage: str = ""
    carrier: str = ""
    tracking_numbers: tuple[str, ...] = ()
    tracking_url: str = ""
    lines: tuple[ShipmentLine, ...] = ()
    """Empty means: all that the order had left."""
    shipped_at: Instant | None = None
    delivered_at: Instant | None = None


class Customer(_Facts, frozen=True, tag="customer", kw_only=True, dict=True):
    """A buyer as one system keeps it."""

    party: Party
    status: Literal["active", "archived", "merged"] = "active"
    merged_into: str = ""


class PayoutItem(_Facts, frozen=True, kw_only=True):
    """One movement inside a payout; amount and fee are signed as the processor shows them."""

    kind: Literal["payment", "refund", "fee", "adjustment", "reserve", "dispute", "other"]
    amount: Decimal
    fee: Decimal = ZERO
    type: str = ""
    id: str = ""


class Payout(_Facts, frozen=True, tag="payout", kw_only=True, dict=True):
    """Money that a processor sends to the bank."""

    amount: Decimal
    currency: Currency
    status: PayoutStatus = "paid"
    stage: str = ""
    arrival_date: date | None = None
    reference: str = ""
    items: tuple[PayoutItem, ...] = ()


type_names = ("order", "invoice", "payment", "credit", "shipment", "customer", "payout")
Facts = Order | Invoice | Payment | Credit | Shipment | Customer | Payout
