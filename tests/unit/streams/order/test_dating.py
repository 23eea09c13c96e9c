"""Whose day a document carries, in the zone of the ledger's company."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.connection import Connection
from schemas.facts import Invoice, Payment, Shipment
from schemas.flow import Dated, Target
from streams.order.plan.dating import issue_date, paid_on
from streams.order.plan.desk import Desk
from streams.order.plan.documents import invoice
from tests.unit.streams.order.states import desk, look

ORDERED = date(2026, 3, 1)
LATE = datetime(2026, 3, 11, 3, 30, tzinfo=UTC)
"""Half past eleven in the evening of the tenth in New York."""


def at(*parts: Any, dated: Dated = "order", when: tuple[str, ...] = ("paid",), zone: str = "UTC", **more: Any) -> Desk:
    target = Target(connection="books", document="invoice", dated=dated, when=when, **more)
    found = desk(*parts, target=target)
    connection: Connection = msgspec.structs.replace(found.connection, time_zone=zone)
    return msgspec.structs.replace(found, connection=connection)


def paid(amount: str, id_: str, moment: datetime | None = LATE, day: date | None = None) -> Any:
    return look(Payment(amount=Decimal(amount), currency="EUR", paid_at=moment, date=day), id_=id_)


def parcel(id_: str, moment: datetime | None) -> Any:
    return look(Shipment(shipped_at=moment), id_=id_)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_document_is_dated_with_its_order_where_nothing_else_is_said(zone: str) -> None:
    assert issue_date(at(paid("24", "1"), zone=zone)) == ORDERED


@pytest.mark.parametrize(
    ("zone", "day"), [("UTC", 11), ("America/New_York", 10), ("Pacific/Auckland", 11), ("Pacific/Kiritimati", 11)]
)
def test_a_sale_is_dated_with_the_day_of_its_payment_in_the_ledgers_zone(zone: str, day: int) -> None:
    assert issue_date(at(paid("24", "1"), dated="payment", zone=zone)) == date(2026, 3, day)


@pytest.mark.parametrize(("when", "day"), [(("paid",), 13), (("partially_paid",), 12)])
def test_the_payment_that_made_it_due_tells_the_day(when: tuple[str, ...], day: int) -> None:
    days = [date(2026, 3, 12), date(2026, 3, 13), date(2026, 3, 14)]
    parts = [paid(amount, f"{n}", None, days[n]) for n, amount in enumerate(("10", "14", "1"))]
    assert issue_date(at(*parts, dated="payment", when=when)) == date(2026, 3, day)
    assert issue_date(at(*reversed(parts), dated="payment", when=when)) == date(2026, 3, day)


def test_while_too_little_came_the_last_payment_tells_the_day() -> None:
    parts = [paid("1", "1", None, date(2026, 3, 12)), paid("1", "2", None, date(2026, 3, 13))]
    assert issue_date(at(*parts, dated="payment", when=("open",))) == date(2026, 3, 13)


@pytest.mark.parametrize(("when", "days"), [(("fulfilled",), 2), (("partially_fulfilled",), 0)])
def test_the_parcel_that_made_it_due_tells_the_day(when: tuple[str, ...], days: int) -> None:
    parts = [parcel("2", LATE + timedelta(days=2)), parcel("1", LATE)]
    wanted = date(2026, 3, 10) + timedelta(days=days)
    assert issue_date(at(*parts, dated="shipment", when=when, zone="America/New_York")) == wanted


@pytest.mark.parametrize("dated", ["payment", "shipment"])
def test_where_no_such_day_is_known_the_order_tells_it(dated: Dated) -> None:
    assert issue_date(at(paid("24", "1", None), parcel("2", None), dated=dated)) == ORDERED


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_an_accounting_entry_keeps_its_day_in_every_zone(zone: str) -> None:
    found = at(zone=zone)
    bill = msgspec.structs.replace(found.derived.giver, facts=Invoice(currency="EUR", issue_date=date(2026, 3, 31)))
    found = msgspec.structs.replace(found, derived=msgspec.structs.replace(found.derived, giver=bill))
    assert issue_date(found) == date(2026, 3, 31)


def test_the_moment_of_a_payment_counts_more_than_the_day_its_system_says() -> None:
    facts = Payment(amount=Decimal(1), currency="EUR", paid_at=LATE, date=date(2026, 3, 11))
    assert paid_on(at(zone="America/New_York"), facts) == date(2026, 3, 10)
    assert paid_on(at(), msgspec.structs.replace(facts, paid_at=None)) == date(2026, 3, 11)


def test_terms_are_days_after_the_document() -> None:
    made = invoice(at(paid("24", "1"), dated="payment", due_days=30))
    assert (made.issue_date, made.due_date) == (date(2026, 3, 11), date(2026, 4, 10))
    assert invoice(at()).due_date == ORDERED
