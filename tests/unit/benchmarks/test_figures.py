from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.figures import Figure, exit_code, held_against, machine, read, table, write

if TYPE_CHECKING:
    from pathlib import Path

RATE = Figure(job="peer", what="o2c", value=50_000.0, unit="events/CPU s")


def test_a_ratio_is_held_against_its_goal() -> None:
    reached, missed = held_against(RATE, "another", 20_000.0, 2.5), held_against(RATE, "another", 20_001.0, 2.5)
    assert (reached.ratio, reached.met) == (2.5, True)
    assert missed.met is False
    assert held_against(RATE, "the floor", 100_000.0).met is None


@pytest.mark.parametrize(("goal", "code"), [(1.0, 0), (None, 0), (1.5, 1)])
def test_only_a_missed_goal_fails(goal: float | None, code: int) -> None:
    assert exit_code([RATE, held_against(RATE, "another", 40_000.0, goal)]) == code


def test_figures_come_back_as_they_were_written(tmp_path: Path) -> None:
    kept = [RATE, held_against(RATE, "another", 7.0, 2.0)]
    write(tmp_path / "figures.json", kept)
    assert read(tmp_path / "figures.json") == kept


def test_a_table_shows_what_was_missed() -> None:
    lines = table([RATE, held_against(RATE, "another", 40_000.0, 2.5)]).splitlines()
    assert lines[0].split() == ["job", "what", "value", "unit", "ratio", "against", "goal", "met"]
    assert lines[2].split() == ["peer", "o2c", "50,000", "events/CPU", "s", "1.25", "another", "2.5", "NO"]


def test_the_machine_is_this_one() -> None:
    here = machine()
    assert here.cores >= 1
    assert here.memory_gib >= 1
    assert here.processor
