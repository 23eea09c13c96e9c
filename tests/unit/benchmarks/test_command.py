from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.core.errors import ConfigError
from benchmarks.command import arguments, concluded
from benchmarks.figures import Figure, read

if TYPE_CHECKING:
    from pathlib import Path

MET = Figure(job="peer", what="o2c", value=2.0, unit="1/s", goal=1.0, met=True)
MISSED = Figure(job="peer", what="o2c", value=0.5, unit="1/s", goal=1.0, met=False)


@pytest.mark.parametrize(("found", "code"), [(MET, 0), (MISSED, 1)])
def test_figures_are_told_kept_and_judged(
    found: Figure, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "figures.json"
    given = arguments("peer", "What is measured.").parse_args(["--json", str(kept)])
    assert concluded("peer", given, lambda _: [found], lambda figures: f"{len(figures)} in all") == code
    assert read(kept) == [found]
    assert capsys.readouterr().out.splitlines()[-1] == "1 in all"


def test_what_cannot_be_measured_is_no_missed_goal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def measured(_: Path) -> list[Figure]:
        raise ConfigError("Kafka does not answer.")

    kept = tmp_path / "figures.json"
    given = arguments("peer", "What is measured.").parse_args(["--json", str(kept)])
    assert concluded("peer", given, measured) == 2
    assert capsys.readouterr().err == "Kafka does not answer.\n"
    assert not kept.exists()


def test_the_folder_is_there_only_while_it_is_measured() -> None:
    seen: list[Path] = []

    def measured(folder: Path) -> list[Figure]:
        assert folder.is_dir()
        seen.append(folder)
        return [MET]

    concluded("peer", arguments("peer", "").parse_args([]), measured)
    assert not seen[0].exists()
