"""What was undone is wanted no more: in every mode, until a person says so; and what a decision about it does."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.decisions import Decision, Named
from schemas.facts import Payment
from schemas.findings import Finding
from schemas.flow import Facts, Target
from schemas.state import FORMAT, NEVER, PLAIN, TAKEN_BACK, Handover, OrderState
from streams.order.alias import take_over
from streams.order.decide import decided
from streams.order.derive import derive
from streams.order.merge import first_heard
from streams.order.plan import plan_all
from streams.order.plan.undo import findings
from streams.order.taken_back import all_ended, end_key
from streams.order.world import World
from tests.unit.streams.order.ended import (
    ALL,
    BILL,
    COPY,
    CREDITED,
    CRM,
    DOCUMENT,
    MONEY,
    PAID,
    SOURCE,
    at,
    bill,
    copied,
    noted,
    paid,
    told,
)
from tests.unit.streams.order.sample import CONNECTIONS, FLOW, KEY, NOW, PLATFORMS
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, mark, record, ref, state


# -------------------------------------------------------------------------------------------- what is wanted no more
def world(*targets: Target, mode: Any = "live", **facts: Any) -> World:
    flow = msgspec.structs.replace(FLOW, targets=targets, mode=mode)
    able = {
        slug: msgspec.structs.replace(one, **ALL, stages={"cancelled": "closedlost"}) for slug, one in PLATFORMS.items()
    }
    return World(facts=Facts(**{"connections": CONNECTIONS, "flows": (flow,), **facts}), platforms=able)


BOOKS = Target(connection="books", document="invoice")
NEW_MONEY = look(Payment(amount=Decimal(5), currency="EUR", paid_at=NOW), "shop", "p9")


def planned(known: OrderState, there: World) -> Any:
    derived = derive(known, there)
    assert derived is not None
    return plan_all(known, derived, there, NOW)


def asked(known: OrderState, there: World) -> list[tuple[str, str, str]]:
    return [(one.connection, one.capability, one.flow) for one in planned(known, there).commands]


@pytest.mark.parametrize("mode", ["live", "shadow", "stopped"])
def test_ends_leave_in_every_mode_and_nothing_is_hung_on_what_was_undone(mode: str) -> None:
    found = planned(state(giver(), DOCUMENT, bill(), NEW_MONEY), world(BOOKS, mode=mode))
    assert [(one.capability, one.flow) for one in found.commands] == [("void_invoice", "")]
    assert (found.shadow, list(found.writes)) == (False, [f"books|void|{BILL.key}"])
    assert found.due_at is not None
    assert [one.code for one in found.findings] == ["undone"]


def test_ends_leave_although_the_order_is_blocked() -> None:
    known = state(giver(stage="nobody knows"), DOCUMENT, bill(), held=True, aliases=("x",))
    assert asked(known, world(BOOKS)) == [("books", "void_invoice", "")]


def test_other_targets_are_kept_in_step_as_before() -> None:
    known = state(giver(), DOCUMENT, bill())
    assert asked(known, world(BOOKS, CRM)) == [("crm", "upsert_order", "main"), ("books", "void_invoice", "")]
    shown = planned(known, world(BOOKS, CRM, mode="shadow"))
    assert [one.connection for one in shown.commands] == ["books"], "a shadow shows nothing beside what leaves"
    over = planned(state(giver(), DOCUMENT, bill(status="void")), world(BOOKS, CRM, mode="shadow"))
    assert (over.shadow, [one.connection for one in over.commands]) == (True, ["crm"])


def test_a_payment_alone_is_not_recorded_again_and_the_others_are() -> None:
    source = look(Payment(amount=Decimal(24), currency="EUR", paid_at=NOW), "shop", "p1")
    before = record("books|document", BILL, base={"payable_amount": Pair("24.00", "24.00")}, outcome="confirmed")
    gone, money = (
        paid(status="reversed", seen={"mirror_of": mark(write="c" * 32)}),
        msgspec.structs.replace(MONEY, id="c" * 32),
    )
    known = state(giver(), before, bill(), money, gone, source, NEW_MONEY)
    writes = [one.write for one in planned(known, world(BOOKS)).commands]
    assert writes == [f"books|payment|{NEW_MONEY.object.key}"]


def test_a_system_that_is_no_target_any_more_is_undone_all_the_same() -> None:
    assert asked(state(giver(), DOCUMENT, bill()), world()) == [("books", "void_invoice", "")]
    receipt = msgspec.structs.replace(DOCUMENT, capability="upsert_sales_receipt")
    assert asked(state(giver(), receipt, bill(document="sales_receipt")), world()) == [("books", "void_invoice", "")]
    assert asked(state(giver(), COPY, copied()), world()) == [("crm", "set_status", "")]
    assert asked(state(giver(), DOCUMENT, bill()), world(connections={"shop": CONNECTIONS["shop"]})) == []


def test_what_turns_up_after_it_was_undone_is_taken_back_too_and_older_things_are_not() -> None:
    late = record(MONEY.key, PAID, capability="record_payment", made_at=NOW + timedelta(hours=1))
    assert told(at(DOCUMENT, late, bill(), paid()))[0][0] == "reverse_payment"
    unknown = msgspec.structs.replace(late, made_at=None)
    assert told(at(DOCUMENT, unknown, bill(), paid()))[0][0] == "reverse_payment"
    early = msgspec.structs.replace(late, made_at=NOW - timedelta(hours=1))
    assert [one[0] for one in told(at(DOCUMENT, early, bill(), paid()))] == ["void_invoice"]


def test_a_person_is_told_what_was_undone_and_how_it_is_made_again() -> None:
    assert list(findings(at(DOCUMENT, bill()))) == [
        Finding(
            "undone", "warn", "What o2c wrote in books was undone; none of it is made anew.", "books",
            "`o2c orders recreate` has it made again",
        )
    ]  # fmt: skip
    assert list(findings(at(record("books|document", BILL), bill()))) == []
    public = planned(state(giver(), DOCUMENT, bill(status="void")), world(BOOKS)).findings
    assert [one.code for one in public] == ["undone"], "that the document ended is no news"


# ------------------------------------------------------------------------------------------------------------ decisions
def said(kind: Any, **changes: Any) -> Decision:
    return Decision(id=f"{kind}-1", tenant="acme", order=KEY, kind=kind, **changes)


WROTE = record("books|document", BILL, made_at=NOW)


def test_an_undo_counts_for_what_was_shown_alone() -> None:
    known = state(WROTE, bill())
    named = Named(write=WROTE.key, object=BILL.key)
    after = decided(known, said("undo", writes=(named,), at=NOW), NOW)
    assert (after.writes[WROTE.key].undone_at, after.format) == (NOW, TAKEN_BACK)
    assert decided(known, said("undo", writes=(named,)), NOW).writes[WROTE.key].undone_at == NOW
    for other in (
        msgspec.structs.replace(named, generation=1),
        msgspec.structs.replace(named, object="x"),
        msgspec.structs.replace(named, write="x"),
    ):
        left_alone = decided(known, said("undo", writes=(other,)), NOW)
        assert (left_alone.writes, left_alone.format) == (known.writes, PLAIN)
    again = decided(after, msgspec.structs.replace(said("undo", writes=(named,)), id="2"), NOW + timedelta(days=1))
    assert again.writes == after.writes, "what was undone keeps its time"


def test_a_state_of_an_older_version_is_read_and_one_that_was_undone_is_of_a_newer_format() -> None:
    stored = b'{"key":"k","tenant":"t","format":1,"writes":{"w":{"key":"w","connection":"c","account":"a","capability":"add_note","canonical":"x"}}}'
    old = msgspec.json.decode(stored, type=OrderState)
    assert (old.format, old.writes["w"].made_at, old.writes["w"].undone_at, old.writes["w"].past) == (1, None, None, ())
    assert msgspec.json.decode(msgspec.json.encode(OrderState(key="k", tenant="t")))["format"] == PLAIN
    assert (PLAIN, TAKEN_BACK, FORMAT) == (1, 2, 2)


def test_an_order_that_takes_over_what_was_undone_has_its_format() -> None:
    other = state(DOCUMENT, key=OTHER_ORDER, format=TAKEN_BACK)
    assert take_over(state(giver()), Handover(order=KEY, state=other)).format == TAKEN_BACK


@pytest.mark.parametrize(
    ("parts", "ended"),
    [
        ((DOCUMENT, bill()), False),
        ((DOCUMENT, bill(status="void")), True),
        ((DOCUMENT,), True),
        ((DOCUMENT, bill(), record(end_key(DOCUMENT, "void"), outcome="confirmed")), True),
        ((DOCUMENT, bill(), record(end_key(DOCUMENT, "undoing"), outcome="confirmed")), True),
        ((DOCUMENT, bill(), record(end_key(DOCUMENT, "void"))), False),
        ((DOCUMENT, bill(credited_amount=Decimal(24))), True),
        ((DOCUMENT, bill(credited_amount=Decimal(23))), False),
        ((DOCUMENT, CREDITED, bill(), noted(amount=Decimal(24))), True),
        ((DOCUMENT, CREDITED, bill(), noted(amount=Decimal(24), status="void")), False),
        ((MONEY, paid()), True),
        ((MONEY, paid(), record(f"books|reversal|{SOURCE}")), False),
        ((MONEY, paid(), record(f"books|reversal|{SOURCE}", stopped="x", outcome="rejected")), True),
        ((COPY, record(end_key(COPY, "status"))), False),
        ((), True),
    ],
)
def test_what_is_ended(parts: tuple[Any, ...], ended: bool) -> None:  # noqa: FBT001 - the outcome
    assert all_ended(state(*parts)) is ended


def test_all_that_was_undone_is_made_anew_once_it_has_ended() -> None:
    known = state(DOCUMENT, MONEY, WROTE_ELSEWHERE, bill(status="void"), paid(status="reversed"))
    after = decided(known, said("recreate"), NOW)
    assert {key: (one.generation, one.bound, one.past) for key, one in after.writes.items()} == {
        DOCUMENT.key: (1, None, (BILL.key,)),
        MONEY.key: (1, None, (PAID.key,)),
        WROTE_ELSEWHERE.key: (0, WROTE_ELSEWHERE.bound, ()),
    }
    early = state(DOCUMENT, bill())
    assert decided(early, said("recreate"), NOW).writes == early.writes
    assert decided(early, said("recreate", write=DOCUMENT.key), NOW).writes == early.writes
    void = state(DOCUMENT, bill(status="void"))
    assert decided(void, said("recreate", write=DOCUMENT.key), NOW).writes[DOCUMENT.key].generation == 1


WROTE_ELSEWHERE = record("crm|order", ref("crm", "order", "1"), capability="upsert_order")


def test_what_was_made_before_is_taken_for_nobody_elses_document() -> None:
    living = bill()
    made = record("books|document", None, id="", generation=1, outcome="superseded", past=(BILL.key,))
    commands = planned(state(giver(), made, living), world(BOOKS)).commands
    assert [(one.capability, one.generation) for one in commands] == [("upsert_invoice", 1)]


def test_since_when_something_is_there_is_noted_when_it_is_first_heard() -> None:
    unbound = msgspec.structs.replace(WROTE, bound=None, made_at=None)
    bound = msgspec.structs.replace(WROTE, made_at=None)
    assert first_heard(state(unbound), state(bound), NOW).writes[WROTE.key].made_at == NOW
    known = state(bound)
    assert first_heard(known, known, NOW) is known, "of what an older version heard of nobody knows when"
    assert first_heard(state(), known, NOW) is known
    noted_before = state(msgspec.structs.replace(bound, made_at=NOW - timedelta(days=1)))
    assert first_heard(state(unbound), noted_before, NOW) is noted_before
    assert NEVER == (0, 0)
