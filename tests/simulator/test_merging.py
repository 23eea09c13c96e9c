"""Two orders that prove to be one (SCENARIO 36): nothing is written twice, and a person is asked about documents."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.decisions import Decision
from schemas.facts import Payment
from schemas.flow import Target
from schemas.refs import ObjectRef, order_key
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(6))
_BOOKS = (Target(connection="books", document="invoice"),)


def _written(play: Simulation, *keys: str) -> list[str]:
    """Return what was really written for any of these orders."""
    return [capability for system in play.systems.values() for capability, order in system.writes if order in keys]


@SEEDS
def test_an_order_without_documents_takes_over_and_is_invoiced_once(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    one, first = play.order(stage="draft", status="draft")
    two, second = play.order("40.00", stage="draft", status="draft")
    play.pay("shop", "15.00", order=first.id)
    play.settle()
    play.merge(first, second)
    play.settle()
    play.edit("shop", second, stage="open", status="open")
    play.pay("shop", "25.00", order=first.id)
    play.settle()
    assert _written(play, one) == []
    assert sorted(_written(play, two)) == ["record_payment", "record_payment", "upsert_invoice"]
    assert (play.public[two].financial, play.sum("books", "payment")) == ("paid", Decimal(40))
    assert play.public[two].findings == ()
    assert (play.states[one].alias_of, play.public[one].alias_of, play.states[two].aliases) == (two, two, (one,))


@SEEDS
def test_36_two_invoiced_orders_that_become_one_wait_for_a_person(seed: int) -> None:
    play = Simulation(seed)
    one, first = play.order("60.00")
    two, second = play.order("100.00")
    play.settle()
    play.merge(first, second)
    play.settle()
    before = play.writes()
    play.pay("shop", "100.00", order=second.id)
    play.settle()
    assert play.writes() == before
    assert play.finding(two, "merged")
    assert len([found for found in play.public[two].findings if found.code == "double"]) == 3
    play.decide(two, "resume")
    play.settle()
    assert not play.finding(two, "merged")
    assert play.finding(two, "double")
    assert play.sum("books", "payment") == Decimal(100)
    assert [len(play.live(name, "invoice")) for name in ("books", "second")] == [2, 2]
    for name in ("books", "second"):
        bill = next(doc for doc in play.live(name, "invoice") if doc.mark and one in doc.mark)
        play.edit(name, bill, status="void")
    deal = next(doc for doc in play.live("crm", "order") if doc.mark and one in doc.mark)
    deal.gone = True
    play.look("crm", deal)
    play.settle()
    assert play.public[two].findings == ()
    assert play.public[two].invoiced_amount == Decimal(100)


@SEEDS
def test_a_create_under_way_when_its_order_is_merged_is_not_made_again(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    play.owners["books"].faults = ("after",)
    one, first = play.order("60.00")
    play.run(0)
    two, second = play.order("60.00", stage="draft", status="draft")
    play.run(0)
    play.merge(first, second)
    play.run(20)
    play.owners["books"].faults = ("",)
    play.decide(two, "resume")
    play.edit("shop", second, stage="open", status="open")
    play.settle()
    assert play.states[one].alias_of == two
    assert len(play.live("books", "invoice")) == 1
    assert play.public[two].waiting == ()
    assert play.states[two].writes["books|document"].bound is not None


def _third(play: Simulation, parts: list[Doc]) -> tuple[str, Doc]:
    """Merge the parts into a new order, as HubSpot does it."""
    return play.order("160.00", merged_from=tuple(doc.id for doc in parts))


@SEEDS
def test_36_the_third_order_that_two_invoiced_ones_became_is_not_invoiced_again(seed: int) -> None:
    play = Simulation(seed)
    parts = [play.order("60.00")[1], play.order("100.00")[1]]
    play.settle()
    before = play.writes()
    three, third = _third(play, parts)
    play.run(60)
    assert play.finding(three, "merging")
    asked = {hint.object.id for hint in play.hints if hint.reason == f"merged_into:{third.id}"}
    assert asked == {doc.id for doc in parts}
    for doc in parts:
        play.merge(doc, third)
    play.settle()
    assert play.writes() == before
    assert play.finding(three, "merged")
    assert len(play.states[three].aliases) == 2


@pytest.mark.parametrize("seed", range(40))
def test_orders_merged_in_a_circle_leave_one_that_lives(seed: int) -> None:
    play = Simulation(seed, company.world(targets=_BOOKS))
    docs = [play.order("10.00", stage="draft", status="draft")[1] for _ in range(3)]
    play.settle()
    keys = [order_key(company.TENANT, ObjectRef("shop", "s", "order", doc.id)) for doc in docs]
    turned = [*keys[1:], keys[0]]
    for key, into in zip(keys, turned, strict=True):
        play.queues[f"decided {key}"].append((key, _merge(key, into)))
    play.settle()
    living = [key for key in keys if not play.states[key].alias_of]
    assert len(living) == 1
    paid = Payment(amount=Decimal(5), currency="EUR")
    for doc in docs:
        play.look("shop", play.systems["shop"].add("payment", paid, play.now, order=doc.id))
    play.settle()
    assert play.public[living[0]].paid_amount == Decimal(15)
    assert sorted(play.states[living[0]].aliases) == sorted(set(keys) - set(living))


def _merge(key: str, into: str) -> Decision:
    return Decision(id=f"m-{key}", tenant=company.TENANT, order=key, kind="merge", into=into)
