"""The published fields of every type over the shop's records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.sandbox.platforms.shopify.graph import Of, at, bag, digest, page, parts
from app.sandbox.platforms.shopify.parts import HOME, FulfillmentOrder, fulfillment_orders
from app.sandbox.platforms.shopify.records import (
    ZERO,
    Order,
    Parcel,
    tax_of,
)
from app.sandbox.platforms.shopify.rest import gid, money

if TYPE_CHECKING:
    from decimal import Decimal

Fields = Mapping[str, Callable[..., Any]]
_DISPLAY = {"": "UNFULFILLED", "partial": "PARTIALLY_FULFILLED", "fulfilled": "FULFILLED", "restocked": "RESTOCKED"}


def _taxes(amount: Decimal, percent: Decimal, currency: str) -> list[dict[str, Any]]:
    if not percent:
        return []
    rate = float(percent / 100)
    return [
        {
            "title": "VAT",
            "rate": rate,
            "ratePercentage": float(percent),
            "priceSet": bag(amount, currency),
            "channelLiable": False,
        }
    ]


def _bags() -> dict[str, Callable[..., Any]]:
    amounts: dict[str, Callable[[Order], Decimal]] = {
        "subtotalPriceSet": lambda o: o.subtotal(current=False),
        "totalPriceSet": Order.total,
        "originalTotalPriceSet": Order.total,
        "totalTaxSet": lambda o: o.tax(current=False),
        "totalShippingPriceSet": lambda o: o.shipping,
        "totalDiscountsSet": lambda o: sum((line.discount for line in o.lines), ZERO),
        "currentSubtotalPriceSet": lambda o: o.subtotal(current=True),
        "currentTotalPriceSet": Order.current_total,
        "currentTotalTaxSet": lambda o: o.tax(current=True),
        "currentTotalDiscountsSet": lambda o: sum((line.discount for line in o.lines), ZERO),
        "currentShippingPriceSet": Order.shipping_now,
        "netPaymentSet": lambda o: o.received - o.refunded,
        "totalReceivedSet": lambda o: o.received,
        "totalOutstandingSet": lambda o: o.outstanding,
        "totalRefundedSet": lambda o: o.refunded,
        "totalTipReceivedSet": lambda _: ZERO,
        "totalCapturableSet": lambda o: o.authorized,
    }
    return {name: lambda o, amount=amount: bag(amount(o), o.currency) for name, amount in amounts.items()}


def display_fulfilment(order: Order) -> str:
    """Return displayFulfillmentStatus."""
    return "ON_HOLD" if order.holds and order.remaining else _DISPLAY[order.fulfilment]


def display_status(parcel: Parcel) -> str:
    """Return a parcel's displayStatus."""
    if parcel.status == "cancelled":
        return "CANCELED"
    return parcel.shipment_status.upper() or "FULFILLED"


def _metafield(order: Order, key: tuple[str, str]) -> dict[str, Any] | None:
    found = order.metafields.get(key)
    if found is None:
        return None
    id_, type_, value = found
    return {
        "id": gid("Metafield", id_),
        "namespace": key[0],
        "key": key[1],
        "type": type_,
        "value": value,
        "compareDigest": digest(value),
        "createdAt": at(order.created_at),
        "updatedAt": at(order.updated_at),
        "ownerType": "ORDER",
    }


def metafields(order: Order, namespace: str | None = None) -> list[dict[str, Any]]:
    """Return the metafields of an order."""
    keys = [key for key in order.metafields if namespace in (None, key[0])]
    return [one for key in keys if (one := _metafield(order, key)) is not None]


def shipping(order: Order) -> list[dict[str, Any]]:
    """Return the shipping lines of an order."""
    if not order.shipping:
        return []
    tax = _taxes(order.shipping_tax(current=False), order.shipping_rate, order.currency)
    price = bag(order.shipping, order.currency)
    return [
        {
            "id": gid("ShippingLine", order.id + 1),
            "title": "Shipping",
            "code": "standard",
            "originalPriceSet": price,
            "discountedPriceSet": price,
            "currentDiscountedPriceSet": bag(order.shipping_now(), order.currency),
            "taxLines": tax,
            "discountAllocations": [],
            "isRemoved": False,
        }
    ]


