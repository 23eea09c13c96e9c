"""Mutations: one function per field of the schema's Mutation type, refusals as userErrors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.sandbox.platforms.shopify.fields import metafields
from app.sandbox.platforms.shopify.graph import Of, digest, number
from app.sandbox.platforms.shopify.parts import FulfillmentOrder
from app.sandbox.platforms.shopify.records import ZERO, Line, Order, Parcel, Share, Transaction
from app.sandbox.platforms.shopify.rest import gid
from app.sandbox.platforms.shopify.shop import Refused, Shop

Args = Mapping[str, Any]
Answer = dict[str, Any]
NONE: list[Any] = []
MANUAL_METHODS = ("Other", "Bank Deposit", "Bank transfer", "Cash on Delivery (COD)", "Money Order")
"""The manual payment methods that this shop's owner has set up; an app can name no other."""


def moment(text: str | None) -> datetime | None:
    """Return a DateTime argument as a time; the vendor reads a naive one as UTC."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def shop_money(bag: Args | None) -> Decimal:
    """Return the shop money of a MoneyBagInput."""
    return Decimal(str(bag["shopMoney"]["amount"])) if bag else ZERO


def _order(shop: Shop, id_: str) -> Order:
    return shop.order(number(id_))


def _line(order: Order, id_: str) -> Line | None:
    return next((line for line in order.lines if line.id == number(id_)), None)


def _transaction(order: Order, id_: str | None) -> Transaction | None:
    return next((one for one in order.transactions if id_ and one.id == number(id_)), None)


def _parcel(shop: Shop, id_: str) -> tuple[Order, Parcel]:
    order = shop.owner(number(id_))
    for parcel in order.parcels if order is not None and order.id in shop.orders else ():
        if order is not None and parcel.id == number(id_):
            return order, parcel
    raise Refused("Fulfillment does not exist.", ("fulfillmentId",))


def order_create(shop: Shop, args: Args) -> Answer:
    """Make an order as an app does; lines without a title, variant or price are refused."""
    asked = args["order"]
    lines = [_new_line(shop, one, index) for index, one in enumerate(asked.get("lineItems") or [])]
    shipping = asked.get("shippingLines") or []
    rates = [tax["rate"] for one in shipping for tax in one.get("taxLines") or []]
    upsert = (asked.get("customer") or {}).get("toUpsert") or {}
    email = asked.get("email") or upsert.get("email") or ""
    order = shop.create(
        lines,
        email=email,
        customer=shop.customer(email, (upsert.get("firstName") or "", upsert.get("lastName") or "")) if email else None,
        name=asked.get("name") or "",
        currency=asked.get("currency") or "",
        processed_at=moment(asked.get("processedAt")),
        included=bool(asked.get("taxesIncluded")),
        shipping=sum((shop_money(one["priceSet"]) for one in shipping), ZERO),
        shipping_rate=Decimal(str(rates[0])) * 100 if rates else ZERO,
        note=asked.get("note") or "",
        po_number=asked.get("poNumber") or "",
        source_identifier=asked.get("sourceIdentifier") or "",
        tags=list(asked.get("tags") or []),
        attributes={one["key"]: one["value"] for one in asked.get("customAttributes") or []},
        test=bool(asked.get("test")),
    )
    for one in asked.get("transactions") or []:
        kind, gateway = (one.get("kind") or "SALE").lower(), one.get("gateway") or "manual"
        shop.pay(order, shop_money(one["amountSet"]), gateway, moment(one.get("processedAt")), kind=kind)
    for one in asked.get("metafields") or []:
        _set_metafield(shop, order, one)
    return {"order": order, "userErrors": NONE}


def _new_line(shop: Shop, one: Args, index: int) -> Line:
    if not one.get("title"):
        raise Refused("Title can't be blank", ("order", "lineItems", str(index), "title"), "INVALID")
    rates = [Decimal(str(tax["rate"])) for tax in one.get("taxLines") or []]
    price = shop_money(one.get("priceSet"))
    return shop.line(one.get("sku") or "", one["title"], one["quantity"], price, tax_rate=sum(rates, ZERO) * 100)


def order_update(shop: Shop, args: Args) -> Answer:
    """Change note, tags, e-mail, purchase order number or attributes; given fields replace."""
    asked = args["input"]
    order = _order(shop, asked["id"])
    names = {"note": "note", "poNumber": "po_number", "email": "email", "tags": "tags"}
    fields: dict[str, Any] = {ours: asked[theirs] or "" for theirs, ours in names.items() if theirs in asked}
    if "tags" in fields:
        fields["tags"] = list(asked["tags"] or [])
    if "customAttributes" in asked:
        fields["attributes"] = {one["key"]: one["value"] for one in asked["customAttributes"] or []}
    shop.edit(order, **fields)
    return {"order": order, "userErrors": NONE}


def order_mark_as_paid(shop: Shop, args: Args) -> Answer:
    """Record all that is outstanding."""
    order = _order(shop, args["input"]["id"])
    shop.pay_manually(order, None, "manual", None)
    return {"order": order, "userErrors": NONE}


def order_create_manual_payment(shop: Shop, args: Args) -> Answer:
    """Record part of what is outstanding, perhaps dated."""
    order, amount, method = _order(shop, args["id"]), args.get("amount"), args.get("paymentMethodName")
    if method and method not in MANUAL_METHODS:
        raise Refused("Payment gateway is not found.", ("paymentMethodName",), "GATEWAY_NOT_FOUND")
    if amount and amount["currencyCode"] != order.presentment:
        message = "The currency of the amount doesn't match the presentment currency of the order."
        raise Refused(message, ("amount", "currencyCode"), "CURRENCY_MISMATCH")
    wanted = order.from_buyer(Decimal(str(amount["amount"]))) if amount else None
    at = moment(args.get("processedAt"))
    if at is not None and at > shop.clock():
        raise Refused("Processed at can't be in the future", ("processedAt",), "PROCESSED_AT_INVALID")
    shop.pay_manually(order, wanted, method or "Other", at)
    return {"order": order, "userErrors": NONE}


def order_capture(shop: Shop, args: Args) -> Answer:
    """Take authorised money."""
    asked = args["input"]
    order = _order(shop, asked["id"])
    parent = _transaction(order, asked["parentTransactionId"])
    if parent is None:
        raise Refused("Transaction does not exist", ("parentTransactionId",))
    return {"transaction": Of(order, shop.capture(order, parent, Decimal(str(asked["amount"])))), "userErrors": NONE}


def order_cancel(shop: Shop, args: Args) -> Answer:
    """Cancel; this shop's job is done at once."""
    order = _order(shop, args["orderId"])
    shop.cancel(order, args["reason"])
    return {"job": {"id": gid("Job", order.id), "done": False}, "orderCancelUserErrors": NONE, "userErrors": NONE}


