"""Consent was taken back and is given again six hours later: what waited is written once, in order, and nothing is lost.

Simulated: the clock, the systems and Kafka. Real: the orders' core, and the owner with inbox, journal and circuit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.errors import AuthError
from app.core.talk import Request, Response
from streams.order.step import Tick
from tests.simulator import company
from tests.simulator.real import RealDelivery
from tests.simulator.simulation import Simulation

HOURS = 6


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@dataclass
class Consented(RealDelivery):
    """An owner whose account a person lets it use, or not."""

    consent: bool = True

    async def _send(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:  # fmt: skip
        if not self.consent:
            raise AuthError("The token endpoint answered 400 (invalid_grant).")
        return await super()._send(request, key, before)


@pytest.mark.parametrize("restarts", [(), (3,), (1, 3, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_what_waited_six_hours_is_written_once_and_in_order(
    seed: int, restarts: tuple[int, ...], loop: asyncio.AbstractEventLoop
) -> None:
    play = Simulation(seed)
    books = Consented(play.systems["books"], play.dice, play.emit, loop)
    play.owners["books"] = books  # type: ignore[assignment]  # the real part stands where its model stood
    orders = [play.order(), play.order()]
    play.settle()
    books.consent = False
    began, before = play.now, len(books.platform.writes)
    for hour in range(HOURS):
        play.edit("shop", orders[0][1], note=f"hour {hour}")
        if hour == 2:
            orders.append(play.order())
        if hour == 4:
            for _, order in orders:
                play.pay("shop", "100.00", order=order.id)
        if hour in restarts:
            books.crash()
        play.settle(1)
        play.now = max(play.now, began + timedelta(hours=hour + 1))
    assert len(books.platform.writes) == before
    assert play.sum("second", "payment") == Decimal(300), "the other ledger goes on"

    books.consent = True
    play.world = company.with_facts(play.world, up={"books": (books.epoch, books.owner.go_on())})
    for key, _ in orders:
        play.fold(key, Tick())
    play.settle()
    written = books.platform.writes[before:]
    first, second, third = ([capability for capability, key in written if key == one] for one, _ in orders)
    assert sorted(first) == ["record_payment", "upsert_invoice"], "of six edits the newest, once"
    assert (second, third) == (["record_payment"], ["upsert_invoice", "record_payment"])
    notes = sorted(doc.facts.note for doc in play.live("books", "invoice"))  # type: ignore[union-attr]
    assert notes == ["", "", f"hour {HOURS - 1}"]
    assert play.sum("books", "payment") == play.sum("books", "invoice") == Decimal(300)