def address(order: Order) -> dict[str, Any] | None:
    """Return the buyer's address."""
    return {"id": gid("MailingAddress", order.id), **order.address} if order.address else None


def _terms(order: Order) -> dict[str, Any]:
    schedules = [{"id": gid("PaymentSchedule", order.id), "dueAt": at(order.due_at)}]
    late = order.due_at is not None and order.outstanding > 0 and order.due_at < order.changed_at
    return {
        "id": gid("PaymentTerms", order.id),
        "overdue": late,
        "due": late,
        "dueInDays": None,
        "paymentTermsName": "Fixed date",
        "paymentSchedules": page(schedules),
    }


ORDER: Fields = {
    "id": lambda o: gid("Order", o.id),
    "legacyResourceId": lambda o: str(o.id),
    "createdAt": lambda o: at(o.created_at),
    "updatedAt": lambda o: at(o.updated_at),
    "processedAt": lambda o: at(o.processed_at),
    "cancelledAt": lambda o: at(o.cancelled_at),
    "cancelReason": lambda o: o.cancel_reason.upper() or None,
    "closedAt": lambda o: at(o.closed_at),
    "closed": lambda o: o.closed_at is not None,
    "confirmed": lambda _: True,
    "displayFinancialStatus": lambda o: o.financial.upper(),
    "displayFulfillmentStatus": display_fulfilment,
    "returnStatus": lambda _: "NO_RETURN",
    "currencyCode": lambda o: o.currency,
    "presentmentCurrencyCode": lambda o: o.presentment,
    "taxesIncluded": lambda o: o.included,
    "sourceIdentifier": lambda o: o.source_identifier or None,
    "sourceName": lambda o: o.source_name,
    "poNumber": lambda o: o.po_number or None,
    "note": lambda o: o.note or None,
    "email": lambda o: o.email or None,
    "phone": lambda _: None,
    "customAttributes": lambda o: [{"key": key, "value": value} for key, value in o.attributes.items()],
    "billingAddress": address,
    "shippingAddress": address,
    "canMarkAsPaid": lambda o: o.cancelled_at is None and o.outstanding > 0,
    "fullyPaid": lambda o: o.outstanding <= 0,
    "unpaid": lambda o: o.received == 0,
    "capturable": lambda o: o.authorized > 0,
    "refundable": lambda o: o.received > o.refunded,
    "paymentGatewayNames": lambda o: sorted({one.gateway for one in o.transactions}),
    **_bags(),
    "originalTotalDutiesSet": lambda _: None,
    "totalCashRoundingAdjustment": lambda o: {
        "paymentSet": bag(o.rounded("sale", "capture"), o.currency),
        "refundSet": bag(o.rounded("refund"), o.currency),
    },
    "transactions": lambda o, first=None: parts(o, o.transactions[:first]),
    "transactionsCount": lambda o: {"count": len(o.transactions), "precision": "EXACT"},
    "refunds": lambda o, first=None: parts(o, o.refunds[:first]),
    "fulfillments": lambda o, first=None: parts(o, o.parcels[:first]),
    "fulfillmentsCount": lambda o: {"count": len(o.parcels), "precision": "EXACT"},
    "fulfillmentOrders": lambda o, **args: page(fulfillment_orders(o), **args),
    "lineItems": lambda o, **args: page(parts(o, o.lines), **args),
    "shippingLines": lambda o, **args: page(shipping(o), **args),
    "shippingLine": lambda o: next(iter(shipping(o)), None),
    "taxLines": lambda _: [],
    "paymentTerms": lambda o: _terms(o) if o.due_at else None,
    "metafield": lambda o, key, namespace="custom": _metafield(o, (namespace, key)),
    "metafields": lambda o, namespace=None, **args: page(metafields(o, namespace), **args),
}


