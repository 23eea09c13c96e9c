"""What a worker planned that had lost its partition is told from what its successor planned."""

from __future__ import annotations

import pytest

from app.connectors.late import REMEMBERED_SECONDS, Planners
from streams.engine.origin import ORIGIN, Origin, origin_of

Headers = tuple[tuple[str, bytes], ...]


def by(epoch: int, partition: int = 0, table: str = "orders") -> Headers:
    return (("traceparent", b"00-1-2-01"), (ORIGIN, Origin(table, partition, epoch, 100).pack()))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_older_owner_of_the_same_partition_is_late_and_an_equal_or_newer_one_is_not() -> None:
    planners = Planners(Clock())
    told = [planners.is_late(by(epoch)) for epoch in (5, 5, 6, 5, 6, 7, 6)]
    assert told == [False, False, False, True, False, False, True]


def test_epochs_of_one_partition_say_nothing_of_another() -> None:
    planners = Planners(Clock())
    assert not planners.is_late(by(9))
    assert not planners.is_late(by(2, partition=1))
    assert not planners.is_late(by(2, table="links"))
    assert planners.is_late(by(8))


@pytest.mark.parametrize("headers", [(), ((ORIGIN, b""),), ((ORIGIN, b"orders/0/x/1"),), ((ORIGIN, b"\xff/0/1"),)])
def test_who_names_no_epoch_is_heard(headers: Headers) -> None:
    planners = Planners(Clock())
    planners.is_late(by(9))
    assert not planners.is_late(headers)


def test_a_changelog_that_was_made_anew_begins_with_low_epochs_which_are_believed_after_a_while() -> None:
    clock = Clock()
    planners = Planners(clock)
    planners.is_late(by(9))
    clock.now = REMEMBERED_SECONDS - 1
    assert planners.is_late(by(1))
    clock.now = REMEMBERED_SECONDS
    assert not planners.is_late(by(1))
    assert not planners.is_late(by(1))


def test_an_origin_is_read_as_it_was_written() -> None:
    for origin in (Origin("orders", 3, 7, 1_000), Origin("acme.orders/x", 0, 1, 0)):
        assert origin_of(origin.pack()) == origin
