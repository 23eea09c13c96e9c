"""What a batch comes to: the state, what is shown and asked, and what it goes back to."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair, Result
from schemas.decisions import Decision
from schemas.events import TIE, ChangeEvent, Hint, Version
from schemas.facts import Invoice, Order
from schemas.state import Agreed, Conflict, OrderState
from streams.order.alias import take_over
from streams.order.step import Seen, Stepped, Tick, step
from streams.order.world import World
from tests.unit.streams.order.sample import EMPTY, FLOW, KEY, NOW, SHOP, WORLD, order, payment
from tests.unit.streams.order.states import giver, look, record, ref, state

TOLD = NOW - timedelta(seconds=9)
DEAL = ref("crm", "order", "7")


def seen(native: int = 1, seq: int = 0, trace: str = "", told_at: Any = None, **facts: Any) -> Seen:
    event = order(native, **facts).event
    version = Version(native, read=bool(seq), epoch=bool(seq), seq=seq)
    return Seen(msgspec.structs.replace(event, version=version, trace=trace, told_at=told_at))


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "command": "c", "order": KEY, "write": "crm|order", "tenant": "acme", "connection": "crm", "account": "c",
        "capability": "upsert_order", "outcome": "confirmed", "epoch": 1, "offset": 1, "trace": "r", "told_at": TOLD,
    }  # fmt: skip
    return Result(**{**values, **changes})


def world(**flow: Any) -> World:
    flows = (msgspec.structs.replace(FLOW, **flow),)
    return World(facts=msgspec.structs.replace(WORLD.facts, flows=flows), platforms=WORLD.platforms)


def test_nothing_new_is_nothing() -> None:
    first = step(EMPTY, [seen()], WORLD, NOW)
    assert step(first.state, [seen()], WORLD, NOW) == Stepped(state=first.state, changed=False)
    assert step(EMPTY, [], WORLD, NOW) == Stepped(state=EMPTY, changed=False)


def test_a_stub_that_nothing_happened_to_sleeps_on_when_its_time_comes() -> None:
    stub = state(giver(), asleep=True, expired_at=NOW)
    assert step(stub, [Tick()], WORLD, NOW) == Stepped(state=stub, changed=False)


def test_a_woken_stub_that_was_read_again_is_planned_like_every_order() -> None:
    stub = state(giver(), asleep=True, expired_at=NOW)
    woken = step(stub, [seen(2, note="late")], WORLD, NOW)
    assert (woken.state.asleep, woken.state.expired_at) == (False, NOW)
    assert woken.public is not None
    assert {one.presence for one in woken.commands} == {"unknown"}
    half = state(giver(), look(None, "crm", "7"), asleep=True, expired_at=NOW)
    reads = step(half, [seen(2, trace="t", note="late")], WORLD, NOW)
    assert (reads.public, reads.changed, reads.state.asleep) == (None, True, False)
    assert [hint.reason for hint in reads.hints] == ["expired"]
    # Two looks of one version besides: all that must be read is asked for.
    tied = step(half, [seen(2, note="a"), seen(2, note="b", trace="t", told_at=TOLD)], WORLD, NOW)
    assert [(hint.object, hint.reason) for hint in tied.hints] == [(SHOP, TIE), (ref("crm", "payment", "7"), "expired")]


def test_parts_of_an_order_that_was_not_seen_wait() -> None:
    one = payment()
    event = msgspec.structs.replace(one.event, trace="t")
    first = step(EMPTY, [Seen(event)], WORLD, NOW)
    assert (first.changed, first.public, first.commands, first.trace) == (True, None, (), "t")
    assert list(first.state.objects) == ["shop@s/payment/p1"]
    again = step(first.state, [Tick()], WORLD, NOW)
    assert again == Stepped(state=first.state, changed=False)
    other = msgspec.structs.replace(event, facts=msgspec.structs.replace(event.facts, reference="x"))  # type: ignore[type-var]
    tied = step(first.state, [Seen(other)], WORLD, NOW)
    assert tied.hints == (Hint(tenant="acme", object=event.object, reason=TIE, trace="t"),)


def test_two_contents_of_one_version_are_read_again_each_object_once() -> None:
    first = step(EMPTY, [seen(trace="t", told_at=TOLD), payment()], WORLD, NOW).state
    money = payment().event
    odd = msgspec.structs.replace(money, facts=msgspec.structs.replace(money.facts, method="card"))  # type: ignore[type-var]
    found = step(first, [Seen(odd), seen(note="x", trace="u", told_at=TOLD)], WORLD, NOW)
    assert found.hints == (
        Hint(tenant="acme", object=SHOP, reason=TIE, trace="u", told_at=TOLD),
        Hint(tenant="acme", object=money.object, reason=TIE),
    )


def test_two_contents_of_one_version_are_read_again_although_nothing_else_came_of_it() -> None:
    known = step(EMPTY, [seen(seq=1), seen(seq=1, note="late")], WORLD, NOW).state
    kept = known.objects[SHOP.key].facts
    assert isinstance(kept, Order)
    odd = seen(seq=1, trace="u", note="" if kept.note else "late")
    tie = Hint(tenant="acme", object=SHOP, reason=TIE, trace="u")
    assert step(known, [odd], WORLD, NOW) == Stepped(state=known, changed=False, hints=(tie,))
    again = step(known, [odd, seen(seq=2, note=kept.note)], WORLD, NOW)
    assert (again.hints, again.told_again) == ((tie,), True)


def test_the_same_again_keeps_what_was_planned_and_passes_on_only_what_must_be_read() -> None:
    planned = step(EMPTY, [seen(seq=1)], WORLD, NOW).state
    again = step(planned, [seen(seq=2, trace="t")], WORLD, NOW)
    objects = {
        SHOP.key: msgspec.structs.replace(
            planned.objects[SHOP.key], version=Version(1, read=True, epoch=1, seq=2), last_read=(1, 2)
        )
    }
    kept = msgspec.structs.replace(planned, objects=objects)
    assert again == Stepped(state=kept, changed=True, told_again=True, trace="t")


def test_what_is_shown_carries_all_findings_once_and_in_order_and_the_kept_conflicts() -> None:
    refused = record("crm|order", outcome="rejected", stopped="d", reason="no", capability="upsert_order")
    lost = Conflict(field="note", kept="a", lost="b", at=NOW)
    known = state(refused, conflicts=(lost,))
    found = step(known, [seen(payable_amount=Decimal("24.01"))], world(mode="shadow"), NOW)
    assert found.public is not None
    assert [one.code for one in found.public.findings] == ["rejected", "rounding"]
    assert found.public.conflicts == (lost,)
    assert found.shadow
    assert not step(known, [seen()], WORLD, NOW).shadow


def test_a_new_conflict_is_kept_with_the_time_it_was_found() -> None:
    deal = look(Order(number="SO-1", note="theirs"), "crm", "7")
    copy = record("crm|order", DEAL, capability="upsert_order", outcome="confirmed")
    known = state(
        giver(note="old"), deal, copy, agreed={"note": Agreed("old", "x", {SHOP.key: "old", DEAL.key: "old"})}
    )
    found = step(known, [seen(2, note="ours")], WORLD, NOW)
    assert [(one.kept, one.lost, one.at) for one in found.state.conflicts] == [("ours", "theirs", NOW)]
    assert found.public is not None
    assert found.public.conflicts == found.state.conflicts
    assert found.state.agreed["note"].value == "ours"


def test_what_everybody_shows_becomes_the_base() -> None:
    deal = look(msgspec.structs.replace(giver().facts, note="ours"), "crm", "7", last_read=(1, 9))  # type: ignore[type-var]
    base = {"note": Pair("old", "old")}
    copy = record("crm|order", DEAL, capability="upsert_order", outcome="confirmed", base=base, look=(1, 5))
    known = state(giver(note="old"), deal, copy, agreed={"note": Agreed("old", SHOP.key, {SHOP.key: "old"})})
    after = step(known, [seen(2, note="ours")], WORLD, NOW).state
    assert after.writes["crm|order"].base == {"note": Pair("ours", "ours")}


@pytest.mark.parametrize(("after", "asleep"), [(timedelta(days=400), True), (timedelta(days=399), False)])
def test_an_order_of_which_nothing_is_open_becomes_a_stub_when_its_time_comes(
    after: timedelta, *, asleep: bool
) -> None:
    done = step(EMPTY, [seen(status="cancelled")], WORLD, NOW)
    assert done.state.due_at == NOW + timedelta(days=400)
    later = step(done.state, [Tick()], WORLD, NOW + after)
    assert (later.state.asleep, later.changed) == (asleep, asleep)
    if asleep:
        expected = msgspec.structs.replace(done.state, asleep=True, expired_at=NOW + after, due_at=None)
        assert later == Stepped(state=expected, changed=True)
    # A change that comes with that very tick is planned first.
    news = step(done.state, [Tick(), seen(2, status="cancelled", note="late")], WORLD, NOW + after)
    assert not news.state.asleep


def test_the_cause_of_a_batch_is_what_was_told_first() -> None:
    found = step(EMPTY, [seen(trace="t", told_at=TOLD), payment()], WORLD, NOW)
    assert found.trace == "t"
    assert {(one.trace, one.told_at) for one in found.commands} == {("t", TOLD)}
    asked = found.state.writes["crm|order"]
    assert (asked.trace, asked.told_at) == ("t", TOLD)
    answer = result(bound=DEAL, digest=asked.digest)
    assert step(found.state, [answer], WORLD, NOW).trace == "r"
    assert step(found.state, [Tick()], WORLD, NOW).trace == ""


def test_a_result_of_an_order_that_was_taken_over_finds_its_write_under_its_new_name() -> None:
    apart = f"crm|order|#{'9' * 32}"
    other = record(apart, id="2" * 32, capability="upsert_order")
    known = state(giver(), record("crm|order", capability="upsert_order"), other, aliases=("9" * 32,))
    after = step(known, [result(write=apart, bound=DEAL)], WORLD, NOW).state
    assert (after.writes[apart].bound, after.writes["crm|order"].bound) == (DEAL, None)
    plain = state(giver(), record("crm|order", capability="upsert_order"), aliases=("9" * 32,))
    after = step(plain, [result(write=apart, bound=DEAL)], WORLD, NOW).state
    assert after.writes["crm|order"].bound == DEAL
    alone = state(giver(), record("crm|order", capability="upsert_order"))
    assert step(alone, [result(write=apart, bound=DEAL)], WORLD, NOW).state.writes["crm|order"].bound is None


def test_an_order_is_looked_at_again_when_its_writes_are_due() -> None:
    asked = step(EMPTY, [seen()], WORLD, NOW)
    assert asked.commands
    assert asked.state.due_at == NOW + timedelta(seconds=FLOW.replan_seconds)


def test_a_value_is_given_back_at_the_time_of_the_batch() -> None:
    lost = Conflict(field="note", kept="a", lost="b", kept_by=SHOP.key, lost_by=DEAL.key)
    known = state(giver(note="a"), agreed={"note": Agreed("a", SHOP.key, {SHOP.key: "a"})}, conflicts=(lost,))
    decision = Decision(id="d1", tenant="acme", order=KEY, kind="revert", field="note")
    (swapped,) = step(known, [decision], WORLD, NOW).state.conflicts
    assert (swapped.kept, swapped.at) == ("b", NOW)


def test_a_share_belongs_to_the_look_that_brought_it() -> None:
    one = Seen(payment().event, "5", 2)
    (kept,) = step(EMPTY, [one], WORLD, NOW).state.objects.values()
    assert (kept.share, kept.share_version) == ("5", 2)


def test_a_merge_in_the_source_freezes_the_order_that_was_merged_away() -> None:
    told = ChangeEvent(tenant="acme", object=SHOP, facts=Order(merged_into="2"), version=Version(2))
    frozen = step(state(giver()), [Seen(told)], WORLD, NOW)
    (handover,) = frozen.forwards
    assert frozen.state.alias_of == handover.order  # type: ignore[union-attr]
    assert take_over(OrderState(key=frozen.state.alias_of, tenant="acme"), handover).aliases == (KEY,)  # type: ignore[arg-type]


def test_another_kind_of_decision_does_not_merge() -> None:
    decision = Decision(id="d1", tenant="acme", order=KEY, kind="resume", into="9" * 32)
    after = step(state(giver(), held=True), [decision], WORLD, NOW)
    assert (after.state.alias_of, after.state.held, after.state.decisions) == ("", False, ("d1",))


def test_objects_with_our_mark_are_bound_before_anything_is_planned() -> None:
    first = step(EMPTY, [seen()], WORLD, NOW)
    (command,) = [one for one in first.commands if one.connection == "books"]
    bill = ref("books", "invoice", "5")
    facts = Invoice(currency="EUR", payable_amount=Decimal(24))
    event = ChangeEvent(tenant="acme", object=bill, facts=facts, mirror_of=command.mark, version=Version(1))
    assert step(first.state, [Seen(event)], WORLD, NOW).state.writes["books|document"].bound == bill
