"""Laws of the core, for histories that nobody thought of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decisions import Decision
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Facts, Line, Order, Payment
from schemas.refs import ObjectRef, order_key
from schemas.state import Observation, OrderState
from streams.order.derive import derive
from streams.order.merge import is_gone, join, merge, observation
from streams.order.step import Forward, Input, Seen, Tick, step
from tests.simulator import company

pytestmark = pytest.mark.no_cover  # thousands of histories cost several times as much with every line counted
WORLD = company.world()
SHOP = ObjectRef("shop", "s", "order", "1")
KEY = order_key(company.TENANT, SHOP)
EMPTY = OrderState(key=KEY, tenant=company.TENANT)
_KINDS = ("order", "payment")


def _facts(kind: str, text: str, amount: int) -> Facts:
    if kind == "payment":
        return Payment(amount=Decimal(amount), currency="EUR", reference=text)
    line = Line(sku="MUG", unit_price=Decimal(amount), net_amount=Decimal(amount))
    return Order(number="SO-1", currency="EUR", payable_amount=Decimal(amount), lines=(line,), note=text)


@st.composite
def looks(draw: st.DrawFn) -> Seen:
    """Draw a webhook, a read or a 404 of the order or one of three payments."""
    kind = draw(st.sampled_from(_KINDS))
    ref = SHOP if kind == "order" else ObjectRef("shop", "s", kind, draw(st.sampled_from("abc")))
    read = draw(st.booleans())
    stamp = (draw(st.integers(1, 2)), draw(st.integers(1, 4))) if read else (0, 0)
    deleted = draw(st.integers(0, 9)) == 0
    version = Version(draw(st.integers(0, 3)), read, *stamp)
    share: str | None = None
    number = 0
    if kind == "payment":
        share, number = draw(st.sampled_from(((None, 0), ("3", 1), ("0", 2))))
    event = ChangeEvent(
        tenant=company.TENANT,
        object=ref,
        facts=None if deleted else _facts(kind, draw(st.sampled_from(("", "x", "y"))), draw(st.integers(1, 40))),
        presence="deleted" if deleted else "present",
        version=version,
        anchors=() if kind == "order" else (Anchor("order", SHOP),),
    )
    return Seen(event, share, number)


histories = st.lists(looks(), min_size=1, max_size=8)


def _merged(history: Sequence[Seen]) -> dict[str, Observation]:
    state = EMPTY
    for one in history:
        state = merge(state, one.event, one.share, one.share_version) or state
    return state.objects


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


@settings(max_examples=500, deadline=None)
@given(histories, st.data())
def test_permutations_and_repeats_give_byte_equal_observations(history: list[Seen], data: st.DataObject) -> None:
    again = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=4))))
    assert _bytes(_merged(again)) == _bytes(_merged(history))


@settings(max_examples=300, deadline=None)
@given(looks(), looks(), looks())
def test_looks_at_one_object_form_a_lattice(one: Seen, two: Seen, three: Seen) -> None:
    first, second, third = (
        msgspec.structs.replace(observation(seen.event, seen.share, seen.share_version), object=SHOP)
        for seen in (one, two, three)
    )
    assert join(first, first) == first
    assert join(first, second) == join(second, first)
    assert join(join(first, second), third) == join(first, join(second, third))


@settings(max_examples=200, deadline=None)
@given(histories, st.data())
def test_the_order_that_is_derived_does_not_depend_on_the_sequence(history: list[Seen], data: st.DataObject) -> None:
    again = data.draw(st.permutations(history))
    one, two = (derive(msgspec.structs.replace(EMPTY, objects=_merged(seen)), WORLD) for seen in (history, again))
    assert _bytes(one and one.public) == _bytes(two and two.public)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_planning_twice_and_hearing_everything_twice_plans_nothing(history: list[Seen]) -> None:
    first = step(EMPTY, history, WORLD, company.START)
    assert step(first.state, [Tick()], WORLD, company.START).commands == ()
    second = step(first.state, history, WORLD, company.START + timedelta(minutes=1))
    assert (second.commands, second.changed) == ((), False)


@settings(max_examples=200, deadline=None)
@given(histories, st.integers(0, 8))
def test_a_state_survives_being_stored_between_any_two_events(history: list[Seen], cut: int) -> None:
    inputs: list[Input] = list(history)
    first = step(EMPTY, inputs[:cut], WORLD, company.START).state
    stored = msgspec.json.decode(_bytes(first), type=OrderState)
    assert stored == first
    whole, parts = (step(state, inputs[cut:], WORLD, company.START).state for state in (first, stored))
    assert _bytes(whole) == _bytes(parts)


@settings(max_examples=300, deadline=None)
@given(histories)
def test_after_a_404_only_a_read_revives(history: list[Seen]) -> None:
    for look in _merged(history).values():
        if look.gone > look.last_read:
            assert is_gone(look)


@settings(max_examples=200, deadline=None)
@given(histories)
def test_no_money_is_counted_twice_or_invented(history: list[Seen]) -> None:
    objects = _merged(history)
    found = derive(msgspec.structs.replace(EMPTY, objects=objects), WORLD)
    if found is None:
        return
    shown = [look.facts.amount for look in objects.values() if isinstance(look.facts, Payment) and not is_gone(look)]
    limit = sum((max(amount, Decimal(3)) for amount in shown), Decimal(0))
    assert Decimal(0) <= found.public.paid_amount <= limit
    assert found.public.amount_due >= 0


OTHER = order_key(company.TENANT, ObjectRef("shop", "s", "order", "2"))


def _merge_into(into: str) -> Decision:
    other = KEY if into == OTHER else OTHER
    return Decision(id=f"m{into}", tenant=company.TENANT, order=other, kind="merge", into=into)


def _order_of(one: Forward) -> str:
    return one.event.order if isinstance(one, Seen) else one.order


@settings(max_examples=150, deadline=None)
@given(histories, st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 8), st.data())
def test_orders_that_become_one_know_what_one_order_would_know(
    history: list[Seen], sides: list[bool], at: int, data: st.DataObject
) -> None:
    """Whenever two orders are merged, also each into the other, one lives and holds every look; no write has two ids."""
    states = {key: OrderState(key=key, tenant=company.TENANT) for key in (KEY, OTHER)}
    queue: list[tuple[str, Input]] = [(KEY if side else OTHER, one) for one, side in zip(history, sides, strict=False)]
    queue.insert(at, (OTHER, _merge_into(KEY)))
    if data.draw(st.booleans()):
        queue.insert(data.draw(st.integers(0, len(queue))), (KEY, _merge_into(OTHER)))
    asked: dict[tuple[str, str], set[str]] = {}
    steps = 0
    while queue:
        key, one = queue.pop(0)
        stepped = step(states[key], [one], WORLD, company.START)
        states[key] = stepped.state
        for command in stepped.commands:
            if command.kind != "set":
                asked.setdefault((command.order, command.write), set()).add(command.id)
        queue += [(_order_of(forward), forward) for forward in stepped.forwards]
        steps += 1
        assert steps < 200, "forwarded for ever"
    (living,) = [state for state in states.values() if not state.alias_of]
    assert living.aliases == ((KEY if living.key == OTHER else OTHER),)
    assert _bytes(living.objects) == _bytes(_merged(history))
    assert all(len(ids) == 1 for ids in asked.values())


@settings(max_examples=100, deadline=None)
@given(histories)
def test_a_hand_over_that_comes_twice_changes_nothing(history: list[Seen]) -> None:
    first = step(OrderState(key=OTHER, tenant=company.TENANT), [*history, _merge_into(KEY)], WORLD, company.START)
    once = step(EMPTY, list(first.forwards), WORLD, company.START)
    again = step(once.state, list(first.forwards), WORLD, company.START)
    assert (again.changed, again.commands) == (False, ())
