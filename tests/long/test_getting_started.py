"""The first hour as its page tells it: every block of docs/getting-started.md, in its order, and no step beside it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.page import Block, Terminal, blocks

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.timeout(2_400)]
_PAGE = Path("docs/getting-started.md")
_FIRST_PLAN_SECONDS = 600.0
_AGAIN_SECONDS = 240.0
_OURS = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "BROWSER")
"""What the run of the tests sets and a person's terminal does not have."""


def _environment(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a person with an empty home, so with empty caches."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS and not name.startswith("O2C_")}
    return {**inherited, "HOME": str(home), **more}


@contextmanager
def _terminal(project: Path, home: Path, environment: dict[str, str]) -> Iterator[Terminal]:
    """Yield a terminal in *project*; afterwards nothing that the page started runs, wherever it broke off."""
    printed = home.parent / "printed"
    printed.mkdir()
    terminal = Terminal(project, printed, environment)
    try:
        yield terminal
    finally:
        terminal.close()
        for words in (("sandbox", "stop"), ("kafka", "stop")):
            folder, program = home / "first-hour", project / ".venv/bin/o2c"
            if folder.is_dir() and program.exists():
                subprocess.run([program, *words], cwd=folder, env=environment, check=False, timeout=120)


def _followed(terminal: Terminal, page: list[Block]) -> float:
    """Do what the page says and return the seconds to the end of the first plan."""
    began, plan = time.monotonic(), 0.0
    for block in page:
        terminal.run(block, _AGAIN_SECONDS)
        if block.commands.startswith("o2c plan") and not plan:
            plan = time.monotonic() - began
    return plan


def test_a_clean_clone_comes_to_its_first_plan_in_less_than_ten_minutes(root: Path, tmp_path: Path) -> None:
    project, home = tmp_path / "o2c", tmp_path / "home"
    home.mkdir()
    subprocess.run(["git", "clone", "--quiet", str(root), str(project)], check=True)  # noqa: S607 - the one on PATH
    with _terminal(project, home, _environment(home)) as terminal:
        seconds = _followed(terminal, blocks((project / _PAGE).read_text(encoding="utf-8")))
    print(f"from an empty folder to the first shadow plan: {seconds:.0f} s")  # noqa: T201 - the figure is the point
    assert 0 < seconds < _FIRST_PLAN_SECONDS


def test_the_page_takes_the_kafka_that_there_is(root: Path, tmp_path: Path, kafka: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with _terminal(root, home, _environment(home, O2C_KAFKA=kafka)) as terminal:
        assert _followed(terminal, blocks((root / _PAGE).read_text(encoding="utf-8"))) > 0
