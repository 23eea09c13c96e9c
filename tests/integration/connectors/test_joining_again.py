"""Connections that are given to a process while no broker answers are served once one does, by the same process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError

from app.config.load import load
from app.connectors.bus import group_of
from app.connectors.desk import Desk
from app.roles import connectors
from schemas.commands import Result
from tests.integration.connectors.test_ownership import Stand, orders, stand

__all__ = ["stand"]  # a fixture
pytestmark = [pytest.mark.kafka, pytest.mark.sandbox]
FAILURES = 2


@contextmanager
def stumbling(monkeypatch: pytest.MonkeyPatch, group: str, times: int) -> Iterator[list[float]]:
    """Have *group* answer what nobody expects, so often in a row; yield when it did."""
    poll, answered = AIOKafkaConsumer.getmany, list[float]()

    async def getmany(consumer: AIOKafkaConsumer, *places: Any, **asked: Any) -> Any:
        if consumer._group_id == group and len(answered) < times:
            answered.append(time.monotonic())
            if len(answered) == 1:
                raise asyncio.CancelledError
            raise KafkaError("made up: UnknownError")
        return await poll(consumer, *places, **asked)

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaConsumer, "getmany", getmany)
        yield answered


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


async def answered_by_one_process(stand: Stand) -> Result:
    """Run the role until it answered a command; an AssertionError tells that it ended itself."""
    role = asyncio.create_task(connectors.run(load(stand.config, {})))
    answering = asyncio.create_task(stand.results(1))
    try:
        await asyncio.wait({role, answering}, return_when=asyncio.FIRST_COMPLETED)
        assert not role.done(), f"it ended itself with {role}"
        return answering.result()[0]
    finally:
        role.cancel()
        answering.cancel()
        await asyncio.gather(role, answering, return_exceptions=True)


async def test_a_desk_that_no_broker_let_start_is_started_by_the_same_process(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = orders(1)
    await stand.order(wanted)

    with away(monkeypatch, FAILURES) as tried:
        result = await answered_by_one_process(stand)

    assert (result.command, result.outcome) == (wanted.id, "confirmed")
    assert len(tried) == FAILURES + 1
    assert stand.invoices() == [wanted.mark]


async def test_a_group_that_answers_what_nobody_expects_is_joined_again_by_the_same_process(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = orders(1)
    await stand.order(wanted)

    with stumbling(monkeypatch, group_of(stand.prefix), FAILURES) as answered:
        result = await answered_by_one_process(stand)

    assert (result.command, result.outcome) == (wanted.id, "confirmed")
    assert len(answered) == FAILURES


async def test_a_group_that_goes_on_so_ends_the_process(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with stumbling(monkeypatch, group_of(stand.prefix), 1_000) as answered:
        async with asyncio.timeout(120):
            with pytest.raises(KafkaError, match="made up"):
                await connectors.run(load(stand.config, {}))
    assert len(answered) == connectors._STUMBLES


async def test_what_cannot_be_read_ends_the_process(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_: Desk) -> None:
        raise msgspec.ValidationError("made up: a journal of a newer program")

    monkeypatch.setattr(Desk, "start", start)

    async with asyncio.timeout(120):
        assert await connectors.run(load(stand.config, {})) == 1
