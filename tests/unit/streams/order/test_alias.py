"""Two orders that prove to be one: what the survivor knows, what the frozen one keeps and passes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.commands import Result
from schemas.decisions import Decision
from schemas.events import MERGED_INTO, TIE, ChangeEvent, Hint, Version
from schemas.facts import Invoice, Order
from schemas.findings import Finding
from schemas.order_state import PublicOrder
from schemas.refs import order_key
from schemas.state import Agreed, Conflict, Handover, OrderState
from streams.order.alias import (
    awaited,
    can_freeze,
    findings,
    forwarded,
    freeze,
    merged_into,
    public_alias,
    receive,
    resolved,
    take_over,
)
from streams.order.step import Seen, Tick, step
from tests.unit.streams.order.sample import KEY, NOW, SHOP, WORLD, payment
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, record, ref, state

SECOND = ref("shop", "order", "2")
SECOND_KEY = order_key("acme", SECOND)
BILL = Invoice(currency="EUR", number="INV-1")


def second(*parts: Any, **changes: Any) -> OrderState:
    """Return the shop's other order, with its own object."""
    return state(look(Order(number="SO-2"), id_="2"), *parts, **{"key": SECOND_KEY, **changes})


def handed(*parts: Any, **changes: Any) -> Handover:
    return Handover(order=KEY, state=second(*parts, **changes), path=(SECOND_KEY,))


def conflict(number: int) -> Conflict:
    return Conflict(field="note", kept="a", lost=str(number))


