"""What was published last decides which looks are told again."""

from __future__ import annotations

import tracemalloc

import msgspec

from app.connectors.known import Known
from schemas.events import ChangeEvent, Hint, Version
from schemas.facts import Order
from schemas.refs import ObjectRef

REF = ObjectRef("crm", "4711", "deals", "9")


def _look(seq: int, stage: str, native: int = 0) -> ChangeEvent:
    version = Version(native=native, read=True, epoch=1, seq=seq)
    return ChangeEvent(tenant="demo", object=REF, facts=Order(stage=stage, currency="EUR"), version=version)


def test_the_same_look_is_told_once() -> None:
    known = Known()
    assert known.is_new(_look(1, "open"))
    known.note(_look(1, "open"))
    assert not known.is_new(_look(2, "open"))
    assert known.is_new(_look(3, "paid"))
    assert known.is_new(_look(3, "open", native=5))


def test_a_value_that_is_set_back_after_our_write_is_told() -> None:
    known = Known()
    known.note(_look(1, "open"))
    known.note(_look(2, "paid"))
    assert known.is_new(_look(3, "open"))


def test_a_read_that_overlaps_a_write_does_not_pass_for_the_newest_look() -> None:
    known = Known()
    known.note(_look(6, "paid"))
    known.note(_look(5, "open"))
    assert known.is_new(_look(7, "open"))
    assert not known.is_new(_look(7, "paid"))


def test_an_object_that_was_written_unseen_is_told_in_any_case() -> None:
    known = Known()
    known.note(_look(1, "open"))
    known.forget(REF)
    assert known.is_new(_look(2, "open"))


def test_a_search_that_shows_the_known_version_needs_no_read() -> None:
    known = Known()
    assert known.is_newer(Hint(tenant="demo", object=REF, native=7))
    known.note(_look(1, "open", native=7))
    assert not known.is_newer(Hint(tenant="demo", object=REF, native=7))
    assert known.is_newer(Hint(tenant="demo", object=REF, native=8))
    assert known.is_newer(Hint(tenant="demo", object=REF))


def test_only_so_many_objects_are_remembered() -> None:
    known = Known(size=1)
    known.note(_look(1, "open"))
    other = ChangeEvent(tenant="demo", object=ObjectRef("crm", "4711", "deals", "10"), facts=Order(currency="EUR"))
    known.note(other)
    assert known.is_new(_look(2, "open"))


def test_of_what_a_write_showed_the_first_look_is_an_echo() -> None:
    known = Known()
    known.note(_look(1, "open"), "shop")
    assert [known.echoed(REF), known.echoed(REF)] == ["shop", ""]
    known.note(_look(2, "paid"), "shop")
    known.note(_look(3, "open"))
    assert known.echoed(REF) == ""


def test_a_version_of_any_size_is_remembered() -> None:
    known = Known()
    known.note(_look(1, "open", native=2**70))
    assert not known.is_new(_look(2, "open", native=2**70))


def test_what_is_remembered_of_an_object_is_small() -> None:
    """Every connection remembers so many: what fills for hours would look like a leak."""
    known = Known()
    tracemalloc.start()
    try:
        for number in range(5_000):
            look = _look(1_000 + number, "open", native=10**15 + number)
            known.note(msgspec.structs.replace(look, object=msgspec.structs.replace(REF, id=f"{number:032}")))
        assert tracemalloc.get_traced_memory()[0] / 5_000 < 300  # bytes
    finally:
        tracemalloc.stop()
