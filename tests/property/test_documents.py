"""What systems hold in the end does not depend on the sequence in which an order's history is heard."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Credit, Facts, Line, Order, Party, Payment
from schemas.refs import ObjectRef, order_key
from streams.order.derive.status import HEADLINES
from tests.simulator import company
from tests.simulator.simulation import Simulation

pytestmark = pytest.mark.no_cover
SHOP = ObjectRef("shop", "s", "order", "1")
KEY = order_key(company.TENANT, SHOP)
_ELSEWHERE = ("crm", "books", "second")
_SHOWN = ("payable_amount", "amount", "note", "reference", "currency", "document", "headline")
_CREDIT = Decimal("5.07")
"""Of no total's difference: an order that is lowered by what was credited may have been lowered by the credit."""
Documents = list[tuple[Any, ...]]


def _order(total: int, note: str) -> Order:
    return Order(
        number="SO-1", stage="open", currency="EUR", payable_amount=Decimal(total), placed_at=company.START, note=note,
        tax_amount=Decimal(0), customer=Party(name="Ada", email="ada@example.com"),
        lines=(Line(id="l1", sku="MUG", unit_price=Decimal(total), net_amount=Decimal(total)),),
    )  # fmt: skip


def _told(kind: str, id_: str, version: int, facts: Facts) -> ChangeEvent:
    return ChangeEvent(
        tenant=company.TENANT,
        object=SHOP if kind == "order" else ObjectRef("shop", "s", kind, id_),
        facts=facts,
        version=Version(native=version),
        anchors=() if kind == "order" else (Anchor("order", SHOP),),
        changed_at=company.START + timedelta(minutes=version),
    )


def _paid(amount: int, id_: str, status: Any = "succeeded") -> Payment:
    return Payment(amount=Decimal(amount), currency="EUR", paid_at=company.START, reference=id_, status=status)


@st.composite
def histories(draw: st.DrawFn, *, setbacks: bool) -> list[ChangeEvent]:
    """Draw an order of 100 with edits and money; *setbacks*: other totals, refunds, and payments that fail later."""
    totals = [100, *(draw(st.lists(st.integers(80, 130), max_size=2)) if setbacks else [])]
    notes = draw(st.lists(st.sampled_from(("", "ring", "knock")), max_size=2))
    looks = [(total, "") for total in totals] + [(totals[-1], note) for note in notes]
    told = [_told("order", "1", number, _order(*look)) for number, look in enumerate(looks, start=1)]
    for id_ in draw(st.sampled_from(("", "a", "ab"))):
        amount = draw(st.integers(1, 50))
        told.append(_told("payment", id_, 1, _paid(amount, id_)))
        if setbacks and draw(st.booleans()):
            told.append(_told("payment", id_, 2, _paid(amount, id_, "reversed")))
    if setbacks and draw(st.booleans()):
        told.append(_told("credit", "c", 1, Credit(amount=_CREDIT, currency="EUR", date=company.START.date())))
    return told


def _hear(told: list[ChangeEvent], seed: int, *, first: bool) -> Simulation:
    """Play a history in the sequence that *seed* decides; *first*: all of it is heard before anything is written.

    The second ledger cannot change what an issued invoice bills.
    """
    play = Simulation(seed, company.world(), doubles=True)
    play.world = company.with_fixed(play.world, "second")
    play.systems["second"].fixed = True
    for number, event in enumerate(told):
        play.queues[f"event {number}"].append(event)
    while first and (waiting := [name for name, queue in play.queues.items() if queue]):
        play._take(play.dice.choice(waiting))
    play.settle()
    return play


def _documents(play: Simulation) -> Documents:
    return sorted(
        (system, kind, *(str(getattr(doc.facts, name, "")) for name in _SHOWN))
        for system in _ELSEWHERE
        for kind in ("order", "invoice", "payment", "credit")
        for doc in play.live(system, kind)
    )


def _billed(play: Simulation, system: str) -> Decimal:
    return play.sum(system, "invoice") - play.sum(system, "credit")


seeds = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None)
@given(histories(setbacks=True), seeds, seeds)
def test_permutations_and_repeats_give_the_same_final_documents(told: list[ChangeEvent], one: int, two: int) -> None:
    assert _documents(_hear(told, one, first=True)) == _documents(_hear([*told, *told], two, first=True))


@settings(max_examples=60, deadline=None)
@given(histories(setbacks=True), seeds, seeds)
def test_whatever_was_written_in_between_the_books_come_to_the_same_or_a_person_is_told(
    told: list[ChangeEvent], one: int, two: int
) -> None:
    first, second = _hear(told, one, first=False), _hear([*told, *told], two, first=False)
    if first.finding(KEY, "paid_edit") or second.finding(KEY, "paid_edit"):
        return
    for system in ("books", "second"):
        assert _billed(first, system) == _billed(second, system)
        assert first.sum(system, "payment") == second.sum(system, "payment")
    assert first.public[KEY].headline == second.public[KEY].headline


@settings(max_examples=60, deadline=None)
@given(histories(setbacks=False), seeds)
def test_a_status_is_never_lowered_without_a_cause(told: list[ChangeEvent], seed: int) -> None:
    play = _hear([*told, *told], seed, first=False)
    words = [command.status for command in play.commands if command.capability == "set_status"]
    assert words == sorted(words, key=HEADLINES.index)
