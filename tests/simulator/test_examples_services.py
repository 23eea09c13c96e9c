"""Who bills deals and subscriptions: which documents there are after which events, over how much, of which day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from app.config.load import load
from schemas.facts import DocumentStatus, Invoice, Line, Payment
from schemas.refs import ObjectRef, order_key
from tests.examples import FOLDER, SECRETS
from tests.simulator import company
from tests.simulator.examples import EVENING, agency, saas, store, webshop, wholesale


def test_every_example_is_played() -> None:
    played = {one.world.facts.flows[0].name for one in (webshop(), wholesale(), agency(), store(), saas())}
    assert played == {load(path, SECRETS).flows[0].name for path in FOLDER.glob("*.toml")}


# -- services that invoice on deal won ---------------------------------------------------------------------------------


def test_a_deal_is_invoiced_when_it_is_won_and_follows_its_lines_until_it_is_paid() -> None:
    play = agency()
    deal = play.sale(status="draft", stage="draft")
    play.settle(1)
    assert play.there() == []
    play.edit(play.sells, deal, status="open", stage="open", placed_at=EVENING)
    play.settle(1)
    assert play.there() == [("invoice", "100.00", "03-03")]
    bill = play.bill().facts
    assert isinstance(bill, Invoice)
    assert bill.due_date == date(2026, 3, 17)
    play.edit(
        play.sells,
        deal,
        payable_amount=Decimal(120),
        lines=(Line(id="l1", unit_price=Decimal(120), net_amount=Decimal(120)),),
    )
    play.settle()
    assert play.there() == [("invoice", "120", "03-03")]
    assert {name for name, _ in play.systems[play.sells].writes} == set()


@pytest.mark.parametrize(("paid", "left"), [("", ["void"]), ("60.00", ["invoice", "payment", "credit"])])
def test_a_deal_that_is_lost_after_all_takes_its_invoice_back(paid: str, left: list[str]) -> None:
    play = agency()
    deal = play.sale()
    play.settle()
    if paid:
        facts = Payment(amount=Decimal(paid), currency="EUR", date=date(2026, 3, 9))
        play.look(play.books, play.systems[play.books].add("payment", facts, play.now, invoice=play.bill().id))
        play.settle()
    play.cancel(deal)
    play.settle()
    assert [kind for kind, _, _ in play.there()] == left


def test_a_deal_of_no_amount_and_one_in_a_closed_month() -> None:
    play = agency()
    play.sale("0.00", lines=())
    play.settle()
    assert play.there() == []
    play = agency()
    play.world = company.with_facts(play.world, lock_dates={"agency-books": "2026-03-31"})
    play.sale()
    play.settle()
    assert play.there() == [("invoice", "100.00", "04-01")]


# -- subscriptions by Stripe -------------------------------------------------------------------------------------------


def test_a_bill_is_an_invoice_from_its_finalization_on() -> None:
    play = saas()
    bill = play.sale(status="draft", stage="draft", number="")
    play.settle(1)
    assert play.there() == []
    play.edit(play.sells, bill, status="invoiced", stage="open", number="IN-7", issue_date=date(2026, 3, 31))
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-31")]
    written = play.bill().facts
    assert isinstance(written, Invoice)
    assert written.reference == "IN-7"
    assert play.systems[play.sells].writes == [], "nothing is written where it was billed"


def test_a_charge_is_the_payment_of_its_bill() -> None:
    play = saas()
    bill = play.sale()
    play.money(bill, "100.00", EVENING)
    play.edit(play.sells, bill, status="paid", paid_amount=Decimal(100))
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-02"), ("payment", "100.00", "03-03")]


@pytest.mark.parametrize("status", ["draft", "on_hold"])
def test_a_bill_that_nobody_owes_yet_or_any_more_is_none(status: DocumentStatus) -> None:
    play = saas()
    play.sale(status=status, stage="draft")
    play.sale("0.00", lines=(), number="IN-2")
    play.settle()
    assert play.there() == []


def test_a_void_bill_ends_its_invoice() -> None:
    play = saas()
    bill = play.sale()
    play.settle()
    play.edit(play.sells, bill, status="void", stage="cancelled")
    play.settle()
    assert [kind for kind, _, _ in play.there()] == ["void"]


REFUNDS: Mapping[str, tuple[str, list[str]]] = {
    "money back": ("refund", ["invoice", "payment", "credit", "refund"]),
    "a note alone": ("credit_note", ["invoice", "payment", "credit"]),
}


@pytest.mark.parametrize("how", REFUNDS)
def test_what_is_paid_back_or_credited_is_written_once(how: str) -> None:
    play = saas()
    bill = play.sale()
    play.money(bill, "100.00")
    play.settle()
    document, kinds = REFUNDS[how]
    play.back(bill, "30.00", document)
    play.settle()
    assert [kind for kind, _, _ in play.there()] == kinds
    for doc in list(play.systems[play.sells].docs.values()):
        play.look(play.sells, doc)
    before = play.writes()
    play.settle()
    assert play.writes() == before


def test_each_period_is_a_bill_of_its_own() -> None:
    play = saas()
    keys = set()
    for month in (1, 2, 3):
        bill = play.sale(number=f"IN-{month}", issue_date=date(2026, month, 28))
        play.money(bill, "100.00", datetime(2026, month, 28, 12, tzinfo=UTC))
        keys.add(order_key(company.TENANT, ObjectRef("stripe", "s", "invoice", bill.id)))
    play.settle()
    assert len(play.there()) == 6
    assert keys <= play.public.keys()
    assert {play.public[key].financial for key in keys} == {"paid"}
