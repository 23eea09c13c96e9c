"""What a person says of a parked object: it is an order's, nobody's, or to be looked at again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.events import SYNC, Anchor, ChangeEvent, Version
from schemas.facts import Payment
from schemas.links import Answer, Bind, LinkRow, Place, Say
from schemas.refs import ObjectRef
from streams.order.link import PATIENCE, Linked, on_message, on_tick

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PAYMENT = ObjectRef("books", "b", "payment", "p1")
INVOICE = ObjectRef("books", "b", "invoice", "i1")


def _event(seq: int) -> ChangeEvent:
    return ChangeEvent(
        tenant="t",
        object=PAYMENT,
        facts=Payment(amount=Decimal(50 + seq), currency="EUR"),
        anchors=(Anchor("object", INVOICE, "50.00"),),
        version=Version(read=True, epoch=1, seq=seq),
    )


def _listed() -> LinkRow:
    """Return the row of a payment whose invoice nobody knows, as it is once it is listed."""
    row = on_message(LinkRow(key=PAYMENT.key), Place(key=PAYMENT.key, event=_event(1)), NOW).row
    row = on_message(row, Answer(key=PAYMENT.key, anchor=INVOICE.key), NOW).row
    row = on_tick(row, NOW + PATIENCE).row
    row = on_tick(row, NOW + 2 * PATIENCE).row
    assert row.listed
    return row


def _say(row: LinkRow, word: str, order: str = "", minutes: int = 0) -> Linked:
    at = NOW + timedelta(hours=1, minutes=minutes)
    return on_message(row, Say(key=row.key, word=word, order=order, at=at), at)  # type: ignore[arg-type]


def test_a_linked_object_goes_whole_to_the_named_order_and_leaves_the_list() -> None:
    linked = _say(_listed(), "link", "o1")
    assert [(placed.order, placed.share) for placed in linked.placed] == [("o1", None)]
    assert (linked.row.listed, linked.row.waiting_since, linked.due_at) == (False, None, None)


def test_a_linked_object_that_changes_stays_with_its_order() -> None:
    row = _say(_listed(), "link", "o1").row
    again = on_message(row, Place(key=row.key, event=_event(2)), NOW)
    assert [(placed.order, placed.share) for placed in again.placed] == [("o1", None)]
    assert again.row.waiting_since is None


def test_what_the_systems_say_later_stands_above_the_word_of_a_person() -> None:
    row = _say(_listed(), "link", "o1").row
    moved = on_message(row, Answer(key=row.key, anchor=INVOICE.key, order="o2", version=1), NOW)
    assert {placed.order: placed.share for placed in moved.placed} == {"o1": "0", "o2": "50.00"}


def test_nobodys_object_is_not_listed_again_when_it_changes() -> None:
    dismissed = _say(_listed(), "dismiss")
    assert (dismissed.row.listed, dismissed.placed, dismissed.due_at) == (False, (), None)
    again = on_message(dismissed.row, Place(key=PAYMENT.key, event=_event(2)), NOW)
    assert (again.row.waiting_since, again.due_at) == (None, None)
    assert on_tick(again.row, NOW + 9 * PATIENCE).parked is None


def test_nobodys_object_finds_its_order_all_the_same_once_its_anchor_does() -> None:
    row = _say(_listed(), "dismiss").row
    found = on_message(row, Answer(key=row.key, anchor=INVOICE.key, order="o2", version=1), NOW)
    assert [(placed.order, placed.share) for placed in found.placed] == [("o2", "50.00")]


def test_a_dismissed_link_takes_the_object_from_the_order() -> None:
    row = _say(_listed(), "link", "o1").row
    dismissed = _say(row, "dismiss", minutes=1)
    assert [(placed.order, placed.share) for placed in dismissed.placed] == [("o1", "0")]


def test_to_look_again_reads_the_object_and_what_it_names_and_lists_it_anew_when_nothing_is_found() -> None:
    released = _say(_listed(), "release")
    assert {(hint.object, hint.reason) for hint in released.hints} == {(PAYMENT, SYNC), (INVOICE, SYNC)}
    assert not released.row.listed
    assert released.due_at == NOW + timedelta(hours=1) + PATIENCE
    assert on_tick(released.row, released.due_at).parked is not None


@pytest.mark.parametrize("word", ["link", "dismiss", "release"])
def test_a_word_said_twice_or_too_late_changes_nothing(word: str) -> None:
    first = _say(_listed(), word, "o1", minutes=5).row
    for late in (_say(first, word, "o1", minutes=5), _say(first, "link", "o9", minutes=4)):
        assert (late.row, late.messages, late.placed, late.hints) == (first, (), (), ())


def test_an_order_that_claims_a_released_object_ends_the_wait() -> None:
    released = _say(_listed(), "release").row
    assert on_message(released, Bind(key=PAYMENT.key, order="o3"), NOW).row.waiting_since is None
