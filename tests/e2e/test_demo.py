"""The demo as a user runs it, and its verdict when somebody falsified a ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


def _demo(root: Path, kafka: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "O2C_KAFKA": kafka}
    prefix = f"demo-{uuid.uuid4().hex[:8]}-"  # a second try must not find the topics of the first
    command = [sys.executable, "-m", "app", "demo", "--json", "--prefix", prefix, *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_all_systems_agree_and_leave_what_they_hold(kafka: str, root: Path, tmp_path: Path) -> None:
    done = _demo(root, kafka, "--orders", "15", "--deals", "3", "--export", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    said = json.loads(done.stdout)
    assert said["differences"] == []
    assert (said["orders"], said["refused"], said["lag"]) == (18, 0, 0)
    assert min(said["events"], said["writes"]) >= 18
    assert 0 < said["p50"] <= said["p95"] < said["seconds"]
    ledger = [json.loads(line) for line in (tmp_path / "ledger-books.jsonl").read_text().splitlines()]
    assert len([row for row in ledger if row["kind"] == "invoice"]) >= 15
    assert len((tmp_path / "orders.jsonl").read_text().splitlines()) == 18


def test_a_falsified_ledger_is_found(kafka: str, root: Path) -> None:
    """One cent here; tests/sandbox/test_falsified.py has every way, on what the ledgers hold."""
    done = _demo(root, kafka, "--orders", "3", "--deals", "1", "--tamper", "cent")
    assert (done.returncode, done.stdout[:1]) == (1, "{"), done.stdout + done.stderr[-2_000:]
    (difference,) = json.loads(done.stdout)["differences"]
    assert " is billed " in difference
