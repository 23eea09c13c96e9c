"""SCENARIO 39: an old and a new program own a partition in turns, and the new one keeps a field that the old one lacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from schemas.state import FORMAT, OrderState
from streams.engine.fold import NewerFormat
from streams.processors import orders
from streams.processors.orders import Orders
from streams.processors.stored import Stored
from tests.unit.streams.processors.test_decisions import KEYS, ONE, TWO, WORLD, Topics, _order

GIVEN = "wrapped"


class NewerState(OrderState, frozen=True, omit_defaults=True, kw_only=True):
    """A state as the next version has it."""

    gift: str = ""


class Newer(Orders):
    """The next version: it notes of each order with a note that it is a gift, under a format of its own."""

    def _state(self, key: str, inputs: Sequence[Any], stored: bytes | None) -> OrderState:
        state = super()._state(key, inputs, stored)
        if isinstance(state, NewerState) and state.gift:
            return state
        fields = msgspec.structs.asdict(state)
        if not any(one.event.facts.note for one in inputs):
            return NewerState(**fields)
        return NewerState(**{**fields, "gift": GIVEN, "format": FORMAT + 1})


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that has a table owned by the old program, or by the new one."""
    old = orders._STATE

    def owned(table: Topics, *, by_new: bool) -> None:
        monkeypatch.setattr(orders, "_STATE", Stored(NewerState, FORMAT + 1) if by_new else old)
        table.orders = Newer(WORLD) if by_new else Orders(WORLD)

    return owned


def _gift(table: Topics, order: int) -> str:
    return str(msgspec.json.decode(table.states[KEYS[order].encode()] or b"").get("gift", ""))


def test_39_an_old_and_a_new_worker_alternate_and_a_new_field_of_the_state_is_not_lost(versions: Any) -> None:
    table = Topics()
    versions(table, by_new=False)
    table.event(ONE, _order())
    table.event(TWO, _order(number="8"))

    versions(table, by_new=True)
    table.event(ONE, _order(note="for Ada"), 2)
    table.event(TWO, _order(number="8", po_number="P-1"), 2)
    assert (_gift(table, 0), _gift(table, 1)) == (GIVEN, "")

    versions(table, by_new=False)
    before = dict(table.states)
    with pytest.raises(NewerFormat):
        table.event(ONE, _order(note="for Ada and Bo"), 3)
    assert table.states == before, "the partition stops before it rewrites anything"
    table.event(TWO, _order(number="8", po_number="P-2"), 3)

    versions(table, by_new=True)
    table.event(ONE, _order(note="for Ada and Bo"), 3)
    assert (_gift(table, 0), table.state(0).agreed["note"].value) == (GIVEN, "for Ada and Bo")
    assert (_gift(table, 1), table.state(1).agreed["po_number"].value) == ("", "P-2"), "what has nothing new goes on"
    assert len({(one.order, one.capability, one.id) for one in table.commands() if one.kind == "create"}) == len(KEYS)
