"""From REST-shaped records to canonical facts; reads and webhooks of one state give equal facts."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from schemas import facts
from schemas.money import ZERO, rounded
from schemas.platforms.shopify import NAMESPACE, wire
from schemas.platforms.shopify.wire import text
from schemas.refs import find_mark

_FINAL = frozenset(("success", "failure", "error"))
_FULFILMENT: dict[str, facts.Fulfilment] = {
    "": "none",
    "partial": "partially_fulfilled",
    "fulfilled": "fulfilled",
    "restocked": "none",
    "on_hold": "none",
}
_FINANCIAL: dict[str, facts.Financial] = {
    "pending": "none",
    "authorized": "none",
    "expired": "none",
    "partially_paid": "partially_paid",
    "paid": "paid",
    "partially_refunded": "partially_refunded",
    "refunded": "refunded",
    "voided": "void",
}
_ENDED = frozenset(("restocked", "on_hold"))
_DELIVERED = frozenset(("delivered", "picked_up"))
_PARCEL: dict[str, Any] = {
    "pending": "pending",
    "open": "pending",
    "success": "shipped",
    "cancelled": "cancelled",
    "error": "failed",
    "failure": "failed",
}


def utc(moment: datetime | None) -> datetime | None:
    """Return *moment* in UTC: webhooks carry the shop's offset, reads do not."""
    return None if moment is None else moment.astimezone(UTC)


def day(moment: datetime | None, zone: str) -> date | None:
    """Return the calendar day in the shop's zone."""
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).date()


def native(moment: datetime | None) -> int:
    """Return the version of a record with an updated_at."""
    return int(moment.timestamp()) if moment is not None else 0


def settled(transactions: Iterable[wire.Transaction]) -> int:
    """Return the version of what changes only once, from pending to final."""
    return 2 if all(one.status in _FINAL for one in transactions) else 1


def percent(taxes: Iterable[wire.Tax]) -> Decimal:
    """Return the sum of the rates in percent, written shortly (19, 5.5)."""
    rate = sum((one.rate or ZERO for one in taxes), ZERO) * 100
    return rate.quantize(Decimal(1)) if rate == rate.to_integral_value() else rate.normalize()


def party(order: wire.Order) -> facts.Party | None:
    """Return the buyer; the address to bill wins over the one to ship to."""
    who, address = order.customer or wire.Customer(), order.billing_address or order.shipping_address
    name = f"{who.first_name or ''} {who.last_name or ''}".strip()
    email = order.email or order.contact_email or who.email or ""
    name = name or (address.name if address else "") or ""
    if not (name or email or who.id):
        return None
    return facts.Party(
        name=name,
        email=email,
        phone=order.phone or who.phone or "",
        id=text(who.id),
        address=_address(address),
    )


def _address(address: wire.Address | None) -> facts.Address | None:
    if address is None:
        return None
    found = facts.Address(
        line1=address.address1 or "",
        line2=address.address2 or "",
        city=address.city or "",
        region=address.province or "",
        postcode=address.zip or "",
        country=address.country_code or "",
    )
    return found if found != facts.Address() else None


def order(record: wire.Order, zone: str = "UTC") -> facts.Order:
    """Return the order; refunds do not lower it (they are credits), edits do change it.

    It is due on the day, in the shop's *zone*, on which its payment terms want the last of it.
    """
    edited = any(_bought(one, record) != one.quantity for one in record.line_items)
    goods = [_goods(one, _bought(one, record), record) for one in record.line_items if _bought(one, record)]
    lines = (*goods, *[_shipping(one, record) for one in record.shipping_lines], *_fees(record))
    payable = sum((one.net_amount + one.tax_amount for one in lines), ZERO) if edited else record.total_price
    tax = sum((one.tax_amount for one in lines), ZERO) if edited else record.total_tax
    shipped, money = record.fulfillment_status or "", record.financial_status or "pending"
    unknown = next((word for word, table in ((shipped, _FULFILMENT), (money, _FINANCIAL)) if word not in table), "")
    stage = "cancelled" if record.cancelled_at else unknown or (shipped if shipped in _ENDED else money)
    return facts.Order(
        number=record.name,
        status=_life(stage, unknown=bool(unknown)),
        stage=stage,
        fulfilment=_fulfilment(record, shipped),
        financial=_financial(record, money),
        currency=record.currency,
        customer=party(record),
        lines=lines,
        net_amount=payable - tax,
        tax_amount=tax,
        payable_amount=payable,
        prices_include_tax=record.taxes_included,
        placed_at=utc(record.processed_at or record.created_at),
        due_date=day(max((one.due_at for one in record.due if one.due_at), default=None), zone),
        overdue=record.overdue,
        note=record.note or "",
        po_number=record.po_number or "",
        test=record.test,
    )


def _life(stage: str, *, unknown: bool) -> facts.LifeCycle:
    if stage in {"cancelled", "restocked"}:
        return "cancelled"
    return "on_hold" if unknown or stage == "on_hold" else "open"


