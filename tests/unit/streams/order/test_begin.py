"""What is older than the start of its connection is planned by nobody, until somebody asks for a backfill."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import BACKFILL, LIVE, LIVE_PAYMENT, Command
from schemas.facts import Credit, Facts, Invoice, Order, Payment, Shipment
from schemas.flow import NOT_BEGUN, Target
from schemas.state import Observation, OrderState, WriteRecord
from streams.order.derive import derive
from streams.order.plan import Planned, plan
from streams.order.plan.begin import age
from streams.order.world import World
from tests.unit.streams.order.sample import CONNECTIONS, FLOW, NOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import giver, look, record, ref, state

DAY = timedelta(days=1)
BILL = ref("books", "invoice", "5")
OURS = record("books|document", BILL, outcome="confirmed")
THEIRS = look(Invoice(currency="EUR", payable_amount=Decimal(24)), "books", "7")


def world(target: Target | None = None, **facts: Any) -> World:
    targets = (target or Target(connection="books", document="invoice"),)
    flows = (msgspec.structs.replace(FLOW, targets=targets),)
    told = msgspec.structs.replace(WORLD.facts, flows=flows, **facts)
    return World(facts=told, platforms=PLATFORMS)


def planned(known: OrderState, there: World) -> Planned:
    derived = derive(known, there)
    assert derived is not None
    return plan(known, derived, there, NOW)


def asked(known: OrderState, there: World) -> list[str]:
    return [command.capability for command in planned(known, there).commands]


def commands(*parts: Observation | WriteRecord, there: World) -> tuple[Command, ...]:
    return planned(state(giver(), *parts), there).commands


def test_an_order_of_before_the_start_is_told_and_not_written() -> None:
    there = world(starts={"shop": NOW + DAY})
    found = planned(state(giver()), there)
    assert (found.commands, found.writes) == ((), {})
    (finding,) = found.findings
    assert (finding.code, finding.severity, finding.subject) == ("before_start", "warn", "shop@s/order/1")
    assert "1 writes" in finding.message
    assert "o2c flows backfill main" in finding.next_step


def test_every_write_that_is_kept_back_is_counted() -> None:
    there = world(starts={"shop": NOW + DAY, "pay": NOW + DAY})
    two = (_paid(-1), look(Payment(amount=Decimal(1), currency="EUR", paid_at=NOW), "pay", "2"))
    (finding,) = planned(state(giver(), THEIRS, *two), there).findings
    assert finding.message.startswith("2 writes are not made")


@pytest.mark.parametrize("start", [NOW, NOW - DAY])
def test_an_order_of_the_start_or_later_is_written(start: datetime) -> None:
    found = planned(state(giver()), world(starts={"shop": start}))
    assert [command.capability for command in found.commands] == ["upsert_invoice"]
    assert found.findings == ()


def test_only_the_start_of_the_system_that_shows_it_counts() -> None:
    assert asked(state(giver()), world(starts={"books": NOT_BEGUN, "crm": NOT_BEGUN})) == ["upsert_invoice"]
    assert asked(state(giver()), world(starts={"shop": NOT_BEGUN})) == []


def test_what_tells_no_age_is_old_where_a_start_counts() -> None:
    look_ = giver(placed_at=None)
    ageless = state(msgspec.structs.replace(look_, changed_at=None))
    assert asked(ageless, world(starts={"shop": NOW - DAY})) == []
    assert asked(ageless, world()) == ["upsert_invoice"]
    assert asked(state(look_), world(starts={"shop": NOW - DAY})) == ["upsert_invoice"]


def test_what_was_asked_for_is_kept_in_step_whatever_its_age() -> None:
    there = world(starts={"shop": NOW + DAY})
    late = NOW - timedelta(hours=1)
    waiting = record("books|document", None, digest="x", asked_at=late, outcome="deferred", id="a" * 32)
    assert asked(state(giver(), waiting), there) == ["upsert_invoice"]


def test_all_that_hangs_on_a_document_of_ours_is_written() -> None:
    there = world(starts={"shop": NOW + DAY})
    shown = look(Invoice(currency="EUR", payable_amount=Decimal(24)), "books", "5")
    assert asked(state(giver(status="cancelled"), OURS, shown), there) == ["issue_credit"]


def test_a_payment_of_ours_is_taken_back_however_old_it_is() -> None:
    there = world(starts={"shop": NOW + DAY, "pay": NOW + DAY})
    failed = look(Payment(amount=Decimal(24), currency="EUR", status="failed", paid_at=NOW), "pay")
    wrote = record("books|payment|pay@p/payment/1", ref("books", "payment", "m"), capability="record_payment")
    assert asked(state(giver(), THEIRS, failed, wrote), there) == ["reverse_payment"]


def _paid(days: int) -> Observation:
    return look(Payment(amount=Decimal(24), currency="EUR", paid_at=NOW + days * DAY), "pay")


def test_a_new_payment_is_put_on_an_old_document_that_a_person_made_and_an_old_one_is_not() -> None:
    there = world(starts={"shop": NOW + DAY, "pay": NOW})
    assert asked(state(giver(), THEIRS, _paid(1)), there) == ["record_payment"]
    assert asked(state(giver(), THEIRS, _paid(-1)), there) == []
    assert [one.code for one in planned(state(giver(), THEIRS, _paid(-1)), there).findings] == ["before_start"]
    assert asked(state(giver(), _paid(1)), there) == []


def test_without_anything_to_write_nothing_is_held_back() -> None:
    found = planned(state(giver(), THEIRS), world(starts={"shop": NOW + DAY}))
    assert (found.commands, found.findings) == ((), ())


def test_a_backfill_reaches_back_to_the_moment_that_was_asked_for() -> None:
    starts = {"shop": NOW + DAY}
    assert asked(state(giver()), world(starts=starts, backfills={"main": NOW})) == ["upsert_invoice"]
    assert asked(state(giver()), world(starts=starts, backfills={"main": NOW + timedelta(seconds=1)})) == []
    assert asked(state(giver()), world(starts=starts, backfills={"other": NOW})) == []


def test_before_the_first_start_a_backfill_writes_nothing() -> None:
    assert asked(state(giver()), world(starts={"shop": NOT_BEGUN}, backfills={"main": NOW - DAY})) == []


def test_a_day_is_one_of_the_systems_own_zone() -> None:
    ahead = msgspec.structs.replace(CONNECTIONS["crm"], time_zone="Pacific/Auckland")
    told = {"connections": {**CONNECTIONS, "crm": ahead}}
    facts = Payment(amount=Decimal(24), currency="EUR", date=date(2026, 3, 1))
    paid, ends = look(facts, "crm"), datetime(2026, 3, 1, 11, tzinfo=UTC)
    for moment, written in ((ends, ["record_payment"]), (ends + timedelta(seconds=1), [])):
        assert asked(state(giver(), THEIRS, paid), world(starts={"crm": moment}, **told)) == written
        old = world(starts={"crm": NOW + DAY}, backfills={"main": moment}, **told)
        assert asked(state(giver(), THEIRS, paid), old) == written


@pytest.mark.parametrize(
    "other",
    [
        record("crm|order", ref("crm", "order", "7"), capability="upsert_order", outcome="confirmed"),
        record("books|note|x", ref("books", "note", "1"), capability="add_note", outcome="confirmed"),
        record("books|document", None, outcome="rejected", stopped="x"),
    ],
)
def test_what_is_ours_elsewhere_or_was_never_made_makes_no_old_order_ours(other: WriteRecord) -> None:
    shown = look(Invoice(currency="EUR", payable_amount=Decimal(24), status="void"), "books", "5")
    there = world(Target(connection="books", document="invoice", order=True), starts={"shop": NOW + DAY})
    assert "upsert_order" not in asked(state(giver(), other, shown), there)


def test_a_backfill_comes_after_all_else_and_asks_for_what_is_there_first() -> None:
    there = world(starts={"shop": NOW + DAY}, backfills={"main": NOW})
    (command,) = commands(there=there)
    assert (command.priority, command.presence) == (BACKFILL, "unknown")
    (command,) = commands(there=world(starts={"shop": NOW}, backfills={"main": NOW - DAY}))
    assert (command.priority, command.presence) == (LIVE, "absent")
    both = {"shop": NOW + DAY, "pay": NOW}
    (command,) = commands(THEIRS, _paid(1), there=world(starts=both))
    assert command.priority == LIVE_PAYMENT


ZONED = msgspec.structs.replace(CONNECTIONS["shop"], time_zone="Pacific/Auckland")
CHANGED = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Order(placed_at=NOW), NOW),
        (Order(), CHANGED),
        (Payment(amount=Decimal(1), currency="EUR", paid_at=NOW, date=date(2020, 1, 1)), NOW),
        # The end of the day in Auckland, which is thirteen hours ahead in March.
        (Payment(amount=Decimal(1), currency="EUR", date=date(2026, 3, 1)), datetime(2026, 3, 1, 11, tzinfo=UTC)),
        (Credit(amount=Decimal(1), currency="EUR", date=date(2026, 3, 1)), datetime(2026, 3, 1, 11, tzinfo=UTC)),
        (Invoice(issue_date=date(2026, 3, 1)), datetime(2026, 3, 1, 11, tzinfo=UTC)),
        (Shipment(shipped_at=NOW), NOW),
        (Shipment(), CHANGED),
        (None, CHANGED),
    ],
)
def test_an_object_is_as_old_as_its_system_says(facts: Facts | None, expected: datetime) -> None:
    assert age(look(facts, changed_at=CHANGED), ZONED) == expected
