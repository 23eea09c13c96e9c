"""A bank asks for a buyer's money back: the order is on hold until that is decided, and lost money is credited."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Capability
from schemas.facts import Credit, Payment
from schemas.flow import Target
from schemas.platform import Effect
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))
_FAULTS: tuple[Fault, ...] = ("", "", "after", "before", "crash")
_BOOKS = (Target(connection="books", document="invoice"),)


class _Case:
    """An order of 100.00 that a card paid, and the dispute of that payment."""

    def __init__(self, seed: int, *can: Capability) -> None:
        self.play = Simulation(seed, company.world(targets=_BOOKS), doubles=True, deaths=0.1)
        self.play.owners["books"].faults = _FAULTS
        ledger = company.PLATFORMS["ledgerr"]
        able = {**ledger.capabilities, **dict.fromkeys(can, Effect.RECORDS)}
        there = {**company.PLATFORMS, "ledgerr": msgspec.structs.replace(ledger, capabilities=able)}
        self.play.world = msgspec.structs.replace(self.play.world, platforms=there)
        self.key, self.order = self.play.order()
        self._pay = self.play.systems["pay"]
        self._money = Payment(amount=Decimal(100), currency="EUR", paid_at=self.play.now)
        self.paid = self._pay.add("payment", self._money, self.play.now, number="SO-1")

    def charge(self) -> None:
        self.play.look("pay", self.paid)

    def dispute(self, amount: str = "100.00") -> Doc:
        facts = Credit(
            document="refund", amount=Decimal(amount), currency="EUR", status="pending", reason="dispute: fraud"
        )
        doc = self._pay.add("dispute", facts, self.play.now, payment=self.paid.id)
        self.play.look("pay", doc)
        return doc

    def decide(self, doc: Doc, status: Any) -> None:
        self.play.edit("pay", doc, status=status)
        self.play.settle()

    @property
    def shown(self) -> tuple[str, str]:
        public = self.play.public[self.key]
        return public.life_cycle, public.financial


@SEEDS
def test_it_holds_the_order_until_it_is_won(seed: int) -> None:
    case = _Case(seed)
    case.charge()
    case.play.settle()
    doc = case.dispute()
    case.play.settle()
    assert case.shown == ("on_hold", "paid")
    assert case.play.finding(case.key, "disputed")
    writes = case.play.writes()
    case.decide(doc, "void")
    assert case.shown == ("open", "paid")
    assert not case.play.finding(case.key, "disputed")
    assert case.play.writes() == writes


@SEEDS
@pytest.mark.parametrize(("amount", "word"), [("100.00", "refunded"), ("40.00", "partially_refunded")])
def test_a_lost_one_is_credited_once(seed: int, amount: str, word: str) -> None:
    case = _Case(seed)
    case.charge()
    doc = case.dispute(amount)
    case.play.settle()
    case.decide(doc, "issued")
    assert case.shown == ("open", word)
    assert case.play.sum("books", "credit") == Decimal(amount)
    case.play.look("pay", doc)
    case.play.settle()
    assert len(case.play.live("books", "credit")) == 1


@SEEDS
def test_one_that_is_seen_before_the_charge_waits_for_it(seed: int) -> None:
    case = _Case(seed)
    doc = case.dispute()
    case.play.run(30)
    assert case.shown[0] == "open"
    case.charge()
    case.play.settle()
    assert case.shown == ("on_hold", "paid")
    assert case.play.sum("books", "payment") == 100, "what was paid is booked all the same"
    case.decide(doc, "void")
    assert case.shown == ("open", "paid")


@SEEDS
def test_what_is_told_last_is_not_what_holds(seed: int) -> None:
    case = _Case(seed)
    case.charge()
    doc = case.dispute()
    older = case._pay.event(doc, (1, 1))
    case.play.settle()
    case.decide(doc, "void")
    case.play.emit(older)
    case.play.settle()
    assert case.shown == ("open", "paid")


@SEEDS
def test_a_cancelled_order_stays_cancelled(seed: int) -> None:
    case = _Case(seed)
    case.charge()
    case.dispute()
    case.play.settle()
    case.play.edit("shop", case.order, status="cancelled")
    case.play.settle()
    assert case.shown[0] == "cancelled"


@SEEDS
def test_a_refund_that_waits_holds_nothing(seed: int) -> None:
    case = _Case(seed)
    case.charge()
    facts = Credit(document="refund", amount=Decimal(10), currency="EUR", status="pending")
    case.play.look("pay", case._pay.add("credit", facts, case.play.now, payment=case.paid.id))
    case.play.settle()
    assert case.shown == ("open", "paid")


@SEEDS
def test_an_order_that_is_held_from_its_beginning_is_billed_when_it_is_due(seed: int) -> None:
    case = _Case(seed)
    case.play = Simulation(seed, company.world(targets=_BOOKS), doubles=True)
    case._pay = case.play.systems["pay"]
    case.paid = case._pay.add("payment", case._money, case.play.now, number="SO-1")
    case.dispute()
    case.charge()
    case.key, case.order = case.play.order()
    case.play.settle()
    assert case.shown == ("on_hold", "paid")
    assert (case.play.sum("books", "invoice"), case.play.sum("books", "payment")) == (100, 100)


def _lost_and_won(case: _Case) -> Doc:
    case.charge()
    doc = case.dispute("40.00")
    case.play.settle()
    case.decide(doc, "issued")
    case.decide(doc, "void")
    assert case.shown == ("open", "paid")
    return doc


@SEEDS
def test_one_that_is_won_after_it_looked_lost_has_its_credit_note_voided(seed: int) -> None:
    case = _Case(seed, "void_credit")
    _lost_and_won(case)
    assert case.play.live("books", "credit") == []
    (bill,) = case.play.live("books", "invoice")
    assert case.play.systems["books"].open(bill.id) == 0
    assert (case.play.public[case.key].waiting, case.play.public[case.key].findings) == ((), ())


@SEEDS
def test_where_no_credit_note_can_be_voided_a_person_is_told_until_it_was(seed: int) -> None:
    case = _Case(seed)
    _lost_and_won(case)
    assert case.play.finding(case.key, "credit_left")
    (note,) = case.play.live("books", "credit")
    case.play.edit("books", note, status="void")
    case.play.settle()
    assert not case.play.finding(case.key, "credit_left")


def test_a_ledger_that_refuses_the_void_leaves_it_to_a_person() -> None:
    case = _Case(1, "void_credit")
    case.play.systems["books"].refuses = {"void_credit"}
    _lost_and_won(case)
    assert len(case.play.live("books", "credit")) == 1
    assert case.play.finding(case.key, "credit_left")


@SEEDS
def test_money_that_was_paid_out_of_a_credit_note_keeps_it(seed: int) -> None:
    case = _Case(seed, "void_credit", "record_refund")
    _lost_and_won(case)
    assert len(case.play.live("books", "credit")) == 2, "the note, and the refund out of it"
    found = [one.subject for one in case.play.public[case.key].findings if one.code == "credit_left"]
    assert len(found) == 2
