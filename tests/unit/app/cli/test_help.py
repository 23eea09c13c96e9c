"""Every command explains itself, speaks JSON, names its exit codes and says what to do when it fails."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli import main, new_parser

NONE = "none/o2c.toml"
FAILURES = {
    "check": f"--config {NONE}",
    "classify": "--platform xero --status 400 none.json",
    "connect": f"books --config {NONE}",
    "connections list": f"--config {NONE}",
    "connections show": f"books --config {NONE}",
    "connections pause": f"books --config {NONE}",
    "connections resume": f"books --config {NONE}",
    "conflicts list": f"--config {NONE}",
    "conflicts revert": f"SO-1 note --config {NONE}",
    "dead-letters list": f"--config {NONE}",
    "dead-letters show": f"0/1 --config {NONE}",
    "dead-letters replay": f"0/1 --config {NONE}",
    "demo": "--file none.jsonl",
    "flows backfill": f"web --plan 0f3a9c5d2b7e4a61 --config {NONE}",
    "flows go-live": f"web --plan 0f3a9c5d2b7e4a61 --config {NONE}",
    "flows list": f"--config {NONE}",
    "flows mode": f"web live --config {NONE}",
    "flows stop": f"web --config {NONE}",
    "flows undo": f"web --since 2026-11-25 --config {NONE}",
    "init": "--platforms xerro",
    "kafka start": "",
    "kafka status": "",
    "new-platform": "Acme-ERP",
    "orders get": f"SO-1 --config {NONE}",
    "orders list": f"--config {NONE}",
    "orders watch": f"--config {NONE}",
    "orders export": f"orders.jsonl --config {NONE}",
    "parked list": f"--config {NONE}",
    "parked show": f"1 --config {NONE}",
    "parked link": f"1 SO-1 --config {NONE}",
    "parked release": f"1 --config {NONE}",
    "parked dismiss": f"1 --config {NONE}",
    "parse": "--platform xero none.json",
    "plan": f"--config {NONE}",
    "render": "--platform xero none.json",
    "replay": f"events.jsonl --config {NONE}",
    "run": f"gateway --config {NONE}",
    "sandbox act": "shopify create_order none.json",
    "sandbox order": "",
    "sandbox start": "xerro",
    "sandbox subscribe": f"--config {NONE}",
    "sandbox visit": "http://127.0.0.1:9/consent",
    "schema export": "--check --output none",
    "sync": f"SO-1 --config {NONE}",
    "topics apply": f"--config {NONE}",
    "topics show": f"--config {NONE}",
    **{f"webhooks {word}": f"shop --config {NONE}" for word in ("register", "remove", "show", "verify")},
}
"""Command -> arguments with which it fails before it touches anything."""


def leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command and subcommand that does something."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not found:
        yield name, parser
    for action in found:
        for word, child in action.choices.items():
            yield from leaves(child, f"{name} {word}".strip())


LEAVES = dict(leaves(new_parser()))


def test_the_commands_are_found() -> None:
    assert len(LEAVES) >= 20
    assert {"check", "render", "orders get", "dead-letters replay"} <= set(LEAVES)


@pytest.mark.parametrize("command", LEAVES)
def test_help_has_an_example_that_the_command_accepts(command: str) -> None:
    help_ = LEAVES[command].format_help()
    example = re.search(r"example: (o2c .+)", LEAVES[command].epilog or "")
    assert example is not None
    assert example[1] in " ".join(help_.split())
    assert example[1].startswith(f"o2c {command}")
    assert new_parser().parse_args(shlex.split(example[1])[1:]).run


@pytest.mark.parametrize("command", LEAVES)
def test_help_tells_the_exit_codes_and_there_is_json(command: str) -> None:
    parser = LEAVES[command]
    assert re.search(r"Exit: 0 [a-z]", parser.description or "")
    assert any("--json" in action.option_strings for action in parser._actions)
    assert all(action.help for action in parser._actions), "every argument is explained"


@pytest.mark.parametrize("command", FAILURES)
def test_a_failure_is_one_sentence_with_the_next_step(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("O2C_KAFKA", "127.0.0.1:9")
    monkeypatch.setattr("app.broker._READY_SECONDS", 0.1)
    code = main([*command.split(), *FAILURES[command].split()])
    out, err = capsys.readouterr()
    said = (err or out).strip().splitlines()
    assert code in {1, 2}
    assert "Traceback" not in err
    assert said[0].endswith(".")
    assert re.search(r"; [a-z]+ |run `o2c", said[0]), said[0]
    assert len(said) == 1 or command == "check"


def test_every_command_that_can_fail_unprepared_has_a_failure_here() -> None:
    prepared = {name for name in LEAVES if name.startswith(("kafka stop", "orders ", "sandbox st"))} - {"orders get"}
    assert set(LEAVES) - prepared <= set(FAILURES)


def test_headers_that_are_none_are_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "headers.json"
    for text in ("{", "[1]", "\udcff"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        for words in (["parse", "--platform", "xero"], ["classify", "--platform", "xero", "--status", "400"]):
            assert main([*words, "--headers", str(path), str(path)]) == 1
            assert "write them as" in capsys.readouterr().err


def test_operations_lists_every_command(root: Path) -> None:
    text = (root / "docs" / "operations.md").read_text()
    missing = [command for command in LEAVES if f"| `o2c {command}`" not in text and f", `o2c {command}`" not in text]
    assert missing == []
