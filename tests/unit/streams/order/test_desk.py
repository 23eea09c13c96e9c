"""What one target knows of its document, and the day on which a ledger books."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Invoice, Order
from schemas.flow import Target
from schemas.refs import ObjectRef
from streams.order.plan.desk import book_date, shown
from streams.order.plan.documents import findings
from tests.unit.streams.order.sample import EMPTY
from tests.unit.streams.order.states import desk, look

BILL = Invoice(currency="EUR", payable_amount=Decimal(24))
LATE = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", 28), ("Asia/Tokyo", 1), ("Pacific/Kiritimati", 1), ("America/Los_Angeles", 28), ("Etc/GMT+12", 28)],
)
def test_the_day_of_a_moment_is_that_of_the_ledgers_own_zone(zone: str, day: int) -> None:
    assert book_date(LATE, zone) == date(2026, 2 if day == 28 else 3, day)
    assert book_date(None, zone) is None


def test_only_a_document_of_the_account_that_the_flow_writes_to_is_adopted() -> None:
    here = look(BILL, "books", "7")
    elsewhere = msgspec.structs.replace(here, object=ObjectRef("books", "another", "invoice", "7"))
    of_the_shop = msgspec.structs.replace(here, object=ObjectRef("shop", "b", "invoice", "7"))
    assert [desk(one).adopted for one in (here, elsewhere, of_the_shop)] == [here.object, None, None]


def test_an_object_that_is_not_known_shows_nothing() -> None:
    assert shown(EMPTY, None, None) is None
    assert shown(EMPTY, look(BILL).object, None) is None


@pytest.mark.parametrize(("total", "same"), [("24", True), ("24.4", True), ("25", False)])
def test_less_than_a_yen_is_no_other_amount(total: str, *, same: bool) -> None:
    theirs = look(Invoice(currency="JPY", payable_amount=Decimal(total)), "books", "7")
    for owed in ("24", "24.3"):
        yen = desk(theirs, facts={"currency": "JPY", "payable_amount": Decimal(owed), "lines": ()})
        assert (yen.adopted is not None) is same


COPIES = {"target": Target(connection="crm", order=True)}


def _told(*theirs: Order, **order: Any) -> list[str]:
    """Return what is told of orders that people typed into the CRM."""
    typed = [look(facts, "crm", str(number)) for number, facts in enumerate(theirs, start=7)]
    return [one.message for one in findings(desk(*typed, facts=order, **COPIES)) if one.code == "ambiguous_document"]


def test_a_copy_over_another_amount_is_put_before_a_person_with_both_amounts() -> None:
    other = Order(currency="USD", payable_amount=Decimal("25.50"))
    assert _told(other) == ["crm@c/order/7 is over 25.50 USD, the order is 24.00 EUR; it names the order."]
    yen = {"currency": "JPY", "payable_amount": Decimal("24.3"), "lines": ()}
    assert _told(other, **yen) == ["crm@c/order/7 is over 25.50 USD, the order is 24 JPY; it names the order."]


def test_of_several_copies_each_is_told_with_their_number() -> None:
    same, none = Order(currency="EUR", payable_amount=Decimal(24)), Order(currency="EUR")
    assert _told(same, none) == [
        "crm@c/order/7 is over 24 EUR, the order is 24.00 EUR; 2 of them name the order.",
        "crm@c/order/8 is over nothing EUR, the order is 24.00 EUR; 2 of them name the order.",
    ]
    assert _told(none) == _told(same) == []
