"""Orders that look alike: what an order tells of its looks, who is told of whom, and when it is forgotten."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Line, Party
from schemas.findings import Finding
from schemas.links import Alike, LinkRow, Looks, Resemble
from streams.order.alike import due, findings, forgotten, noted, resemblance, resembled
from tests.unit.streams.order.sample import EMPTY, KEY, NOW, SHOP, WORLD
from tests.unit.streams.order.states import giver, state

HOUR = timedelta(hours=1)
ROW = LinkRow(key="alike/acme/x")


def told(later: timedelta = timedelta(0), **changes: Any) -> Resemble | None:
    """Return what a new order tells of its looks."""
    return resemblance(EMPTY, state(giver(**changes)), WORLD, NOW + later)


def key(**changes: Any) -> str:
    found = told(**changes)
    assert found is not None
    return found.key


def line(**changes: Any) -> Line:
    return Line(**{"id": "l1", "sku": "MUG", **changes})


def test_an_order_tells_who_bought_what_when() -> None:
    found = told()
    assert found is not None
    assert found == Resemble(key=found.key, tenant="acme", order=KEY, looks=Looks("SO-1", NOW))
    assert found.key.startswith("alike/acme/")
    assert len(found.key) == len("alike/acme/") + 24
    nameless = told(number="")
    assert nameless is not None
    assert nameless.looks.number == SHOP.id


def test_the_same_goods_in_any_order_and_the_same_customer_however_written_look_alike() -> None:
    same = key()
    assert key(customer=Party(email="ADA@example.com")) == same
    assert key(customer=Party(name="Somebody", email="ada@example.com")) == same
    assert key(number="SO-2", lines=(line(quantity=Decimal("1.0")),)) == same
    assert key(lines=(line(), line(id="l2", kind="shipping", name="Parcel"))) == same, "goods alone"
    two = (line(), line(id="l2", sku="CUP"))
    assert key(lines=two) == key(lines=two[::-1]) != same
    assert key(customer=Party(name="Ada")) == key(customer=Party(name="ADA"))


@pytest.mark.parametrize(
    "changes",
    [
        {"customer": Party(email="bo@example.com")},
        {"customer": Party(name="Ada")},
        {"currency": "USD"},
        {"lines": (line(sku="CUP"),)},
        {"lines": (line(sku="", name="MUG 2"),)},
        {"lines": (line(), line(id="l2"))},
    ],
)
def test_others_do_not(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


@pytest.mark.parametrize(
    "changes",
    [
        {"test": True},
        {"customer": None},
        {"customer": Party(phone="1")},
        {"placed_at": None},
        {"lines": ()},
        {"lines": (line(kind="shipping"),)},
        {"placed_at": NOW - 24 * HOUR - timedelta(seconds=1)},
    ],
)
def test_some_orders_look_like_none(changes: dict[str, Any]) -> None:
    assert told(**changes) is None


def test_an_order_of_a_day_ago_is_still_news() -> None:
    assert told(24 * HOUR) is not None
    assert told(24 * HOUR + timedelta(seconds=1)) is None


def test_looks_are_told_when_they_change_and_not_by_an_alias_or_a_stub() -> None:
    first, later = giver(), giver(native=2, note="ring")
    before = state(first)
    assert resemblance(before, state(first), WORLD, NOW) is None
    assert resemblance(before, state(later), WORLD, NOW) is None, "the note is no part of its looks"
    assert resemblance(before, state(giver(native=2, lines=(line(sku="CUP"),))), WORLD, NOW) is not None
    assert resemblance(EMPTY, state(first, alias_of="f" * 32), WORLD, NOW) is None
    assert resemblance(EMPTY, EMPTY, WORLD, NOW) is None


def message(order: str, minutes: float = 0.0) -> Resemble:
    return Resemble(
        key=ROW.key, tenant="acme", order=order, looks=Looks(f"SO-{order}", NOW + timedelta(minutes=minutes))
    )


def filled(*messages: Resemble) -> LinkRow:
    row = ROW
    for one in messages:
        row, _ = resembled(row, one)
    return row


def test_each_of_two_within_an_hour_is_told_of_the_other() -> None:
    row, nobody = resembled(ROW, message("1"))
    assert (row.alike, nobody) == ({"1": message("1").looks}, ())
    for minutes in (60, -60):
        row, both = resembled(filled(message("1")), message("2", minutes))
        assert set(row.alike) == {"1", "2"}
        assert both == (
            Alike(order="1", tenant="acme", others={"2": "SO-2"}),
            Alike(order="2", tenant="acme", others={"1": "SO-1"}),
        )
        assert resembled(filled(message("1")), message("2", 1.02 * minutes))[1] == ()


def test_a_third_is_told_of_both_and_what_is_known_to_nobody() -> None:
    row, third = resembled(filled(message("1"), message("2", 1)), message("3", 2))
    assert third[-1] == Alike(order="3", tenant="acme", others={"1": "SO-1", "2": "SO-2"})
    assert [one.order for one in third] == ["1", "2", "3"]
    assert resembled(row, message("3", 2)) == (row, ())
    assert [one.order for one in resembled(row, message("3", 3))[1]] == ["1", "2", "3"], "it was placed at another time"


def test_the_newest_five_are_kept() -> None:
    row = filled(*(message(str(number), number) for number in (3, 1, 7, 2, 5, 4, 6)))
    assert list(row.alike) == ["3", "4", "5", "6", "7"]
    assert list(filled(*(message(name) for name in "cabfed")).alike) == ["b", "c", "d", "e", "f"]


def test_what_no_fresh_order_can_resemble_is_forgotten() -> None:
    row, until = filled(message("1"), message("2", 30)), NOW + 25 * HOUR
    assert due(row) == until
    assert due(ROW) is None
    assert set(forgotten(row, until - timedelta(seconds=1)).alike) == {"1", "2"}
    assert set(forgotten(row, until).alike) == {"2"}


def test_an_order_remembers_whom_it_looks_like() -> None:
    known = noted(EMPTY, Alike(order=KEY, tenant="acme", others={"b": "SO-3"}))
    known = noted(known, Alike(order=KEY, tenant="acme", others={"a": "SO-2"}))
    assert list(known.alike.items()) == [("a", "SO-2"), ("b", "SO-3")]
    assert noted(known, Alike(order=KEY, tenant="acme", others={"b": "SO-3"})) is known


def test_a_person_is_told_of_those_that_are_other_orders() -> None:
    known = msgspec.structs.replace(
        state(giver(), aliases=("a",)), alike={"b": "SO-3", "a": "SO-2", KEY: "SO-1", "c": "SO-0"}
    )
    message_ = "It looks like SO-0, SO-3: the same goods for the same customer within an hour."
    step = "compare them, and cancel one that was placed by mistake; nothing was merged or held back"
    assert list(findings(known, giver())) == [Finding("alike", "warn", message_, SHOP.key, step)]
    assert list(findings(msgspec.structs.replace(known, alike={"a": "SO-2", KEY: "SO-1"}), giver())) == []
