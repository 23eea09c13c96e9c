"""What an object that no order has waits for: its time, its parents, and a person's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.events import SYNC, Anchor, Hint
from schemas.links import LinkRow, Parked, Say
from schemas.refs import ObjectRef
from streams.order.link import PATIENCE, Linked, on_message, on_tick
from tests.unit.streams.order.rows import BILL, OTHER, PAY, answer, arrived, on, seen, waiting
from tests.unit.streams.order.sample import KEY, NOW

# ----------------------------------------------------------------------------------------- alone, and time


def test_an_entry_without_anchors_makes_its_order_at_once_and_with_anchors_after_their_time() -> None:
    at_once = on_message(LinkRow(key=PAY.key), arrived(seen(), "mine"), NOW)
    assert [(one.order, one.share) for one in at_once.placed] == [("mine", None)]
    assert at_once.row.waiting_since is None
    patient = on_message(waiting(on(BILL), alone="mine"), answer(BILL, "", 1), NOW)
    assert patient.placed == ()
    late = on_tick(patient.row, NOW + PATIENCE)
    assert [(one.order, one.share) for one in late.placed] == [("mine", None)]
    assert (late.messages, late.row.asked_source, late.row.waiting_since) == ((), False, None)
    again = on_message(late.row, answer(BILL, "", 2), NOW)
    assert [one.order for one in again.placed] == ["mine"]


@pytest.mark.parametrize(
    ("row", "after", "due"),
    [
        (waiting(on(BILL)), PATIENCE - timedelta(seconds=1), NOW + PATIENCE),
        (waiting(on(BILL), waiting_since=None), 9 * PATIENCE, None),
        (LinkRow(key=PAY.key, waiting_since=NOW), 9 * PATIENCE, NOW + PATIENCE),
    ],
)
def test_nothing_happens_before_its_time(row: LinkRow, after: timedelta, due: Any) -> None:
    assert on_tick(row, NOW + after) == Linked(row=row, due_at=due)


def test_the_parents_are_read_then_a_person_is_asked() -> None:
    number = Anchor("number", ObjectRef("", "", "number", "SO-1"))
    row, later = waiting(on(BILL), number, on(OTHER)), NOW + PATIENCE
    asked = on_tick(row, later)
    reads = tuple(Hint(tenant="acme", object=target, reason="parent") for target in (BILL, OTHER))
    again = msgspec.structs.replace(row, asked_source=True, waiting_since=later)
    assert asked == Linked(row=again, hints=reads, due_at=later + PATIENCE)
    last = later + PATIENCE
    parked = Parked(object=PAY, tenant="acme", anchors=(BILL.key, "number/acme/so-1", OTHER.key), since=later)
    listed = msgspec.structs.replace(again, listed=True)
    assert on_tick(again, last) == Linked(row=listed, parked=parked, due_at=last + PATIENCE)


# ------------------------------------------------------------------------------------------------- what a person says


def say(word: Any, order: str = "", at: Any = NOW) -> Say:
    return Say(key=PAY.key, word=word, order=order, at=at)


@pytest.mark.parametrize("word", ["link", "dismiss", "release"])
def test_a_word_about_what_was_not_seen_yet_is_kept(word: str) -> None:
    row = LinkRow(key=PAY.key)
    assert on_message(row, say(word), NOW) == Linked(row=msgspec.structs.replace(row, said=say(word)))


def test_an_object_whose_anchors_have_not_answered_goes_nowhere_yet() -> None:
    row = waiting(on(BILL), listed=True, asked_source=True)
    linked = on_message(row, say("link", KEY), NOW)
    kept = msgspec.structs.replace(row, said=say("link", KEY))
    assert linked == Linked(row=kept, due_at=NOW + PATIENCE)
    dismissed = on_message(row, say("dismiss"), NOW)
    idle = waiting(on(BILL), waiting_since=None, said=say("dismiss"))
    assert dismissed == Linked(row=idle)
    later = NOW + timedelta(hours=1)
    released = on_message(row, say("release"), later)
    again = waiting(on(BILL), waiting_since=later, asked_source=True, said=say("release"))
    reads = tuple(Hint(tenant="acme", object=target, reason=SYNC) for target in (PAY, BILL))
    assert released == Linked(row=again, hints=reads, due_at=later + PATIENCE)


def test_to_look_again_needs_no_parents_to_be_read_before_it_is_listed_and_no_number_to_be_read() -> None:
    number = Anchor("number", ObjectRef("", "", "number", "SO-1"))
    released = on_message(waiting(number), say("release"), NOW)
    assert released.row.asked_source
    assert [hint.object for hint in released.hints] == [PAY]


def test_what_an_order_has_waits_for_nothing_when_it_is_looked_at_again() -> None:
    bound = waiting(on(BILL), order=KEY, waiting_since=None)
    released = on_message(bound, say("release"), NOW)
    assert (released.row.waiting_since, released.due_at) == (None, None)
    assert released.hints


def test_a_linked_object_is_not_read_again_and_a_late_word_leaves_the_wait_as_it_is() -> None:
    row = waiting(on(BILL), answers={BILL.key: answer(BILL)})
    linked = on_message(row, say("link", KEY), NOW)
    assert [placed.order for placed in linked.placed] == [KEY]
    assert linked.hints == ()
    said = waiting(on(BILL), said=say("release"))
    assert on_message(said, say("link", KEY, NOW - PATIENCE), NOW) == Linked(row=said, due_at=NOW + PATIENCE)


def test_a_tick_asks_no_anchor_again() -> None:
    own = waiting(on(BILL), alone=KEY)
    assert on_tick(own, NOW + PATIENCE).messages == ()
