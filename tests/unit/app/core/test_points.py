"""A platform that counts points: requests wait for what they may cost, and the platform's own count is believed."""

import asyncio

import pytest

from app.core.limits import Limiter
from schemas.platform import Limit, Limits

LIMITS = Limits(points=Limit(1000, 10.0), left_in_body=r'"left":\s*(-?\d+)')


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_request_waits_for_its_points(clock: Clock) -> None:
    limiter = Limiter(LIMITS, clock)
    async with limiter.turn(900):
        pass
    assert limiter.left() == 70
    assert limiter.wait(150) == pytest.approx(0.8)
    clock.now = 0.8
    assert limiter.wait(150) == 0


async def test_a_request_dearer_than_the_bucket_waits_for_a_full_one(clock: Clock) -> None:
    limiter = Limiter(LIMITS, clock)
    assert limiter.wait(5000) == 0
    async with limiter.turn(5000):
        pass
    assert limiter.wait(5000) > 40


async def test_the_reply_says_what_is_left(clock: Clock) -> None:
    limiter = Limiter(LIMITS, clock)
    async with limiter.turn(900):
        pass
    limiter.heard(b'{"data": {}, "extensions": {"left": 930}}')
    assert limiter.left() == 930
    limiter.heard(b"<html>no number</html>")
    assert limiter.left() == 930


async def test_what_is_on_its_way_is_not_given_twice(clock: Clock) -> None:
    limiter = Limiter(LIMITS, clock)
    async with limiter.turn(400):
        limiter.heard(b'{"left": 900}')
        assert limiter.left() == 500


async def test_a_share_scales_the_bucket(clock: Clock) -> None:
    limiter = Limiter(LIMITS, clock, share=0.5)
    assert limiter.left() == 485


async def test_a_waiting_request_goes_when_time_has_passed() -> None:
    limiter = Limiter(Limits(points=Limit(100, 0.1)), asyncio.get_running_loop().time)
    for _ in range(3):
        async with asyncio.timeout(2), limiter.turn(90):
            pass