def order_close(shop: Shop, args: Args) -> Answer:
    """Archive."""
    order = _order(shop, args["input"]["id"])
    shop.edit(order, closed_at=shop.clock().replace(microsecond=0))
    return {"order": order, "userErrors": NONE}


def order_open(shop: Shop, args: Args) -> Answer:
    """Take out of the archive."""
    order = _order(shop, args["input"]["id"])
    shop.edit(order, closed_at=None)
    return {"order": order, "userErrors": NONE}


def order_invoice_send(shop: Shop, args: Args) -> Answer:
    """Mail the order's payment page to the customer."""
    order = _order(shop, args["id"])
    if not order.email:
        raise Refused("Order has no e-mail address", ("id",), "ORDER_INVOICE_SEND_UNSUCCESSFUL")
    return {"order": order, "userErrors": NONE}


def refund_create(shop: Shop, args: Args) -> Answer:
    """Give back lines, shipping and money."""
    asked = args["input"]
    order = _order(shop, asked["orderId"])
    if (asked.get("currency") or order.currency) != order.presentment:
        raise Refused("Currency must be the presentment currency of the order", ("currency",))
    money = []
    for index, one in enumerate(asked.get("transactions") or []):
        parent = _transaction(order, one.get("parentId"))
        if parent is None:
            raise Refused("Parent transaction must belong to the order", ("transactions", str(index), "parentId"))
        money.append((parent, order.from_buyer(Decimal(str(one["amount"])))))
    lines = []
    for index, one in enumerate(asked.get("refundLineItems") or []):
        line = _line(order, one["lineItemId"])
        if line is None:
            raise Refused(
                "Line item must belong to the order which is being refunded",
                ("refundLineItems", str(index), "lineItemId"),
            )
        lines.append((line, one["quantity"], (one.get("restockType") or "NO_RESTOCK").lower()))
    ship = asked.get("shipping") or {}
    shipping = order.shipping_now() if ship.get("fullRefund") else Decimal(str(ship.get("amount") or 0))
    at = moment(asked.get("processedAt"))
    refund = shop.refund(order, money, lines, shipping, asked.get("note") or "", at)
    return {"refund": Of(order, refund), "order": order, "userErrors": NONE}


