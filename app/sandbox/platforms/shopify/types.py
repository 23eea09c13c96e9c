"""Every type whose fields the sandbox publishes, by name, and the type of a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.sandbox.platforms.shopify.drafts import DRAFT, DRAFT_LINE, Draft
from app.sandbox.platforms.shopify.fields import (
    CUSTOMER,
    FULFILLMENT_ORDER,
    HOLD,
    LINE,
    ORDER,
    PARCEL,
    REFUND,
    REFUND_LINE,
    TRANSACTION,
    Fields,
)
from app.sandbox.platforms.shopify.graph import Of
from app.sandbox.platforms.shopify.parts import FulfillmentOrder
from app.sandbox.platforms.shopify.records import Customer, Hold, Line, Order, Parcel, Refund, RefundLine, Transaction

TYPES: Mapping[str, Fields] = {
    "Order": ORDER,
    "LineItem": LINE,
    "OrderTransaction": TRANSACTION,
    "Refund": REFUND,
    "RefundLineItem": REFUND_LINE,
    "Fulfillment": PARCEL,
    "FulfillmentOrder": FULFILLMENT_ORDER,
    "FulfillmentHold": HOLD,
    "Customer": CUSTOMER,
    "DraftOrder": DRAFT,
    "DraftOrderLineItem": DRAFT_LINE,
}
_NAMES = {
    Line: "LineItem",
    Transaction: "OrderTransaction",
    Refund: "Refund",
    RefundLine: "RefundLineItem",
    Parcel: "Fulfillment",
    Order: "Order",
    Customer: "Customer",
    FulfillmentOrder: "FulfillmentOrder",
    Hold: "FulfillmentHold",
    Draft: "DraftOrder",
}


def type_name(value: Any) -> str | None:  # noqa: ANN401 - any record
    """Return the GraphQL type of a record found by `node(id)`."""
    return _NAMES.get(type(value.record) if isinstance(value, Of) else type(value))
