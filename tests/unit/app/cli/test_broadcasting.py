"""Pauses and modes name something that the configuration knows, before anything is published."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import main

CONFIG = """
data_dir = "data"
key = "a long random text for tests"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "s"
[tenant.connections.books]
platform = "xero"
account = "b"
[[tenant.flows]]
name = "web"
key_giver = "shop"
"""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["connections", "pause", "book"], "name one of books, shop."),
        (["connections", "resume", "web"], "name one of books, shop."),
        (["flows", "mode", "books", "live"], "name one of web."),
        (["flows", "stop", "books"], "name one of web."),
        (["plan", "--flow", "books"], "name one of web."),
        (["flows", "go-live", "books", "--plan", "0" * 16], "name one of web."),
    ],
)
def test_what_is_not_configured_is_refused_with_what_is(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(CONFIG, encoding="utf-8")
    assert main([*words, "--config", str(config)]) == 2
    assert named in capsys.readouterr().err


def test_a_flow_goes_live_only_with_a_plan_that_was_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(CONFIG, encoding="utf-8")
    assert main(["flows", "go-live", "web", "--plan", "0" * 16, "--config", str(config)]) == 1
    assert capsys.readouterr().err.endswith("was shown here; run `o2c plan --flow web`.\n")


@pytest.mark.parametrize("words", [["stop", "web"], ["mode", "web", "live"], ["go-live", "web", "--plan", "0" * 16]])
def test_a_flow_name_of_two_tenants_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = CONFIG.partition("[[tenant]]")[2].replace("acme", "beta").replace("shop", "till").replace("books", "bank")
    config = tmp_path / "o2c.toml"
    config.write_text(f"{CONFIG}[[tenant]]{other}".replace('"shopify"', '"hubspot"'), encoding="utf-8")
    assert main(["flows", *words, "--config", str(config)]) == 2
    assert "the flow name web is used by acme and beta; rename one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", ["plan", "plan --all --csv", "flows list", "flows stop web", "connections pause shop"]
)
def test_a_kafka_that_is_away_is_one_sentence(words: str, root: Path, tmp_path: Path) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(CONFIG.replace("[[tenant]]", '[kafka]\nbootstrap = "127.0.0.1:9"\n[[tenant]]'), encoding="utf-8")
    program = [sys.executable, "-m", "app", *words.split(), "--config", str(config)]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    said = "o2c: Kafka does not answer at 127.0.0.1:9; run `o2c kafka status`.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_mode_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["flows", "mode", "web", "paused"])
    assert ended.value.code == 2
    assert "'live'" in capsys.readouterr().err
