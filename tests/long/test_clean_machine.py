"""The demo as somebody sees it who cloned the project a minute ago."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
_FIRST_RUN_SECONDS = 300


def test_the_first_demo_needs_python_and_make_and_less_than_five_minutes(root: Path) -> None:
    began = time.monotonic()
    script = [str(root / "tests/long/clean_machine.sh"), "demo"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=800, check=False)
    took = time.monotonic() - began
    assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    assert "all systems agree" in done.stdout.splitlines()
    assert took < _FIRST_RUN_SECONDS
