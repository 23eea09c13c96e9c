"""Orders of which nothing is open become stubs; what comes late is answered after what was forgotten was read again."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from schemas.facts import Credit
from schemas.flow import Target
from streams.order.step import Tick
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(6))
_TARGETS = (Target(connection="crm", order=True), Target(connection="books", document="invoice", asks="never"))


def _closed(seed: int, **changes: object) -> tuple[Simulation, str, Doc]:
    """Play an order to its end and let it expire."""
    play = Simulation(seed, company.world(targets=_TARGETS, expire_days=90, **changes))
    key, order = play.order()
    play.pay("shop", "60.00", order=order.id)
    play.pay("shop", "40.00", order=order.id)
    play.settle()
    play.edit("shop", order, status="closed", stage="closed")
    play.settle()
    play.settle(24 * 89)
    assert not play.states[key].asleep
    play.settle(24 * 91)
    return play, key, order


@SEEDS
def test_a_closed_order_shrinks_and_stays_silent(seed: int) -> None:
    play, key, order = _closed(seed)
    state = play.states[key]
    assert (state.asleep, state.due_at) == (True, None)
    assert {record.outcome for record in state.writes.values()} == {"confirmed"}
    assert [look.object.id for look in state.objects.values() if look.facts is not None] == [order.id]
    assert play.public[key].financial == "paid"
    commands = len(play.commands)
    play.fold(key, Tick())
    play.look("shop", order)
    play.settle()
    assert len(play.commands) == commands
    assert len(msgspec.json.encode(state)) < 8_000


@SEEDS
def test_28_a_refund_for_an_order_that_expired_creates_nothing_before_everything_was_read(seed: int) -> None:
    play, key, order = _closed(seed)
    writes = play.writes()
    refund = Credit(document="refund", amount=Decimal(30), currency="EUR")
    play.look("shop", play.systems["shop"].add("credit", refund, play.now, order=order.id))
    play.run(60)
    assert play.writes() == writes
    asked = [hint.object for hint in play.hints if hint.reason == "expired"]
    assert {ref.connection for ref in asked} == {"shop", "crm", "books"}
    assert play.public[key].refunded_amount == Decimal(0), "half-known sums are not shown"
    _read(play)
    play.settle()
    assert play.public[key].refunded_amount == Decimal(30)
    assert play.sum("books", "credit") == Decimal(30)
    assert [len(play.live("books", kind)) for kind in ("invoice", "payment", "credit")] == [1, 2, 1]
    late = [one for one in play.commands if one.capability == "issue_credit"]
    assert {one.presence for one in late} == {"unknown"}


@SEEDS
def test_a_hint_that_was_lost_is_given_again(seed: int) -> None:
    play, key, order = _closed(seed)
    play.edit("shop", order, note="late")
    play.run(60)
    first = len(play.hints)
    play.settle(2)
    assert len(play.hints) > first
    _read(play)
    play.settle(2)
    assert play.public[key].findings == ()
    assert play.live("crm", "order")[0].facts.note == "late"  # type: ignore[union-attr]


@SEEDS
def test_what_was_deleted_meanwhile_is_not_waited_for(seed: int) -> None:
    play, key, order = _closed(seed)
    bill = play.live("books", "invoice")[0]
    bill.gone = True
    play.edit("shop", order, note="late")
    play.run(60)
    _read(play)
    play.settle(2)
    assert not play.states[key].asleep
    assert play.finding(key, "document_ended")
    assert play.live("books", "invoice") == []


def test_an_order_with_something_open_never_expires() -> None:
    play = Simulation(1, company.world(targets=_TARGETS, expire_days=90))
    key, order = play.order()
    play.pay("shop", "60.00", order=order.id)
    play.settle()
    play.now += timedelta(days=1000)
    play.fold(key, Tick())
    play.settle()
    assert not play.states[key].asleep


def test_zero_days_mean_never() -> None:
    play = Simulation(1, company.world(targets=_TARGETS, expire_days=0))
    key, order = play.order()
    play.edit("shop", order, status="cancelled", stage="cancelled")
    play.settle()
    play.now += timedelta(days=5000)
    play.fold(key, Tick())
    assert not play.states[key].asleep


def _read(play: Simulation) -> None:
    """Read what the order asked for, as its owners do."""
    for hint in [hint for hint in play.hints if hint.reason == "expired"]:
        play.look(hint.object.connection, play.systems[hint.object.connection].docs[hint.object.id])
    play.hints.clear()
