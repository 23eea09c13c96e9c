"""Consent was taken back and is given again six hours later: what waited is written once, in order, and nothing is lost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from streams.order.step import Tick
from tests.simulator import company
from tests.simulator.simulation import Simulation

HOURS = 6


@pytest.mark.parametrize("seed", range(8))
def test_what_waited_six_hours_is_written_once_and_in_order(seed: int) -> None:
    play = Simulation(seed)
    orders = [play.order(), play.order()]
    play.settle()
    books = play.owners["books"]
    books.down, books.outage = "The token endpoint answered 400 (invalid_grant).", 1
    began, before = play.now, len(books.platform.writes)
    for hour in range(HOURS):
        play.edit("shop", orders[0][1], note=f"hour {hour}")
        if hour == 2:
            orders.append(play.order())
        if hour == 4:
            for _, order in orders:
                play.pay("shop", "100.00", order=order.id)
        play.settle(1)
        play.now = max(play.now, began + timedelta(hours=hour + 1))
    assert len(books.platform.writes) == before
    assert play.sum("second", "payment") == Decimal(300), "the other ledger goes on"

    books.down = ""
    play.world = company.with_facts(play.world, up={"books": (1, 1)})
    for key, _ in orders:
        play.fold(key, Tick())
    play.settle()
    written = books.platform.writes[before:]
    first, second, third = ([capability for capability, key in written if key == one] for one, _ in orders)
    assert sorted(first) == ["record_payment", "upsert_invoice"], "of six edits the newest, once"
    assert (second, third) == (["record_payment"], ["upsert_invoice", "record_payment"])
    notes = sorted(doc.facts.note for doc in play.live("books", "invoice"))  # type: ignore[union-attr]
    assert notes == ["", "", f"hour {HOURS - 1}"]
    assert play.sum("books", "payment") == play.sum("books", "invoice") == Decimal(300)
