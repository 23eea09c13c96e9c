"""A paid invoice that is corrected: the credit of the old one is used on the new one, and only the rest is owed."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from schemas.flow import Target
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(6))
_BOOKS = (Target(connection="books", document="invoice"),)
_FAULTS: tuple[Fault, ...] = ("", "", "after", "before", "crash")


def _open(play: Simulation) -> list[Decimal]:
    books = play.systems["books"]
    return [books.open(doc.id) for doc in play.live("books", "invoice")]


@SEEDS
def test_the_credit_of_a_corrected_invoice_is_used_on_the_new_one(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS), doubles=True)
    play.owners["books"].faults = _FAULTS
    key, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.total(order, "120.00")
    play.settle()
    assert _open(play) == [Decimal(0), Decimal(20)]
    play.pay("shop", "20.00", order=order.id)
    play.settle()
    assert _open(play) == [Decimal(0), Decimal(0)]
    assert len(play.systems["books"].applied) == 1
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())


@SEEDS
def test_money_that_comes_in_one_batch_with_the_change_is_on_the_new_one(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS), doubles=True, deaths=0.1)
    play.owners["books"].faults = _FAULTS
    key, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    with play.one_batch(key):
        play.total(order, "120.00")
        play.pay("shop", "20.00", order=order.id)
    play.settle()
    assert _open(play) == [Decimal(0), Decimal(0)]
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())


@pytest.mark.parametrize("seed", range(40))
def test_money_that_comes_while_an_invoice_is_corrected_waits_for_the_new_one(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS), doubles=True, deaths=0.1)
    play.owners["books"].faults = _FAULTS
    key, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.total(order, "120.00")
    play.told(order)
    for _ in range(play.dice.randint(0, 12)):
        play._move()
    play.pay("shop", "20.00", order=order.id)
    play.settle()
    assert _open(play) == [Decimal(0), Decimal(0)]
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())


def test_where_the_credit_is_refused_for_good_money_is_on_the_old_one() -> None:
    play = Simulation(1, company.world(targets=_BOOKS))
    key, order = play.order()
    play.pay("shop", "70.00", order=order.id)
    play.settle()
    play.systems["books"].refuses = {"issue_credit"}
    play.total(order, "120.00")
    play.settle()
    play.pay("shop", "30.00", order=order.id)
    play.settle()
    assert _open(play) == [Decimal(0)]
    assert [one.capability for one in play.public[key].waiting] == ["issue_credit"]


@SEEDS
def test_a_second_correction_uses_what_the_first_one_left(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    _, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    for total, owed in (("80.00", "0"), ("130.00", "30")):
        play.total(order, total)
        play.settle()
        assert sum(_open(play), Decimal(0)) == Decimal(owed)
    left = [doc.facts.remaining_amount for doc in play.live("books", "credit")]  # type: ignore[union-attr]
    assert left == [Decimal(0), Decimal(0)]


@SEEDS
def test_a_partly_paid_invoice_keeps_only_its_paid_part_for_the_new_one(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    _, order = play.order()
    play.pay("shop", "30.00", order=order.id)
    play.settle()
    play.total(order, "120.00")
    play.settle()
    assert _open(play) == [Decimal(0), Decimal(90)]


@SEEDS
def test_where_the_ledger_cannot_use_a_credit_a_person_is_told(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    ledger = company.PLATFORMS["ledgerr"]
    able = {name: effect for name, effect in ledger.capabilities.items() if name != "apply_credit"}
    unable = {**company.PLATFORMS, "ledgerr": msgspec.structs.replace(ledger, capabilities=able)}
    play.world = msgspec.structs.replace(play.world, platforms=unable)
    key, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.total(order, "120.00")
    play.settle()
    assert play.finding(key, "credit_unapplied")
    credit, bill = play.live("books", "credit")[0], play.live("books", "invoice")[1]
    play.systems["books"].set_off(credit, bill.id)
    play.look("books", credit)
    play.settle()
    assert not play.finding(key, "credit_unapplied")


@SEEDS
def test_a_note_goes_into_the_history_of_a_ledger_whose_invoices_have_none(seed: int) -> None:
    ledger = company.PLATFORMS["ledgerr"]
    shows = {name: fields - {"note"} for name, fields in ledger.shows.items()}
    able = {**ledger.capabilities, "add_note": ledger.capabilities["upsert_invoice"]}
    play = Simulation(seed, company.world(targets=_BOOKS), doubles=True)
    platforms = {**company.PLATFORMS, "ledgerr": msgspec.structs.replace(ledger, capabilities=able, shows=shows)}
    play.world = msgspec.structs.replace(play.world, platforms=platforms)
    play.owners["books"].faults = _FAULTS
    _, order = play.order(note="ring twice")
    play.settle()
    (bill,) = play.live("books", "invoice")
    for note in ("leave at the door", "ring twice", ""):
        play.edit("shop", order, note=note)
        play.settle()
    assert play.systems["books"].notes == [(bill.id, "ring twice"), (bill.id, "leave at the door")]


def test_a_note_that_the_invoice_shows_is_not_written_beside_it() -> None:
    play = Simulation(1)
    play.order(note="ring twice")
    play.settle()
    assert "add_note" not in {one.capability for one in play.commands}
