"""No document goes into a month that the ledger has closed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Facts, Invoice, Payment, Shipment
from schemas.findings import Finding
from streams.order.plan.desk import Desk
from streams.order.plan.period import closed_up_to, held, in_open_period
from tests.unit.streams.order.sample import WORLD
from tests.unit.streams.order.states import desk

LAST, FIRST, BEFORE = date(2026, 2, 28), date(2026, 3, 1), date(2026, 2, 10)


def at(closed: date | None = LAST, **flow: Any) -> Desk:
    return msgspec.structs.replace(desk(flow=flow), closed=closed)


def paid(day: date | None) -> Payment:
    return Payment(amount=Decimal(1), currency="EUR", date=day)


def credit(day: date | None) -> Credit:
    return Credit(amount=Decimal(1), currency="EUR", date=day)


@pytest.mark.parametrize("facts", [Invoice(issue_date=FIRST), paid(FIRST), credit(FIRST), paid(None), Shipment()])
def test_what_is_of_an_open_day_or_of_none_stays_as_it_is(facts: Facts) -> None:
    assert in_open_period(facts, at()) == facts
    assert in_open_period(Invoice(issue_date=BEFORE), at(None)) == Invoice(issue_date=BEFORE)


@pytest.mark.parametrize(
    ("facts", "moved"),
    [
        (paid(LAST), paid(FIRST)),
        (credit(BEFORE), credit(FIRST)),
        (
            Invoice(issue_date=BEFORE, due_date=BEFORE, note="gift"),
            Invoice(issue_date=FIRST, due_date=FIRST, note="gift\nOriginal date 2026-02-10"),
        ),
        (
            Invoice(issue_date=LAST, due_date=date(2026, 3, 9)),
            Invoice(issue_date=FIRST, due_date=date(2026, 3, 9), note="Original date 2026-02-28"),
        ),
        (Invoice(issue_date=LAST), Invoice(issue_date=FIRST, due_date=FIRST, note="Original date 2026-02-28")),
    ],
)
def test_what_is_of_a_closed_day_goes_to_the_next_open_one(facts: Facts, moved: Facts) -> None:
    assert in_open_period(facts, at()) == moved


@pytest.mark.parametrize("closed_period", ["hold", "ask"])
def test_or_it_waits(closed_period: str) -> None:
    known = at(closed_period=closed_period)
    assert in_open_period(paid(LAST), known) is None
    assert in_open_period(paid(FIRST), known) == paid(FIRST)
    message = "A document of 2026-02-28 waits: books is closed up to 2026-02-28."
    step = "move the lock date, or set closed_period"
    for facts in (paid(LAST), credit(LAST), Invoice(issue_date=LAST)):
        assert held(known, facts) == Finding("closed_period", "warn", message, "books", step)


def test_the_lock_date_is_the_ledgers_own_and_may_carry_a_time() -> None:
    facts = msgspec.structs.replace(WORLD.facts, lock_dates={"books": "2026-02-28T00:00:00", "crm": ""})
    world = msgspec.structs.replace(WORLD, facts=facts)
    assert [closed_up_to(name, world) for name in ("books", "crm", "shop")] == [LAST, None, None]
