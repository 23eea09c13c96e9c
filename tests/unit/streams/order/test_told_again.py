"""A look that shows the same again is kept, but nothing is planned or shown anew for it."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.events import Version
from schemas.facts import Invoice
from schemas.state import Observation, OrderState
from streams.order.merge import observation, told_again
from streams.order.step import Seen, Tick, step
from tests.unit.streams.order.sample import NOW, WORLD, order
from tests.unit.streams.order.states import look, record, state

BILL = Invoice(currency="EUR", payable_amount=24)


def _read(seq: int, **changes: Any) -> Seen:
    event = order(**changes).event
    return Seen(
        msgspec.structs.replace(event, version=Version(native=event.version.native, read=True, epoch=1, seq=seq))
    )


def _planned() -> OrderState:
    first = step(state(), [_read(1)], WORLD, NOW)
    assert first.commands
    return first.state


def test_the_same_look_again_plans_and_shows_nothing_but_is_kept() -> None:
    before = _planned()
    again = step(before, [_read(2)], WORLD, NOW)
    assert (again.changed, again.told_again, again.commands, again.public) == (True, True, (), None)
    assert again.state.due_at == before.due_at
    (key,) = again.state.objects
    assert again.state.objects[key].last_read == (1, 2)


def test_news_and_ticks_are_planned() -> None:
    before = _planned()
    assert not step(before, [_read(2, po_number="PO 9")], WORLD, NOW).told_again
    assert not step(before, [_read(2), Tick()], WORLD, NOW).told_again


def _looks(before: Observation, after: Observation, *writes: Any) -> bool:
    return told_again(state(before, *writes), state(after, *writes))


def test_a_look_that_a_write_waits_for_means_something() -> None:
    old, new = look(BILL, "books", last_read=(1, 1)), look(BILL, "books", last_read=(1, 5))
    assert _looks(old, new)
    assert not _looks(old, new, record("books|document", old.object, look=(1, 3)))
    assert _looks(old, new, record("books|document", old.object, look=(1, 1)))


def test_what_is_gone_or_back_or_new_means_something() -> None:
    old = look(BILL, "books", last_read=(1, 1))
    assert not _looks(old, msgspec.structs.replace(old, gone=(1, 2)))
    assert not _looks(
        msgspec.structs.replace(old, gone=(1, 2)), msgspec.structs.replace(old, gone=(1, 2), last_read=(1, 3))
    )
    assert not told_again(state(old), state(old, look(BILL, "books", "2")))
    assert not _looks(old, msgspec.structs.replace(old, share="3"))
    assert not told_again(state(old), state(old, due_at=NOW))


def test_a_stub_that_is_told_of_again_wakes() -> None:
    stub = msgspec.structs.replace(_planned(), expired_at=NOW, asleep=True)
    assert not step(stub, [_read(2)], WORLD, NOW).told_again
    assert observation(_read(2).event).digest
