"""A plan says what a live flow then writes: the same documents in the same systems over the same amounts, no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.planning.drafting import Drafts, content
from app.planning.plan import Plan, Row
from schemas.commands import Command
from schemas.facts import Credit, Invoice
from schemas.flow import Target
from streams.order.step import Tick
from streams.order.world import World
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

TARGETS = (
    Target(connection="shop"),
    Target(connection="crm", order=True),
    Target(connection="books", document="invoice"),
    Target(connection="till", document="sales_receipt"),
)
History = Callable[[Simulation, Doc], None]


def _untouched(_play: Simulation, _order: Doc) -> None:
    """Nothing happens after the order."""


def _paid(play: Simulation, order: Doc) -> None:
    play.pay("shop", "100.00", order=order.id)


def _paid_twice(play: Simulation, order: Doc) -> None:
    play.pay("shop", "30.00", order=order.id)
    play.pay("pay", "70.00", order=order.id)


def _refunded(play: Simulation, order: Doc) -> None:
    _paid(play, order)
    facts = Credit(document="refund", amount=Decimal("40.00"), currency="EUR")
    play.look("shop", play.systems["shop"].add("credit", facts, play.now, order=order.id))


def _cancelled(play: Simulation, order: Doc) -> None:
    play.edit("shop", order, status="cancelled", stage="cancelled")


def _edited(play: Simulation, order: Doc) -> None:
    play.total(order, "120.00")


HISTORIES: dict[str, History] = {
    "untouched": _untouched,
    "paid": _paid,
    "paid twice": _paid_twice,
    "refunded": _refunded,
    "cancelled": _cancelled,
    "edited": _edited,
}


def shadow(**changes: Any) -> World:
    """Return a world in which nothing is written; its CRM takes the status together with the order, as real ones do."""
    platforms = {**company.PLATFORMS, "crmm": company.platform("crmm", ("upsert_order",))}
    return msgspec.structs.replace(company.world(mode="shadow", **changes), platforms=platforms)


def drafted(play: Simulation) -> Plan:
    drafts = Drafts(play.world, play.world.facts.flows, play.now)
    for state in play.states.values():
        drafts.add(state)
    (plan,) = drafts.plans()
    return plan


def go_live(play: Simulation) -> None:
    play.world = company.with_facts(play.world, modes={"main": "live"})
    for key in list(play.states):
        play.fold(key, Tick())
    play.settle()


def intended(rows: tuple[Row, ...]) -> Counter[tuple[str, ...]]:
    return Counter((row.order, row.target, row.capability, row.write, row.content) for row in rows)


def asked(commands: list[Command]) -> Counter[tuple[str, ...]]:
    once = {command.id: command for command in commands}.values()
    return Counter((one.order, one.connection, one.capability, one.write, content(one)) for one in once)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_live_flow_writes_what_the_plan_of_its_shadow_said(history: str, seed: int) -> None:
    play = Simulation(seed, shadow(targets=TARGETS))
    orders = [play.order()[1] for _ in range(3)]
    play.settle()
    HISTORIES[history](play, orders[1])
    play.settle()
    assert (play.writes(), play.commands) == (0, [])
    plan = drafted(play)
    assert plan.orders == len(orders)
    go_live(play)
    assert asked(play.commands) == intended(plan.rows)
    assert plan.writes == play.writes()
    assert drafted(play).rows == ()


def test_the_totals_of_a_plan_are_what_the_ledger_then_holds() -> None:
    play = Simulation(1, shadow(targets=TARGETS))
    for total in ("19.99", "0.01", "1000.00"):
        _, order = play.order(total)
        play.pay("shop", total, order=order.id)
    play.settle()
    totals = {(one.target, one.document): (one.count, one.amount) for one in drafted(play).totals}
    go_live(play)
    assert totals["books", "invoice"] == (3, f"{play.sum('books', 'invoice'):f}") == (3, "1020.00")
    assert totals["books", "payment"] == (3, f"{play.sum('books', 'payment'):f}")
    assert totals["crm", "order"] == (3, f"{play.sum('crm', 'order'):f}")


def test_an_invoice_that_a_person_made_is_adopted_and_its_payment_hung_on_it() -> None:
    play = Simulation(1, shadow(targets=TARGETS[2:3]))
    _, order = play.order()
    facts = Invoice(currency="EUR", payable_amount=Decimal("100.00"), reference="SO-1")
    play.look("books", play.systems["books"].add("invoice", facts, play.now))
    _paid(play, order)
    play.settle()
    plan = drafted(play)
    assert [(row.action, row.document) for row in plan.rows] == [("create", "payment"), ("adopt", "invoice")]
    assert plan.rows[1].reason == "books has it already"
    assert plan.findings == ()
    go_live(play)
    assert [capability for capability, _ in play.systems["books"].writes] == ["record_payment"]


def test_what_was_asked_for_before_a_stop_is_in_the_plan_until_it_is_confirmed() -> None:
    play = Simulation(1, company.world(targets=TARGETS[2:3]))
    play.owners["books"].muted = True
    play.order()
    play.settle(0.1)
    assert [command.capability for command in play.commands] == ["upsert_invoice"]
    play.world = company.with_facts(play.world, modes={"main": "stopped"})
    plan = drafted(play)
    assert (plan.mode, [row.capability for row in plan.rows]) == ("stopped", ["upsert_invoice"])
    play.owners["books"].muted = False
    play.settle()
    assert drafted(play).rows == ()


def test_a_blocked_order_is_named_with_its_reason_and_has_no_rows() -> None:
    play = Simulation(1, shadow(targets=TARGETS))
    _, order = play.order()
    play.order()
    play.edit("shop", order, stage="nobody knows this word")
    play.settle()
    plan = drafted(play)
    assert plan.blocked == 1
    assert {one.number for one in plan.findings if one.finding.severity == "block"} == {"SO-1"}
    assert {row.number for row in plan.rows} == {"SO-2"}


def test_a_digest_changes_with_what_is_written_and_with_nothing_else() -> None:
    play = Simulation(1, shadow(targets=TARGETS))
    _, order = play.order()
    play.settle()
    first = drafted(play)
    play.now += timedelta(days=2)
    later = drafted(play)
    assert later.digest == first.digest
    assert not any(row.asks_first for row in first.rows)
    assert all(row.asks_first for row in later.rows), "an order older than a day is looked for before it is made"
    play.edit("shop", order, note="leave it at the door")
    play.settle()
    assert drafted(play).digest != first.digest
