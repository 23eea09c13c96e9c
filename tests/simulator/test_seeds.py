"""Every seed, whatever goes wrong on the way, ends with what is wanted being what is there."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from schemas.facts import Credit, Order
from streams.order.step import Tick
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

_FAULTS: tuple[Fault, ...] = ("", "", "", "before", "after", "slow", "crash")


def _history(play: Simulation) -> dict[str, tuple[Doc, Decimal, Decimal]]:
    """Play some orders with things happening to them; return key -> (order, paid, credited)."""
    found: dict[str, tuple[Doc, Decimal, Decimal]] = {}
    for _ in range(play.dice.randint(1, 4)):
        key, order = play.order(f"{play.dice.randint(10, 90)}.00")
        found[key] = (order, Decimal(0), Decimal(0))
    for _ in range(play.dice.randint(3, 12)):
        key = play.dice.choice(list(found))
        order, paid, credited = found[key]
        what = play.dice.choice(("pay", "pay", "note", "deal", "refund", "wait", "again"))
        if what == "pay":
            play.pay("shop", "5.00", order=order.id)
            paid += 5
        elif what == "note":
            play.edit("shop", order, note=f"note {play.dice.random():.4f}")
        elif what == "deal" and (deals := [one for one in play.live("crm", "order") if one.mark and key in one.mark]):
            play.edit("crm", deals[0], note=f"deal {play.dice.random():.4f}")
        elif what == "refund" and credited < paid:
            facts = Credit(document="refund", amount=Decimal(5), currency="EUR")
            play.look("shop", play.systems["shop"].add("credit", facts, play.now, order=order.id))
            credited += 5
        elif what == "again":
            play.look("shop", order, hook=play.dice.random() < 0.5)
        play.run(play.dice.choice((0, 1, 30, 400)))
        found[key] = (order, paid, credited)
    return found


@pytest.mark.parametrize("seed", range(50))
def test_every_seed_ends_with_desired_equal_to_observed(seed: int) -> None:
    _ends_well(Simulation(seed, doubles=True))


@pytest.mark.parametrize("seed", range(50))
def test_a_worker_that_dies_after_it_told_and_before_it_kept_changes_nothing(seed: int) -> None:
    _ends_well(Simulation(seed, deaths=0.3))


def _ends_well(play: Simulation) -> None:
    for owner in play.owners.values():
        owner.faults = _FAULTS
        owner.platform.lag = timedelta(seconds=play.dice.choice((0, 10, 60)))
    history = _history(play)
    play.settle()
    for key, (order, paid, credited) in history.items():
        facts, public = order.facts, play.public[key]
        assert isinstance(facts, Order)
        deals = [doc for doc in play.live("crm", "order") if doc.mark and key in doc.mark]
        assert [(deal.facts.headline, deal.facts.note) for deal in deals] == [(public.headline, facts.note)]  # type: ignore[union-attr]
        for ledger in ("books", "second"):
            bills = [doc for doc in play.live(ledger, "invoice") if doc.mark and key in doc.mark]
            assert [(bill.facts.payable_amount, bill.facts.note) for bill in bills] == [  # type: ignore[union-attr]
                (facts.payable_amount, facts.note)
            ]
            for kind, amount in (("payment", paid), ("credit", credited)):
                docs = [doc for doc in play.live(ledger, kind) if doc.mark and key in doc.mark]
                assert sum((doc.facts.amount for doc in docs), Decimal(0)) == amount  # type: ignore[union-attr]
        assert (public.paid_amount, public.refunded_amount, public.waiting) == (paid, credited, ())


@pytest.mark.parametrize("seed", range(20))
def test_replaying_everything_plans_nothing(seed: int) -> None:
    play = Simulation(seed)
    _history(play)
    play.settle()
    commands = len(play.commands)
    states = dict(play.states)
    for name, system in play.systems.items():
        for doc in system.docs.values():
            play.look(name, doc)
    play.settle()
    assert len(play.commands) == commands
    for key, state in states.items():
        play.fold(key, Tick())
        assert play.states[key].agreed.keys() == state.agreed.keys()
    assert len(play.commands) == commands
