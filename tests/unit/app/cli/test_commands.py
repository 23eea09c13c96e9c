"""Commands that need no Kafka, called as the command line calls them."""

import argparse
import json
from pathlib import Path

import pytest

from app.cli import classify, init, new_platform, parse, replay
from app.config.load import load
from app.core.errors import ConfigError, DecodeError


def _args(module: object, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    module.register(parser.add_subparsers())  # type: ignore[attr-defined]  # every command module has it
    return parser.parse_args(words)


def _event(folder: Path) -> Path:
    record = {
        "object": "invoice",
        "id": "in_1",
        "currency": "eur",
        "status": "open",
        "total": 1050,
        "amount_remaining": 1050,
    }
    path = folder / "hook.json"
    path.write_text(
        json.dumps({"id": "evt_1", "object": "event", "type": "invoice.updated", "data": {"object": record}})
    )
    return path


def test_parse_prints_events_and_hints_with_their_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = _args(parse, "parse", "--platform", "stripe", str(_event(tmp_path)))
    assert args.run(args) == 0
    event, hint = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (event["kind"], event["facts"]["payable_amount"]) == ("event", "10.50")
    assert (hint["kind"], hint["object"]["id"]) == ("hint", "in_1")


def test_what_parse_prints_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = _args(parse, "parse", "--platform", "stripe", str(_event(tmp_path)))
    args.run(args)
    lines = tmp_path / "events.jsonl"
    lines.write_text(capsys.readouterr().out)
    ((events, _),) = replay.batches(lines)
    assert [event.object.id for event in events] == ["in_1"]


def test_replay_names_the_line_that_is_no_event(tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    lines.write_text('{"kind":"hint"}\n{"tenant":1}\n')
    with pytest.raises(DecodeError, match=r"events.jsonl:2"):
        list(replay.batches(lines))


def test_an_unknown_platform_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    args = _args(parse, "parse", "--platform", "strype", str(_event(tmp_path)))
    with pytest.raises(ConfigError, match=r"there are .*stripe"):
        args.run(args)


def test_classify_tells_class_and_retry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = tmp_path / "reply.json"
    body.write_text('{"error":{"type":"invalid_request_error","code":"rate_limit"}}')
    args = _args(classify, "classify", "--platform", "stripe", "--status", "429", "--json", str(body))
    assert args.run(args) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["class"], verdict["retryable"]) == ("RateLimited", True)


def test_what_init_writes_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    args = _args(init, "init", "--platforms", "stripe", "--output", str(path))
    assert args.run(args) == 0
    settings = load(path, {"O2C_STRIPE_TOKEN": "t", "O2C_STRIPE_WEBHOOK_SECRET": "w"})
    assert [resolved.connection.platform for resolved in settings.connections] == ["stripe"]
    assert (tmp_path / "o2c.key").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="exists"):
        args.run(args)


def test_a_new_platform_is_five_files_that_compile(tmp_path: Path) -> None:
    args = _args(new_platform, "new-platform", "acme_erp", "--root", str(tmp_path))
    assert args.run(args) == 0
    written = list(tmp_path.rglob("*.py"))
    assert len(written) == 5
    for path in written:
        compile(path.read_text(), str(path), "exec")
    with pytest.raises(ConfigError, match="exists"):
        args.run(args)
