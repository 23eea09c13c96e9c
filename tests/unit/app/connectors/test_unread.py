"""The offset of hints stays behind what was not read, within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.connectors.unread import Offsets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.integers(0, 29)))
def test_the_oldest_unread_hint_is_never_committed(read: list[int]) -> None:
    offsets = Offsets[str](Clock())
    done = [offsets.unread("hints", offset) for offset in range(30)]
    offsets.took("hints", 29)
    for offset in read:
        done[offset]()
    left = [offset for offset in range(30) if offset not in read]
    assert offsets.to_commit() == {"hints": left[0] if left else 30}


def test_a_hint_that_is_not_read_for_long_is_let_go_and_counted() -> None:
    clock = Clock()
    offsets = Offsets[str](clock, seconds=60)
    done = offsets.unread("hints", 7)
    clock.now = 30
    offsets.unread("hints", 8)
    offsets.took("hints", 8)
    assert offsets.to_commit() == {"hints": 7}
    clock.now = 61
    assert (offsets.to_commit(), offsets.let_go) == ({"hints": 8}, 1)
    done()
    assert offsets.to_commit() == {"hints": 8}


def test_too_many_unread_hints_let_the_oldest_go() -> None:
    offsets = Offsets[str](Clock(), most=10)
    for offset in range(25):
        offsets.unread("hints", offset)
    offsets.took("hints", 24)
    assert (offsets.to_commit(), offsets.let_go) == ({"hints": 15}, 15)


def test_partitions_do_not_hold_each_other() -> None:
    offsets = Offsets[str](Clock())
    offsets.unread("a", 1)
    offsets.took("a", 5)
    offsets.took("b", 5)
    assert offsets.to_commit() == {"a": 1, "b": 6}