def _financial(record: wire.Order, word: str) -> facts.Financial | None:
    """Return the vendor's word unless its own sums deny it: an order without transactions can say "paid"."""
    contradicts = word == "paid" and record.total_outstanding is not None and record.total_outstanding > 0
    return None if contradicts else _FINANCIAL.get(word)


def _fulfilment(record: wire.Order, word: str) -> facts.Fulfilment | None:
    parcels = [one for one in record.fulfillments if one.status == "success"]
    if word == "fulfilled" and parcels and all(one.shipment_status in _DELIVERED for one in parcels):
        return "delivered"
    return _FULFILMENT.get(word)


def _bought(line: wire.Line, record: wire.Order) -> int:
    """Return how many pieces were bought after edits, before refunds."""
    if line.current_quantity is None:
        return line.quantity
    back = (one for refund in record.refunds for one in refund.refund_line_items)
    return line.current_quantity + sum(one.quantity for one in back if text(one.line_item_id) == text(line.id))


def worth(line: wire.Line, quantity: int, record: wire.Order) -> Decimal:
    """Return what so many pieces of a line cost after its discounts, tax included."""
    goods = _goods(line, quantity, record)
    return goods.net_amount + goods.tax_amount


def _goods(line: wire.Line, quantity: int, record: wire.Order) -> facts.Line:
    discount = sum((one.amount for one in line.discount_allocations), ZERO)
    tax = sum((one.price for one in line.tax_lines), ZERO)
    price = line.price * quantity
    if quantity != line.quantity and line.quantity:
        discount, tax = discount * quantity / line.quantity, tax * quantity / line.quantity
    gross = rounded(price - discount, record.currency)
    tax = rounded(tax, record.currency)
    net = gross - tax if record.taxes_included else gross
    return facts.Line(
        id=text(line.id),
        sku=line.sku or "",
        name=line.title or line.name or "",
        quantity=Decimal(quantity),
        unit_price=_each(price - (price * tax / gross if record.taxes_included and gross else ZERO), quantity),
        net_amount=net,
        tax_amount=tax,
        tax_rate=percent(line.tax_lines),
    )


def _each(amount: Decimal, quantity: int) -> Decimal:
    """Return the price of one piece, exact where it is, else with four decimals as EN 16931 allows."""
    each = amount / quantity
    return each if -int(each.as_tuple().exponent) <= 4 else each.quantize(Decimal("0.0001"))  # noqa: PLR2004


def _shipping(line: wire.Shipping, record: wire.Order) -> facts.Line:
    tax = sum((one.price for one in line.tax_lines), ZERO)
    gross = line.price - sum((one.amount for one in line.discount_allocations), ZERO)
    net = gross - tax if record.taxes_included else gross
    return facts.Line(
        id=text(line.id),
        kind="shipping",
        name=line.title or "Shipping",
        unit_price=net,
        net_amount=net,
        tax_amount=tax,
        tax_rate=percent(line.tax_lines),
    )


def _fees(record: wire.Order) -> list[facts.Line]:
    """Return tip and duties, which no line item holds although the total does."""
    duties = record.original_total_duties_set.shop_money.amount if record.original_total_duties_set else ZERO
    return [
        facts.Line(kind="fee", name=name, unit_price=amount, net_amount=amount, tax_rate=ZERO)
        for name, amount in (("Tip", record.total_tip_received), ("Duties", duties))
        if amount
    ]


def payment(record: wire.Transaction, currency: str, zone: str) -> facts.Payment | None:
    """Return a sale, capture or authorisation; other kinds are no payments.

    Cash counts as what was owed, so it settles its order to the cent: what a till rounds is beside the amount
    (https://shopify.dev/changelog/new-cash-rounding-on-order-and-order-transaction).
    """
    if record.kind not in {"sale", "capture", "authorization"} or record.test or record.amount <= 0:
        return None
    words: dict[str, facts.PaymentStatus] = {"success": "succeeded", "failure": "failed", "error": "failed"}
    status = words.get(record.status, "pending")
    if record.kind == "authorization" and status == "succeeded":
        status = "authorised"
    moment = utc(record.processed_at or record.created_at)
    return facts.Payment(
        amount=record.amount,
        currency=record.currency or currency,
        status=status,
        stage=record.status,
        method=record.gateway or "",
        paid_at=moment,
        date=day(moment, zone),
        reference=record.authorization or record.payment_id or "",
    )


def credit(record: wire.Refund, currency: str, zone: str, *, included: bool = False) -> facts.Credit | None:
    """Return a refund of money or, without transactions, a credit of its lines; None when it is worth nothing."""
    money = [one for one in record.transactions if one.kind == "refund"]
    tax = sum((one.total_tax for one in record.refund_line_items), ZERO)
    amount = sum((one.amount for one in money), ZERO) if money else _returned(record, included=included)
    if amount <= 0:
        return None
    states = {one.status for one in money}
    moment = utc(record.processed_at or record.created_at)
    return facts.Credit(
        document="refund" if money else "credit_note",
        amount=amount,
        tax_amount=tax if record.refund_line_items else None,
        currency=next((one.currency for one in money if one.currency), None) or currency,
        status="issued" if states <= {"success"} else "failed" if states & {"failure", "error"} else "pending",
        lines=tuple(_credited(one, included=included) for one in record.refund_line_items),
        reason=record.note or "",
        date=day(moment, zone),
        reference=text(record.id),
        allocations=tuple(
            facts.Allocation(type="transaction", id=text(one.parent_id), amount=one.amount)
            for one in money
            if one.parent_id
        ),
        restock=_restocked(record),
    )


