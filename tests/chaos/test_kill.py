"""The kill run in short: the same rig, load and checker, with kills and needs scaled to minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.kill import Options, run
from tests.chaos.report import Kill, Needs, Report

SHORT = Options(
    orders=300,
    every=10.0,
    window=120,
    rate=2.0,
    latency=1.0,
    needs=Needs(kills_of_each_role=3, kills_with_a_write_in_flight=1, outcomes_resolved_by_asking=5),
)


@pytest.mark.kafka
@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.timeout(1_500)
async def test_nothing_is_lost_doubled_or_out_of_order_when_workers_are_killed(kafka: str, tmp_path: Path) -> None:
    report = await run(SHORT, kafka, tmp_path)
    assert report.clean, report.as_text()
    assert report.valid, report.as_text()


def kill(role: str, cut: int) -> Kill:
    return Kill(1.0, role, f"{role}-1", ("books",), {"books": cut}, cut, working=True)


def hard_enough() -> Report:
    kills = [kill("streams", 0)] * 10 + [kill("connectors", 1)] * 20
    return Report(
        1, 10.0, 1, Needs(), kills=kills, complete=True, found=15, repeated=5,
        owners={"connectors-1": {"books": 1}, "connectors-2": {"qbo": 1}}, keys_off={"books": True, "qbo": True},
    )  # fmt: skip


def test_a_clean_and_hard_run_exits_with_0() -> None:
    assert hard_enough().code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kills", [kill("connectors", 1)] * 30),
        ("kills", [kill("streams", 1)] * 10 + [kill("connectors", 0)] * 20),
        ("repeated", 4),
        ("owners", {"connectors-1": {"books": 1}, "connectors-2": {"qbo": 0}}),
        ("keys_off", {"books": True, "qbo": False}),
    ],
)
def test_a_run_that_was_not_hard_enough_does_not_count(name: str, value: object) -> None:
    report = hard_enough()
    setattr(report, name, value)
    assert (report.clean, report.valid, report.code) == (True, False, 3)


def test_one_finding_or_an_order_on_the_way_is_no_success() -> None:
    report = hard_enough()
    report.verdict.lost.append("one")
    assert report.code == 1
    report = hard_enough()
    report.complete = False
    assert report.code == 1
