"""A stopped flow whose documents a person had undone: each ledger nets to zero, then all is silent, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.planning.undoing import Undoing, UndoPlan
from schemas.facts import Credit, Invoice, Payment
from schemas.flow import Target
from streams.order.step import Tick
from streams.order.world import World
from tests.simulator import company
from tests.simulator.delivery import Fault
from tests.simulator.fakes import Doc
from tests.simulator.real import RealDelivery
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(3))
TARGETS = (
    Target(connection="shop"),
    Target(connection="crm", order=True),
    Target(connection="books", document="invoice"),
    Target(connection="till", document="sales_receipt"),
)
ONLY_BOOKS = TARGETS[2:3]
_FAULTS: tuple[Fault, ...] = ("", "", "before", "after", "slow", "crash")
_MORE = {
    "ledgerr": ("upsert_invoice", "record_payment", "reverse_payment", "issue_credit", "record_refund",
                "reverse_refund", "void_invoice", "apply_credit"),
    "tilll": ("upsert_sales_receipt", "void_invoice", "issue_credit", "record_refund", "reverse_refund"),
}  # fmt: skip
History = Callable[[Simulation, Doc], None]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def world(**changes: Any) -> World:
    """Return a company whose ledgers can take back what they were told."""
    more = {slug: company.platform(slug, can) for slug, can in _MORE.items()}  # type: ignore[arg-type]
    known = company.world(**{"targets": TARGETS, **changes})
    return msgspec.structs.replace(known, platforms={**company.PLATFORMS, **more})


def _unpaid(_play: Simulation, _order: Doc) -> None:
    """Nothing happens after the order."""


def _paid(play: Simulation, order: Doc) -> None:
    play.pay("shop", "100.00", order=order.id)


def _part_paid(play: Simulation, order: Doc) -> None:
    play.pay("shop", "30.00", order=order.id)


def _refunded(play: Simulation, order: Doc) -> None:
    _paid(play, order)
    play.settle(1)
    facts = Credit(document="refund", amount=Decimal("40.00"), currency="EUR")
    play.look("shop", play.systems["shop"].add("credit", facts, play.now, order=order.id))


def _cancelled(play: Simulation, order: Doc) -> None:
    _paid(play, order)
    play.settle(1)
    play.edit("shop", order, status="cancelled", stage="cancelled")


HISTORIES: dict[str, History] = {
    "unpaid": _unpaid,
    "paid": _paid,
    "part paid": _part_paid,
    "refunded": _refunded,
    "cancelled": _cancelled,
}


def undoing(play: Simulation, since: datetime = company.START) -> Undoing:
    """Return the undo of the flow since *since* as the command line makes it."""
    found = Undoing(play.world, play.world.facts.flows[0], since, play.now)
    for state in play.states.values():
        found.add(state)
    return found


def undo(play: Simulation, since: datetime = company.START) -> UndoPlan:
    """Stop the flow, have it undone and play until silence; return the plan that said so."""
    play.world = company.with_facts(play.world, modes={"main": "stopped"})
    told = undoing(play, since)
    for decision in told.decisions("ada"):
        play.queues[f"decisions {decision.order}"].append((decision.order, decision))
        if play.doubles:
            play.queues[f"again {decision.order}"].append((decision.order, decision))
    play.settle()
    return told.plan()


def billed(play: Simulation, system: str) -> Decimal:
    """Return what a ledger bills: documents less credit notes."""
    return play.sum(system, "invoice") - _credited(play, system, "credit_note")


def cash(play: Simulation, system: str) -> Decimal:
    """Return what a ledger received: payments less refunds."""
    return play.sum(system, "payment") - _credited(play, system, "refund")


def _credited(play: Simulation, system: str, kind: str) -> Decimal:
    found = [doc.facts for doc in play.live(system, "credit") if isinstance(doc.facts, Credit)]
    return sum((facts.amount for facts in found if facts.document == kind), Decimal(0))


def asked(play: Simulation, count: int) -> list[tuple[str, str]]:
    """Return system and capability of what was asked for after the first *count* commands, each once."""
    once = {command.id: command for command in play.commands[count:]}.values()
    return sorted((one.connection, one.capability) for one in once)


@pytest.mark.parametrize("history", HISTORIES)
@SEEDS
def test_what_is_undone_nets_to_zero_as_the_plan_said_and_is_never_made_anew(history: str, seed: int) -> None:
    play = Simulation(seed, world(), doubles=True)
    for owner in play.owners.values():
        owner.faults = _FAULTS
    play.systems["books"].shows_paid = seed % 2 == 0
    orders = [play.order() for _ in range(2)]
    play.settle(1)
    HISTORIES[history](play, orders[1][1])
    play.settle()
    for doc in play.systems["books"].docs.values():
        play.look("books", doc)
    play.settle()
    wrote, commands = play.writes(), len(play.commands)
    assert billed(play, "books") + billed(play, "till") > 0
    plan = undo(play)
    assert asked(play, commands) == sorted((row.target, row.capability) for row in plan.rows)
    for ledger in ("books", "till"):
        assert (ledger, billed(play, ledger), cash(play, ledger)) == (ledger, 0, 0)
        assert all(play.systems[ledger].open(doc.id) == 0 for doc in play.live(ledger, "invoice") if ledger == "books")
    assert {doc.facts.stage for doc in play.live("crm", "order")} <= {"cancelled"}  # type: ignore[union-attr]
    assert play.writes() > wrote
    assert plan.findings == ()
    again = undoing(play).plan()
    assert (again.rows, again.orders, again.under_way, again.unanswered) == ((), 0, 0, 0)
    _silent_when_live(play, orders[1][1])


def _silent_when_live(play: Simulation, order: Doc) -> None:
    """Read everything again and let the flow live: new money for an order that was undone is written nowhere."""
    wrote = play.writes()
    play.world = company.with_facts(play.world, modes={"main": "live"})
    for name, system in play.systems.items():
        for doc in system.docs.values():
            play.look(name, doc)
    play.pay("shop", "5.00", order=order.id)
    for key in list(play.states):
        play.fold(key, Tick())
    play.settle()
    assert play.writes() == wrote


@SEEDS
def test_only_what_was_made_since_is_undone(seed: int) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    _, first = play.order()
    play.settle()
    play.now += timedelta(hours=1)
    since = play.now
    play.order()
    _paid(play, first)
    play.settle()
    plan = undo(play, since)
    assert sorted((row.number, row.document) for row in plan.rows) == [("SO-1", "payment reversal"), ("SO-2", "void")]
    assert (billed(play, "books"), cash(play, "books")) == (100, 0)
    play.world = company.with_facts(play.world, modes={"main": "live"})
    play.order()
    play.settle()
    assert (billed(play, "books"), cash(play, "books")) == (200, 0), "others are written as before"


@SEEDS
def test_a_document_of_a_closed_period_is_credited_and_its_payment_is_left_to_a_person(seed: int) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    key, order = play.order()
    _paid(play, order)
    play.settle()
    play.world = company.with_facts(play.world, lock_dates={"books": "2026-03-31"})
    plan = undo(play)
    assert [row.document for row in plan.rows] == ["credit note"]
    assert [one.finding.message for one in plan.findings] == [
        "books@b/payment/books-2 stays: books is closed up to 2026-03-31."
    ]
    assert (billed(play, "books"), cash(play, "books")) == (0, 100)
    (credit,) = play.live("books", "credit")
    assert str(credit.facts.date) == "2026-04-01"  # type: ignore[union-attr]
    assert play.finding(key, "undo_left")


@SEEDS
def test_what_people_made_is_not_touched(seed: int) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    books = play.systems["books"]
    _, order = play.order()
    theirs = books.add("invoice", Invoice(currency="EUR", payable_amount=Decimal(100), reference="SO-1"), play.now)
    play.look("books", theirs)
    play.settle(0)
    _paid(play, order)
    other_key, other = play.order()
    play.settle()
    (bill,) = [doc for doc in play.live("books", "invoice") if doc.mark and other_key in doc.mark]
    money = Payment(amount=Decimal(20), currency="EUR", paid_at=play.now)
    mine = books.add("payment", money, play.now, invoice=bill.id)
    books.edit(bill, paid_amount=Decimal(20))
    for doc in (mine, bill):
        play.look("books", doc)
    play.settle()
    plan = undo(play)
    assert ("credit note", "money stays on it") in [(row.document, row.reason.partition(";")[0]) for row in plan.rows]
    assert [one.finding.message for one in plan.findings] == [
        f"books@b/invoice/{bill.id} stays: 20.00 EUR on it is money that o2c did not record."
    ]
    assert (theirs.facts.status, mine.facts.status) == ("invoiced", "succeeded")  # type: ignore[union-attr]
    assert billed(play, "books") == (Decimal(100) if theirs.facts.status == "invoiced" else 0)  # type: ignore[union-attr]
    assert other.facts.status == "open"  # type: ignore[union-attr]


@SEEDS
def test_what_a_ledger_refuses_is_credited_or_named(seed: int) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    key, order = play.order()
    _paid(play, order)
    play.settle()
    play.systems["books"].refuses = {"reverse_payment", "void_invoice"}
    undo(play)
    assert billed(play, "books") == 0
    assert [one.next_step for one in play.public[key].findings if one.code == "undo_left"] == [
        "take it back by hand in books"
    ]


@SEEDS
@pytest.mark.parametrize("fate", ["", "before", "after"])
def test_the_real_owner_lets_an_undo_pass_what_it_holds_of_the_stopped_flow(
    seed: int, fate: str, loop: asyncio.AbstractEventLoop
) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    real = RealDelivery(play.systems["books"], play.dice, play.emit, loop)
    play.owners["books"] = real  # type: ignore[assignment]  # the real part stands where its model stood
    key, order = play.order()
    play.settle()
    flows = {"main", ""}
    real.owner.live = flows.__contains__
    flows.remove("main")
    real.owner.flow_changed("main")
    _paid(play, order)
    play.settle(0.1)
    assert [one.capability for one in real.inbox.values()] == ["record_payment"]
    real.fates["/docs"] = [fate]
    undo(play)
    assert (billed(play, "books"), cash(play, "books")) == (0, 0)
    flows.add("main")
    real.owner.flow_changed("main")
    loop.run_until_complete(real.owner._plan_afresh())
    play.world = company.with_facts(play.world, modes={"main": "live"})
    play.fold(key, Tick())
    play.settle()
    assert (len(real.inbox), billed(play, "books"), cash(play, "books")) == (0, 0, 0)


@SEEDS
def test_what_was_undone_is_made_anew_when_a_person_says_so(seed: int) -> None:
    play = Simulation(seed, world())
    key, order = play.order()
    _refunded(play, order)
    play.settle()
    undo(play)
    play.world = company.with_facts(play.world, modes={"main": "live"})
    play.decide(key, "recreate")
    play.settle()
    for ledger in ("books", "till"):
        assert (ledger, billed(play, ledger)) == (ledger, 60 if ledger == "books" else 100)
    assert (cash(play, "books"), cash(play, "till")) == (60, -40)
    assert play.public[key].waiting == ()
    undo(play)
    assert [(billed(play, ledger), cash(play, ledger)) for ledger in ("books", "till")] == [(0, 0), (0, 0)]


@SEEDS
def test_what_is_still_being_undone_is_not_made_anew_beside_it(seed: int) -> None:
    play = Simulation(seed, world(targets=ONLY_BOOKS))
    key, _ = play.order()
    play.settle()
    play.owners["books"].muted = True
    undo(play)
    play.world = company.with_facts(play.world, modes={"main": "live"})
    play.decide(key, "recreate")
    play.owners["books"].muted = False
    play.settle()
    assert play.live("books", "invoice") == []
    play.log.append("asked once more")
    play.decide(key, "recreate")
    play.settle()
    assert billed(play, "books") == 100
