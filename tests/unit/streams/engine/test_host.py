"""What the host knows of its consumer, also before there is much of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaError

from streams.engine.host import HostThread


def _thread(consumer: object) -> HostThread:
    return cast("HostThread", SimpleNamespace(_consumer=consumer))


@pytest.mark.parametrize("consumer", [None, SimpleNamespace(_coordinator=None)], ids=["none", "not started"])
def test_a_consumer_that_has_not_begun_has_ended_nothing(consumer: object) -> None:
    assert HostThread.ended(_thread(consumer)) is None


async def test_what_ended_the_coordinator_is_told_and_a_stop_is_nothing_of_the_kind() -> None:
    async def fails() -> None:
        raise KafkaError

    async def ended(coroutine: Any, *, cancel: bool = False) -> BaseException | None:
        task = asyncio.create_task(coroutine)
        if cancel:
            task.cancel()
        await asyncio.wait([task])
        return HostThread.ended(_thread(SimpleNamespace(_coordinator=SimpleNamespace(_coordination_task=task))))

    assert isinstance(await ended(fails()), KafkaError)
    assert await ended(asyncio.sleep(9), cancel=True) is None
    assert await ended(asyncio.sleep(0)) is None
