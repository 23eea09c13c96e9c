"""What `o2c new-platform` writes is found by where it lives, by every command and by the contract suite: no list is edited."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox
_CODE = ("app", "schemas", "sinks", "streams", "tests/contract")


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """Return a copy of the code with a new platform in it."""
    for folder in _CODE:
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (root / "pyproject.toml", *(root / "tests").glob("*.py")):
        shutil.copy(file, tmp_path / file.relative_to(root))
    _run(tmp_path, "app", "new-platform", "acme_erp")
    return tmp_path


def _run(folder: Path, *words: str, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout[-2_000:] + done.stderr[-2_000:]
    return done.stdout


def test_a_new_platform_is_found_and_what_it_leaves_unanswered_is_listed(copy: Path) -> None:
    said = _run(
        copy, "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/test_platforms.py", "-k", "acme_erp", code=1
    )
    assert "test_a_source_answers_every_question[acme_erp]" in said
    assert "test_a_sink_answers_probe_and_reread[acme_erp]" in said
    assert "error" not in said.splitlines()[-1]


def test_the_sandbox_of_a_new_platform_can_be_started(copy: Path) -> None:
    try:
        (started,) = json.loads(_run(copy, "app", "sandbox", "start", "acme_erp", "--json"))
        _run(copy, "app", "init", "--sandbox", "--output", "o2c.toml")
    finally:
        stopped = json.loads(_run(copy, "app", "sandbox", "stop", "--json"))
    assert (started["account"], started["key"]) == ("sandbox", "sandbox-token")
    assert f'base_url = "{started["url"]}"' in (copy / "o2c.toml").read_text()
    assert (copy / "secrets/acme_erp.webhook_secret").read_text().strip() == "sandbox-webhook_secret"
    assert stopped == {"stopped": ["acme_erp"]}
