"""A stage that somebody moves while ours waits to be written: SCENARIOS 27 and 37 for a status."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from schemas.commands import Command
from schemas.facts import Line, Order
from schemas.flow import Target
from schemas.refs import ObjectRef, order_key
from streams.order.derive.status import HEADLINES
from streams.order.plan.wants import shown_word
from tests.simulator import company
from tests.simulator.fakes import Doc, life_of
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


def _deal_paid_while_the_crm_waits(seed: int) -> tuple[Simulation, str, Doc]:
    """Play an order of the shop that was paid, of which the CRM was not told yet."""
    play = Simulation(seed)
    key, order = play.order()
    play.settle()
    play.owners["crm"].muted = True
    play.pay("shop", "100.00", order=order.id)
    play.settle(0)
    assert [one.status for one in play.owners["crm"].inbox.values()] == ["paid"]
    return play, key, play.live("crm", "order")[0]


def _go_on(play: Simulation) -> None:
    play.owners["crm"].muted = False
    play.settle()


@SEEDS
def test_37_a_stage_that_a_person_moved_on_before_the_write_stays_and_is_told(seed: int) -> None:
    play, key, deal = _deal_paid_while_the_crm_waits(seed)
    play.systems["crm"].edit(deal, status="cancelled", headline="cancelled", stage="cancelled")  # nobody told of it
    _go_on(play)
    assert deal.facts.stage == "cancelled"  # type: ignore[union-attr]
    assert play.finding(key, "status_differs")


@SEEDS
def test_37_a_stage_that_was_moved_elsewhere_below_ours_is_shown_anew(seed: int) -> None:
    play, key, deal = _deal_paid_while_the_crm_waits(seed)
    play.systems["crm"].edit(deal, headline="invoiced", stage="invoiced")
    _go_on(play)
    assert deal.facts.stage == "paid"  # type: ignore[union-attr]
    assert not play.finding(key, "status_differs")
    assert [one.base["status"].made for one in play.commands if one.capability == "set_status"] == ["open", "invoiced"]


@pytest.mark.parametrize("seed", range(60))
def test_whenever_a_person_moves_a_stage_on_no_write_lowers_it_again(seed: int) -> None:
    play = Simulation(seed, doubles=True, deaths=0.1)
    crm = play.systems["crm"]
    play.owners["crm"].faults = ("", "", "before", "after", "crash")
    lowered, apply = list[tuple[str, str]](), crm.apply

    def watched(command: Command, now: datetime) -> Doc:
        if command.capability == "set_status":
            shown = shown_word(crm.docs[command.bound_id].facts)  # type: ignore[arg-type]
            lowered.extend(
                [(shown, command.status)] if HEADLINES.index(shown) > HEADLINES.index(command.status) else []
            )
        return apply(command, now)

    crm.apply = watched  # type: ignore[method-assign]
    key, order = play.order()
    play.run(play.dice.choice((0, 30, 400)))
    for _ in range(6):
        if play.dice.random() < 0.5:
            play.pay("shop", "25.00", order=order.id)
        elif deals := play.systems["crm"].of("order"):
            further = HEADLINES[HEADLINES.index(shown_word(deals[0].facts)) :]  # type: ignore[arg-type]
            word = play.dice.choice([one for one in further if one in company.PLATFORMS["crmm"].stages])
            moved = {"status": life_of(word), "headline": word, "stage": word}
            if play.dice.random() < 0.5:
                play.edit("crm", deals[0], **moved)
            else:
                crm.edit(deals[0], **moved)  # nobody told of it
        play.run(play.dice.choice((0, 0.2, 1, 30, 400)))
    play.settle()
    assert lowered == []
    assert not play.public[key].waiting


@SEEDS
def test_37_an_order_that_its_owner_cancelled_before_the_write_ends_and_so_does_its_bill(seed: int) -> None:
    targets = (Target(connection="crm"), Target(connection="books", document="invoice"))
    play = Simulation(seed, company.world(key_giver="crm", targets=targets))
    line = Line(id="l1", sku="MUG", unit_price=Decimal(100), net_amount=Decimal(100))
    facts = Order(
        number="D-1", currency="EUR", payable_amount=Decimal(100), lines=(line,), stage="open", headline="open",
        placed_at=play.now,
    )  # fmt: skip
    deal = play.systems["crm"].add("order", facts, play.now)
    play.owners["crm"].muted = True
    play.look("crm", deal)
    play.settle(0)
    assert [one.status for one in play.owners["crm"].inbox.values()] == ["invoiced"]
    play.systems["crm"].edit(deal, status="cancelled", headline="cancelled", stage="cancelled")
    _go_on(play)
    assert deal.facts.stage == "cancelled"  # type: ignore[union-attr]
    assert play.public[order_key(company.TENANT, ObjectRef("crm", "c", "order", deal.id))].life_cycle == "cancelled"
    assert play.live("books", "invoice") == []
