"""What befalls an order later: cancelled, bounced, voided, refused, held by a period or an outage."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from schemas.decisions import Decision
from schemas.facts import Credit, Facts, Invoice, Shipment
from schemas.refs import ObjectRef, order_key
from streams.order.step import Tick
from streams.order.world import World
from tests.simulator import company
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


@SEEDS
def test_a_cancelled_order_is_credited_once_even_when_it_is_refunded_later(seed: int) -> None:
    play = Simulation(seed)
    _, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.edit("shop", order, status="cancelled", stage="cancelled")
    play.settle()
    facts = Credit(document="refund", amount=Decimal(100), currency="EUR")
    play.look("shop", play.systems["shop"].add("credit", facts, play.now, order=order.id))
    play.settle()
    assert play.sum("books", "credit") == Decimal(100)
    assert [doc.facts.headline for doc in play.systems["crm"].of("order")] == ["cancelled"]  # type: ignore[union-attr]


@SEEDS
def test_a_bounced_payment_reopens_the_invoice_and_the_deal(seed: int) -> None:
    play = Simulation(seed)
    key, order = play.order()
    paid = play.pay("shop", "100.00", order=order.id)
    play.settle()
    play.edit("shop", paid, status="reversed")
    play.settle()
    assert play.sum("books", "payment") == Decimal(0)
    assert play.public[key].financial == "invoiced"
    assert [doc.facts.headline for doc in play.live("crm", "order")] == ["invoiced"]  # type: ignore[union-attr]


@SEEDS
def test_a_dead_connection_gets_the_newest_state_once_when_it_is_back(seed: int) -> None:
    play = Simulation(seed)
    key, order = play.order()
    play.settle()
    books = play.owners["books"]
    books.down, books.outage = "The token was revoked.", 1
    for note in ("one", "two", "three"):
        play.edit("shop", order, note=note)
        play.run(60)
    play.pay("shop", "100.00", order=order.id)
    play.run(60)
    writes = len(books.platform.writes)
    books.down = ""
    play.world = company.with_facts(play.world, up={"books": (1, 1)})
    play.fold(key, Tick())
    play.run(60)
    assert len(books.platform.writes) == writes + 2
    assert play.live("books", "invoice")[0].facts.note == "three"  # type: ignore[union-attr]


@SEEDS
def test_a_closed_period_moves_the_book_date_or_holds_the_document(seed: int) -> None:
    for policy, count in (("next_open_day", 1), ("hold", 0)):
        play = Simulation(seed, company.world(closed_period=policy))
        play.world = company.with_facts(play.world, lock_dates={"books": "2026-03-31"})
        key, _ = play.order()
        play.settle(2)
        bills = play.live("books", "invoice")
        assert len(bills) == count
        if bills:
            assert str(bills[0].facts.issue_date) == "2026-04-01"  # type: ignore[union-attr]
        else:
            assert play.finding(key, "closed_period")
            play.world = company.with_facts(play.world, lock_dates={"books": "2026-02-28"})
            play.settle(3)
            assert len(play.live("books", "invoice")) == 1


@SEEDS
def test_a_voided_invoice_is_reported_and_not_made_again(seed: int) -> None:
    play = Simulation(seed)
    key, order = play.order()
    play.settle()
    play.edit("books", play.live("books", "invoice")[0], status="void")
    play.settle()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert play.live("books", "invoice") == []
    assert play.live("books", "payment") == []
    assert play.finding(key, "document_ended")


def test_the_order_key_of_a_document_is_the_published_one() -> None:
    play = Simulation(1)
    key, order = play.order()
    assert key == order_key("acme", ObjectRef("shop", "s", "order", order.id))
    assert replace(order).id == order.id


@SEEDS
def test_a_voided_invoice_is_made_again_when_a_person_says_so(seed: int) -> None:
    play = Simulation(seed)
    key, order = play.order()
    play.settle()
    play.edit("books", play.live("books", "invoice")[0], status="void")
    play.settle()
    for _ in range(2):
        play.fold(key, Decision(id="d1", tenant="acme", order=key, kind="recreate", write="books|document"))
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert (play.sum("books", "invoice"), play.sum("books", "payment")) == (Decimal(100), Decimal(100))
    assert len(play.live("books", "invoice")) == 1


@SEEDS
def test_a_refused_write_is_planned_again_when_a_person_says_retry(seed: int) -> None:
    play = Simulation(seed)
    play.systems["books"].refuses = {"upsert_invoice"}
    key, _ = play.order()
    play.settle()
    assert play.live("books", "invoice") == []
    play.systems["books"].refuses = set()
    play.settle()
    assert play.live("books", "invoice") == []
    play.fold(key, Decision(id="d1", tenant="acme", order=key, kind="retry"))
    play.settle()
    assert len(play.live("books", "invoice")) == 1


@SEEDS
def test_an_invoice_typed_without_an_order_reaches_the_others_where_the_flow_says_so(seed: int) -> None:
    play = Simulation(seed, company.world(orphan="create_order"))
    bill = Invoice(number="RE-7", currency="EUR", payable_amount=Decimal(70), reference="typed")
    doc = play.systems["books"].add("invoice", bill, play.now)
    play.look("books", doc)
    play.settle()
    assert (play.sum("crm", "order"), play.sum("second", "invoice")) == (Decimal(70), Decimal(70))
    play.pay("books", "70.00", invoice=doc.id)
    play.settle()
    assert play.sum("second", "payment") == Decimal(70)
    assert [one.facts.headline for one in play.live("crm", "order")] == ["paid"]  # type: ignore[union-attr]
    assert play.systems["books"].writes == []


@SEEDS
def test_the_number_of_a_parcel_is_told_when_it_is_known_and_when_it_is_put_right(seed: int) -> None:
    keeps = company.platform("crmm", ("upsert_order", "set_status", "record_shipment"))
    known = company.world()
    play = Simulation(seed, World(facts=known.facts, platforms={**company.PLATFORMS, "crmm": keeps}))
    _, order = play.order()
    parcel = play.systems["shop"].add("shipment", Shipment(carrier="UPS"), play.now, order=order.id)
    play.look("shop", parcel)
    play.settle()
    for number in ("1Z1", "1Z2"):
        play.edit("shop", parcel, tracking_numbers=(number,))
        play.settle()
        assert [there.facts.tracking_numbers for there in play.live("crm", "shipment")] == [(number,)]  # type: ignore[union-attr]
    play.edit("shop", parcel, status="delivered")
    play.settle()
    told = [capability for capability, _ in play.systems["crm"].writes].count("record_shipment")
    assert told == 3, "where it is, is told nobody again"


@SEEDS
def test_a_ledger_that_counts_another_total_is_told_until_it_is_put_right(seed: int) -> None:
    play = Simulation(seed)
    play.systems["books"].normalise = _taxed
    key, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert play.sum("books", "invoice") == Decimal(101)
    assert play.finding(key, "made_otherwise")
    writes = play.writes()
    play.settle()
    assert play.writes() == writes, "it is not written again and again"
    play.systems["books"].normalise = lambda facts: facts
    play.edit("books", play.live("books", "invoice")[0], payable_amount=Decimal(100))
    play.settle()
    assert not play.finding(key, "made_otherwise"), "a person put it right"


def _taxed(facts: Facts) -> Facts:
    if isinstance(facts, Invoice):
        return msgspec.structs.replace(facts, payable_amount=facts.payable_amount + 1)
    return facts


@SEEDS
def test_a_payment_whose_amount_changed_since_is_told_and_not_written_over(seed: int) -> None:
    play = Simulation(seed)
    key, order = play.order()
    paid = play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert not play.finding(key, "payment_differs")
    writes = len(play.systems["books"].writes)
    play.edit("shop", paid, amount=Decimal(70))
    play.settle()
    assert play.public[key].paid_amount == Decimal(70)
    assert (play.sum("books", "payment"), len(play.systems["books"].writes)) == (Decimal(100), writes)
    assert play.finding(key, "payment_differs")
    for ledger in ("books", "second"):
        play.edit(ledger, play.live(ledger, "payment")[0], amount=Decimal(70))
    play.settle()
    assert not play.finding(key, "payment_differs")
