"""What one target knows of its document, and the day on which a ledger books."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from schemas.facts import Invoice
from schemas.refs import ObjectRef
from streams.order.plan.desk import book_date, shown
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
