"""Books that people kept before: what they typed is adopted, what is ambiguous waits, and nothing is written twice."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.planning.plan import Plan
from schemas.facts import Invoice, Order, Party
from schemas.flow import NOT_BEGUN, Target
from streams.order.plan.begin import EVER
from streams.order.step import Tick
from streams.order.world import World
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation
from tests.simulator.test_planned import drafted, go_live

OLD, TYPED, WRONG = 30, 18, 3
BEFORE = company.START - timedelta(days=400)
SEEDS = pytest.mark.parametrize("seed", range(4))


def shadow(**facts: Any) -> World:
    world = company.world(mode="shadow", targets=(Target(connection="books", document="invoice"),))
    return company.with_facts(world, starts={"shop": company.START}, **facts)


def old_books(seed: int) -> tuple[Simulation, list[str]]:
    """Return a shop with old orders, of which some were typed into the ledger: few with another amount."""
    play = Simulation(seed, shadow())
    play.now = BEFORE
    keys = []
    for number in range(OLD):
        key, order = play.order(f"{100 + number}.00", placed_at=BEFORE + timedelta(days=number))
        keys.append(key)
        if number < TYPED:
            typed(play, order, f"{100 + number + (number < WRONG)}.00", name=f"A. Lovelace {number}")
        if number % 2:
            play.pay("shop", f"{100 + number}.00", order=order.id)
    play.now = company.START
    play.settle()
    return play, keys


def typed(play: Simulation, order: Doc, total: str, name: str = "Ada") -> Doc:
    reference = getattr(order.facts, "number", "")
    facts = Invoice(currency="EUR", payable_amount=Decimal(total), reference=reference, customer=Party(name=name))
    doc = play.systems["books"].add("invoice", facts, play.now)
    play.look("books", doc)
    return doc


def backfill(play: Simulation, since: datetime = EVER) -> None:
    play.world = company.with_facts(play.world, backfills={"main": since})
    tick(play)


def tick(play: Simulation) -> None:
    for key in list(play.states):
        play.fold(key, Tick())
    play.settle()


def written(play: Simulation) -> Counter[str]:
    return Counter(capability for capability, _ in play.systems["books"].writes)


def counts(plan: Plan) -> tuple[int, int, int, int]:
    invoices = [row for row in plan.old if row.document == "invoice"]
    return plan.writes, plan.adopted, plan.disputed, len(invoices)


@SEEDS
def test_the_start_keeps_old_books_as_they_are_and_a_backfill_writes_what_they_lack(seed: int) -> None:
    play, _ = old_books(seed)
    plan = drafted(play)
    assert counts(plan) == (0, TYPED - WRONG, WRONG, OLD - TYPED)
    assert written(play) == {}
    go_live(play)
    assert written(play) == {}
    backfill(play)
    assert written(play)["upsert_invoice"] == OLD - TYPED
    assert len(play.live("books", "invoice")) == OLD
    assert len(play.parked_documents()) == WRONG
    assert drafted(play).old == ()
    before = play.writes()
    backfill(play)
    assert play.writes() == before


@SEEDS
def test_a_backfill_reaches_no_further_back_than_it_was_asked_to(seed: int) -> None:
    play, keys = old_books(seed)
    go_live(play)
    backfill(play, BEFORE + timedelta(days=25))
    billed = {key for capability, key in play.systems["books"].writes if capability == "upsert_invoice"}
    assert billed == set(keys[25:])


@SEEDS
def test_a_new_order_and_a_new_payment_of_an_old_one_are_written_and_old_money_is_not(seed: int) -> None:
    play, _ = old_books(seed)
    go_live(play)
    play.now += timedelta(days=1)
    play.order("5.00")
    unpaid = next(doc for doc in play.systems["shop"].of("order") if getattr(doc.facts, "number", "") == "SO-5")
    play.pay("shop", "104.00", order=unpaid.id)
    play.settle()
    assert written(play) == {"upsert_invoice": 1, "record_payment": 1}


def test_before_anybody_started_a_connection_everything_it_holds_is_old() -> None:
    play = Simulation(1, company.with_facts(shadow(), starts={"shop": NOT_BEGUN}, modes={"main": "live"}))
    play.order()
    play.settle()
    backfill(play)
    assert written(play) == {}
    play.world = company.with_facts(play.world, starts={"shop": company.START}, backfills={})
    tick(play)
    assert written(play) == {"upsert_invoice": 1}


def disputed() -> tuple[Simulation, str, Doc]:
    """Return a live flow with one paid order and an invoice that a person typed for it over another amount."""
    play = Simulation(1, shadow())
    key, order = play.order()
    bill = typed(play, order, "99.00")
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    go_live(play)
    return play, key, bill


def test_an_ambiguous_document_stops_its_order_until_a_person_adopts_it() -> None:
    play, key, bill = disputed()
    assert written(play) == {}
    (finding,) = [one for one in play.public[key].findings if one.code == "ambiguous_document"]
    assert finding.subject == f"books@b/invoice/{bill.id}"
    assert "bills 99.00 EUR, the order is 100.00 EUR; it names the order" in finding.message
    play.decide(key, "adopt", object=finding.subject)
    play.settle()
    assert written(play) == {"record_payment": 1}
    assert [one.code for one in play.public[key].findings] == ["adopted_differs"]
    assert play.parked_documents() == []


def test_a_document_that_a_person_says_is_another_ones_is_left_alone() -> None:
    play, key, bill = disputed()
    play.decide(key, "disown", object=f"books@b/invoice/{bill.id}")
    play.settle()
    assert written(play) == {"upsert_invoice": 1, "record_payment": 1}
    assert len(play.live("books", "invoice")) == 2
    assert play.parked_documents() == []


def test_a_document_that_is_corrected_where_it_is_is_adopted_by_itself() -> None:
    play, _, bill = disputed()
    play.edit("books", bill, payable_amount=Decimal("100.00"))
    play.settle()
    assert written(play) == {"record_payment": 1}
    assert play.parked_documents() == []


def test_an_invoice_typed_while_ours_is_on_its_way_is_put_before_a_person() -> None:
    play = Simulation(1, company.world(targets=(Target(connection="books", document="invoice"),)))
    key, order = play.order()
    bill = typed(play, order, "100.00")
    play.settle()
    assert len(play.live("books", "invoice")) == 2
    assert [one.code for one in play.public[key].findings] == ["double"]
    assert play.parked_documents() == [f"books@b/invoice/{bill.id}"]
    play.edit("books", bill, status="void")
    play.settle()
    assert (play.public[key].findings, play.parked_documents()) == ((), [])


def test_of_two_documents_that_name_the_order_none_is_taken() -> None:
    play = Simulation(1, shadow())
    _, order = play.order()
    both = [typed(play, order, "100.00"), typed(play, order, "100.00")]
    play.settle()
    go_live(play)
    assert written(play) == {}
    assert play.parked_documents() == sorted(f"books@b/invoice/{bill.id}" for bill in both)
    plan = drafted(play)
    assert (plan.writes, plan.adopted, plan.disputed) == (0, 0, 2)


def test_an_adopted_document_stays_adopted_when_the_order_changes_after_it_was_paid() -> None:
    play = Simulation(1, shadow())
    key, order = play.order()
    typed(play, order, "100.00")
    play.pay("shop", "60.00", order=order.id)
    play.settle()
    go_live(play)
    play.total(order, "120.00")
    play.pay("shop", "60.00", order=order.id)
    play.settle()
    assert written(play) == {"record_payment": 2}
    assert [one.code for one in play.public[key].findings] == ["adopted_differs"]


CRM = (Target(connection="crm", order=True),)


def dealt(total: str, *more: str) -> tuple[Simulation, str, list[Doc]]:
    """Return a shadow flow with an order of 100.00 and deals that people typed for it."""
    world = company.world(mode="shadow", targets=CRM)
    flows = tuple(msgspec.structs.replace(flow, key_giver="shop") for flow in world.facts.flows)
    play = Simulation(1, company.with_facts(world, flows=flows))
    key, order = play.order("100.00")
    number = getattr(order.facts, "number", "")
    deals = []
    for amount in (total, *more):
        facts = Order(number=f"order {number}", stage="open", currency="EUR", payable_amount=Decimal(amount))
        deals.append(play.systems["crm"].add("order", facts, play.now))
        play.look("crm", deals[-1])
    play.settle()
    return play, key, deals


def test_a_deal_that_a_person_typed_for_an_order_is_adopted_and_keeps_its_fields() -> None:
    play, key, (deal,) = dealt("100.00")
    assert [(row.action, row.document, row.target) for row in drafted(play).rows if row.action == "adopt"] == [
        ("adopt", "order", "crm")
    ]
    go_live(play)
    play.pay("shop", "100.00", order=next(iter(play.systems["shop"].of("order"))).id)
    play.settle()
    assert [capability for capability, _ in play.systems["crm"].writes] == ["set_status"]
    assert (len(play.live("crm", "order")), getattr(deal.facts, "stage", "")) == (1, "paid")
    assert play.public[key].findings == ()


def test_a_deal_over_another_amount_or_a_second_one_is_put_before_a_person() -> None:
    for play, key, deals in (dealt("90.00"), dealt("100.00", "100.00")):
        go_live(play)
        assert play.systems["crm"].writes == []
        assert play.parked_documents() == sorted(f"crm@c/order/{deal.id}" for deal in deals)
        assert {one.code for one in play.public[key].findings} == {"ambiguous_document"}
        for deal in deals:
            play.decide(key, "disown", object=f"crm@c/order/{deal.id}")
        play.settle()
        assert [capability for capability, _ in play.systems["crm"].writes][:1] == ["upsert_order"]
