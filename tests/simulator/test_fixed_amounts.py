"""A ledger that cannot change what an issued invoice bills: voided while nobody paid, else credited; then made anew."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Invoice, Line, Payment
from schemas.flow import Target
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))
_BOOKS = (Target(connection="books", document="invoice"),)
_FAULTS: tuple[Fault, ...] = ("", "", "after", "before", "slow", "crash")


def _play(seed: int, **flow: Any) -> Simulation:
    world = company.with_fixed(company.world(targets=_BOOKS, **flow), "books")
    play = Simulation(seed, world, doubles=True, deaths=0.1)
    play.systems["books"].fixed = True
    play.owners["books"].faults = _FAULTS
    return play


def _bills(play: Simulation) -> list[tuple[Decimal, str]]:
    """Return what the invoices bill, the oldest first, and whether they were voided."""
    facts: list[Any] = [doc.facts for doc in play.systems["books"].of("invoice")]
    return [(one.payable_amount, "void" if one.status == "void" else "") for one in facts]


def _alone(play: Simulation) -> None:
    """Assert at each step that no two documents count at once."""
    settle, books = play._move, play.systems["books"]

    def move() -> bool:
        moved = settle()
        credited = [doc.parents["invoice"] for doc in books.of("credit")]
        assert len([doc for doc in play.live("books", "invoice") if doc.id not in credited]) <= 1, play.log[-9:]
        return moved

    play._move = move  # type: ignore[method-assign]


@SEEDS
def test_an_unpaid_invoice_is_voided_and_made_anew_and_never_two_count(seed: int) -> None:
    play = _play(seed)
    _alone(play)
    key, order = play.order()
    play.settle()
    for total in ("120.00", "80.00"):
        play.total(order, total)
        play.settle()
    assert _bills(play) == [(Decimal(100), "void"), (Decimal(120), "void"), (Decimal(80), "")]
    play.pay("shop", "80.00", order=order.id)
    play.settle()
    (bill,) = play.live("books", "invoice")
    assert play.systems["books"].open(bill.id) == 0
    assert (play.public[key].waiting, play.public[key].findings, play.live("books", "credit")) == ((), (), [])


@SEEDS
def test_changes_while_the_old_one_is_voided_are_in_the_next_one(seed: int) -> None:
    play = _play(seed)
    _alone(play)
    _, order = play.order()
    play.settle()
    for total in ("120.00", "130.00", "100.00"):
        play.total(order, total)
        play.run(2)
    play.settle()
    total, _ = _bills(play)[-1]
    assert total == 100
    assert [state for _, state in _bills(play)[:-1]] == ["void"] * (len(_bills(play)) - 1)


@SEEDS
def test_an_order_that_is_cancelled_meanwhile_gets_no_further_invoice(seed: int) -> None:
    play = _play(seed)
    _, order = play.order()
    play.settle()
    play.total(order, "120.00")
    play.run(seed)
    play.edit("shop", order, status="cancelled")
    play.settle()
    assert play.live("books", "invoice") == []


@SEEDS
def test_an_invoice_that_is_paid_before_the_void_comes_is_credited(seed: int) -> None:
    play = _play(seed)
    books = play.owners["books"]
    _, order = play.order()
    play.settle()
    books.muted = True
    play.total(order, "120.00")
    play.settle(1)
    (bill,) = play.live("books", "invoice")
    play.pay("books", "100.00", invoice=bill.id)
    books.muted = False
    play.edit("books", bill, paid_amount=Decimal(100))
    play.settle()
    assert _bills(play) == [(Decimal(100), ""), (Decimal(120), "")]
    notes = play.live("books", "credit")
    assert [doc.parents["invoice"] for doc in notes] == [bill.id]


@SEEDS
def test_money_that_comes_in_one_batch_with_a_change_is_on_the_next_invoice(seed: int) -> None:
    play = _play(seed)
    _alone(play)
    key, order = play.order()
    play.settle()
    with play.one_batch(key):
        play.total(order, "120.00")
        play.pay("shop", "120.00", order=order.id)
    play.settle()
    assert _bills(play) == [(Decimal(100), "void"), (Decimal(120), "")]
    (bill,) = play.live("books", "invoice")
    assert play.systems["books"].open(bill.id) == 0
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())


@SEEDS
def test_after_a_void_that_came_too_late_nothing_is_hung_until_it_is_known_why(seed: int) -> None:
    play = _play(seed)
    play.owners["books"].faults = ("",)
    books = play.systems["books"]
    key, order = play.order()
    play.settle()
    (bill,) = play.live("books", "invoice")
    theirs = Payment(amount=Decimal(100), currency="EUR", paid_at=play.now)
    untold = books.add("payment", theirs, play.now, invoice=bill.id)
    play.total(order, "120.00")
    play.settle(0)
    assert play.states[key].writes["books|room|1"].outcome == "stale"
    play.pay("shop", "20.00", order=order.id)
    play.settle(0)
    assert play.live("books", "payment") == [untold]
    play.look("books", untold)
    play.edit("books", bill, paid_amount=Decimal(100))
    play.settle()
    assert _bills(play) == [(Decimal(100), ""), (Decimal(120), "")]
    _, bill = play.live("books", "invoice")
    hung = [money for money in play.live("books", "payment") if money.id != untold.id]
    assert [(money.facts.amount, money.parents["invoice"]) for money in hung] == [(Decimal(20), bill.id)]  # type: ignore[union-attr]
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())


@SEEDS
def test_a_paid_invoice_is_credited_as_elsewhere(seed: int) -> None:
    play = _play(seed)
    _, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.total(order, "120.00")
    play.settle()
    assert _bills(play) == [(Decimal(100), ""), (Decimal(120), "")]
    assert play.sum("books", "credit") == 100


def test_a_ledger_that_refuses_the_void_gets_a_credit_note() -> None:
    play = _play(1)
    play.systems["books"].refuses = {"void_invoice"}
    _, order = play.order()
    play.settle()
    play.total(order, "120.00")
    play.settle()
    assert _bills(play) == [(Decimal(100), ""), (Decimal(120), "")]
    assert play.sum("books", "credit") == 100


def test_an_order_that_costs_nothing_any_more_loses_its_invoice_until_it_does() -> None:
    play = _play(1)
    _, order = play.order()
    play.settle()
    play.total(order, "0.00")
    play.settle()
    assert _bills(play) == [(Decimal(100), "void")]
    play.total(order, "30.00")
    play.settle()
    assert _bills(play) == [(Decimal(100), "void"), (Decimal(30), "")]


def test_lines_that_come_to_the_same_total_are_billed_anew() -> None:
    play = _play(1)
    _, order = play.order()
    play.settle()
    facts: Any = order.facts
    play.edit("shop", order, lines=(msgspec.structs.replace(facts.lines[0], sku="CUP"),))
    play.settle()
    assert _bills(play) == [(Decimal(100), "void"), (Decimal(100), "")]


def _in_its_own_words(facts: Any) -> Any:
    """Show lines as Stripe does: name and quantity in one text, tax inside."""
    lines = tuple(Line(name=f"{line.sku} x {line.quantity:f}", net_amount=line.net_amount) for line in facts.lines)
    return msgspec.structs.replace(facts, lines=lines)


@pytest.mark.parametrize("seed", range(20))
def test_an_invoice_that_is_found_by_asking_is_not_voided_for_its_words(seed: int) -> None:
    play = _play(seed)
    play.systems["books"].normalise = lambda facts: _in_its_own_words(facts) if isinstance(facts, Invoice) else facts
    _, order = play.order()
    play.settle()
    assert _bills(play) == [(Decimal(100), "")]
    play.total(order, "120.00")
    play.settle()
    assert _bills(play) == [(Decimal(100), "void"), (Decimal(120), "")]