LINE: Fields = {
    "id": lambda of: gid("LineItem", of.id),
    "sku": lambda of: of.record.sku or None,
    "title": lambda of: of.record.title,
    "name": lambda of: of.record.title,
    "quantity": lambda of: of.record.quantity,
    "currentQuantity": lambda of: of.record.current,
    "refundableQuantity": lambda of: of.record.current,
    "unfulfilledQuantity": lambda of: max(0, of.record.current - of.record.fulfilled),
    "taxable": lambda of: bool(of.record.tax_rate),
    "requiresShipping": lambda _: True,
    "originalUnitPriceSet": lambda of: bag(of.record.price, of.order.currency),
    "discountedUnitPriceSet": lambda of: bag(of.record.value(1, of.order.currency), of.order.currency),
    "discountedUnitPriceAfterAllDiscountsSet": lambda of: bag(of.record.value(1, of.order.currency), of.order.currency),
    "originalTotalSet": lambda of: bag(of.record.price * of.record.quantity, of.order.currency),
    "discountedTotalSet": lambda of: bag(of.record.value(of.record.quantity, of.order.currency), of.order.currency),
    "totalDiscountSet": lambda of: bag(of.record.discount, of.order.currency),
    "taxLines": lambda of: _taxes(
        of.order.line_tax(of.record, of.record.quantity), of.record.tax_rate, of.order.currency
    ),
    "discountAllocations": lambda of: (
        [{"allocatedAmountSet": bag(of.record.discount, of.order.currency)}] if of.record.discount else []
    ),
}
TRANSACTION: Fields = {
    "id": lambda of: gid("OrderTransaction", of.id),
    "kind": lambda of: of.record.kind.upper(),
    "status": lambda of: of.record.status.upper(),
    "gateway": lambda of: of.record.gateway,
    "formattedGateway": lambda of: of.record.gateway,
    "manualPaymentGateway": lambda of: of.record.manual,
    "createdAt": lambda of: at(of.record.created_at),
    "processedAt": lambda of: at(of.record.processed_at),
    "test": lambda of: of.record.test,
    "amountSet": lambda of: {
        "shopMoney": {"amount": money(of.record.amount), "currencyCode": of.order.currency},
        "presentmentMoney": {
            "amount": money(of.order.to_buyer(of.record.amount)),
            "currencyCode": of.order.presentment,
        },
    },
    "amountRoundingSet": lambda of: bag(of.record.rounding, of.order.currency) if of.record.rounding else None,
    "parentTransaction": lambda of: Of(of.order, of.record.parent) if of.record.parent else None,
    "paymentId": lambda of: f"{of.order.name}.{of.id}",
    "authorizationCode": lambda of: of.record.reference or None,
    "errorCode": lambda _: None,
    "order": lambda of: of.order,
}


def _refund_shipping(of: Of) -> list[dict[str, Any]]:
    amount, currency = of.record.shipping, of.order.currency
    if not amount:
        return []
    tax = tax_of(amount, of.order.shipping_rate, currency, included=of.order.included)
    return [
        {
            "id": gid("RefundShippingLine", of.id),
            "subtotalAmountSet": bag(amount, currency),
            "taxAmountSet": bag(tax, currency),
        }
    ]


REFUND: Fields = {
    "id": lambda of: gid("Refund", of.id),
    "legacyResourceId": lambda of: str(of.id),
    "createdAt": lambda of: at(of.record.created_at),
    "updatedAt": lambda of: at(of.record.created_at),
    "processedAt": lambda of: at(of.record.processed_at),
    "note": lambda of: of.record.note or None,
    "order": lambda of: of.order,
    "totalRefundedSet": lambda of: bag(of.record.money, of.order.currency),
    "refundLineItems": lambda of, **args: page(parts(of.order, of.record.lines), **args),
    "refundShippingLines": lambda of, **args: page(_refund_shipping(of), **args),
    "transactions": lambda of, **args: page(parts(of.order, of.record.transactions), **args),
}
REFUND_LINE: Fields = {
    "id": lambda of: gid("RefundLineItem", of.id),
    "lineItem": lambda of: Of(of.order, of.record.line),
    "quantity": lambda of: of.record.quantity,
    "restockType": lambda of: of.record.restock.upper(),
    "subtotalSet": lambda of: bag(of.record.subtotal, of.order.currency),
    "totalTaxSet": lambda of: bag(of.record.tax, of.order.currency),
    "priceSet": lambda of: bag(of.record.line.price, of.order.currency),
}
PARCEL: Fields = {
    "id": lambda of: gid("Fulfillment", of.id),
    "legacyResourceId": lambda of: str(of.id),
    "name": lambda of: of.record.name,
    "status": lambda of: of.record.status.upper(),
    "displayStatus": lambda of: display_status(of.record),
    "createdAt": lambda of: at(of.record.created_at),
    "updatedAt": lambda of: at(of.record.updated_at),
    "deliveredAt": lambda of: at(of.record.delivered_at),
    "inTransitAt": lambda _: None,
    "totalQuantity": lambda of: sum(quantity for _, quantity in of.record.lines),
    "trackingInfo": lambda of, first=50: _tracking(of.record)[:first],
    "fulfillmentLineItems": lambda of, **args: page(_parcel_lines(of), **args),
    "order": lambda of: of.order,
}


