"""What a distributed run relies on: every file is where the plan says, and pipelines never run all at once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.distribution import TOGETHER, in_order


def test_every_file_of_the_plan_is_there_once(root: Path) -> None:
    files = [file for group in TOGETHER for file in group]
    assert [file for file in files if not (root / file).is_file()] == []
    assert len(files) == len(set(files))


def test_no_more_than_two_pipelines_run_at_a_time(root: Path) -> None:
    there = {path.relative_to(root).as_posix() for path in (root / "tests/e2e").glob("test_*.py")}
    assert there | {"tests/chaos/test_short_matrix.py"} == {*TOGETHER[0], *TOGETHER[1]}


def test_the_longest_start_first_and_files_stay_whole() -> None:
    names = ["tests/unit/test_a.py::test_1", "tests/e2e/test_observed.py::test_1", "tests/e2e/test_by_hand.py::test_2"]
    names += ["tests/unit/test_a.py::test_0", "tests/e2e/test_replay.py::test_1", "tests/e2e/test_by_hand.py::test_1"]
    items: list[Any] = [SimpleNamespace(nodeid=name) for name in names]
    assert [item.nodeid for item in in_order(items)] == [
        "tests/e2e/test_replay.py::test_1",
        "tests/e2e/test_observed.py::test_1",
        "tests/e2e/test_by_hand.py::test_2",
        "tests/e2e/test_by_hand.py::test_1",
        "tests/unit/test_a.py::test_1",
        "tests/unit/test_a.py::test_0",
    ]
