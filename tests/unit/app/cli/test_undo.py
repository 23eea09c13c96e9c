"""`o2c flows undo`: what is printed, kept and told; that Kafka holds the states is tests/e2e/test_undo.py's matter."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from app.cli import _undo, main
from app.config.model import Settings
from app.planning.undoing import Undoing
from schemas.decisions import Decision
from schemas.state import OrderState
from tests.unit.streams.order.sample import NOW
from tests.unit.streams.order.states import giver, state
from tests.unit.streams.order.undone import MONEY, SHOWS, WROTE, world

CONFIG = """
data_dir = "data"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "external"
account = "s"
[[tenant.flows]]
name = "main"
key_giver = "shop"
"""
WORDS = ("flows", "undo", "main", "--since", "2026-03-01T12:00:00+00:00")


def undoing(*states: OrderState, mode: Any = "stopped") -> Undoing:
    there = world(mode)
    found = Undoing(there, there.facts.flows[0], NOW, NOW)
    for one in states:
        found.add(one)
    return found


class Desk:
    """The command line over states that a test names."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "o2c.toml").write_text(CONFIG, encoding="utf-8")
        monkeypatch.chdir(folder)
        self.capsys, self.told = capsys, list[Decision]()
        self.now: Undoing = undoing(state(giver(), WROTE, MONEY, *SHOWS))
        monkeypatch.setattr(_undo, "_read", lambda *_asked: self.now)
        monkeypatch.setattr(_undo, "send", self.send)

    async def send(self, _settings: Settings, decisions: Iterable[Decision]) -> None:
        self.told += decisions

    def says(self, *words: str) -> tuple[int, str, str]:
        return main([*WORDS, *words]), *self.capsys.readouterr()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, monkeypatch, capsys)


def test_what_would_be_written_is_shown_with_totals_and_the_way_to_have_it_written(desk: Desk) -> None:
    code, out, _ = desk.says()
    lines = out.splitlines()
    assert (code, lines[0]) == (
        0, "main (stopped): 1 orders written for since 2026-03-01 12:00:00 +0000, 2 writes to take it back",
    )  # fmt: skip
    assert lines[1].split()[:6] == ["SO-1", "books", "undo", "payment", "reversal", "24.00"]
    assert [line.split()[:4] for line in lines[4:6]] == [
        ["books", "undo", "payment", "reversal"],
        ["books", "undo", "void", "1"],
    ]
    digest = desk.now.plan().digest
    way = f"o2c flows undo main --since 2026-03-01T12:00:00+00:00 --plan {digest}"
    assert lines[-1] == f"undo {digest}; to have it written: {way}"
    assert desk.told == []


def test_the_plan_is_csv_and_json_too(desk: Desk) -> None:
    _, out, err = desk.says("--csv")
    assert [row["document"] for row in csv.DictReader(out.splitlines())] == ["payment reversal", "void"]
    assert err == f"main: undo {desk.now.plan().digest}\n"
    plan: dict[str, Any] = json.loads(desk.says("--json")[1])
    assert (plan["orders"], len(plan["rows"]), plan["since"]) == (1, 2, "2026-03-01T12:00:00Z")


def test_what_was_shown_is_told_once_and_then_there_is_nothing(desk: Desk) -> None:
    desk.says()
    code, out, _ = desk.says("--plan", desk.now.plan().digest, "--by", "ada")
    assert (code, out) == (0, "main: 2 writes take back what it wrote for 1 orders.\n")
    assert [(one.kind, one.by, len(one.writes)) for one in desk.told] == [("undo", "ada", 2)]
    desk.now = undoing()
    assert desk.says()[1].splitlines()[-1] == "There is nothing to undo."


def test_nothing_is_told_that_nobody_saw(desk: Desk) -> None:
    code, _, err = desk.says("--plan", "0f3a9c5d2b7e4a61")
    assert (code, desk.told) == (1, [])
    assert err.startswith("o2c: No undo 0f3a9c5d2b7e4a61 of main was shown here; run `o2c flows undo main --since ")


def test_what_differs_by_now_is_listed_and_stops_it_unless_it_is_accepted(desk: Desk) -> None:
    shown = desk.now.plan().digest
    desk.says()
    desk.now = undoing(state(giver(), WROTE, SHOWS[0]))
    code, out, err = desk.says("--plan", shown)
    assert (code, [line[0] for line in out.splitlines()], desk.told) == (1, ["-"], [])
    assert err.startswith("Nothing is undone: it would differ by now; look at `o2c flows undo main --since ")
    said = json.loads(desk.says("--plan", shown, "--json")[1])
    assert (said["undone"], len(said["differences"]["removed"])) == (False, 1)
    code, out, _ = desk.says("--plan", shown, "--accept-changes")
    assert (code, out.splitlines()[-1]) == (0, "main: 1 writes take back what it wrote for 1 orders.")
    assert len(desk.told) == 1


def test_a_live_flow_is_stopped_first(desk: Desk) -> None:
    desk.now = undoing(state(giver(), WROTE, SHOWS[0]), mode="live")
    desk.says()
    code, _, err = desk.says("--plan", desk.now.plan().digest)
    assert (code, desk.told) == (1, [])
    assert err == "o2c: main is live and writes on; run `o2c flows stop main` first.\n"


def test_a_time_without_a_zone_is_of_this_machine(desk: Desk) -> None:
    assert _undo._moment("2026-03-01T12:00").tzinfo is not None
    assert main(["flows", "undo", "nobody", "--since", "2026-03-01"]) == 2
    assert "There is no flow nobody" in desk.capsys.readouterr().err
