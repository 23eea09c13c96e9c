"""A Kafka that does not answer when a role or a command starts: one sentence with the next step, exit code 2, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.run import ROLES

CONFIG = """
data_dir = "data"
key = "made-up-key-for-tests"
[kafka]
bootstrap = "127.0.0.1:9"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "external"
account = "shop-1"
[[tenant.flows]]
name = "web"
key_giver = "shop"
"""


COMMANDS = (
    "topics apply", "orders list", "dead-letters list", "dead-letters replay 0/0", "flows stop web", "replay events.jsonl"
)  # fmt: skip


@pytest.mark.parametrize("words", [*(f"run {role}" for role in ROLES), *COMMANDS])
def test_what_starts_without_kafka_says_so_in_one_sentence(words: str, root: Path, tmp_path: Path) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(CONFIG, encoding="utf-8")
    (tmp_path / "events.jsonl").write_text("")
    program = [sys.executable, "-m", "app", *words.split(), "--config", str(config)]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    said = "o2c: Kafka does not answer at 127.0.0.1:9; run `o2c kafka status`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
