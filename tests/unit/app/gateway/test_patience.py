import asyncio

import pytest

from app.gateway.patience import Patience


async def test_who_waits_too_long_is_told_and_others_go_on_waiting() -> None:
    patience, never, soon = Patience(0.05), asyncio.Event(), asyncio.Event()
    late = asyncio.create_task(patience.wait(_until(never)))
    with pytest.raises(TimeoutError):
        await late
    early = asyncio.create_task(patience.wait(_until(soon)))
    await asyncio.sleep(0)
    assert len(patience) == 1
    soon.set()
    await early
    assert (len(patience), early.exception()) == (0, None)


async def test_another_cancellation_stays_one() -> None:
    patience = Patience(60)
    waiting = asyncio.create_task(patience.wait(_until(asyncio.Event())))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(patience) == 0


async def test_what_goes_wrong_is_raised() -> None:
    async def wrong() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await Patience(60).wait(wrong())


async def _until(event: asyncio.Event) -> None:
    await event.wait()
