"""REST-shaped records: the bodies of webhooks and of the legacy endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.sandbox.platforms.shopify.records import tax_of

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from app.sandbox.platforms.shopify.records import (
        Customer,
        Line,
        Order,
        Parcel,
        Refund,
        RefundLine,
        Transaction,
    )

Body = dict[str, Any]


def at(moment: datetime | None) -> str | None:
    """Return a time as REST writes it."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def gid(type_: str, id_: int) -> str:
    """Return the global id."""
    return f"gid://shopify/{type_}/{id_}"


def money(amount: Decimal) -> str:
    """Return an amount as REST writes it."""
    return f"{amount:.2f}" if -amount.as_tuple().exponent <= 2 else f"{amount:f}"  # type: ignore[operator]  # never NaN


def pair(amount: Decimal, currency: str) -> Body:
    """Return shop and presentment money; this shop sells in one currency per order."""
    both = {"amount": money(amount), "currency_code": currency}
    return {"shop_money": both, "presentment_money": both}


def customer(record: Customer) -> Body:
    """Return a customer."""
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("Customer", record.id),
        "email": record.email,
        "first_name": record.first or None,
        "last_name": record.last or None,
        "phone": record.phone or None,
        "note": record.note or None,
        "tags": ", ".join(record.tags),
        "state": "disabled",
        "verified_email": True,
        "tax_exempt": False,
        "created_at": at(record.created_at),
        "updated_at": at(record.updated_at),
    }


def taxes(amount: Decimal, percent: Decimal, currency: str) -> list[Body]:
    """Return the tax lines of one line."""
    if not percent:
        return []
    price = {"price": money(amount), "price_set": pair(amount, currency)}
    return [{"title": "VAT", "rate": float(percent / 100), "channel_liable": False, **price}]


def line(order: Order, record: Line) -> Body:
    """Return a line item."""
    discount = (
        [{"amount": money(record.discount), "amount_set": pair(record.discount, order.currency)}]
        if record.discount
        else []
    )
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("LineItem", record.id),
        "sku": record.sku or None,
        "title": record.title,
        "name": record.title,
        "quantity": record.quantity,
        "current_quantity": record.current,
        "fulfillable_quantity": max(0, record.current - record.fulfilled),
        "fulfillment_status": "fulfilled" if 0 < record.current <= record.fulfilled else None,
        "price": money(record.price),
        "price_set": pair(record.price, order.currency),
        "taxable": bool(record.tax_rate),
        "requires_shipping": True,
        "total_discount": "0.00",
        "total_discount_set": pair(record.discount * 0, order.currency),
        "tax_lines": taxes(order.line_tax(record, record.quantity), record.tax_rate, order.currency),
        "duties": [],
        "discount_allocations": discount,
    }


def transaction(order: Order, record: Transaction) -> Body:
    """Return a transaction."""
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("OrderTransaction", record.id),
        "order_id": order.id,
        "kind": record.kind,
        "gateway": record.gateway,
        "status": record.status,
        "amount": money(record.amount),
        "currency": order.currency,
        "parent_id": record.parent.id if record.parent else None,
        "authorization": record.reference or None,
        "payment_id": f"{order.name}.{record.id}",
        "created_at": at(record.created_at),
        "processed_at": at(record.processed_at),
        "message": None,
        "error_code": None,
        "test": record.test,
        "manual_payment_gateway": record.manual,
        "source_name": "web",
    }


def _refund_line(order: Order, record: RefundLine) -> Body:
    return {
        "id": record.id,
        "line_item_id": record.line.id,
        "quantity": record.quantity,
        "restock_type": record.restock,
        "subtotal": float(record.subtotal),
        "subtotal_set": pair(record.subtotal, order.currency),
        "total_tax": float(record.tax),
        "total_tax_set": pair(record.tax, order.currency),
        "line_item": line(order, record.line),
    }


def _refund_shipping(order: Order, record: Refund) -> list[Body]:
    if not record.shipping:
        return []
    tax = tax_of(record.shipping, order.shipping_rate, order.currency, included=order.included)
    return [{"kind": "shipping_refund", "amount": money(-record.shipping), "tax_amount": money(-tax)}]


def refund(order: Order, record: Refund) -> Body:
    """Return a refund."""
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("Refund", record.id),
        "order_id": order.id,
        "created_at": at(record.created_at),
        "processed_at": at(record.processed_at),
        "note": record.note or None,
        "restock": any(one.restock != "no_restock" for one in record.lines),
        "refund_line_items": [_refund_line(order, one) for one in record.lines],
        "transactions": [transaction(order, one) for one in record.transactions],
        "order_adjustments": _refund_shipping(order, record),
        "duties": [],
    }


