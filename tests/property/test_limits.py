"""The limiter never lets more through than the vendor allows, wastes little and lets the urgent go first."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.limits import AGE, Calls, Limiter, abreast
from schemas.commands import BACKFILL, LIVE_PAYMENT, SWEEP
from schemas.platform import Limit, Limits
from tests.property.virtual_time import run

STEPS = 4
_LIMITS = st.lists(st.tuples(st.integers(2, 60), st.floats(1.0, 60.0)), min_size=1, max_size=2)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(_LIMITS, st.lists(st.floats(0.0, 3.0), min_size=5, max_size=200))
def test_no_window_ever_holds_more_than_its_limit(limits: list[tuple[int, float]], pauses: list[float]) -> None:
    clock = Clock()
    windows = tuple(Limit(count, seconds) for count, seconds in limits)
    limiter = Limiter(Limits(windows=windows), clock)
    sent: list[float] = []
    for pause in pauses:
        clock.now += pause
        clock.now += limiter.wait() + 1e-9
        limiter.sent()
        sent.append(clock.now)
    for window in windows:
        for start in sent:
            inside = [moment for moment in sent if start <= moment < start + window.per_seconds - 1e-6]
            assert len(inside) <= window.requests


@given(
    st.lists(st.floats(0.0, 1.0) | st.floats(0.0, 4000.0), min_size=1, max_size=200),
    st.integers(1, 50),
    st.sampled_from([10.0, 3600.0]),
)
def test_a_call_counts_for_its_window_and_for_a_step_more_at_most(
    pauses: list[float], most: int, seconds: float
) -> None:
    calls, gone, now = Calls(seconds, STEPS), list[float](), 0.0
    step = seconds / STEPS if seconds > 60 else 0.0
    for pause in pauses:
        now += pause
        calls.forget(now)
        within = [at for at in gone if now - at < seconds - 1e-6]
        late = [at for at in gone if now - at < seconds + step + 1e-6]
        assert len(within) <= len(calls) <= len(late)
        free = sorted(gone)[-most] + seconds if len(gone) >= most else now
        assert free - 1e-6 <= max(now, calls.until(most)) <= max(now, free + step) + 1e-6
        calls.add(now)
        gone.append(now)
    for at in gone:
        if (end := at + seconds - 1e-3) >= now:
            calls.forget(end)
            assert len(calls) >= sum(other >= at for other in gone)


def test_a_day_of_calls_takes_no_more_room_than_its_steps() -> None:
    tracemalloc.start()
    try:
        calls = Calls(86_400.0)
        for number in range(200_000):
            calls.add(number * 0.4)
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    assert len(calls) == 200_000


def test_a_pause_is_obeyed() -> None:
    clock = Clock()
    limiter = Limiter(Limits(windows=(Limit(100, 1.0),)), clock)
    limiter.pause(7.0)
    assert limiter.wait() == 7.0
    clock.now = 7.0
    assert limiter.wait() == 0.0


class Asked(NamedTuple):
    """One request: when it comes, how urgent it is, how long the platform works on it."""

    at: float
    priority: int
    lasts: float


class Went(NamedTuple):
    """One request that was let go."""

    asked: Asked
    at: float
    place: int
    flying: int


_ASKED = st.builds(Asked, st.floats(0.0, 40.0), st.integers(LIVE_PAYMENT, BACKFILL), st.floats(0.0, 5.0))


async def _play(limits: Limits, requests: list[Asked]) -> list[Went]:
    clock = asyncio.get_running_loop().time
    limiter, went, flying = Limiter(limits, clock), list[Went](), 0

    async def one(asked: Asked) -> None:
        nonlocal flying
        await asyncio.sleep(asked.at)
        async with limiter.turn(1, asked.priority) as number:
            flying += 1
            went.append(Went(asked, clock(), number, flying))
            await asyncio.sleep(asked.lasts)
            flying -= 1

    await asyncio.gather(*(one(asked) for asked in requests))
    return went


@settings(deadline=None)
@given(_LIMITS, st.integers(1, 4), st.lists(_ASKED, max_size=30, unique_by=lambda asked: asked.at))
def test_everybody_goes_within_the_limits_and_never_behind_a_less_urgent_one_that_came_later(
    limits: list[tuple[int, float]], concurrent: int, requests: list[Asked]
) -> None:
    windows = tuple(Limit(count, seconds) for count, seconds in limits)
    went = run(_play(Limits(windows=windows, concurrent=concurrent), requests))
    assert sorted(one.asked for one in went) == sorted(requests)
    for window in windows:
        for first in went:
            inside = [one for one in went if first.at <= one.at < first.at + window.per_seconds - 1e-6]
            assert len(inside) <= window.requests
    for one in went:
        assert one.flying <= concurrent
        for other in went:
            if one.asked.at < other.asked.at and one.asked.priority <= other.asked.priority:
                assert one.place < other.place


def test_a_payment_overtakes_waiting_sweeps_and_a_sweep_is_not_overtaken_for_ever() -> None:
    sweeps = [Asked(0.001 * n, SWEEP, 0.0) for n in range(5)]
    payments = [Asked(0.5 + n, LIVE_PAYMENT, 0.0) for n in range(120)]
    went = run(_play(Limits(windows=(Limit(1, 1.0),)), sweeps + payments))
    assert [one.asked.priority for one in went[:3]] == [SWEEP, LIVE_PAYMENT, LIVE_PAYMENT]
    waited = max(one.at - one.asked.at for one in went if one.asked.priority == SWEEP)
    assert AGE * SWEEP <= waited <= AGE * SWEEP + 2 * len(sweeps) + 2


async def _cancelled() -> list[float]:
    clock = asyncio.get_running_loop().time
    limiter, went = Limiter(Limits(windows=(Limit(2, 10.0),), concurrent=1), clock), list[float]()

    async def one() -> None:
        async with limiter.turn():
            went.append(clock())
            await asyncio.sleep(1)

    tasks = [asyncio.create_task(one()) for _ in range(4)]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return went


def test_who_gives_up_gives_its_place_to_the_next() -> None:
    assert run(_cancelled()) == [0.0, 10.0, 20.0]


_TOLD = Limits(windows=(Limit(100, 60.0),), remaining_headers=("x-left",))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6), st.floats(0.0, 20.0)), min_size=1, max_size=40))
def test_never_more_go_than_the_platform_says_are_left(replies: list[tuple[int, int, float]]) -> None:
    clock = Clock()
    limiter = Limiter(_TOLD, clock)
    for left, tries, pause in replies:
        limiter.heard(b"", {"x-left": str(left)}, limiter.sent())
        heard = clock.now
        for gone in range(tries):
            clock.now += limiter.wait() + pause / max(1, tries)
            if gone >= left:
                assert limiter.wait() > 0 or clock.now >= heard + 60.0
            if limiter.wait() > 0 or clock.now >= heard + 60.0:
                break
            limiter.sent()


def test_what_others_used_slows_down_before_it_is_used_up() -> None:
    clock = Clock()
    limiter = Limiter(_TOLD, clock)
    limiter.heard(b"", {"x-left": "40"}, limiter.sent())
    assert limiter.wait() == 0
    limiter.heard(b"", {"x-left": "3"}, limiter.sent())
    assert limiter.wait() == 15.0
    limiter.heard(b"", {"x-left": "0"}, limiter.sent())
    assert (limiter.wait(), limiter.left()) == (60.0, 0)
    clock.now = 60.0
    assert limiter.wait() == 0


def test_what_came_late_or_makes_no_sense_is_not_believed() -> None:
    limiter = Limiter(_TOLD, Clock())
    first, second = limiter.sent(), limiter.sent()
    limiter.heard(b"", {"x-left": "80"}, second)
    limiter.heard(b"", {"x-left": "0"}, first)
    limiter.heard(b"", {"x-left": "many"}, second)
    limiter.heard(b"", {}, second)
    assert limiter.left() == 80
    limiter.heard(b"", {"x-left": "9"}, second)
    assert limiter.left() == 9


def test_nobody_is_slowed_down_while_the_quota_is_ours_alone() -> None:
    clock = Clock()
    limiter, gone = Limiter(_TOLD, clock), 0
    vendor_since, vendor_left = 0.0, 100
    while clock.now < 600:
        clock.now += limiter.wait() + 0.01
        if clock.now - vendor_since >= 60:
            vendor_since, vendor_left = clock.now, 100
        vendor_left, gone = vendor_left - 1, gone + 1
        assert vendor_left >= 0
        limiter.heard(b"", {"x-left": str(vendor_left)}, limiter.sent())
    assert gone >= 94 * 10


def _gone(limit: Limit, until: float) -> list[float]:
    """Return when requests went of somebody who never has none to send."""
    clock = Clock()
    limiter, gone = Limiter(Limits(windows=(limit,)), clock), list[float]()
    while clock.now < until:
        clock.now += limiter.wait() + 1e-9
        limiter.sent()
        gone.append(clock.now)
    return gone


@pytest.mark.parametrize(("limit", "seconds"), [(Limit(60, 60.0), 600), (Limit(190, 10.0), 100), (Limit(100, 1.0), 10)])
def test_nearly_all_of_a_quota_is_used(limit: Limit, seconds: float) -> None:
    assert len(_gone(limit, seconds)) / (limit.requests * seconds / limit.per_seconds) >= 0.95


def test_no_burst_at_the_end_of_a_short_window_meets_one_at_the_beginning_of_the_next() -> None:
    gone = _gone(Limit(100, 1.0), 10)
    assert min(later - one for one, later in itertools.pairwise(gone)) > 0.007


def test_a_long_window_begins_again_a_moment_later_than_the_vendors() -> None:
    gone = _gone(Limit(60, 60.0), 200)
    burst = [moment for moment in gone if moment < 60]
    assert gone[len(burst)] - burst[0] > 60.3


@given(_LIMITS)
def test_while_somebody_waits_and_a_quota_is_free_somebody_goes(limits: list[tuple[int, float]]) -> None:
    requests = [Asked(0.0, LIVE_PAYMENT, 0.0)] * 100
    went = run(_play(Limits(windows=tuple(Limit(*limit) for limit in limits), concurrent=100), requests))
    for before, one in itertools.pairwise(went):
        idle_until = one.at - 1e-6  # until then it had not gone; was there a reason?
        reasons = [idle_until - before.at < seconds / max(1, int(count * 0.97)) for count, seconds in limits]
        for count, seconds in limits:
            inside = [other for other in went if idle_until - 1.008 * seconds < other.at < one.at]
            reasons.append(len(inside) >= max(1, int(count * 0.97)))
        assert any(reasons)


@pytest.mark.parametrize(
    ("limits", "share", "expected"),
    [
        (Limits(windows=(Limit(100, 1.0),)), 1.0, 100),
        (Limits(windows=(Limit(100, 10.0),)), 1.9, 38),
        (Limits(windows=(Limit(60, 60.0), Limit(5_000, 86_400.0))), 1.0, 4),
        (Limits(windows=(Limit(10, 1.0), Limit(5_000, 86_400.0))), 1.0, 20),
        (Limits(points=Limit(2_000, 20.0), concurrent=10), 1.0, 10),
    ],
)
def test_as_many_writes_are_in_work_as_may_begin_while_one_is_under_way(
    limits: Limits, share: float, expected: int
) -> None:
    assert abreast(limits, share) == expected
