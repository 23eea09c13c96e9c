"""A command that comes again after a crash, when much was written since: what it showed then is no news now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from schemas.commands import Command
from schemas.facts import Invoice
from schemas.flow import Target
from tests.simulator import company
from tests.simulator.real import RealDelivery
from tests.simulator.simulation import Simulation


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


class Recorded(RealDelivery):
    """Remembers what it was asked for: Kafka has it again until its offset is committed."""

    def __post_init__(self) -> None:
        self.asked: list[Command] = []
        super().__post_init__()

    def accept(self, command: Command) -> None:
        self.asked.append(command)
        super().accept(command)


@pytest.mark.parametrize("seed", range(8))
def test_a_create_that_comes_again_corrects_no_invoice_that_was_changed_and_paid(
    seed: int, loop: asyncio.AbstractEventLoop
) -> None:
    play = Simulation(seed, company.world(targets=(Target(connection="books", document="invoice"),)))
    real = Recorded(play.systems["books"], play.dice, play.emit, loop)
    play.owners["books"] = real  # type: ignore[assignment]  # the real part stands where its model stood
    key, doc = play.order("100.00")
    play.settle()
    play.total(doc, "150.00")
    play.settle()
    play.pay("shop", "150.00", order=doc.id)
    play.settle()
    before, asked = len(real.posts), list(real.asked)
    for again in asked:
        real.crash()
        real.accept(again)
        play.settle()
    assert real.asked == [*asked, *asked]
    assert len(real.posts) == before
    (bill,) = play.live("books", "invoice")
    assert isinstance(bill.facts, Invoice)
    assert f"{bill.facts.payable_amount:.2f}" == "150.00"
    assert play.live("books", "credit") == []
    assert play.public[key].findings == ()
    assert play.public[key].financial == "paid"
