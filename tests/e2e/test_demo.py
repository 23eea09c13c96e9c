"""The demo as a user runs it, and its verdict when somebody falsified a ledger.

All runs share one Kafka, none names a prefix: one must not find what another left.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app.demo.history import generated

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]
_MARK = "O2C_TEST_DEMO"
_CSV = """\
Name,Created at,Currency,Total,Lineitem quantity,Lineitem name,Lineitem price,Happened
#1,2026-03-01 09:00,EUR,24.50,2,Mug,10.00,order.created
#2,2026-03-01 10:00,USD,1.35,1,Pen,1.35,order.created
#1,,,,3,Pen,1.50,order.created
#1,2026-03-02 09:00,,24.50,,,,payment.recorded
"""
_MAPPING = {
    "at": "Created at", "order": "Name", "type": "Happened", "data.currency": "Currency", "data.amount": "Total",
    "data.total": "Total", "line.quantity": "Lineitem quantity", "line.title": "Lineitem name",
    "line.price": "Lineitem price", "line.tax_rate": {"value": "0"},
}  # fmt: skip


def _started(root: Path, kafka: str, *words: str) -> tuple[subprocess.Popen[str], str]:
    """Start a demo; what it starts is known by a mark in the environment."""
    mark = uuid.uuid4().hex
    environment = {**os.environ, "O2C_KAFKA": kafka, _MARK: mark}
    command = [sys.executable, "-m", "app", "demo", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True), mark


def _demo(root: Path, kafka: str, *words: str) -> subprocess.CompletedProcess[str]:
    process, mark = _started(root, kafka, "--json", *words)
    with process:
        out, err = process.communicate(timeout=240)
    assert _alive(mark) == []
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _alive(mark: str) -> list[int]:
    """Return the processes that carry *mark*."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended, or is none of ours
    return found


async def _topics(kafka: str) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        return [name for name in await admin.list_topics() if name.startswith("demo-")]
    finally:
        await admin.close()


def _ledger(folder: Path, system: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / f"ledger-{system}.jsonl").read_text().splitlines()]


async def test_all_systems_agree_and_leave_what_they_hold(kafka: str, root: Path, tmp_path: Path) -> None:
    done = _demo(root, kafka, "--orders", "15", "--deals", "3", "--export", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    said = json.loads(done.stdout)
    assert said["differences"] == []
    assert (said["orders"], said["refusals"], said["lag"]) == (18, {}, 0)
    assert min(said["events"], said["writes"]) >= 18
    assert 0 < said["p50"] <= said["p95"] < said["seconds"]
    kinds = {system: Counter(row["kind"] for row in _ledger(tmp_path, system)) for system in said["calls"]}
    assert kinds["books"]["invoice"] >= 15
    assert kinds["qbo"]["invoice"] == kinds["shop"]["order"] == 15
    assert kinds["crm"]["order"] == 18, "each order is shown there, besides the deals"
    charged = sum(row.type == "deal.charged" for row in generated(15, 3))
    assert kinds["pay"]["payment"] == charged > 0
    assert len((tmp_path / "orders.jsonl").read_text().splitlines()) == 18


async def test_a_csv_is_played_and_a_falsified_ledger_found(kafka: str, root: Path, tmp_path: Path) -> None:
    """One cent here; tests/sandbox/test_falsified.py has every way, on what the ledgers hold."""
    (tmp_path / "orders.csv").write_text(_CSV)
    (tmp_path / "orders.csv.mapping.json").write_text(json.dumps(_MAPPING))
    words = ("--file", str(tmp_path / "orders.csv"), "--export", str(tmp_path), "--tamper", "cent")
    done = _demo(root, kafka, *words)
    assert (done.returncode, done.stdout[:1]) == (1, "{"), done.stdout + done.stderr[-2_000:]
    (difference,) = json.loads(done.stdout)["differences"]
    assert " is billed " in difference
    totals = sorted(str(row["total"]) for row in _ledger(tmp_path, "qbo") if row["kind"] == "invoice")
    assert totals == ["1.35", "24.50"]
    assert await _topics(kafka) == []


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted_it_ends_all_that_it_started(kafka: str, root: Path, told: signal.Signals) -> None:
    process, mark = _started(root, kafka, "--orders", "50", "--deals", "0")
    with process:
        assert process.stderr is not None
        assert any(line.strip() == "playing" for line in process.stderr)
        assert len(_alive(mark)) > len(("demo", "shop", "crm", "books", "qbo", "pay"))
        process.send_signal(told)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "o2c: interrupted; what was started has ended.")
    assert _alive(mark) == []
    assert await _topics(kafka) == []
