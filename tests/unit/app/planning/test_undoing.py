"""The plan of an undo counts what the flow made since, names each write in one decision, and says what it does not know."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.planning.undoing import Undoing
from schemas.decisions import Named
from schemas.state import OrderState, WriteRecord
from tests.unit.streams.order.sample import KEY, NOW
from tests.unit.streams.order.states import giver, mark, state
from tests.unit.streams.order.undone import BILL, MONEY, PAID, SHOWS, WROTE, world

HOUR = timedelta(hours=1)


def undoing(*states: OrderState, since: datetime = NOW, mode: Any = "stopped") -> Undoing:
    there = world(mode)
    found = Undoing(there, there.facts.flows[0], since, NOW + HOUR)
    for one in states:
        found.add(one)
    return found


def test_each_row_says_what_ends_how_much_it_is_why_and_since_when_it_is_there() -> None:
    plan = undoing(state(giver(), WROTE, MONEY, *SHOWS)).plan()
    assert [(row.action, row.document, row.amount, row.currency, row.existing, row.follows) for row in plan.rows] == [
        ("undo", "payment reversal", "24.00", "EUR", "8", False),
        ("undo", "void", "24.00", "EUR", "7", True),
    ]
    assert [row.reason for row in plan.rows] == [
        "o2c recorded it; made: 2026-03-01 12:00:00", "nothing else is on it; made: 2026-03-01 12:00:00",
    ]  # fmt: skip
    assert [(one.document, one.count, one.amount) for one in plan.totals] == [
        ("payment reversal", 1, "24.00"), ("void", 1, "24.00"),
    ]  # fmt: skip
    assert (plan.flow, plan.tenant, plan.mode, plan.orders, plan.findings) == ("main", "acme", "stopped", 1, ())


def test_one_decision_per_order_names_every_write_as_it_was_shown() -> None:
    known = state(giver(), msgspec.structs.replace(WROTE, generation=2), MONEY, *SHOWS)
    (told,) = undoing(known).decisions("ada")
    assert (told.kind, told.order, told.tenant, told.by, told.at) == ("undo", KEY, "acme", "ada", NOW + HOUR)
    assert told.writes == (
        Named(write=WROTE.key, object=BILL.key, generation=2), Named(write=MONEY.key, object=PAID.key),
    )  # fmt: skip
    (again,) = undoing(known, mode="live").decisions("bob")
    assert again.id == told.id, "said twice, it counts once"
    (other,) = undoing(state(giver(), WROTE, MONEY, *SHOWS)).decisions("ada")
    assert other.id != told.id


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"made_at": NOW - HOUR}, False),
        ({"made_at": None, "asked_at": NOW}, True),
        ({"made_at": None, "asked_at": NOW - HOUR}, False),
        ({"made_at": None}, False),
        ({"undone_at": NOW}, False),
        ({"bound": None}, False),
        ({"capability": "void_invoice"}, False),
        ({"id": ""}, False),
        ({"key": "books|undoing|x", "capability": "issue_credit"}, False),
    ],
)
def test_only_what_the_flow_made_since_counts(changes: dict[str, Any], counts: bool) -> None:  # noqa: FBT001
    assert undoing(state(giver(), msgspec.structs.replace(WROTE, **changes), SHOWS[0])).plan().orders == int(counts)


def test_what_an_older_version_wrote_is_said_to_be_of_that_time_or_before() -> None:
    old = msgspec.structs.replace(WROTE, made_at=None, asked_at=NOW)
    (row,) = undoing(state(giver(), old, SHOWS[0])).plan().rows
    assert row.reason == "nothing else is on it; made at this time or before: 2026-03-01 12:00:00"


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"asked_at": NOW}, 1),
        ({"asked_at": NOW, "outcome": "uncertain"}, 1),
        ({"asked_at": NOW, "outcome": "deferred"}, 1),
        ({"asked_at": NOW, "outcome": "rejected"}, 0),
        ({"asked_at": NOW - HOUR}, 0),
        ({"asked_at": None}, 0),
        ({"asked_at": NOW, "bound": BILL}, 0),
    ],
)
def test_what_was_not_answered_is_counted_and_not_undone(changes: dict[str, Any], count: int) -> None:
    waits: WriteRecord = msgspec.structs.replace(WROTE, **{"bound": None, "made_at": None, "outcome": None, **changes})
    found = undoing(state(giver(), waits), since=NOW)
    assert found.plan().unanswered == count


def test_orders_of_others_and_what_must_be_read_first_are_no_part_of_it() -> None:
    assert undoing(state(giver(), WROTE, SHOWS[0], alias_of="f" * 32)).plan().orders == 0
    assert undoing(state(WROTE, SHOWS[0])).plan().orders == 0, "whose order it is is not known"
    slim = msgspec.structs.replace(SHOWS[0], facts=None, digest="")
    stub = undoing(state(giver(), WROTE, slim, expired_at=NOW)).plan()
    assert (stub.orders, stub.unread, stub.rows) == (0, 1, ())


def test_what_was_undone_before_and_has_not_ended_is_counted() -> None:
    gone = msgspec.structs.replace(WROTE, undone_at=NOW)
    assert undoing(state(giver(), gone, SHOWS[0])).plan().under_way == 1
    ended = msgspec.structs.replace(SHOWS[0], gone=(2, 1))
    assert undoing(state(giver(), gone, ended)).plan().under_way == 0


def test_what_stays_is_listed_for_a_person() -> None:
    theirs = msgspec.structs.replace(SHOWS[0], mirror_of=mark(write="d" * 32))
    (trouble,) = undoing(state(giver(), WROTE, theirs)).plan().findings
    assert (trouble.number, trouble.finding.code, trouble.finding.subject) == ("SO-1", "undo_left", BILL.key)


def test_a_digest_is_of_the_writes_and_of_the_time_since_when() -> None:
    known = state(giver(), WROTE, SHOWS[0])
    first = undoing(known).plan()
    assert undoing(known, mode="live").plan().digest == first.digest
    assert undoing(known, since=NOW - HOUR).plan().digest != first.digest
    assert undoing(state(giver(), WROTE, MONEY, *SHOWS)).plan().digest != first.digest