def parcel(order: Order, record: Parcel) -> Body:
    """Return a fulfilment."""
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("Fulfillment", record.id),
        "order_id": order.id,
        "name": record.name,
        "status": record.status,
        "shipment_status": record.shipment_status or None,
        "service": "manual",
        "tracking_company": record.company or None,
        "tracking_number": record.numbers[0] if record.numbers else None,
        "tracking_numbers": record.numbers,
        "tracking_url": record.urls[0] if record.urls else None,
        "tracking_urls": record.urls,
        "created_at": at(record.created_at),
        "updated_at": at(record.updated_at),
        "line_items": [{**line(order, one), "quantity": quantity} for one, quantity in record.lines],
    }


def event(order: Order, record: Parcel, what: tuple[int, str, datetime]) -> Body:
    """Return a fulfilment event."""
    id_, status, moment = what
    return {
        "id": id_,
        "admin_graphql_api_id": gid("FulfillmentEvent", id_),
        "fulfillment_id": record.id,
        "order_id": order.id,
        "status": status,
        "happened_at": at(moment),
        "created_at": at(moment),
    }


def fulfillment_order(id_: int, *, held: bool) -> Body:
    """Return the body of the hold topics."""
    return {"fulfillment_order": {"id": gid("FulfillmentOrder", id_), "status": "on_hold" if held else "open"}}


def order(record: Order) -> Body:
    """Return an order as order topics carry it: everything but its transactions.

    `metafields` is there because the subscriptions ask for their namespaces.
    """
    name = record.currency
    amounts = {
        "total_price": record.total(),
        "subtotal_price": record.subtotal(current=False),
        "total_tax": record.tax(current=False),
        "total_discounts": sum((one.discount for one in record.lines), record.adjustment * 0),
        "current_total_price": record.current_total(),
        "current_subtotal_price": record.subtotal(current=True),
        "current_total_tax": record.tax(current=True),
    }
    return {
        "id": record.id,
        "admin_graphql_api_id": gid("Order", record.id),
        "name": record.name,
        "number": record.number - 1000,
        "order_number": record.number,
        "test": record.test,
        "confirmed": True,
        "currency": name,
        "presentment_currency": record.presentment,
        "email": record.email or None,
        "contact_email": record.email or None,
        "note": record.note or None,
        "note_attributes": [{"name": key, "value": value} for key, value in record.attributes.items()],
        "tags": ", ".join(record.tags),
        "po_number": record.po_number or None,
        "source_identifier": record.source_identifier or None,
        "source_name": record.source_name,
        "financial_status": record.financial,
        "fulfillment_status": record.fulfilment or None,
        "taxes_included": record.included,
        "created_at": at(record.created_at),
        "processed_at": at(record.processed_at),
        "updated_at": at(record.updated_at),
        "cancelled_at": at(record.cancelled_at),
        "cancel_reason": record.cancel_reason or None,
        "closed_at": at(record.closed_at),
        **{key: money(value) for key, value in amounts.items()},
        **{f"{key}_set": pair(value, name) for key, value in amounts.items()},
        "total_outstanding": money(record.outstanding),
        "total_shipping_price_set": pair(record.shipping, name),
        "total_cash_rounding_payment_adjustment_set": pair(record.rounded("sale", "capture"), name),
        "total_cash_rounding_refund_adjustment_set": pair(record.rounded("refund"), name),
        "total_tip_received": "0.00",
        "original_total_duties_set": None,
        "payment_gateway_names": sorted({one.gateway for one in record.transactions}),
        "customer": customer(record.customer) if record.customer else None,
        "billing_address": record.address or None,
        "shipping_address": record.address or None,
        "line_items": [line(record, one) for one in record.lines],
        "shipping_lines": _shipping(record),
        "tax_lines": [],
        "discount_codes": [],
        "discount_applications": [],
        "fulfillments": [parcel(record, one) for one in record.parcels],
        "refunds": [refund(record, one) for one in record.refunds],
        "payment_terms": None,
        "metafields": [
            {"id": id_, "namespace": namespace, "key": key, "value": value, "type": type_}
            for (namespace, key), (id_, type_, value) in record.metafields.items()
        ],
    }


def _shipping(order_: Order) -> list[Body]:
    if not order_.shipping:
        return []
    tax = taxes(order_.shipping_tax(current=False), order_.shipping_rate, order_.currency)
    price = money(order_.shipping)
    return [
        {
            "id": order_.id + 1,
            "title": "Shipping",
            "code": "standard",
            "price": price,
            "price_set": pair(order_.shipping, order_.currency),
            "discounted_price": price,
            "discounted_price_set": pair(order_.shipping, order_.currency),
            "tax_lines": tax,
            "discount_allocations": [],
        }
    ]
