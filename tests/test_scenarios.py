"""docs/scenarios.md is true: each situation has its row, each test that a row names exists, each numbered test is named."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import pytest

SITUATIONS = range(1, 41)
_ROW = re.compile(r"^\| (\d+) \| ([^|]+) \|(.*)\|$", re.MULTILINE)
_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
_TEST = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)
_NUMBERED = re.compile(r"test_(\d\d)_")
_LAYERS = ("simulator", "e2e", "long")


@pytest.fixture
def rows(root: Path) -> list[tuple[int, list[tuple[str, str]]]]:
    """Return number and named tests of each row, as (file under tests/, name or number)."""
    found = _ROW.findall((root / "docs/scenarios.md").read_text("utf-8"))
    return [(int(number), _NAMED.findall(cells)) for number, _, cells in found]


@lru_cache
def names(path: Path) -> frozenset[str]:
    """Return the tests of a file."""
    return frozenset(_TEST.findall(path.read_text("utf-8")))


def test_every_situation_has_its_row(rows: list[tuple[int, list[tuple[str, str]]]]) -> None:
    assert [number for number, _ in rows] == list(SITUATIONS)


def test_every_test_that_is_named_exists(root: Path, rows: list[tuple[int, list[tuple[str, str]]]]) -> None:
    for _, named in rows:
        for file, name in named:
            there = names(root / "tests" / file)
            meant = {one for one in there if one.startswith(f"test_{name}_")} if name.isdigit() else there & {name}
            assert meant, f"{file}::{name}"


def test_every_numbered_test_is_named_in_its_row(root: Path, rows: list[tuple[int, list[tuple[str, str]]]]) -> None:
    there = defaultdict(set)
    for layer in _LAYERS:
        for path in sorted((root / "tests" / layer).glob("test_*.py")):
            for name in names(path):
                if match := _NUMBERED.match(name):
                    there[int(match[1])].add(path.relative_to(root / "tests").as_posix())
    assert set(there) <= set(SITUATIONS)
    for number, named in rows:
        listed = {file for file, name in named if name == f"{number:02d}"}
        assert there[number] <= listed, f"situation {number}"
