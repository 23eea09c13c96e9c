"""Looks at objects and results of writes, merged one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.commands import Pair, Result
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Invoice
from schemas.state import Agreed, Observation, OrderState, WriteRecord
from streams.order.merge import (
    advance_bases,
    bind_marks,
    content_digest,
    copies,
    is_gone,
    join,
    merge,
    merge_result,
    observation,
    tied,
    with_writes,
)
from tests.unit.streams.order.sample import EMPTY, KEY, NOW, SHOP
from tests.unit.streams.order.states import OTHER_ORDER, WRITE, look, mark, record, ref, state

BILL = ref("books", "invoice", "1")
ANCHORS = (Anchor("order", SHOP),)


def seen(note: str = "", **changes: Any) -> ChangeEvent:
    values: dict[str, Any] = {"tenant": "acme", "object": BILL, "facts": Invoice(note=note), "anchors": ANCHORS}
    return ChangeEvent(**{**values, **changes})


def read(epoch: int, seq: int, native: int = 0) -> Version:
    return Version(native, read=True, epoch=epoch, seq=seq)


# ------------------------------------------------------------------------------------------------- looks


def test_a_first_look_is_kept_whole() -> None:
    event = seen("x", version=read(2, 7, native=3), mirror_of=mark(), changed_at=NOW)
    assert observation(event, "5", 4) == Observation(
        object=BILL,
        version=read(2, 7, native=3),
        facts=Invoice(note="x"),
        mirror_of=mark(),
        anchors=ANCHORS,
        changed_at=NOW,
        digest=content_digest(event),
        last_read=(2, 7),
        share="5",
        share_version=4,
    )


def test_a_webhook_is_no_read() -> None:
    found = observation(seen(version=Version(3, read=False, epoch=1, seq=2)))
    assert (found.last_read, found.gone, found.share, found.share_version) == ((0, 0), (0, 0), None, 0)


def test_a_read_that_finds_nothing_keeps_only_when_and_whose_share() -> None:
    event = seen(version=read(2, 7), presence="deleted", facts=None)
    wanted = Observation(object=BILL, presence="deleted", gone=(2, 7), share="5", share_version=4)
    assert observation(event, "5", 4) == wanted


def test_a_webhook_of_a_deletion_is_a_look_like_another() -> None:
    found = observation(seen(version=Version(3), presence="deleted", facts=None))
    assert (found.presence, found.version, found.gone, is_gone(found)) == ("deleted", Version(3), (0, 0), True)
    assert found.digest


def test_the_digest_is_of_what_is_shown_and_nothing_else() -> None:
    base = content_digest(seen("x"))
    assert content_digest(seen("x", version=read(1, 1), changed_at=NOW, trace="t")) == base
    others = [seen("y"), seen("x", mirror_of=mark()), seen("x", anchors=())]
    assert base not in {content_digest(one) for one in others}
    assert len(base) == 16


def test_merging_returns_the_new_state_or_nothing() -> None:
    first = merge(EMPTY, seen(version=read(1, 1)), "5", 1)
    assert first is not None
    assert first.objects == {BILL.key: observation(seen(version=read(1, 1)), "5", 1)}
    assert merge(first, seen(version=read(1, 1)), "5", 1) is None
    other = merge(first, seen(object=ref("books", "invoice", "2")))
    assert other is not None
    assert set(other.objects) == {BILL.key, "books@b/invoice/2"}
    again = merge(first, seen("new", version=read(1, 2)), "6", 2)
    assert again is not None
    (joined,) = again.objects.values()
    assert (joined.share, joined.share_version, joined.facts) == ("6", 2, Invoice(note="new"))


def test_the_newest_look_wins_and_each_maximum_is_its_own() -> None:
    old = observation(seen("old", version=read(1, 1)), "5", 2)
    new = observation(seen("new", version=read(1, 3)), "6", 1)
    gone = observation(seen(version=read(1, 2), presence="deleted", facts=None))
    for one, two in ((old, new), (new, old)):
        joined = join(join(one, gone), two)
        assert (joined.facts, joined.last_read, joined.gone) == (Invoice(note="new"), (1, 3), (1, 2))
        assert (joined.share, joined.share_version) == ("5", 2)


@pytest.mark.parametrize(
    ("one", "two", "kept"), [("0", "5", "5"), ("0", None, None), ("5", "7", "7"), ("5", None, "5")]
)
def test_at_one_version_what_an_order_has_beats_what_it_lost(one: str, two: str | None, kept: str | None) -> None:
    left, right = observation(seen("x"), one, 1), observation(seen("x"), two, 1)
    assert join(left, right).share == join(right, left).share == kept


def test_a_look_that_names_no_share_has_none_of_any_version() -> None:
    found = merge(EMPTY, seen())
    assert found is not None
    assert found.objects[BILL.key].share_version == 0


def test_when_it_was_found_last_is_kept_whatever_is_newest() -> None:
    hook = observation(seen("new", version=Version(9)))
    found = observation(seen("old", version=read(1, 3, native=2)))
    assert join(hook, found).last_read == join(found, hook).last_read == (1, 3)
    missing = observation(seen(version=read(1, 2), presence="deleted", facts=None))
    assert join(hook, missing).gone == join(missing, hook).gone == (1, 2)


def test_a_look_without_content_never_hides_one_with() -> None:
    gone = observation(seen(version=read(9, 9), presence="deleted", facts=None))
    known = observation(seen("x"))
    assert join(gone, known).facts == join(known, gone).facts == Invoice(note="x")
    stub = Observation(object=BILL, version=read(9, 9))
    assert join(stub, known).facts == join(known, stub).facts == Invoice(note="x")


def test_equal_versions_are_told_apart_by_their_content() -> None:
    one, two = (observation(seen(note)) for note in "xy")
    assert join(one, two) == join(two, one) == max(one, two, key=lambda shown: shown.digest)


@pytest.mark.parametrize(
    ("gone", "last_read", "presence", "is_so"),
    [
        ((0, 0), (0, 0), "present", False),
        ((1, 2), (1, 1), "present", True),
        ((1, 1), (1, 1), "present", False),
        ((1, 1), (1, 2), "present", False),
        ((0, 0), (1, 1), "deleted", True),
    ],
)
def test_what_was_not_found_later_than_found_is_gone(
    gone: tuple[int, int], last_read: tuple[int, int], presence: Any, *, is_so: bool
) -> None:
    assert is_gone(Observation(object=BILL, gone=gone, last_read=last_read, presence=presence)) is is_so


@pytest.mark.parametrize(
    ("event", "is_so"),
    [
        (seen("y"), True),
        (seen("x"), False),
        (seen("y", version=Version(2)), False),
        (seen("y", presence="deleted", facts=None), False),
        (seen("y", object=ref("books", "invoice", "2")), False),
    ],
)
def test_two_contents_of_one_version_are_a_tie(event: ChangeEvent, *, is_so: bool) -> None:
    known = merge(EMPTY, seen("x"))
    assert known is not None
    assert tied(known, event) is is_so


def test_a_read_that_found_nothing_ties_with_nothing() -> None:
    gone = merge(EMPTY, seen(version=read(0, 0), presence="deleted", facts=None))
    assert gone is not None
    assert not tied(gone, seen("x", version=Version()))


# ----------------------------------------------------------------------------------------------- results


def result(**changes: Any) -> Result:
    values: dict[str, Any] = {
        "command": "k",
        "order": KEY,
        "write": "books|document",
        "tenant": "acme",
        "connection": "books",
        "account": "b",
        "capability": "upsert_invoice",
        "outcome": "confirmed",
        "digest": "d",
        "epoch": 1,
    }
    return Result(**{**values, "offset": 5, **changes})


def asked(**changes: Any) -> WriteRecord:
    return record("books|document", changes.pop("bound", None), **{"digest": "d", "result": (1, 4), **changes})


def after(known: WriteRecord, told: Result) -> WriteRecord:
    found = merge_result(state(known, record("crm|order")), told)
    assert found is not None
    assert found.writes["crm|order"] == record("crm|order")
    return found.writes[known.key]


@pytest.mark.parametrize(
    "told",
    [
        result(write="books|other"),
        result(offset=4),
        result(epoch=0, offset=9),
        result(generation=1),
    ],
)
def test_what_is_old_or_of_another_write_changes_nothing(told: Result) -> None:
    assert merge_result(state(asked()), told) is None


def test_the_answer_to_what_nobody_remembers_to_have_asked_makes_its_record() -> None:
    told = result(canonical="shop@s/order/1", bound=BILL, made={"note": Pair("b", "B")}, source="shop")
    found = merge_result(EMPTY, told)
    assert found is not None
    (known,) = found.writes.values()
    assert (known.key, known.id, known.canonical, known.source) == (told.write, told.command, "shop@s/order/1", "shop")
    assert (known.bound, known.base, known.outcome) == (BILL, {"note": Pair("b", "B")}, "confirmed")
    assert merge_result(found, told) is None


def test_the_answer_to_a_set_that_nobody_remembers_names_no_create() -> None:
    found = merge_result(EMPTY, result(canonical="shop@s/order/1"))
    assert found is not None
    assert [known.id for known in found.writes.values()] == [""]


@pytest.mark.parametrize("known", [EMPTY, state(tenant="other"), state(aliases=(OTHER_ORDER,))])
def test_an_answer_that_tells_too_little_or_is_of_others_makes_no_record(known: OrderState) -> None:
    canonical = "" if known is EMPTY else "shop@s/order/1"
    assert merge_result(known, result(canonical=canonical, bound=BILL)) is None


def test_a_confirmed_write_is_kept_with_what_the_system_made_of_it() -> None:
    known = asked(base={"note": Pair("a", "a"), "total": Pair("1", "1")}, stopped="d", look=(2, 2), reason="busy")
    told = result(bound=BILL, made={"note": Pair("b", "B")}, look=(1, 9), outage=3, reason="")
    assert after(known, told) == msgspec.structs.replace(
        known,
        outcome="confirmed",
        bound=BILL,
        base={"note": Pair("b", "B"), "total": Pair("1", "1")},
        stopped="",
        reason="",
        outage=3,
        look=(2, 2),
        result=(1, 5),
    )


@pytest.mark.parametrize(
    ("outcome", "stopped"),
    [("rejected", "d"), ("unsupported", "d"), ("uncertain", "before"), ("stale", "before"), ("deferred", "before")],
)
def test_only_a_refusal_stops_the_wish(outcome: Any, stopped: str) -> None:
    known = asked(stopped="before", bound=BILL)
    found = after(known, result(outcome=outcome, reason="why", shown={"note": "x"}, look=(3, 1)))
    assert (found.outcome, found.stopped, found.reason, found.bound) == (outcome, stopped, "why", BILL)
    assert found.stale == ({"note": "x"} if outcome == "stale" else {})
    assert (found.look, found.result) == ((3, 1), (1, 5))


@pytest.mark.parametrize("told", [result(digest="earlier"), result(outcome="superseded")])
def test_the_answer_to_an_earlier_wish_settles_nothing(told: Result) -> None:
    found = after(asked(outcome="uncertain", stale={"note": "x"}), told)
    assert (found.outcome, found.stale, found.result) == ("uncertain", {}, (1, 5))


def test_records_are_replaced_one_by_one() -> None:
    one, two = record("books|document"), record("crm|order")
    changed = with_writes(state(one, two), {two.key: msgspec.structs.replace(two, reason="new")})
    assert changed.writes == {one.key: one, two.key: msgspec.structs.replace(two, reason="new")}


# ------------------------------------------------------------------------------------------ bases and marks


def _agreed(value: str) -> dict[str, Agreed]:
    return {"note": Agreed(value, "shop"), "po_number": Agreed("7", "shop")}


def test_a_field_that_shows_the_agreed_value_has_it_as_its_base() -> None:
    there = look(Invoice(note="new"), "books", last_read=(1, 1))
    base = {"note": Pair("old", "old"), "total": Pair("1", "1")}
    known = state(there, record("books|document", there.object, base=base), record("crm|order"), agreed=_agreed("new"))
    moved = advance_bases(known).writes["books|document"].base
    assert moved == {"note": Pair("new", "new"), "total": Pair("1", "1")}


@pytest.mark.parametrize(
    ("shown", "agreed", "write"),
    [
        ({"facts": Invoice(note="other")}, "new", {}),
        ({"presence": "deleted"}, "new", {}),
        ({}, "new", {"base": {}}),
        ({}, "new", {"base": {"note": Pair("sent", "new")}}),
        ({}, "new", {"look": (1, 2)}),
        ({"object": ref("books", "invoice", "2")}, "new", {}),
    ],
)
def test_other_fields_keep_their_base(shown: dict[str, Any], agreed: str, write: dict[str, Any]) -> None:
    there = look(**{"facts": Invoice(note="new"), "system": "books", "last_read": (1, 1), **shown})
    kept = record("books|document", BILL, **{"base": {"note": Pair("old", "old")}, **write})
    known = state(there, kept, agreed=_agreed(agreed))
    assert advance_bases(known) is known


def test_a_look_of_the_same_moment_as_the_write_counts_for_the_base() -> None:
    there = look(Invoice(note="new"), "books", last_read=(1, 2))
    hidden = look(Invoice(note="new"), "books", "0", presence="deleted")
    writes = [
        record("books|document-0", hidden.object, base={"note": Pair("old", "old")}),
        record("books|document", there.object, base={"note": Pair("old", "old")}, look=(1, 2)),
    ]
    found = advance_bases(state(hidden, there, *writes, agreed=_agreed("new")))
    assert found.writes["books|document"].base == {"note": Pair("new", "new")}
    assert found.writes["books|document-0"].base == {"note": Pair("old", "old")}


def _marked(id_: str, system: str = "books", **changes: Any) -> Observation:
    return look(Invoice(), system, id_, **{"mirror_of": mark(), **changes})


def test_an_object_with_our_mark_is_bound_and_the_oldest_id_wins() -> None:
    known = state(record("books|document"), record("books|later", id=""), _marked("2"), _marked("1"))
    assert bind_marks(known).writes["books|document"].bound == BILL


@pytest.mark.parametrize(
    "parts",
    [
        (record("books|document", id=""), _marked("1")),
        (record("books|document"), _marked("1", "crm")),
        (record("books|document"), _marked("1", object=msgspec.structs.replace(BILL, account="other"))),
        (record("books|document"), _marked("1", mirror_of=None)),
        (record("books|document"), _marked("1", mirror_of=mark(write="c" * 32))),
        (record("books|document", ref("books", "invoice", "9")), _marked("1")),
        (record("books|document"),),
    ],
)
def test_nothing_else_is_bound(parts: tuple[Any, ...]) -> None:
    known = state(*parts)
    assert bind_marks(known) is known


def test_a_bound_or_unasked_write_does_not_keep_the_next_from_being_bound() -> None:
    first, second = record("books|a", ref("books", "invoice", "9")), record("books|b", id="")
    third = record("books|c", id="c" * 32)
    known = state(first, second, third, _marked("1", mirror_of=mark(write="c" * 32)))
    assert bind_marks(known).writes["books|c"].bound == BILL


def test_a_second_living_object_with_the_mark_is_a_copy() -> None:
    known = state(record("books|document", BILL), _marked("1"), _marked("2"), _marked("3", presence="deleted"))
    assert [one.object.id for one in copies(known)] == ["2"]
    assert copies(state(record("books|document"), _marked("2"))) == []
    strange = _marked("4", mirror_of=mark(OTHER_ORDER, "d" * 32))
    assert copies(state(record("books|document", BILL), strange)) == []


def test_a_mark_names_the_write_by_its_first_digits() -> None:
    assert mark().endswith(f":{WRITE[:12]}")
