"""A worker that dies after it told of what it folded, and before it kept that: its commands are out, its state is not."""

from __future__ import annotations

import pytest

from schemas.facts import Invoice
from schemas.flow import Target
from tests.simulator import company
from tests.simulator.simulation import Simulation


@pytest.mark.parametrize("seed", range(8))
def test_an_invoice_that_was_made_meanwhile_is_ours_and_follows_the_order(seed: int) -> None:
    play = Simulation(seed, company.world(targets=(Target(connection="books", document="invoice"),)), deaths=1.0)
    key, doc = play.order("100.00")
    while not play.live("books", "invoice"):
        assert play._move()
    play.total(doc, "150.00")
    while any(play.queues.values()):
        assert play._move()
    play.deaths = 0.0
    play.settle()
    (bill,) = play.live("books", "invoice")
    assert isinstance(bill.facts, Invoice)
    assert f"{bill.facts.payable_amount:.2f}" == "150.00"
    assert play.public[key].findings == ()
    assert play.parked == []
