"""SCENARIO 30 and the fields that all systems share: edits, conflicts, and what each system shows."""

from __future__ import annotations

from datetime import date

import pytest

from schemas.decisions import Decision
from schemas.facts import Party
from streams.order.step import Seen
from tests.simulator import company
from tests.simulator.fakes import Doc
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


def _note(play: Simulation) -> set[str]:
    return {doc.facts.note for one, of in company.HEADS for doc in play.live(one, of)}  # type: ignore[union-attr]


@SEEDS
def test_30_the_value_that_lost_is_kept_and_given_back_in_one_step(seed: int) -> None:
    play = Simulation(seed, company.world(ranking={"note": ("shop", "crm", "books", "second")}))
    key, order = play.order()
    play.settle()
    deal = play.live("crm", "order")[0]
    for owner in play.owners.values():
        owner.muted = True
    play.systems["shop"].edit(order, note="from the shop")
    play.systems["crm"].edit(deal, note="from the crm")
    events = [play.systems["shop"].event(order, (1, 900)), play.systems["crm"].event(deal, (1, 900))]
    play.fold(key, *(Seen(event) for event in events))
    for owner in play.owners.values():
        owner.muted, owner.seq = False, 900
    play.settle()
    assert _note(play) == {"from the shop"}
    (lost,) = play.public[key].conflicts
    assert (lost.field, lost.kept, lost.lost) == ("note", "from the shop", "from the crm")
    assert (lost.kept_by, lost.lost_by) == (f"shop@s/order/{order.id}", f"crm@c/order/{deal.id}")
    assert lost.at is not None
    for _ in range(2):
        play.fold(key, Decision(id="d1", tenant="acme", order=key, kind="revert", field="note"))
    play.settle()
    assert _note(play) == {"from the crm"}
    play.fold(key, Decision(id="d2", tenant="acme", order=key, kind="revert", field="note"))
    play.settle()
    assert _note(play) == {"from the shop"}


@SEEDS
@pytest.mark.parametrize("first", ["shop", "crm"])
def test_30_an_edit_that_meets_our_write_of_another_one_is_ranked_and_what_lost_is_kept(seed: int, first: str) -> None:
    play = Simulation(seed, company.world(ranking={"note": ("shop", "crm", "books", "second")}))
    key, order = play.order()
    play.settle()
    edits = [("shop", order, "from the shop"), ("crm", play.live("crm", "order")[0], "from the crm")]
    for name in ("shop", "crm"):
        play.owners[name].muted = True
    for system, doc, note in edits if first == "shop" else reversed(edits):
        play.edit(system, doc, note=note)
        play.settle(0)
    for name in ("shop", "crm"):
        play.owners[name].muted = False
    play.settle()
    assert _note(play) == {"from the shop"}
    assert [(one.kept, one.lost) for one in play.public[key].conflicts] == [("from the shop", "from the crm")]
    play.fold(key, Decision(id="d1", tenant="acme", order=key, kind="revert", field="note"))
    play.settle()
    assert _note(play) == {"from the crm"}


def test_30_only_the_newest_conflicts_are_kept() -> None:
    play = Simulation(1, company.world(ranking={"note": ("shop", "crm", "books", "second")}))
    key, order = play.order()
    play.settle()
    deal = play.live("crm", "order")[0]
    for number in range(30):
        play.systems["shop"].edit(order, note=f"shop {number}")
        play.systems["crm"].edit(deal, note=f"crm {number}")
        seq = 1000 + number * 10
        events = [play.systems[name].event(doc, (1, seq)) for name, doc in (("shop", order), ("crm", deal))]
        for owner in play.owners.values():
            owner.seq = seq
        play.fold(key, *(Seen(event) for event in events))
        play.settle()
    lost = [one.lost for one in play.states[key].conflicts]
    assert (len(lost), lost[-1]) == (20, "crm 29")


@SEEDS
def test_email_and_due_date_are_kept_in_step_both_ways(seed: int) -> None:
    play = Simulation(seed)
    due = date(2026, 4, 1)
    _, order = play.order(due_date=due)
    play.settle()
    assert {(doc.facts.customer.email, doc.facts.due_date) for doc in _bills(play)} == {("ada@example.com", due)}  # type: ignore[union-attr]
    play.edit("shop", order, customer=Party(name="Ada", email="ada@new.example"), due_date=date(2026, 4, 15))
    play.settle()
    expected = {("ada@new.example", date(2026, 4, 15))}
    assert {(doc.facts.customer.email, doc.facts.due_date) for doc in _bills(play)} == expected  # type: ignore[union-attr]
    deal = play.live("crm", "order")[0]
    assert deal.facts.customer.email == "ada@new.example"  # type: ignore[union-attr]
    bill = play.live("books", "invoice")[0]
    play.edit("books", bill, customer=Party(name="Ada", email="typed@books.example"), due_date=date(2026, 5, 1))
    play.settle()
    everywhere = [*_bills(play), *play.live("crm", "order"), *play.live("shop", "order")]
    assert {doc.facts.customer.email for doc in everywhere} == {"typed@books.example"}  # type: ignore[union-attr]
    assert {doc.facts.due_date for doc in _bills(play)} == {date(2026, 5, 1)}  # type: ignore[union-attr]
    assert {doc.facts.customer.name for doc in everywhere} == {"Ada"}  # type: ignore[union-attr]


@SEEDS
def test_a_due_date_that_a_closed_period_moved_is_not_pushed_to_the_other_ledger(seed: int) -> None:
    play = Simulation(seed)
    play.world = company.with_facts(play.world, lock_dates={"books": "2026-03-31"})
    play.order()
    play.settle()
    dates = {doc.id.partition("-")[0]: str(doc.facts.due_date) for doc in _bills(play)}  # type: ignore[union-attr]
    assert dates == {"books": "2026-04-01", "second": "2026-03-02"}
    assert [one.kind for one in play.commands if one.connection in {"books", "second"}] == ["create", "create"]


def _bills(play: Simulation) -> list[Doc]:
    return [*play.live("books", "invoice"), *play.live("second", "invoice")]
