"""What people decide about an order: each decision counts once, and touches only what it names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.decisions import Decision
from schemas.state import Agreed, Conflict, OrderState, WriteRecord
from streams.order.decide import decided, remembered
from tests.unit.streams.order.sample import KEY, NOW
from tests.unit.streams.order.states import record, ref, state

EARLIER = NOW - timedelta(hours=3)
REFUSED = record(
    "books|document", outcome="rejected", stopped="d1", digest="d1", reverted=("a", "a"), asked_at=EARLIER, reason="no"
)
PLANNED_AFRESH = msgspec.structs.replace(REFUSED, stopped="", reverted=(), asked_at=None)


def decision(kind: str, **changes: Any) -> Decision:
    return Decision(id="d1", tenant="acme", order=KEY, kind=kind, **changes)  # type: ignore[arg-type]


def after(known: OrderState, kind: str, **changes: Any) -> OrderState:
    return decided(known, decision(kind, **changes), NOW)


def conflict(field: str = "note", **changes: Any) -> Conflict:
    return Conflict(**{"field": field, "kept": "a", "lost": "b", "kept_by": "shop", "lost_by": "crm", **changes})


# ----------------------------------------------------------------------------------------------------------- each once
def test_a_decision_that_was_heard_before_changes_nothing() -> None:
    known = state(REFUSED, decisions=("d1",))
    assert after(known, "retry") is known


def test_the_last_thirty_two_decisions_are_remembered() -> None:
    ids = tuple(f"x{number}" for number in range(32))
    assert after(state(decisions=ids), "retry").decisions == (*ids[1:], "d1")


def test_resume_lets_an_order_with_two_sets_of_documents_be_planned_again() -> None:
    assert after(state(held=True), "resume") == state(held=False, decisions=("d1",))


def test_a_kind_that_nobody_knows_is_only_remembered() -> None:
    known = state(REFUSED, agreed={"note": Agreed("a", "x")}, conflicts=(conflict(),))
    assert after(known, "merge", field="note") == msgspec.structs.replace(known, decisions=("d1",))


# ------------------------------------------------------------------------------------------------------ adopt and disown
def test_what_a_person_said_last_of_a_document_holds() -> None:
    known = state(said_of={"a": True, "b": True})
    assert after(known, "disown", object="a").said_of == {"a": False, "b": True}
    assert after(known, "adopt", object="c").said_of == {"a": True, "b": True, "c": True}


# ---------------------------------------------------------------------------------------------------------------- retry
@pytest.mark.parametrize(
    ("chosen", "fresh"),
    [
        ({}, True),
        ({"write": "books|document"}, True),
        ({"write": "books|note"}, False),
        ({"digest": "d1"}, True),
        ({"digest": "d0"}, False),
        ({"write": "books|document", "digest": "d0"}, False),
        ({"write": "books|note", "digest": "d1"}, False),
    ],
)
def test_a_refused_write_is_planned_afresh_when_it_is_the_one_that_was_meant(
    chosen: dict[str, str], *, fresh: bool
) -> None:
    expected = PLANNED_AFRESH if fresh else REFUSED
    assert after(state(REFUSED), "retry", **chosen).writes == {"books|document": expected}


@pytest.mark.parametrize(
    ("known", "fresh"),
    [
        (record("crm|order", outcome="confirmed", asked_at=EARLIER), False),
        (record("crm|order", outcome="confirmed", asked_at=EARLIER, reverted=("a",)), True),
        (record("crm|order", outcome="deferred", asked_at=EARLIER), True),
        (record("crm|order", asked_at=EARLIER), True),
    ],
)
def test_what_was_confirmed_is_left_alone_unless_the_system_took_it_back(known: WriteRecord, *, fresh: bool) -> None:
    (kept,) = after(state(known), "retry").writes.values()
    assert kept == (msgspec.structs.replace(known, asked_at=None, reverted=()) if fresh else known)


def test_retry_without_a_name_is_for_all_writes_of_the_order() -> None:
    both = {"books|document": REFUSED, "crm|order": msgspec.structs.replace(REFUSED, key="crm|order")}
    writes = after(state(*both.values()), "retry").writes
    assert [one.stopped for one in writes.values()] == ["", ""]


# ------------------------------------------------------------------------------------------------------------- recreate
MADE = record(
    "books|document",
    ref("books", "invoice", "1"),
    id="1" * 32,
    generation=4,
    outcome="confirmed",
    digest="d1",
    order="9" * 32,
    capability="upsert_sales_receipt",
    canonical="shop@s/order/1",
)


@pytest.mark.parametrize("generation", [None, 4])
def test_a_document_may_be_made_once_more_under_the_next_generation(generation: int | None) -> None:
    writes = after(state(MADE), "recreate", write="books|document", generation=generation).writes
    assert writes == {
        "books|document": WriteRecord(
            key="books|document",
            connection="books",
            account="b",
            capability="upsert_sales_receipt",
            canonical="shop@s/order/1",
            order="9" * 32,
            generation=5,
            outcome="superseded",
            past=("books@b/invoice/1",),
        )
    }


def test_one_that_never_came_about_leaves_nothing_behind_when_it_is_asked_for_once_more() -> None:
    unbound = msgspec.structs.replace(MADE, bound=None, past=("books@b/invoice/0",))
    (again,) = after(state(unbound), "recreate", write="books|document").writes.values()
    assert (again.generation, again.past, again.bound) == (5, ("books@b/invoice/0",), None)


@pytest.mark.parametrize(("write", "generation"), [("books|document", 3), ("books|note", None), ("", 0)])
def test_another_generation_or_an_unknown_write_is_left_alone(write: str, generation: int | None) -> None:
    assert after(state(MADE), "recreate", write=write, generation=generation).writes == {"books|document": MADE}


# --------------------------------------------------------------------------------------------------------------- revert
def test_the_value_that_lost_last_is_given_back_and_can_be_exchanged_again() -> None:
    first, newest = conflict(lost="old"), conflict(lost="b")
    seen = {"shop": "a", "crm": "b"}
    other = conflict("email", lost="x")
    known = state(agreed={"note": Agreed("a", "shop", seen)}, conflicts=(first, newest, other))
    back = after(known, "revert", field="note", at=EARLIER)
    swapped = conflict(kept="b", lost="a", kept_by="crm", lost_by="shop", at=EARLIER)
    assert back.agreed == {"note": Agreed("b", "crm", seen)}
    assert back.conflicts == (first, swapped, other)
    again = decided(back, msgspec.structs.replace(decision("revert", field="note"), id="d2"), NOW)
    assert again.agreed == {"note": Agreed("a", "shop", seen)}
    assert again.conflicts == (first, conflict(kept="a", lost="b", at=NOW), other)


def test_a_value_that_was_edited_since_is_what_loses() -> None:
    known = state(agreed={"note": Agreed("newer", "books")}, conflicts=(conflict(),))
    (swapped,) = after(known, "revert", field="note").conflicts
    assert (swapped.lost, swapped.lost_by, swapped.at) == ("newer", "books", NOW)


@pytest.mark.parametrize(
    "known",
    [
        state(agreed={"note": Agreed("a", "shop")}),
        state(agreed={"note": Agreed("a", "shop")}, conflicts=(conflict("email"),)),
        state(conflicts=(conflict(),)),
    ],
)
def test_without_a_conflict_about_an_agreed_field_nothing_is_given_back(known: OrderState) -> None:
    assert after(known, "revert", field="note") == msgspec.structs.replace(known, decisions=("d1",))


# ------------------------------------------------------------------------------------------------------------ conflicts
def test_a_conflict_has_the_time_of_its_system_else_the_time_when_it_was_found() -> None:
    known = state(conflicts=(conflict("email"),))
    timed, untimed = conflict(at=EARLIER), conflict(lost="c")
    assert remembered(known, [timed, untimed], NOW).conflicts == (
        conflict("email"), timed, msgspec.structs.replace(untimed, at=NOW)
    )  # fmt: skip


def test_the_newest_twenty_conflicts_are_kept() -> None:
    old = tuple(conflict(lost=str(number), at=EARLIER) for number in range(20))
    new = conflict(lost="new", at=NOW)
    assert remembered(state(conflicts=old), [new], NOW).conflicts == (*old[1:], new)
