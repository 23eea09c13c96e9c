from __future__ import annotations

import math
import re

import pytest

from benchmarks import outlook
from benchmarks.__main__ import Results
from benchmarks.figures import Figure, Machine

MACHINE = Machine(processor="p", cores=2, memory_gib=8, system="s", python="3.11", load=0.1)
MADE_UP = {"full": 20_000.0, "told": 1_000.0, "out": 2_000.0, "gateway": 1_500.0, "recovery": 70_000.0,
           "disk": 400.0, "memory": 200.0, "session": 45.0, "standby": 2.0}  # fmt: skip


def results(**values: float) -> Results:
    figures = [
        Figure(job=s.job, what=s.what, value=values[s.name], unit="") for s in outlook.SOURCES if s.name in values
    ]
    return Results(
        date="2026-01-01T00:00:00+00:00",
        commit="c",
        machine=MACHINE,
        short=False,
        seconds=1,
        failures=[],
        figures=figures,
    )


def test_values_follow_from_the_figures_by_their_formulas() -> None:
    found = outlook.carried(MADE_UP)
    assert found["events"] == 100_000
    assert found["cores"] == math.ceil(100_000 / 14_000) == 8
    assert found["partitions"] == 16
    assert found["gateways"] == math.ceil(60_000 / 1_050)
    assert found["in"] == pytest.approx(300)
    assert found["brokers"] == 9
    assert found["disks"] == pytest.approx(40)
    assert found["logs"] == pytest.approx(150)
    assert found["lost"] == pytest.approx(45 + 100e6 / 8 / 70_000)
    assert found["kept"] == 47


def test_what_rests_on_a_missing_figure_is_called_not_measured_and_so_is_what_rests_on_that() -> None:
    found = outlook.carried({name: value for name, value in MADE_UP.items() if name != "full"})
    assert found["cores"] is found["partitions"] is found["anew"] is None
    assert found["gateways"] is not None
    tables = outlook.block(("made-up.json", results(gateway=1_500.0)))
    assert tables.count("| not measured |") == len(outlook.SOURCES) - 1 + sum(
        value is None for value in outlook.carried({"gateway": 1.0}).values()
    )


def test_every_row_needs_only_what_is_known_before_it() -> None:
    known = {one.name for one in outlook.SOURCES}
    for row in outlook.ROWS:
        assert set(row.needs) <= known
        known.add(row.name)


def test_the_page_says_what_the_run_says_that_it_names() -> None:
    page = outlook.PAGE.read_text(encoding="utf-8")
    named = re.search(r"From `benchmarks/results/([^`]+)`", page)
    run = (named[1], outlook.read(named[1])) if named else None
    assert outlook.with_block(page, outlook.block(run)) == page
