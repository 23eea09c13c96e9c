"""An order that is changed twice in a moment and then paid: money comes on a document that bills the last total."""

from __future__ import annotations

import pytest

from schemas.facts import Invoice
from schemas.flow import Target
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

_FAULTS: tuple[Fault, ...] = ("", "", "", "before", "after", "slow", "crash")


def _told(play: Simulation, doc: Doc) -> None:
    """Have all that the shop told of a document folded, and some of what follows."""
    play.told(doc)
    for _ in range(play.dice.randint(0, 4)):
        play._move()


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("faults", [(), _FAULTS])
def test_money_waits_for_the_answer_to_the_last_total(seed: int, faults: tuple[Fault, ...]) -> None:
    targets = (Target(connection="books", document="invoice"),)
    play = Simulation(seed, company.world(targets=targets), doubles=bool(faults), deaths=0.2 * bool(faults))
    for owner in play.owners.values():
        owner.faults = faults or owner.faults
    key, doc = play.order("100.00")
    if seed % 3:
        play.settle()
    for amount in ("150.00", "200.00"):
        play.total(doc, amount)
        _told(play, doc)
    play.pay("shop", "200.00", order=doc.id)
    play.settle()
    (bill,) = play.systems["books"].of("invoice")
    assert isinstance(bill.facts, Invoice)
    assert f"{bill.facts.payable_amount:.2f}" == "200.00"
    assert play.systems["books"].of("credit") == []
    assert f"{play.sum('books', 'payment'):.2f}" == "200.00"
    assert (play.public[key].financial, play.public[key].findings) == ("paid", ())
