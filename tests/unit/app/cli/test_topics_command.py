"""What every topic must look like: acknowledged records are on as many copies as the loss of one leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli import main
from app.cli.topics import spec
from app.config.load import load
from app.config.model import Settings
from app.core import topics

IN_STEP = "min.insync.replicas"


def settings(folder: Path, replication: int) -> Settings:
    path = folder / "o2c.toml"
    path.write_text(f'[kafka]\nbootstrap = "localhost:9"\nreplication = {replication}\n')
    return load(path, {})


@pytest.mark.parametrize(("copies", "in_step"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_a_record_counts_as_kept_only_where_another_copy_may_be_lost(tmp_path: Path, copies: int, in_step: str) -> None:
    given = settings(tmp_path, copies)
    wanted = [spec(topic, given) for topic in topics.TOPICS]
    assert {(one.replication, one.config[IN_STEP]) for one in wanted} == {(copies, in_step)}


def test_show_tells_copies_and_how_many_must_have_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings(tmp_path, 3)
    assert main(["topics", "show", "--config", str(tmp_path / "o2c.toml"), "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["copies"] for row in shown} == {"3, 2 in step"}
