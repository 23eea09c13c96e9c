"""SCENARIO 24: orders that look alike stay apart, each with its documents, and a person is told of a suspicious pair."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from schemas.facts import Line, Party
from schemas.links import Alike
from streams.order.step import step
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))
SHIPPING = Line(id="l2", kind="shipping", name="Parcel", unit_price=Decimal(5), net_amount=Decimal(5))
Change = Callable[[Simulation], dict[str, object]]


def alike(play: Simulation, key: str) -> list[str]:
    """Return what a person is told about the order's looks."""
    return [one.message.partition(":")[0] for one in play.public[key].findings if one.code == "alike"]


@SEEDS
def test_24_three_identical_orders_of_one_minute_are_three_and_each_is_told_of_the_others(seed: int) -> None:
    play = Simulation(seed, doubles=True)
    keys = []
    for _ in range(3):
        keys.append(play.order()[0])
        play.now += timedelta(seconds=20)
    play.settle()
    assert len(set(keys)) == 3
    for system in ("books", "second"):
        assert len(play.live(system, "invoice")) == 3
    others = {0: "SO-2, SO-3", 1: "SO-1, SO-3", 2: "SO-1, SO-2"}
    assert [alike(play, key) for key in keys] == [[f"It looks like {others[place]}"] for place in range(3)]
    assert all(one.severity == "warn" for key in keys for one in play.public[key].findings)


@SEEDS
def test_24_a_checkout_tried_again_with_another_way_of_shipping_is_told_at_once(seed: int) -> None:
    play = Simulation(seed)
    first, order = play.order()
    play.now += timedelta(seconds=50)
    second, _ = play.order("105.00", lines=(*order.facts.lines, SHIPPING))  # type: ignore[union-attr]
    play.run(5)
    assert [alike(play, key) for key in (first, second)] == [["It looks like SO-2"], ["It looks like SO-1"]]


@SEEDS
@pytest.mark.parametrize(
    ("later", "changes"),
    [
        (timedelta(days=7), {}),
        (timedelta(hours=2), {}),
        (timedelta(minutes=1), {"customer": Party(name="Bo", email="bo@example.com")}),
        (timedelta(minutes=1), {"customer": None}),
        (timedelta(minutes=1), {"currency": "USD"}),
        (
            timedelta(minutes=1),
            {"lines": (Line(id="l1", sku="CUP", unit_price=Decimal(100), net_amount=Decimal(100)),)},
        ),
    ],
    ids=["weekly", "two hours later", "another customer", "nobody", "another currency", "other goods"],
)
def test_24_what_is_not_suspicious_is_not_told(seed: int, later: timedelta, changes: dict[str, object]) -> None:
    play = Simulation(seed)
    first, _ = play.order()
    play.settle(1)
    play.now += later
    second, _ = play.order(**changes)  # type: ignore[arg-type]
    play.settle()
    assert [alike(play, key) for key in (first, second)] == [[], []]


@SEEDS
def test_24_to_be_told_of_a_twin_plans_nothing_and_twice_changes_nothing(seed: int) -> None:
    play = Simulation(seed)
    first, _ = play.order()
    play.order()
    play.settle()
    state, asked = play.states[first], len(play.commands)
    told = Alike(order=first, tenant=state.tenant, others=state.alike)
    again = step(state, [told, told], play.world, play.now)
    assert (again.changed, again.commands) == (False, ())
    fresh = step(msgspec.structs.replace(state, alike={}), [told], play.world, play.now)
    assert (fresh.state, fresh.commands, len(play.commands)) == (state, (), asked)
    stranger = step(state, [Alike(order=first, tenant="other", others={"x": "SO-9"})], play.world, play.now)
    assert not stranger.changed


@SEEDS
def test_24_who_looks_like_whom_is_forgotten_after_a_day(seed: int) -> None:
    play = Simulation(seed)
    key, _ = play.order()
    play.order()
    play.settle(1)
    assert [len(row.alike) for name, row in play.rows.items() if name.startswith("alike/")] == [2]
    play.settle(48)
    assert [len(row.alike) for name, row in play.rows.items() if name.startswith("alike/")] == [0]
    assert alike(play, key) == ["It looks like SO-2"], "what was told stays told"
