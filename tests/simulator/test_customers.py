"""SCENARIO 35: orders of one new customer, with the real owner of the ledger's connection on the simulator's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from schemas.flow import Target
from tests.simulator import company
from tests.simulator.real import RealDelivery
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def _play(seed: int, loop: asyncio.AbstractEventLoop) -> tuple[Simulation, RealDelivery]:
    play = Simulation(seed, company.world(targets=(Target(connection="books", document="invoice"),)))
    real = RealDelivery(play.systems["books"], play.dice, play.emit, loop)
    play.owners["books"] = real  # type: ignore[assignment]  # the real part stands where its model stood
    return play, real


@SEEDS
def test_35_two_orders_of_one_new_customer_in_one_second_make_one_customer(
    seed: int, loop: asyncio.AbstractEventLoop
) -> None:
    play, real = _play(seed, loop)
    keys = [play.order()[0] for _ in range(2)]
    play.settle()
    assert len(real.customers.rows) == 1
    assert real.customers.used == ["ada@example.com"] * 2
    bills = play.live("books", "invoice")
    assert sorted(key for key in keys for doc in bills if doc.mark and key in doc.mark) == sorted(keys)
    assert [play.public[key].waiting for key in keys] == [(), ()]


@SEEDS
def test_35_a_customer_create_that_nobody_knows_of_holds_both_orders(
    seed: int, loop: asyncio.AbstractEventLoop
) -> None:
    play, real = _play(seed, loop)
    fate = play.dice.choice(("after", "before"))
    real.fates["/customers"] = [fate]
    keys = [play.order()[0] for _ in range(2)]
    play.run(5)
    assert play.live("books", "invoice") == []
    assert len([path for path, _ in real.posts if path == "/customers"]) == 1
    if play.dice.random() < 0.5:
        real.crash()
    play.settle()
    assert len(real.customers.rows) == 1
    assert real.customers.used == ["ada@example.com"] * 2
    assert len(play.live("books", "invoice")) == 2
    assert [play.public[key].waiting for key in keys] == [(), ()]
    again = [at for path, at in real.posts if path == "/customers"][1:]
    assert all(at >= company.START + timedelta(seconds=60) for at in again)


@SEEDS
def test_35_the_same_customer_is_found_again_later(seed: int, loop: asyncio.AbstractEventLoop) -> None:
    play, real = _play(seed, loop)
    play.order()
    play.settle()
    play.now += timedelta(hours=1)
    play.order()
    play.settle()
    assert (len(real.customers.rows), len(play.live("books", "invoice"))) == (1, 2)
