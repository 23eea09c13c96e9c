"""HubSpot records as canonical facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal, cast

from schemas.connection import Connection
from schemas.events import Anchor
from schemas.facts import (
    Allocation,
    Credit,
    Customer,
    DocumentStatus,
    Facts,
    Financial,
    Fulfilment,
    Invoice,
    LifeCycle,
    Line,
    Order,
    Party,
    Payment,
    PaymentStatus,
    Shipment,
)
from schemas.money import ZERO, rounded
from schemas.platforms.hubspot.platform import FULFILMENT, MERGED, PARCELS, PLATFORM
from schemas.platforms.hubspot.wire import Parts, Record, amount, day, instant, mark
from schemas.refs import ObjectRef, find_mark

_PAYMENTS: Mapping[str, PaymentStatus] = {
    "succeeded": "succeeded",
    "refunded": "succeeded",
    "partially_refunded": "succeeded",
    "processing": "pending",
    "failed": "failed",
}
_FINANCIAL = frozenset(("invoiced", "partially_paid", "paid", "overpaid", "partially_refunded", "refunded", "void"))
_FULFILMENT = frozenset(("partially_fulfilled", "fulfilled", "delivered", "returned"))
_Parcel = Literal["pending", "shipped", "delivered", "returned", "cancelled"]
_PARCELS: Mapping[str, _Parcel] = {
    "partially_fulfilled": "shipped",
    "fulfilled": "shipped",
    "delivered": "delivered",
    "returned": "returned",
    "cancelled": "cancelled",
}
"""Canonical word -> what a parcel of such an order is; with any other word it has not left yet."""

COMMERCE = ("invoices", "commerce_payments")
"""Objects that need scopes of their own and hang on others."""


def word(connection: Connection, kind: str, stage: str) -> str:
    """Return the canonical word of a platform word, empty when nobody mapped it."""
    own = connection.statuses.get(f"{kind}:{stage}") or connection.statuses.get(stage)
    return own or PLATFORM.statuses.get(f"{kind}:{stage}", "")


def order(connection: Connection, kind: str, record: Record, parts: Parts) -> Order:
    """Return a deal or an order object as an order."""
    is_deal = kind == "deals"
    currency = record.value("deal_currency_code" if is_deal else "hs_currency_code")
    currency = (currency or connection.options.get("currency") or parts.currency or "XXX").upper()
    name = connection.options.get("number_property") or ("dealname" if is_deal else "hs_order_name")
    stage, canonical = stage_of(connection, kind, record, parts)
    if canonical and fulfilment_meant(connection, record.value("hs_fulfillment_status")) == "delivered":
        canonical = "delivered"
    lines = tuple(_line(line, currency) for line in parts.lines)
    return Order(
        number=record.value(name),
        status=_life(canonical),
        stage=stage,
        headline=canonical,
        fulfilment=cast("Fulfilment", canonical) if canonical in _FULFILMENT else None,
        financial=cast("Financial", canonical) if canonical in _FINANCIAL else None,
        currency=currency,
        customer=party(parts.contact) if parts.contact else None,
        lines=lines,
        tax_amount=None if is_deal else amount(record.value("hs_tax"), currency),
        payable_amount=_payable(amount(record.value("amount" if is_deal else "hs_total_price"), currency), lines),
        placed_at=_placed(record, canonical, is_deal=is_deal),
        note=record.value("description" if is_deal else "hs_order_note"),
        po_number=record.value(connection.options.get("po_property", "")),
        merged_from=merged_from(id_ for id_ in record.value(MERGED).split(";") if id_.strip() != record.id),
    )


def merged_from(ids: Iterable[str]) -> tuple[str, ...]:
    """Return the records that one was made of, each once and in the order of their ids, however they were told."""
    return tuple(sorted({id_.strip() for id_ in ids if id_.strip()}, key=lambda id_: (len(id_), id_)))


def _placed(record: Record, canonical: str, *, is_deal: bool) -> datetime | None:
    """Return when the order came about: a deal when it was won, before that it only was talked about.

    The close date of an open deal is a guess: https://knowledge.hubspot.com/crm-deals/hubspots-default-deal-properties
    """
    if not is_deal:
        return instant(record.value("hs_external_created_date") or record.value("hs_createdate"))
    closed = record.value("closedate") if _life(canonical) == "open" else ""
    return instant(closed or record.value("createdate") or record.value("hs_createdate"))


def _payable(total: Decimal | None, lines: tuple[Line, ...]) -> Decimal | None:
    """Return what the buyer owes: HubSpot's own sum of a deal's lines leaves their tax out, a typed amount is law."""
    net, tax = sum((line.net_amount for line in lines), ZERO), sum((line.tax_amount for line in lines), ZERO)
    return total + tax if total is not None and tax and total == net else total


def stage_of(connection: Connection, kind: str, record: Record, parts: Parts) -> tuple[str, str]:
    """Return the stage as people or our tables know it, and its canonical word.

    A record without a stage is as new. A mapped id stays as it is. Otherwise an order's stage is known by its label, a
    deal's by what HubSpot computes.
    """
    id_ = record.value("dealstage" if kind == "deals" else "hs_pipeline_stage")
    label = parts.stages[id_].label if id_ in parts.stages else ""
    computed = ""
    if kind == "deals" and "hs_is_closed_won" in record.properties:
        won, lost = (record.value(f"hs_is_closed_{how}") == "true" for how in ("won", "lost"))
        computed = "won" if won else "lost" if lost else "not closed"
    if not id_:
        return "", "draft" if kind == "deals" else "open"
    for candidate in (id_, label, computed):
        if candidate and (canonical := word(connection, kind, candidate)):
            return candidate, canonical
    return label or id_, ""


def _life(canonical: str) -> LifeCycle:
    if not canonical:
        return "on_hold"
    if canonical in {"draft", "on_hold", "cancelled", "closed"}:
        return cast("LifeCycle", canonical)
    return "cancelled" if canonical == "void" else "open"


def _line(record: Record, currency: str) -> Line:
    quantity = amount(record.value("quantity")) or Decimal(1)
    price = amount(record.value("price")) or ZERO
    net = amount(record.value("amount"), currency)
    return Line(
        id=record.id,
        sku=record.value("hs_sku"),
        name=record.value("name"),
        quantity=quantity,
        unit_price=price,
        net_amount=rounded(quantity * price, currency) if net is None else net,
        tax_amount=amount(record.value("hs_tax_amount"), currency) or ZERO,
        tax_rate=amount(record.value("hs_tax_rate")),
    )


def party(record: Record) -> Party:
    """Return a contact as a buyer."""
    name = " ".join(part for part in (record.value("firstname"), record.value("lastname")) if part)
    return Party(
        id=record.id,
        name=name or record.value("company"),
        email=record.value("email"),
        phone=record.value("phone"),
    )


def fulfilment_word(connection: Connection, canonical: str) -> str:
    """Return the text by which an order object shows how far its goods have come, "" where it has none for that."""
    return connection.options.get(f"{canonical}_word") or FULFILMENT.get(canonical, "")


def fulfilment_meant(connection: Connection, text: str) -> str:
    """Return the canonical word of that text, whatever its case; "" when nobody mapped it."""
    own = (name for name in FULFILMENT if text and fulfilment_word(connection, name).lower() == text.lower())
    known = word(connection, "shipments", text) or word(connection, "shipments", text.capitalize())
    return known or next(own, "")


def shipments(connection: Connection, record: Record) -> list[tuple[str, str | None, Shipment]]:
    """Return (id, mark, facts) of the parcels that an order object shows: one per tracking number.

    Its status is free text: a word that nobody mapped ("Packing" stands in the vendor's own example) is no departure.
    """
    numbers = [part.strip() for part in record.value("hs_shipping_tracking_number").split(",") if part.strip()]
    marks = record.value(PARCELS).split()
    stage = record.value("hs_fulfillment_status")
    status: _Parcel = _PARCELS.get(fulfilment_meant(connection, stage), "pending") if stage else "shipped"
    return [
        (
            record.id if position == 0 else f"{record.id}-{position}",
            find_mark(marks[position]) if position < len(marks) else None,
            Shipment(
                status=status,
                stage=stage,
                tracking_numbers=(number,),
                tracking_url=record.value("hs_shipping_status_url") if position == 0 else "",
            ),
        )
        for position, number in enumerate(numbers)
    ]


def invoice(connection: Connection, record: Record, parts: Parts) -> Invoice:
    """Return an invoice; what is paid and due is what HubSpot computes."""
    currency = record.value("hs_currency").upper() or "XXX"
    stage = record.value("hs_invoice_status") or "draft"
    billed, paid, due = (
        amount(record.value(f"hs_{name}"), currency) for name in ("amount_billed", "amount_paid", "balance_due")
    )
    status = cast("DocumentStatus", word(connection, "invoices", stage) or "on_hold")
    if status == "invoiced" and paid and billed and ZERO < paid < billed:
        status = "partially_paid"
    return Invoice(
        number=record.value("hs_number"),
        status=status,
        stage=stage,
        currency=currency,
        customer=party(parts.contact) if parts.contact else None,
        lines=tuple(_line(line, currency) for line in parts.lines),
        payable_amount=billed or ZERO,
        paid_amount=paid,
        amount_due=due,
        issue_date=day(record.value("hs_invoice_date")),
        due_date=day(record.value("hs_due_date")),
        note=record.value("hs_comments"),
    )


def payment(record: Record) -> Payment:
    """Return a payment; it went in full to the invoice it is associated with, to none when there are several."""
    currency = record.value("hs_currency_code").upper() or "XXX"
    total = amount(record.value("hs_initial_amount"), currency) or ZERO
    stage, at = record.value("hs_latest_status"), instant(record.value("hs_initiated_date"))
    invoices = record.linked("invoices")
    return Payment(
        amount=total,
        currency=currency,
        status=_PAYMENTS.get(stage.lower(), "pending"),
        stage=stage,
        method=record.value("hs_payment_method_type"),
        paid_at=at,
        date=at.date() if at else None,
        reference=record.value("hs_reference_number"),
        # HubSpot does not say how much of it went to which of several.
        allocations=tuple(Allocation(type="invoices", id=id_, amount=total) for id_ in invoices if len(invoices) == 1),
    )


def refund(record: Record) -> Credit | None:
    """Return what of a payment went back: HubSpot keeps a sum, no refunds of their own."""
    currency = record.value("hs_currency_code").upper() or "XXX"
    total = amount(record.value("hs_refunds_amount"), currency)
    if not total:
        return None
    return Credit(
        document="refund",
        amount=total,
        currency=currency,
        stage=record.value("hs_latest_status"),
        reference=record.value("hs_reference_number"),
        allocations=(Allocation(type="commerce_payments", id=record.id, amount=total),),
    )


def customer(record: Record) -> Customer:
    """Return a contact."""
    return Customer(party=party(record), status="archived" if record.archived else "active")


def anchors(connection: Connection, order_kind: str, kind: str, record: Record) -> tuple[Anchor, ...]:
    """Return what says whose a record is: the order objects and invoices that it is associated with.

    A deal that a person made may stand for another system's order: then it has that order's number. None is said to be
    the order itself ("order"): it may be our copy of another system's, whose bills, payments and parcels these are.
    """

    def ref(kind: str, id_: str) -> ObjectRef:
        return ObjectRef(connection.name, connection.account, kind, id_)

    if kind == "shipments":
        return (Anchor("object", ref("orders", record.id)),)
    if kind == "refunds":
        return (Anchor("object", ref("commerce_payments", record.id)),)
    if kind == order_kind and mark(record) is None:
        typed = order(connection, kind, record, Parts()).number
        return (Anchor("number", ObjectRef("", "", "number", typed)),) if typed else ()
    if kind not in COMMERCE:
        return ()
    orders = tuple(Anchor("object", ref(order_kind, id_)) for id_ in record.linked(order_kind))
    invoices = record.linked("invoices") if kind == "commerce_payments" else ()
    if len(invoices) > 1:  # nobody knows how much of it went to which: then only its one order tells whose it is
        return orders if len(orders) == 1 else ()
    return orders + tuple(Anchor("object", ref("invoices", id_)) for id_ in invoices)


def to_facts(connection: Connection, kind: str, record: Record, parts: Parts) -> Facts | None:
    """Return the facts of a record, None for types that say nothing about an order."""
    if kind in {"deals", "orders"}:
        return order(connection, kind, record, parts)
    if kind == "invoices":
        return invoice(connection, record, parts)
    if kind == "commerce_payments":
        return payment(record)
    return customer(record) if kind == "contacts" else None
