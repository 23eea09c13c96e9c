"""A task ends although a cancellation was lost on the way."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp.helpers import TimerContext

from app.core.ending import ended


async def _deaf(times: int, lost: list[int]) -> None:
    """Go on after so many cancellations, as after a time-out of a library that took them for its own."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost.append(1)
            if len(lost) > times:
                raise


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_loses_cancellations_ends(times: int) -> None:
    lost: list[int] = []
    task = asyncio.create_task(_deaf(times, lost))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ended([task], again=0.01)
    assert task.cancelled()
    assert len(lost) == times + 1


async def test_what_a_task_raised_before_is_still_told() -> None:
    async def fails() -> None:
        raise KeyError("x")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    await ended([task])
    assert isinstance(task.exception(), KeyError)


async def test_the_timers_of_aiohttp_lose_a_cancellation_which_is_why() -> None:
    timer = TimerContext(asyncio.get_running_loop())

    async def asks() -> None:
        with contextlib.suppress(TimeoutError), timer, timer:  # as a request encloses the reading of its answer
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(asks())
    await asyncio.sleep(0)
    timer.timeout()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    assert not task.done()
    await ended([task], again=0.01)
    assert task.cancelled()


async def test_nothing_to_end_ends_at_once() -> None:
    await ended([])