def _returned(record: wire.Refund, *, included: bool) -> Decimal:
    """Return what the lines and the shipping of a refund are worth, tax included."""
    tax = sum((one.total_tax for one in record.refund_line_items), ZERO)
    goods = sum((one.subtotal for one in record.refund_line_items), ZERO) + (ZERO if included else tax)
    return goods - sum(
        (one.amount + one.tax_amount for one in record.order_adjustments if "shipping" in one.kind), ZERO
    )


def all_in_lines(record: wire.Order) -> bool:
    """Tell whether the order's current total is what its lines and shipping that are left are worth.

    A tip and duties are in no line; money that went back for no lines lowered the total and left them as they were.
    """
    given = ((one, [each for each in one.transactions if each.kind == "refund"]) for one in record.refunds)
    explained = all(
        sum((each.amount for each in money), ZERO) == _returned(one, included=record.taxes_included)
        for one, money in given
        if money
    )
    return explained and not _fees(record)


def _restocked(record: wire.Refund) -> bool:
    """Tell whether goods went back into stock; refunds of old say it once for all lines."""
    words = {one.restock_type for one in record.refund_line_items} - {None}
    return bool(words - {"no_restock"}) if words else record.restock


def _credited(line: wire.RefundLine, *, included: bool) -> facts.Line:
    item = line.line_item or wire.Line()
    net = line.subtotal - line.total_tax if included else line.subtotal
    return facts.Line(
        id=text(line.line_item_id),
        sku=item.sku or "",
        name=item.title or item.name or "",
        quantity=Decimal(line.quantity),
        unit_price=_each(net, line.quantity) if line.quantity else ZERO,
        net_amount=net,
        tax_amount=line.total_tax,
        tax_rate=percent(item.tax_lines),
    )


def shipment(record: wire.Fulfillment) -> facts.Shipment:
    """Return a parcel; what the carrier says wins over what the shop says."""
    delivered = record.shipment_status in _DELIVERED and record.status == "success"
    numbers = record.tracking_numbers or ((record.tracking_number,) if record.tracking_number else ())
    return facts.Shipment(
        status="delivered" if delivered else _PARCEL.get(record.status, "pending"),
        stage=record.shipment_status or record.status,
        carrier=record.tracking_company or "",
        tracking_numbers=numbers,
        tracking_url=record.tracking_url or "",
        lines=tuple(facts.ShipmentLine(line=text(one.id), quantity=Decimal(one.quantity)) for one in record.line_items),
        shipped_at=utc(record.created_at),
        delivered_at=utc(record.updated_at) if delivered else None,
    )


def customer(record: wire.Customer) -> facts.Customer:
    """Return a customer."""
    name = f"{record.first_name or ''} {record.last_name or ''}".strip()
    return facts.Customer(
        party=facts.Party(id=text(record.id), name=name, email=record.email or "", phone=record.phone or "")
    )


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What a metafield of ours announces before a write that has no mark field of its own."""

    mark: str
    amount: Decimal = ZERO
    at: datetime | None = None
    tracking: str = ""
    place: int = -1


def claims(record: wire.Order, kind: str) -> dict[str, Claim]:
    """Return metafield key -> claim of every "payment" or "shipment" announced on the order; garbage is passed over."""
    found = {}
    for one in record.metafields or ():
        if one.namespace == NAMESPACE and one.key.startswith(f"{kind}_") and isinstance(one.value, str):
            with suppress(msgspec.MsgspecError):
                found[one.key] = msgspec.json.decode(one.value, type=Claim, strict=False)
    return found


def is_copy(record: wire.Order) -> bool:
    """Tell whether the order is one that o2c wrote: its parts belong to the order that it is a copy of.

    It may be one as well where only its id is known: the bodies of parts name no more of it.
    """
    return not record.name or find_mark(record.source_identifier) is not None


def payment_mark(record: wire.Order, one: wire.Transaction) -> str | None:
    """Return the mark of a payment that we recorded: a claim names its exact amount and second."""
    if one.kind != "sale" or one.manual_payment_gateway is False or one.processed_at is None:
        return None
    for claim in claims(record, "payment").values():
        if claim.at == one.processed_at and claim.amount == one.amount:
            return find_mark(claim.mark)
    return None


def shipment_mark(record: wire.Order, one: wire.Fulfillment) -> str | None:
    """Return the mark of a parcel that we recorded: a claim names its tracking number, or else its place."""
    numbers = one.tracking_numbers or (one.tracking_number or "",)
    place = [text(each.id) for each in record.fulfillments].index(text(one.id))
    for claim in claims(record, "shipment").values():
        if claim.tracking in numbers if claim.tracking else claim.place == place:
            return find_mark(claim.mark)
    return None
