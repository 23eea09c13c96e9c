"""Money that an order asked for finds a document that takes it, whatever the order's total did meanwhile."""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal

import pytest

from schemas.flow import Target
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

_BOOKS = (Target(connection="books", document="invoice"),)
_FAULTS: tuple[Fault, ...] = ("", "", "", "before", "after", "slow", "crash")


def _change(play: Simulation, key: str, order: str, total: int, paid: int) -> tuple[int, int]:
    """Let something happen to an order of which nobody ever pays more than it costs; return its total and what is paid."""
    doc = play.systems["shop"].docs[order]
    what = play.dice.choice(("pay", "pay", "dearer", "cheaper", "wait"))
    if what == "pay" and paid < total:
        amount = play.dice.choice((5, total - paid))
        play.pay("shop", f"{min(amount, total - paid)}.00", order=order)
        return total, paid + min(amount, total - paid)
    if what == "dearer" or (what == "cheaper" and total - 10 >= max(paid, 1)):
        total += 20 if what == "dearer" else -10
        play.total(doc, f"{total}.00")
        play.told(doc)
    return total, paid


def _some_changes(play: Simulation, key: str, order: Doc, total: int, paid: int) -> tuple[int, int]:
    """Let some of it come in one batch or one by one, and some time pass."""
    with play.one_batch(key) if play.dice.random() < 0.5 else nullcontext():
        for _ in range(play.dice.randint(1, 3)):
            total, paid = _change(play, key, order.id, total, paid)
    for _ in range(play.dice.randint(0, 8)):
        play._move()
    play.run(play.dice.choice((0, 0, 1, 30, 400)))
    return total, paid


def _begun(seed: int, *, fixed: bool) -> tuple[Simulation, str, Doc]:
    """Place an order whose ledger takes no more money on an invoice than it asks for; *fixed*: nor changes what it bills."""
    world = company.world(targets=_BOOKS)
    play = Simulation(seed, company.with_fixed(world, "books") if fixed else world, doubles=True, deaths=0.1)
    books, owner = play.systems["books"], play.owners["books"]
    books.exact, books.fixed, books.shows_paid = True, fixed, bool(seed % 2)
    owner.in_turn, owner.faults = True, _FAULTS if seed % 3 else ("",)
    key, order = play.order("100.00")
    play.run(play.dice.choice((0, 1, 400)))
    return play, key, order


@pytest.mark.parametrize("seed", [*range(150), 2603])
@pytest.mark.parametrize("fixed", [False, True])
def test_no_money_is_refused_and_what_is_open_is_what_is_owed(seed: int, *, fixed: bool) -> None:
    play, key, order = _begun(seed, fixed=fixed)
    total, paid, books = 100, 0, play.systems["books"]
    for _ in range(6):
        total, paid = _some_changes(play, key, order, total, paid)
    play.settle()
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())
    assert play.sum("books", "payment") == paid
    owed = sum((books.open(doc.id) for doc in play.live("books", "invoice")), Decimal(0))
    assert owed == total - paid, play.log


@pytest.mark.parametrize("seed", [*range(150), 2903, 2989])
@pytest.mark.parametrize("fixed", [False, True])
def test_whenever_the_order_is_cancelled_its_documents_come_to_nothing(seed: int, *, fixed: bool) -> None:
    play, key, order = _begun(seed, fixed=fixed)
    total, paid, books = 100, 0, play.systems["books"]
    books.exact, play.deaths = False, 0.0  # money that comes to what ended is for a person
    for _ in range(play.dice.randint(0, 4)):
        total, paid = _some_changes(play, key, order, total, paid)
    with play.one_batch(key) if play.dice.random() < 0.5 else nullcontext():
        total, paid = _change(play, key, order.id, total, paid)
        play.edit("shop", order, status="cancelled")
        play.told(order)
    play.settle()
    assert play.public[key].waiting == (), play.log
    assert play.sum("books", "invoice") == play.sum("books", "credit"), play.log
