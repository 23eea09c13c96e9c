"""REST-shaped records, as webhooks carry them and as `graph` makes of reads."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from schemas.money import ZERO

Id = int | str


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base: everything is optional, unknown fields are ignored."""


class Money(Wire, frozen=True, kw_only=True):
    """An amount in one currency."""

    amount: Decimal = ZERO


class Pair(Wire, frozen=True, kw_only=True):
    """What the shop books; what the buyer sees is not read."""

    shop_money: Money = Money()


class Tax(Wire, frozen=True, kw_only=True):
    """A tax line; rate is a fraction (0.19)."""

    price: Decimal = ZERO
    rate: Decimal | None = None


class Discount(Wire, frozen=True, kw_only=True):
    """A share of a discount."""

    amount: Decimal = ZERO


class Line(Wire, frozen=True, kw_only=True):
    """A line item; price is per unit before discounts."""

    id: Id = ""
    sku: str | None = None
    title: str | None = None
    name: str | None = None
    quantity: int = 0
    current_quantity: int | None = None
    price: Decimal = ZERO
    tax_lines: tuple[Tax, ...] = ()
    discount_allocations: tuple[Discount, ...] = ()


class Shipping(Wire, frozen=True, kw_only=True):
    """A shipping line."""

    id: Id = ""
    title: str | None = None
    price: Decimal = ZERO
    tax_lines: tuple[Tax, ...] = ()
    discount_allocations: tuple[Discount, ...] = ()


class Address(Wire, frozen=True, kw_only=True):
    """A postal address."""

    name: str | None = None
    company: str | None = None
    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    province: str | None = None
    zip: str | None = None
    country_code: str | None = None
    phone: str | None = None


class Customer(Wire, frozen=True, kw_only=True):
    """A buyer."""

    id: Id = ""
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    updated_at: datetime | None = None


class Transaction(Wire, frozen=True, kw_only=True):
    """A movement of money."""

    id: Id = ""
    order_id: Id | None = None
    parent_id: Id | None = None
    kind: str = ""
    status: str = ""
    amount: Decimal = ZERO
    presentment_amount: Decimal | None = None
    """What the buyer sees of it; only reads bring it."""
    currency: str | None = None
    gateway: str | None = None
    authorization: str | None = None
    payment_id: str | None = None
    processed_at: datetime | None = None
    created_at: datetime | None = None
    test: bool = False
    manual_payment_gateway: bool | None = None
    currency_exchange_adjustment: Any = None


class RefundLine(Wire, frozen=True, kw_only=True):
    """How much of a line is credited."""

    line_item_id: Id = ""
    quantity: int = 0
    restock_type: str | None = None
    subtotal: Decimal = ZERO
    total_tax: Decimal = ZERO
    line_item: Line | None = None


class Adjustment(Wire, frozen=True, kw_only=True):
    """A part of a refund that is no line: shipping, or a difference."""

    kind: str = ""
    amount: Decimal = ZERO
    tax_amount: Decimal = ZERO


class Refund(Wire, frozen=True, kw_only=True):
    """A credit, with or without money."""

    id: Id = ""
    order_id: Id | None = None
    note: str | None = None
    created_at: datetime | None = None
    processed_at: datetime | None = None
    restock: bool = False
    refund_line_items: tuple[RefundLine, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    order_adjustments: tuple[Adjustment, ...] = ()


class Fulfillment(Wire, frozen=True, kw_only=True):
    """A parcel; shipment_status is what the carrier says."""

    id: Id = ""
    order_id: Id | None = None
    status: str = ""
    shipment_status: str | None = None
    tracking_company: str | None = None
    tracking_number: str | None = None
    tracking_numbers: tuple[str, ...] = ()
    tracking_url: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    line_items: tuple[Line, ...] = ()


class Metafield(Wire, frozen=True, kw_only=True):
    """One of our notes on an order."""

    namespace: str = ""
    key: str = ""
    value: Any = ""


class Due(Wire, frozen=True, kw_only=True):
    """A part of what a business customer owes by its payment terms."""

    due_at: datetime | None = None


class Order(Wire, frozen=True, kw_only=True):
    """An order with everything that hangs on it but, in webhooks, its transactions."""

    id: Id = ""
    name: str = ""
    test: bool = False
    currency: str = "XXX"
    presentment_currency: str | None = None
    """What the buyer pays in; all amounts are the shop's."""
    email: str | None = None
    contact_email: str | None = None
    phone: str | None = None
    note: str | None = None
    po_number: str | None = None
    source_identifier: str | None = None
    source_name: str | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    taxes_included: bool = False
    created_at: datetime | None = None
    processed_at: datetime | None = None
    updated_at: datetime | None = None
    cancelled_at: datetime | None = None
    total_price: Decimal = ZERO
    total_tax: Decimal = ZERO
    current_total_price: Decimal | None = None
    current_total_tax: Decimal | None = None
    total_outstanding: Decimal | None = None
    total_tip_received: Decimal = ZERO
    original_total_duties_set: Pair | None = None
    customer: Customer | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    line_items: tuple[Line, ...] = ()
    shipping_lines: tuple[Shipping, ...] = ()
    fulfillments: tuple[Fulfillment, ...] = ()
    refunds: tuple[Refund, ...] = ()
    transactions: tuple[Transaction, ...] | None = None
    """Only reads bring them."""
    due: tuple[Due, ...] = ()
    overdue: bool = False
    """Only reads of a connection that asks for payment terms bring both."""
    metafields: tuple[Metafield, ...] | None = None
    """None: the subscription did not ask for them, so marks cannot be seen."""


def text(id_: Id | None) -> str:
    """Return a REST id or the number of a global id as text: ids exceed what other readers keep exact."""
    return str(id_ or "").rsplit("/", 1)[-1].split("?", 1)[0]
