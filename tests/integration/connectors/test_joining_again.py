"""Connections that are given to a process while no broker answers are served once one does, by the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError

from app.config.load import load
from app.connectors.desk import Desk
from app.roles import connectors
from tests.integration.connectors.test_ownership import Stand, orders, stand

__all__ = ["stand"]  # a fixture
pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
FAILURES = 2


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch, failures: int) -> Iterator[list[float]]:
    """Have Kafka answer no desk that starts, so often; yield when each start was tried."""
    begin, tried = Desk.start, list[float]()

    async def start(desk: Desk) -> None:
        tried.append(time.monotonic())
        if len(tried) <= failures:
            raise KafkaConnectionError("made up: no broker")
        await begin(desk)

    with monkeypatch.context() as patched:
        patched.setattr(Desk, "start", start)
        yield tried


async def test_a_desk_that_no_broker_let_start_is_started_by_the_same_process(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = orders(1)
    await stand.order(wanted)

    with away(monkeypatch, FAILURES) as tried:
        role = asyncio.create_task(connectors.run(load(stand.config, {})))
        try:
            answering = asyncio.create_task(stand.results(1))
            await asyncio.wait({role, answering}, return_when=asyncio.FIRST_COMPLETED)
            assert not role.done(), f"it ended itself with {role.result()} after {len(tried)} tries"
            (result,) = answering.result()
        finally:
            role.cancel()
            answering.cancel()
            await asyncio.gather(role, answering, return_exceptions=True)

    assert (result.command, result.outcome) == (wanted.id, "confirmed")
    assert len(tried) == FAILURES + 1
    assert stand.invoices() == [wanted.mark]


async def test_what_cannot_be_read_ends_the_process(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_: Desk) -> None:
        raise msgspec.ValidationError("made up: a journal of a newer program")

    monkeypatch.setattr(Desk, "start", start)

    async with asyncio.timeout(120):
        assert await connectors.run(load(stand.config, {})) == 1
