"""The matrix holds what it says, and a schedule every cell once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.chaos.cells import BROKERS, HTTP, PROCESS, SYSTEMS, Cell, covering, every, points, schedule, short
from tests.chaos.checker import Verdict
from tests.chaos.table import MatrixReport


def test_every_process_fault_meets_every_point_and_every_answer_every_platform() -> None:
    cells = set(every())
    assert len(cells) == len(every())
    for fault in (*PROCESS, *BROKERS):
        assert {(cell.point, cell.label) for cell in cells if cell.fault == fault} == set(points())
    answers = Counter(cell.fault for cell in cells if cell.fault in HTTP)
    assert answers == {fault: len(SYSTEMS) - (fault == "slow visibility") for fault in HTTP}


@pytest.mark.parametrize("seed", range(20))
def test_the_covering_subset_has_every_point_fault_and_platform(seed: int) -> None:
    cells = covering(seed)
    assert {cell.row for cell in cells} == {cell.row for cell in every()}
    kills = {(cell.role, cell.point) for cell in cells if cell.fault == "kill"}
    assert kills == {(cell.role, cell.point) for cell in every() if cell.fault == "kill"}
    for fault in (*PROCESS, *BROKERS):
        mine = [cell for cell in cells if cell.fault == fault]
        assert {cell.role for cell in mine} == {"streams", "gateway", "connectors"}
        assert {cell.platform for cell in mine} == {"any", *SYSTEMS.values()}
    assert [cell for cell in every() if cell.fault in HTTP and cell not in cells] == []


@pytest.mark.parametrize("chosen", [covering, short, lambda _: every()])
def test_a_schedule_has_every_cell_once_and_repeats_itself(chosen: Callable[[int], list[Cell]]) -> None:
    cells = chosen(3)
    steps = schedule(cells, 3)
    assert sorted(cell for step in steps for cell in step.cells) == sorted(cells)
    assert steps == schedule(chosen(3), 3)
    assert steps != schedule(cells, 4)


def test_nobody_is_stopped_or_killed_twice_at_a_time() -> None:
    for step in schedule(every(), 1):
        if step.fault in PROCESS:
            assert len({cell.label or cell.role for cell in step.cells}) == len(step.cells)


def report() -> MatrixReport:
    cells = covering(1)
    return MatrixReport(1, cells, dict.fromkeys(cells, 1), complete=True)


def test_a_clean_run_of_all_its_cells_is_ok_and_says_so_in_its_last_line() -> None:
    made = report()
    assert made.code == 0, made.as_text()
    last = made.as_text().splitlines()[-1]
    assert last.startswith(f"chaos: ok: {len(made.wanted)} cells, {len(made.wanted)} injected, 0 missed, 0 lost")


@pytest.mark.parametrize("what", ["missed", "lost", "early", "changed", "dead", "unresolved", "incomplete"])
def test_whatever_went_wrong_fails_it(what: str) -> None:
    made = report()
    if what == "missed":
        made.injected = {**made.injected, made.wanted[0]: 0}
    elif what in {"lost", "early", "changed"}:
        made.verdict = Verdict(**{what: ["one"]})
    elif what == "dead":
        made.dead = ["one"]
    elif what == "unresolved":
        made.unresolved = 1
    else:
        made.complete = False
    assert made.code == 1
    assert made.as_text().splitlines()[-1].startswith("chaos: failed")