def fulfillment_create(shop: Shop, args: Args) -> Answer:
    """Ship what is named of the parts of one order at one location, or all that is left of them."""
    asked = args["fulfillment"]
    parts, picked = [], []
    for one in asked["lineItemsByFulfillmentOrder"]:
        parts.append(_part(shop, one["fulfillmentOrderId"], ("fulfillment",)))
        picked += _picked(parts[-1], one.get("fulfillmentOrderLineItems") or [])
    order = parts[0].order
    if any(part.order is not order for part in parts):
        raise Refused("All fulfillment orders must belong to the same order.", ("fulfillment",))
    if any(part.location != parts[0].location for part in parts):
        raise Refused("All fulfillment orders must be assigned to a single location", ("fulfillment",))
    parcel = shop.fulfil(order, picked, *_tracking(asked.get("trackingInfo")))
    return {"fulfillment": Of(order, parcel), "userErrors": NONE}


def _part(shop: Shop, id_: str, field: tuple[str, ...], code: str | None = None) -> FulfillmentOrder:
    found = shop.part(number(id_))
    if found is None:
        raise Refused("Fulfillment order does not exist.", field, code)
    return found


def _picked(part: FulfillmentOrder, asked: list[Args]) -> list[tuple[Share, int]]:
    if part.holds:
        raise Refused("Fulfillment order is on hold", ("fulfillment",))
    if not asked:
        return [(one, one.left) for one in part.shares if one.left]
    shares = {one.id: one for one in part.shares}
    if any(number(one["id"]) not in shares for one in asked):
        raise Refused("Fulfillment order line item does not exist.", ("fulfillment",))
    return [(shares[number(one["id"])], one["quantity"]) for one in asked]


def _tracking(asked: Args | None) -> tuple[str, list[str], list[str]]:
    asked = asked or {}
    numbers = list(asked.get("numbers") or ([asked["number"]] if asked.get("number") else []))
    urls = list(asked.get("urls") or ([asked["url"]] if asked.get("url") else []))
    return asked.get("company") or "", numbers, urls


def fulfillment_tracking_info_update(shop: Shop, args: Args) -> Answer:
    """Replace a parcel's tracking."""
    order, parcel = _parcel(shop, args["fulfillmentId"])
    shop.track(order, parcel, *_tracking(args["trackingInfoInput"]))
    return {"fulfillment": Of(order, parcel), "userErrors": NONE}


def fulfillment_event_create(shop: Shop, args: Args) -> Answer:
    """Note what the carrier says."""
    asked = args["fulfillmentEvent"]
    order, parcel = _parcel(shop, asked["fulfillmentId"])
    id_ = shop.happen(order, parcel, asked["status"].lower(), moment(asked.get("happenedAt")))
    event = {"id": gid("FulfillmentEvent", id_), "status": asked["status"], "happenedAt": asked.get("happenedAt")}
    return {"fulfillmentEvent": event, "userErrors": NONE}


def fulfillment_cancel(shop: Shop, args: Args) -> Answer:
    """Cancel a parcel."""
    order, parcel = _parcel(shop, args["id"])
    return {"fulfillment": Of(order, shop.unfulfil(order, parcel)), "userErrors": NONE}


def fulfillment_order_hold(shop: Shop, args: Args) -> Answer:
    """Stop shipping."""
    part, asked = _part(shop, args["id"], ("id",), "FULFILLMENT_ORDER_NOT_FOUND"), args["fulfillmentHold"]
    hold = shop.hold(part, asked["reason"], asked.get("reasonNotes") or "", asked.get("externalId") or "")
    return {
        "fulfillmentOrder": part,
        "fulfillmentHold": hold,
        "remainingFulfillmentOrder": None,
        "userErrors": NONE,
    }


