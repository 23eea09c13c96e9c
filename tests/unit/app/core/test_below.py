"""What lies below streams and sinks is named by a list of all that does not: nothing may be missing from it."""

from __future__ import annotations

import tomllib
from pathlib import Path


def test_every_part_of_app_but_the_core_is_out_of_reach_for_streams_and_sinks(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {one["name"]: one for one in project["tool"]["importlinter"]["contracts"]}
    parts = {path.stem for path in (root / "app").iterdir() if not path.name.startswith("_")} - {"core"}
    forbidden = contracts["Only app.core is below streams and sinks"]["forbidden_modules"]
    assert sorted(f"app.{part}" for part in parts) == forbidden
