"""The limiter never lets more through than the vendor allows, and wastes little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.core.limits import Limiter
from schemas.platform import Limit, Limits

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


def test_a_pause_is_obeyed() -> None:
    clock = Clock()
    limiter = Limiter(Limits(windows=(Limit(100, 1.0),)), clock)
    limiter.pause(7.0)
    assert limiter.wait() == 7.0
    clock.now = 7.0
    assert limiter.wait() == 0.0