def fulfillment_order_release_hold(shop: Shop, args: Args) -> Answer:
    """Let shipping go on."""
    part = _part(shop, args["id"], ("id",), "FULFILLMENT_ORDER_NOT_FOUND")
    shop.release(part, [number(one) for one in args.get("holdIds") or []], args.get("externalId") or "")
    return {"fulfillmentOrder": part, "userErrors": NONE}


def customer_set(shop: Shop, args: Args) -> Answer:
    """Make or change the customer that the identifier names."""
    asked, identifier = args["input"], args.get("identifier") or {}
    email = identifier.get("email") or asked.get("email") or ""
    if not email:
        raise Refused("Email can't be blank", ("input", "email"), "MISSING_FIELD_REQUIRED")
    if asked.get("email") and asked["email"].lower() != email.lower():
        raise Refused("The input field corresponding to the identifier must match", ("input",), "INPUT_MISMATCH")
    changes = {key: asked[key] for key in ("phone", "note") if asked.get(key)}
    name = (asked.get("firstName") or "", asked.get("lastName") or "")
    return {"customer": shop.customer(email, name, **changes), "userErrors": NONE}


def metafields_set(shop: Shop, args: Args) -> Answer:
    """Set up to 25 metafields; a compareDigest that no longer fits refuses all."""
    asked = args["metafields"]
    if len(asked) > 25:
        raise Refused("Exceeded the maximum metafields input limit of 25.", ("metafields",), "LESS_THAN_OR_EQUAL_TO")
    orders = [_order(shop, one["ownerId"]) for one in asked]
    for index, (order, one) in enumerate(zip(orders, asked, strict=True)):
        known = order.metafields.get((one.get("namespace") or "custom", one["key"]))
        if "compareDigest" in one and one["compareDigest"] != (digest(known[2]) if known else None):
            raise Refused(
                "The resource has been updated since it was loaded.", ("metafields", str(index)), "STALE_OBJECT"
            )
    done = [_set_metafield(shop, order, one) for order, one in zip(orders, asked, strict=True)]
    return {"metafields": done, "userErrors": NONE}


def _set_metafield(shop: Shop, order: Order, one: Args) -> Answer:
    key = (one.get("namespace") or "custom", one["key"])
    known = order.metafields.get(key)
    type_ = one.get("type") or (known[1] if known else "")
    if not type_:
        raise Refused("Type can't be blank", ("metafields", "0", "type"), "BLANK")
    if not one["value"]:
        raise Refused("Value can't be blank.", ("metafields", "0", "value"), "BLANK")
    order.metafields[key] = (known[0] if known else shop.new_id(), type_, one["value"])
    shop.edit(order)
    return next(found for found in metafields(order) if (found["namespace"], found["key"]) == key)


def tags_add(shop: Shop, args: Args) -> Answer:
    """Add tags to an order."""
    order = _order(shop, args["id"])
    shop.edit(order, tags=[*order.tags, *[tag for tag in args["tags"] if tag not in order.tags]])
    return {"node": order, "userErrors": NONE}


def tags_remove(shop: Shop, args: Args) -> Answer:
    """Remove tags from an order."""
    order = _order(shop, args["id"])
    shop.edit(order, tags=[tag for tag in order.tags if tag not in args["tags"]])
    return {"node": order, "userErrors": NONE}


MUTATIONS: Mapping[str, Callable[[Shop, Args], Answer]] = {
    "orderCreate": order_create,
    "orderUpdate": order_update,
    "orderMarkAsPaid": order_mark_as_paid,
    "orderCreateManualPayment": order_create_manual_payment,
    "orderCapture": order_capture,
    "orderCancel": order_cancel,
    "orderClose": order_close,
    "orderOpen": order_open,
    "orderInvoiceSend": order_invoice_send,
    "refundCreate": refund_create,
    "fulfillmentCreate": fulfillment_create,
    "fulfillmentTrackingInfoUpdate": fulfillment_tracking_info_update,
    "fulfillmentEventCreate": fulfillment_event_create,
    "fulfillmentCancel": fulfillment_cancel,
    "fulfillmentOrderHold": fulfillment_order_hold,
    "fulfillmentOrderReleaseHold": fulfillment_order_release_hold,
    "customerSet": customer_set,
    "metafieldsSet": metafields_set,
    "tagsAdd": tags_add,
    "tagsRemove": tags_remove,
}
