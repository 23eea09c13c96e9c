"""Rows of writes that were done long ago are dropped, and a duplicate that outlived them still writes nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.commands import Command
from sinks.delivery.journal import Journal
from sinks.delivery.row import MEMBER, Row, State
from tests.unit.sinks.delivery.owning import Bench, command_of

MONTH = 31 * 24 * 3600.0


async def _done_long_ago(bench: Bench, **changes: Any) -> Command:
    """Let *bench* write a command, and forget it."""
    command = command_of(**changes)
    await bench.owner.accept(command, bench.time)
    await bench.work()
    assert await bench.owner.tidy() == 0
    bench.time += MONTH
    assert await bench.owner.tidy() == 1
    assert bench.log.rows == {}
    return command


@pytest.mark.parametrize("told", [True, False])
async def test_a_duplicate_that_outlived_its_journal_row_writes_nothing_again(told: bool) -> None:  # noqa: FBT001 - a case
    bench = Bench()
    began = bench.time
    command = await _done_long_ago(bench, told_at=datetime.fromtimestamp(began, UTC) if told else None)
    await bench.owner.accept(command, bench.time if told else began)
    await bench.work()
    assert len([call for call in bench.vendor.calls if call.startswith("POST")]) == 1
    assert [result.outcome for result in bench.log.results] == ["confirmed", "confirmed"]


async def test_what_nobody_knows_and_what_waits_is_never_forgotten() -> None:
    bench = Bench(["after"])
    bench.vendor.visible_from = math.inf
    await bench.owner.accept(command_of())
    await bench.work(0)
    bench.time += MONTH
    assert await bench.owner.tidy() == 0
    bench = Bench()
    await bench.owner.accept(command_of())
    await bench.work()
    bench.owner.pause(paused=True)
    bench.time += MONTH
    await bench.owner.accept(command_of())
    assert await bench.owner.tidy() == 0


def test_a_batch_is_forgotten_with_all_its_members_and_before_them() -> None:
    def row(command: str, at: float, *members: str, state: State = "confirmed") -> Row:
        return Row(command=command, step=MEMBER if not members else "all", epoch=1, state=state, at=at, members=members)

    rows = [row("a", 1), row("b", 1), row("ab", 1, "a", "b"), row("c", 1), row("d", 90), row("cd", 1, "c", "d")]
    journal = Journal([*rows, row("e", 1, "x", state="confirmed"), row("f", 1, state="uncertain"), row("g", 1)])
    assert journal.outdated(50, lambda command: command == "g") == ["ab/all", "a/batch", "b/batch"]
    for key in ("ab/all", "a/batch", "b/batch"):
        journal.drop(key)
    assert (journal.rows("a"), journal.rows("ab"), len(journal)) == ([], [], 6)


async def test_a_long_pause_is_not_held_against_a_write_that_was_tried_before() -> None:
    bench = Bench(["limited", "limited"])
    await bench.owner.accept(command_of())
    await bench.work(0)
    bench.owner.pause(paused=True)
    bench.time += MONTH
    await bench.work(1)
    assert bench.log.results == []
    bench.owner.pause(paused=False)
    await bench.work(60)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
