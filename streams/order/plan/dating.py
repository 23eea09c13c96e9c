"""The book date of a document: the day, in the ledger company's zone, of the order or of what made it due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from schemas.facts import Invoice, Payment, Shipment
from schemas.money import ZERO
from streams.order.plan.desk import Desk, book_date


def issue_date(desk: Desk) -> date | None:
    """Return the day of the document; that of the order where the flow says so, or where nothing else is known."""
    if desk.target.dated == "order":
        return _ordered(desk)
    return (_paid(desk) if desk.target.dated == "payment" else _sent(desk)) or _ordered(desk)


def paid_on(desk: Desk, facts: Payment) -> date | None:
    """Return the day of a payment: the moment in the ledger's zone, else the day that its own system says."""
    return book_date(facts.paid_at, desk.connection.time_zone) or facts.date


def _ordered(desk: Desk) -> date | None:
    bill = desk.derived.giver.facts
    if isinstance(bill, Invoice):
        return bill.issue_date
    return book_date(desk.derived.order.placed_at, desk.connection.time_zone)


def _paid(desk: Desk) -> date | None:
    """Return the day of the payment that paid the order, or of the first one where a part is enough."""
    enough, received, day = _first_counts(desk, "partially_paid"), ZERO, None
    for day, amount in sorted(_payments(desk)):
        received += amount
        if enough or received >= desk.derived.payable:
            return day
    return day


def _payments(desk: Desk) -> Iterator[tuple[date, Decimal]]:
    for one in desk.derived.payments:
        day = paid_on(desk, one.look.facts) if isinstance(one.look.facts, Payment) else None
        if day is not None:
            yield day, one.amount


def _sent(desk: Desk) -> date | None:
    """Return the day of the last parcel, or of the first one where a part is enough."""
    parcels = (one.look.facts for one in desk.derived.shipments)
    moments = [one.shipped_at for one in parcels if isinstance(one, Shipment) and one.shipped_at is not None]
    chosen = min if _first_counts(desk, "partially_fulfilled") else max
    return book_date(chosen(moments), desk.connection.time_zone) if moments else None


def _first_counts(desk: Desk, word: str) -> bool:
    return word in desk.target.when