def result(write: str, **changes: Any) -> Result:
    return Result(
        command="c", order=SECOND_KEY, write=write, tenant="acme", connection="books", account="b",
        capability="upsert_invoice", outcome="confirmed", **changes,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------- what the frozen one keeps
def test_a_frozen_order_keeps_the_names_of_its_writes_and_gives_away_the_rest() -> None:
    known = second(record("books|document"), aliases=("a" * 32,), held=True)
    frozen, handover = freeze(known, KEY)
    assert frozen == OrderState(key=SECOND_KEY, tenant="acme", alias_of=KEY, aliases=known.aliases, writes=known.writes)
    assert handover == Handover(order=KEY, state=known, path=(SECOND_KEY,))


@pytest.mark.parametrize(
    ("changes", "into", "may"),
    [
        ({}, KEY, True),
        ({}, "", False),
        ({"alias_of": "a" * 32}, KEY, False),
        ({"elected": True}, KEY, False),
        ({}, SECOND_KEY, False),
        ({"aliases": (KEY,)}, KEY, False),
    ],
)
def test_an_order_is_frozen_once_and_never_into_itself(changes: dict[str, Any], into: str, *, may: bool) -> None:
    assert can_freeze(second(**changes), into) is may


def test_the_key_givers_own_object_says_what_it_was_merged_into() -> None:
    told = Order(merged_into="2")
    event = ChangeEvent(tenant="acme", object=SHOP, facts=told, version=Version(1))
    here = state(giver())
    assert merged_into(here, event) == SECOND_KEY
    assert merged_into(here, msgspec.structs.replace(event, facts=Order())) == ""
    assert merged_into(here, msgspec.structs.replace(event, facts=None)) == ""
    assert merged_into(second(), event) == ""  # another order's object


def test_what_is_shown_of_it_is_its_number_and_where_it_went() -> None:
    copy = look(Order(number="D-7"), "crm", "7")
    assert public_alias(state(copy, giver()), OTHER_ORDER) == PublicOrder(
        key=KEY, tenant="acme", number="SO-1", alias_of=OTHER_ORDER
    )
    assert public_alias(state(copy), OTHER_ORDER) == PublicOrder(key=KEY, tenant="acme", alias_of=OTHER_ORDER)


# ---------------------------------------------------------------------------------------------- what the survivor knows
def test_the_survivor_knows_all_that_the_other_one_knew() -> None:
    other = handed(
        record("crm|order", id="c" * 32),
        agreed={"note": Agreed("theirs", "x"), "email": Agreed("a@b.c", "x")},
        aliases=("e" * 32,),
        expired_at=NOW,
    )
    mine = state(giver(), record("books|note|1", capability="add_note"), agreed={"note": Agreed("mine", "y")})
    after = take_over(mine, other)
    assert after.objects == {**mine.objects, **other.state.objects}
    moved = record("crm|order", id="c" * 32, order=SECOND_KEY)
    assert after.writes == {**mine.writes, "crm|order": moved}
    assert after.agreed == {"note": Agreed("mine", "y"), "email": Agreed("a@b.c", "x")}
    assert after.aliases == tuple(sorted(("e" * 32, SECOND_KEY)))
    assert after.expired_at == NOW
    assert (after.key, after.tenant) == (KEY, "acme")


def test_its_own_expiry_counts_first_and_an_order_that_was_never_seen_learns_its_tenant() -> None:
    assert take_over(state(expired_at=NOW), handed(expired_at=NOW - timedelta(days=1))).expired_at == NOW
    assert take_over(state(expired_at=NOW), handed()).expired_at == NOW
    assert take_over(OrderState(key=KEY, tenant=""), handed()).tenant == "acme"


def test_two_writes_under_one_key_are_both_kept_and_a_write_keeps_the_order_that_asked_for_it() -> None:
    third = "9" * 32
    other = handed(record("books|document", id="2" * 32), record("crm|order", id="3" * 32, order=third))
    after = take_over(state(record("books|document", id="1" * 32)), other)
    apart = f"books|document|#{SECOND_KEY}"
    assert after.writes == {
        "books|document": record("books|document", id="1" * 32),
        apart: record(apart, id="2" * 32, order=SECOND_KEY),
        "crm|order": record("crm|order", id="3" * 32, order=third),
    }


def test_the_newest_twenty_conflicts_are_kept_the_survivors_last() -> None:
    mine, theirs = [conflict(number) for number in range(15)], [conflict(number) for number in range(50, 65)]
    after = take_over(state(conflicts=tuple(mine)), handed(conflicts=tuple(theirs)))
    assert after.conflicts == (*theirs[10:], *mine)


@pytest.mark.parametrize(
    ("mine", "theirs", "held"),
    [
        ([], [], False),
        ([record("crm|order", capability="upsert_order")], [record("x|n", capability="add_note")], False),
        ([record("books|document")], [], True),
        ([], [record("books|document")], True),
        ([look(BILL, "books")], [], True),
        ([], [look(BILL, "books")], True),
        ([look(BILL, "books", gone=(1, 5))], [], False),
    ],
)
def test_an_order_with_documents_waits_for_a_person(mine: list[Any], theirs: list[Any], *, held: bool) -> None:
    assert take_over(state(*mine), handed(*theirs)).held is held


@pytest.mark.parametrize(
    ("status", "theirs", "held"),
    [("draft", [], False), ("draft", [record("crm|order", capability="upsert_order")], False), ("open", [], True),
     ("draft", [record("books|document")], True)],
)  # fmt: skip
def test_what_was_no_more_than_a_draft_holds_no_order_up(status: Any, theirs: list[Any], *, held: bool) -> None:
    draft = look(Order(number="D2", status=status, merged_into="1"), id_="2")
    known = state(draft, *theirs, key=SECOND_KEY)
    assert take_over(state(record("books|document")), Handover(order=KEY, state=known)).held is held


@pytest.mark.parametrize(("mine", "theirs", "held"), [(True, False, True), (False, True, True), (False, False, False)])
def test_what_waited_for_a_person_still_waits(*, mine: bool, theirs: bool, held: bool) -> None:
    assert take_over(state(held=mine), handed(held=theirs)).held is held


def test_a_hand_over_that_comes_twice_changes_nothing_but_brings_newer_looks() -> None:
    once = take_over(state(giver()), handed(record("books|document")))
    assert take_over(once, handed(record("books|document"))) is once
    newer = look(Order(number="SO-2", note="late"), id_="2", version=Version(2), digest="d")
    late = Handover(order=KEY, state=state(newer, record("books|x"), key=SECOND_KEY))
    after = take_over(once, late)
    assert after == msgspec.structs.replace(once, objects={**once.objects, newer.object.key: newer})


def test_what_a_person_said_of_documents_holds_for_both_orders_the_survivors_word_first() -> None:
    after = take_over(state(said_of={"a": True}), handed(said_of={"a": False, "b": False}))
    assert after.said_of == {"a": True, "b": False}


@pytest.mark.parametrize("newest", ["mine", "theirs"])
def test_of_an_object_that_both_knew_the_newest_look_stays(newest: str) -> None:
    old, new = (
        look(Order(note=note), "crm", "7", version=Version(at), digest=note) for at, note in ((1, "a"), (2, "b"))
    )
    mine, theirs = (new, old) if newest == "mine" else (old, new)
    assert take_over(state(mine), handed(theirs)).objects[new.object.key] == new


# --------------------------------------------------------------------------------------------- what is passed on
def test_a_result_is_passed_on_under_the_name_that_its_write_has_there() -> None:
    frozen = freeze(second(record("books|document")), KEY)[0]
    apart = f"books|document|#{SECOND_KEY}"
    asked = result("books|document")
    assert forwarded(frozen, asked) == msgspec.structs.replace(asked, order=KEY, write=apart)
    third = f"books|document|#{'9' * 32}"
    holds = msgspec.structs.replace(frozen, writes={**frozen.writes, third: record(third)})
    assert forwarded(holds, result(third)).write == third
    # Its own write came from a third order, under the plain name.
    assert forwarded(frozen, result(third)).write == apart


@pytest.mark.parametrize(
    ("writes", "write", "found"),
    [
        (["books|document"], "books|document", "books|document"),
        (["books|document"], "books|document|#x", "books|document"),
        (["books|document", "books|document|#x"], "books|document|#x", "books|document|#x"),
        ([], "books|document|#x", "books|document|#x"),
        (["books|document|#x"], "books|document|#x|#y", "books|document|#x"),
    ],
)
def test_a_result_finds_its_write_under_either_name(writes: list[str], write: str, found: str) -> None:
    assert resolved({key: record(key) for key in writes}, write) == found


def test_a_hand_over_goes_on_to_where_the_order_went() -> None:
    frozen = OrderState(key=KEY, tenant="acme", alias_of=OTHER_ORDER, aliases=("a" * 32,))
    came = Handover(order=KEY, state=second(), path=(SECOND_KEY,), absorbed=("b" * 32,))
    kept, passed = receive(frozen, came)
    assert kept is frozen
    assert passed == Handover(order=OTHER_ORDER, state=second(), path=(SECOND_KEY, KEY), absorbed=("a" * 32, "b" * 32))


def test_of_orders_that_were_merged_in_a_circle_the_smallest_survives() -> None:
    one, two = "1" * 32, "2" * 32
    known = state(giver(), key=one)
    frozen = OrderState(key=one, tenant="acme", alias_of=two)
    back = Handover(order=one, state=known, path=(one, two))
    assert receive(frozen, back) == (msgspec.structs.replace(known, elected=True), None)
    other = OrderState(key=two, tenant="acme", alias_of=one)
    passed = receive(other, Handover(order=two, state=state(key=two), path=(two, one)))
    assert passed == (other, Handover(order=one, state=state(key=two), path=(two, one, two)))
    # The smaller one is part of this one by now.
    eaten = Handover(order=two, state=state(key=two), path=(two, one), absorbed=(one,))
    assert receive(other, eaten) == (state(key=two, elected=True), None)


# -------------------------------------------------------------------------------------------------- what people see
def test_orders_that_were_merged_into_this_one_are_waited_for() -> None:
    told = giver(merged_from=("2", "3"))
    assert awaited(told, state(told)) == [SECOND, ref("shop", "order", "3")]
    assert awaited(told, state(told, aliases=(SECOND_KEY,))) == [ref("shop", "order", "3")]
    assert awaited(look(BILL), state()) == []


@pytest.mark.parametrize(
    ("there", "lives"),
    [
        ([], True),
        ([look(BILL, "books", "9")], True),
        ([look(BILL, "books", "9", gone=(1, 5))], False),
        ([look(msgspec.structs.replace(BILL, status="void"), "books", "9")], False),
        ([look(msgspec.structs.replace(BILL, status="cancelled"), "books", "9")], False),
    ],
)
def test_a_document_that_was_written_twice_is_told_while_it_lives(there: list[Any], *, lives: bool) -> None:
    apart = f"books|document|#{SECOND_KEY}"
    twice = record(apart, ref("books", "invoice", "9"), order=SECOND_KEY)
    found = findings(state(record("books|document"), twice, *there, aliases=(SECOND_KEY,)))
    key = "books@b/invoice/9"
    told = Finding(
        "double", "warn", f"{key} was written for {SECOND_KEY}, which is one with this order.", key,
        "void or merge one of the two there",
    )  # fmt: skip
    assert found == ([told] if lives else [])


def test_a_write_under_its_own_name_or_without_a_document_is_not_told() -> None:
    bound = record("books|document", ref("books", "invoice", "9"))
    unbound = record(f"books|document|#{SECOND_KEY}")
    assert findings(state(bound, unbound, aliases=(SECOND_KEY,))) == []


def test_an_order_that_waits_for_a_person_says_why() -> None:
    third = "9" * 32
    (told,) = findings(state(held=True, aliases=(SECOND_KEY, third)))
    others = f"{SECOND_KEY}, {third}"
    message = f"Orders with documents are one: {others} and this one; nothing is planned."
    assert told == Finding("merged", "block", message, others, "look at the documents, then `o2c orders resume`")
    assert findings(state(held=True)) == []
    assert findings(state(aliases=(SECOND_KEY,))) == []


# ------------------------------------------------------------------------------------------------------ in a batch
def test_freezing_is_shown_once_and_what_comes_afterwards_is_only_passed_on() -> None:
    decision = Decision(id="d1", tenant="acme", order=KEY, kind="merge", into=OTHER_ORDER)
    known = state(giver())
    frozen = step(known, [decision], WORLD, NOW)
    assert frozen.changed
    assert frozen.public == PublicOrder(key=KEY, tenant="acme", number="SO-1", alias_of=OTHER_ORDER)
    assert frozen.forwards == (Handover(order=OTHER_ORDER, state=known, path=(KEY,)),)
    seen = Seen(ChangeEvent(tenant="acme", object=SHOP, facts=Order(note="late"), version=Version(2)), "5", 3)
    later = Decision(id="d2", tenant="acme", order=KEY, kind="retry")
    after = step(frozen.state, [seen, later, result("books|document"), Tick()], WORLD, NOW)
    assert not after.changed
    assert after.public is None
    event = msgspec.structs.replace(seen.event, order=OTHER_ORDER)
    told = result("books|document")
    assert after.forwards == (
        Seen(event, "5", 3),
        msgspec.structs.replace(later, order=OTHER_ORDER),
        msgspec.structs.replace(told, order=OTHER_ORDER, write=f"books|document|#{KEY}"),
    )


def test_a_foreign_hand_over_is_passed_on_and_shows_nothing() -> None:
    frozen = OrderState(key=KEY, tenant="acme", alias_of=OTHER_ORDER)
    after = step(frozen, [handed()], WORLD, NOW)
    assert (after.state, after.changed, after.public) == (frozen, False, None)
    assert after.forwards == (Handover(order=OTHER_ORDER, state=second(), path=(SECOND_KEY, KEY)),)


def test_its_own_hand_over_on_its_way_round_is_passed_on_and_not_shown_again() -> None:
    low, high = sorted((KEY, SECOND_KEY))
    frozen = OrderState(key=high, tenant="acme", alias_of=low)
    own = Handover(order=high, state=state(giver(), key=high), path=(high, low))
    after = step(frozen, [own], WORLD, NOW)
    assert (after.state, after.public) == (frozen, None)
    assert [(one.order, one.path) for one in after.forwards if isinstance(one, Handover)] == [(low, (high, low, high))]


def test_what_must_be_read_again_is_read_although_the_order_is_frozen_in_the_same_batch() -> None:
    event = ChangeEvent(tenant="acme", object=SHOP, facts=Order(note="a"), version=Version(2), trace="t")
    other = msgspec.structs.replace(event, facts=Order(note="b"))
    known = step(OrderState(key=KEY, tenant="acme"), [Seen(event)], WORLD, NOW).state
    decision = Decision(id="d1", tenant="acme", order=KEY, kind="merge", into=OTHER_ORDER)
    after = step(known, [Seen(other), decision], WORLD, NOW)
    assert after.state.alias_of == OTHER_ORDER
    assert after.hints == (Hint(tenant="acme", object=SHOP, reason=TIE, trace="t"),)


@pytest.mark.parametrize("first", ["payment", "back"])
def test_a_circle_ends_with_a_living_order_and_what_came_meanwhile_goes_round_once_more(first: str) -> None:
    low, high = sorted((KEY, SECOND_KEY))
    frozen = OrderState(key=low, tenant="acme", alias_of=high)
    back = Handover(order=low, state=state(giver(), key=low), path=(low, high))
    paid = payment()
    after = step(frozen, [paid, back] if first == "payment" else [back, paid], WORLD, NOW)
    assert after.state.elected
    passed = Seen(msgspec.structs.replace(paid.event, order=high))
    assert after.forwards == ((passed,) if first == "payment" else ())
    assert (paid.event.object.key in after.state.objects) is (first == "back")


def test_the_source_is_asked_where_the_orders_went_that_have_not_handed_over() -> None:
    told = Seen(ChangeEvent(tenant="acme", object=SHOP, facts=Order(merged_from=("2",)), version=Version(2)))
    after = step(state(giver()), [told], WORLD, NOW)
    assert after.hints == (Hint(tenant="acme", object=SECOND, reason=f"{MERGED_INTO}1"),)


@pytest.mark.parametrize(("tenant", "heard"), [("acme", True), ("zeta", False)])
def test_nobodys_word_reaches_beyond_their_own_orders(tenant: str, *, heard: bool) -> None:
    decision = Decision(id="d1", tenant=tenant, order=KEY, kind="merge", into=OTHER_ORDER)
    assert (step(state(giver()), [decision], WORLD, NOW).state.alias_of == OTHER_ORDER) is heard
    other = msgspec.structs.replace(second(), tenant=tenant)
    came = Handover(order=KEY, state=other)
    assert (SECOND_KEY in step(state(giver()), [came], WORLD, NOW).state.aliases) is heard