def _tracking(parcel: Parcel) -> list[dict[str, Any]]:
    links = [*parcel.urls, *([None] * len(parcel.numbers))]
    shown = [
        {"company": parcel.company or None, "number": one, "url": url}
        for one, url in zip(parcel.numbers, links, strict=False)
    ]
    return shown or ([{"company": parcel.company, "number": None, "url": None}] if parcel.company else [])


def _parcel_lines(of: Of) -> list[dict[str, Any]]:
    return [
        {"id": gid("FulfillmentLineItem", line.id + of.id), "lineItem": Of(of.order, line), "quantity": quantity}
        for line, quantity in of.record.lines
    ]


def _left(fo: FulfillmentOrder) -> list[dict[str, Any]]:
    return [
        {
            "id": gid("FulfillmentOrderLineItem", one.id),
            "lineItem": Of(fo.order, one.line),
            "sku": one.line.sku or None,
            "totalQuantity": one.quantity,
            "remainingQuantity": one.left,
        }
        for one in fo.shares
    ]


def _location(fo: FulfillmentOrder) -> dict[str, Any]:
    name = "Warehouse" if fo.location == HOME else f"Warehouse {fo.location}"
    return {"name": name, "location": {"id": gid("Location", fo.location), "name": name}}


FULFILLMENT_ORDER: Fields = {
    "id": lambda fo: gid("FulfillmentOrder", fo.id),
    "orderId": lambda fo: gid("Order", fo.order.id),
    "orderName": lambda fo: fo.order.name,
    "order": lambda fo: fo.order,
    "requestStatus": lambda _: "UNSUBMITTED",
    "assignedLocation": _location,
    "supportedActions": lambda fo: (
        [{"action": "CREATE_FULFILLMENT"}, {"action": "HOLD"}] if fo.status in {"OPEN", "IN_PROGRESS"} else []
    ),
    "fulfillmentHolds": lambda fo: fo.holds,
    "lineItems": lambda fo, **args: page(_left(fo), **args),
    "createdAt": lambda fo: at(fo.order.created_at),
    "updatedAt": lambda fo: at(fo.order.updated_at),
}
HOLD: Fields = {
    "id": lambda hold: gid("FulfillmentHold", hold.id),
    "reasonNotes": lambda hold: hold.notes or None,
    "displayReason": lambda hold: hold.reason.replace("_", " ").capitalize(),
    "handle": lambda _: "",
}
CUSTOMER: Fields = {
    "id": lambda c: gid("Customer", c.id),
    "legacyResourceId": lambda c: str(c.id),
    "displayName": lambda c: c.name,
    "firstName": lambda c: c.first or None,
    "lastName": lambda c: c.last or None,
    "phone": lambda c: c.phone or None,
    "note": lambda c: c.note or None,
    "createdAt": lambda c: at(c.created_at),
    "updatedAt": lambda c: at(c.updated_at),
    "state": lambda _: "DISABLED",
    "taxExempt": lambda _: False,
    "defaultAddress": lambda _: None,
    "defaultEmailAddress": lambda c: {"emailAddress": c.email} if c.email else None,
    "defaultPhoneNumber": lambda c: {"phoneNumber": c.phone} if c.phone else None,
}
