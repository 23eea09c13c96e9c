"""SCENARIO 5: what systems tell back of our own writes is no edit, and is counted."""

from __future__ import annotations

import msgspec
import pytest

from schemas.facts import Facts, Invoice
from streams.order.echo import Echo
from tests.simulator import company
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


def test_one_note_edited_in_one_of_four_systems_makes_three_writes_and_then_silence() -> None:
    for system, kind in (("shop", "order"), ("crm", "order"), ("books", "invoice"), ("second", "invoice")):
        play = Simulation(3)
        play.order(note="old")
        play.settle()
        before = play.writes()
        play.edit(system, play.live(system, kind)[0], note="new")
        play.settle()
        assert play.writes() == before + 3
        assert {doc.facts.note for one, of in company.HEADS for doc in play.live(one, of)} == {"new"}  # type: ignore[union-attr]


@SEEDS
def test_05_what_systems_tell_back_of_an_edit_is_counted_by_where_it_was_typed(seed: int) -> None:
    for system, kind in company.HEADS:
        play = Simulation(seed)
        play.order(note="old")
        play.settle()
        play.echoes.clear()
        play.edit(system, play.live(system, kind)[0], note="new")
        play.settle()
        assert not play.echoes, "what a write shows itself is none"
        writes = play.writes()
        for one, of in company.HEADS:
            play.look(one, play.live(one, of)[0])
        play.settle()
        assert play.echoes == {Echo(system, one): 1 for one, _ in company.HEADS if one != system}
        assert play.writes() == writes


@SEEDS
def test_05_an_edit_told_back_by_a_system_that_shortened_it_is_an_echo_and_the_next_persons_is_none(seed: int) -> None:
    play = Simulation(seed)
    play.systems["books"].normalise = shortened
    _, order = play.order(note="ring")
    play.settle()
    play.edit("shop", order, note="ring twice, please")
    play.settle()
    play.echoes.clear()
    (bill,) = play.live("books", "invoice")
    play.look("books", bill)
    play.settle()
    assert play.echoes == {Echo("shop", "books"): 1}
    play.edit("books", bill, note="knock")
    play.look("books", bill)
    play.settle()
    assert play.echoes == {Echo("shop", "books"): 1}
    assert {doc.facts.note for one, of in company.HEADS for doc in play.live(one, of)} == {"knock"}  # type: ignore[union-attr]


def shortened(facts: Facts) -> Facts:
    """Store as a system does that has little room."""
    return msgspec.structs.replace(facts, note=facts.note[:8]) if isinstance(facts, Invoice) else facts


@SEEDS
def test_05_a_webhook_that_overtakes_the_answer_to_its_write_is_an_echo(seed: int) -> None:
    play = Simulation(seed)
    play.owners["books"].faults = ("after",)
    play.order()
    play.run(20)
    (bill,) = play.live("books", "invoice")
    play.look("books", bill)
    play.settle()
    assert play.echoes[Echo("shop", "books")] == 1
    assert len(play.live("books", "invoice")) == 1
