"""What is locked is what the project file asks for, with hashes and without the address of any index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest


def pins(root: Path, name: str) -> dict[str, str]:
    text = (root / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def test_the_lock_is_made_from_the_dependencies_of_the_project(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = (root / "requirements/runtime.in").read_text(encoding="utf-8").splitlines()
    assert set(project["dependencies"]) <= set(wanted)


def test_tests_run_with_the_versions_that_run_in_production(root: Path) -> None:
    assert pins(root, "runtime.txt").items() <= pins(root, "dev.txt").items()


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "mutation.txt", "bench.txt", "audit.txt"])
def test_every_pin_has_hashes_and_no_index_is_named(root: Path, name: str) -> None:
    text = (root / "requirements" / name).read_text(encoding="utf-8")
    assert not re.search(r"^--|://", text, re.MULTILINE)
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
