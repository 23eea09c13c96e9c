"""What becomes of the invoice when its order is cancelled: voided while it is unpaid and its period open, else credited."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.flow import Target
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(6))
_BOOKS = (Target(connection="books", document="invoice"),)


def _invoiced(seed: int, **changes: Any) -> tuple[Simulation, str, Doc]:
    play = Simulation(seed, company.world(targets=_BOOKS, **changes))
    key, order = play.order()
    play.settle()
    return play, key, order


def _cancel(play: Simulation, order: Doc) -> None:
    play.edit("shop", order, status="cancelled", stage="cancelled")
    play.settle()


def _wrote(play: Simulation) -> list[str]:
    return [capability for capability, _ in play.systems["books"].writes]


@SEEDS
def test_an_unpaid_invoice_of_an_open_period_is_voided(seed: int) -> None:
    play, key, order = _invoiced(seed)
    play.owners["books"].faults = ("", "after", "before", "crash")
    _cancel(play, order)
    assert set(_wrote(play)) == {"upsert_invoice", "void_invoice"}
    assert (play.live("books", "invoice"), play.live("books", "credit")) == ([], [])
    assert (play.public[key].waiting, play.public[key].findings) == ((), ())
    commands = len(play.commands)
    for doc in play.systems["books"].docs.values():
        play.look("books", doc)
    play.settle()
    assert len(play.commands) == commands


@SEEDS
def test_an_invoice_of_a_closed_period_is_credited_in_the_open_one(seed: int) -> None:
    play, _, order = _invoiced(seed)
    play.world = company.with_facts(play.world, lock_dates={"books": "2026-03-31"})
    _cancel(play, order)
    assert _wrote(play) == ["upsert_invoice", "issue_credit"]
    assert str(play.live("books", "credit")[0].facts.date) == "2026-04-01"  # type: ignore[union-attr]


@SEEDS
def test_an_invoice_is_credited_where_the_flow_says_so(seed: int) -> None:
    play, _, order = _invoiced(seed, cancelled_invoice="credit")
    _cancel(play, order)
    assert _wrote(play) == ["upsert_invoice", "issue_credit"]


@SEEDS
@pytest.mark.parametrize("where", ["shop", "books"])
def test_money_that_came_makes_it_a_credit(seed: int, where: str) -> None:
    play, _, order = _invoiced(seed)
    if where == "shop":
        play.pay("shop", "100.00", order=order.id)
    else:
        bill = play.live("books", "invoice")[0]
        play.systems["books"].edit(bill, paid_amount=Decimal(100))
        play.look("books", bill)
    play.settle()
    _cancel(play, order)
    assert "void_invoice" not in _wrote(play)
    assert play.sum("books", "credit") == Decimal(100)
    assert play.sum("books", "payment") == (Decimal(100) if where == "shop" else Decimal(0))


@SEEDS
def test_what_the_ledger_will_not_void_is_credited(seed: int) -> None:
    play, _, order = _invoiced(seed)
    play.systems["books"].refuses = {"void_invoice"}
    _cancel(play, order)
    assert _wrote(play) == ["upsert_invoice", "issue_credit"]
    assert play.sum("books", "credit") == Decimal(100)


@SEEDS
def test_an_order_that_lives_again_gets_its_next_invoice_from_a_person_alone(seed: int) -> None:
    play, key, order = _invoiced(seed)
    _cancel(play, order)
    play.edit("shop", order, status="open", stage="open")
    play.settle()
    assert play.live("books", "invoice") == []
    assert play.finding(key, "document_ended")
    play.decide(key, "recreate", write="books|document")
    play.settle()
    assert len(play.live("books", "invoice")) == 1
    _cancel(play, order)
    assert play.live("books", "invoice") == []
    assert _wrote(play).count("void_invoice") == 2


@SEEDS
def test_money_for_an_order_whose_invoice_was_voided_is_told_to_a_person(seed: int) -> None:
    play, key, order = _invoiced(seed)
    _cancel(play, order)
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert play.finding(key, "document_ended")


@SEEDS
def test_money_and_cancellation_at_once_leave_no_payment_on_a_voided_invoice(seed: int) -> None:
    play, key, order = _invoiced(seed)
    play.pay("shop", "100.00", order=order.id)
    _cancel(play, order)
    if "void_invoice" in _wrote(play):
        assert _wrote(play) == ["upsert_invoice", "void_invoice"]
        assert play.finding(key, "document_ended")
    else:
        assert (play.sum("books", "payment"), play.sum("books", "credit")) == (Decimal(100), Decimal(100))
