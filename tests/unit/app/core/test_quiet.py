"""What a library says hundreds of times a second is written once in a while, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from app.core.quiet import Seldom

Say = Callable[..., None]


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def said(clock: list[float]) -> tuple[Say, list[str]]:
    lines: list[str] = []
    seldom = Seldom(lambda: clock[0])

    def say(message: str, *args: object, logger: str = "aiokafka", error: Exception | None = None) -> None:
        exc_info = None if error is None else (type(error), error, None)
        record = logging.LogRecord(logger, logging.WARNING, "here", 1, message, args, exc_info)
        if seldom.filter(record):
            lines.append(record.getMessage())

    return say, lines


def test_an_equal_line_waits_ten_seconds_and_the_next_says_how_many_there_were(
    clock: list[float], said: tuple[Say, list[str]]
) -> None:
    say, lines = said
    for clock[0] in (0.0, 0.1, 9.9, 10.0, 10.1):
        say("node %s is away", 1)
    clock[0] = 20.0
    say("node %s is away", 1)
    clock[0] = 30.0
    say("node %s is away", 1)
    away = "node 1 is away"
    more = "times more since it was last written"
    assert lines == [away, f"{away} (and 2 {more})", f"{away} (and 1 {more})", away]


def test_what_differs_is_written(said: tuple[Say, list[str]]) -> None:
    say, lines = said
    say("node %s is away", 1)
    say("node %s is away", 2)
    say("node %s is away", 1, logger="faust")
    say("failed", error=ValueError("one"))
    say("failed", error=ValueError("two"))
    say("failed", error=ValueError("two"))
    assert len(lines) == 5


def test_lines_that_never_repeat_fill_no_memory(said: tuple[Say, list[str]]) -> None:
    say, lines = said
    for number in [*range(1_001), 0]:  # room is made at the thousandth, and the first forgotten
        say("offset %s", number)
    assert lines[-1] == "offset 0"
    assert len(lines) == 1_002
