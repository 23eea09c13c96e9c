"""Commands that need no Kafka, called as the command line calls them."""

import argparse
import contextlib
import json
import socket
from pathlib import Path

import pytest

from app import platforms
from app.check.configuration import check_configuration
from app.check.problems import Places
from app.cli import classify, init, main, new_platform, parse, replay
from app.config.load import load
from app.config.model import NO_ACCOUNT
from app.core.errors import ConfigError, DecodeError
from app.render.order import read_events


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
    args = _args(init, "init", "--platforms", "shopify,hubspot,xero,stripe", "--output", str(path))
    assert args.run(args) == 0
    settings = load(path, {})
    assert [one.connection.platform for one in settings.connections] == ["shopify", "hubspot", "xero", "stripe"]
    assert {one.connection.account for one in settings.connections} == {NO_ACCOUNT}
    assert not any(value for one in settings.connections for value in one.secrets.values()), "a person pastes them"
    (key,) = settings.console.api_keys
    assert (key.tenant, key.role, len(key.key.get_secret_value())) == ("acme", "admin", 32)
    ports = [settings.gateway.port, settings.streams.port, settings.connectors.port, settings.console.port]
    assert len(set(ports)) == 4
    assert check_configuration(settings, Places(path))
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file != path]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    with pytest.raises(ConfigError, match="exists"):
        args.run(args)


def test_the_first_flow_shows_orders_in_the_crm_and_bills_them_in_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    args = _args(init, "init", "--platforms", "shopify,hubspot,xero,stripe", "--output", str(path))
    args.run(args)
    (flow,) = load(path, {}).flows
    assert (flow.key_giver, flow.mode) == ("shopify", "shadow")
    shown = {target.connection: (target.order, target.document, target.credits) for target in flow.targets}
    assert shown == {
        "shopify": (False, "none", False),
        "hubspot": (True, "none", True),
        "xero": (False, "invoice", True),
    }
    problems = check_configuration(load(path, {}), Places(path))
    assert {problem.code for problem in problems} == {"no_secret", "no_hook_secret", "default_mapping"}


def test_init_knows_every_platform_and_takes_no_port_of_another(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # then somebody else has it
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        args = _args(init, "init", "--output", str(path), "--tenant", "beta")
        assert args.run(args) == 0
    settings = load(path, {})
    assert settings.gateway.port > 8080
    assert settings.gateway.public_url == f"http://127.0.0.1:{settings.gateway.port}"
    assert {one.connection.platform for one in settings.connections} == set(platforms.slugs())
    assert {one.connection.tenant for one in settings.connections} == {"beta"}


def test_init_asks_no_secret_and_no_consent_of_a_service_that_publishes_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "o2c.toml"
    args = _args(init, "init", "--platforms", "external,xero", "--output", str(path))
    assert args.run(args) == 0
    told = capsys.readouterr().out
    assert "external.token" not in told
    assert "`o2c connect` for each connection but external" in told
    assert not list((tmp_path / "secrets").glob("external*"))
    (service, _) = load(path, {}).connections
    assert (service.connection.name, service.connection.account, service.secrets) == ("external", "main", {})
    assert "`o2c connect`" not in path.read_text().partition("[tenant.connections.xero]")[0]


def test_init_uses_the_kafka_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O2C_KAFKA", "127.0.0.1:9")
    path = tmp_path / "o2c.toml"
    args = _args(init, "init", "--platforms", "stripe", "--output", str(path))
    assert args.run(args) == 0
    assert load(path, {}).kafka.bootstrap == "127.0.0.1:9"


@pytest.mark.parametrize("tenant", ["Bad Name", "9", "", "acme\n", "a" * 64])
def test_init_refuses_a_tenant_that_no_configuration_may_name(tmp_path: Path, tenant: str) -> None:
    args = _args(init, "init", "--tenant", tenant, "--output", str(tmp_path / "o2c.toml"))
    with pytest.raises(ConfigError, match=r"is no name of a tenant; begin with a lower case letter"):
        args.run(args)
    assert list(tmp_path.iterdir()) == []


def test_a_platform_that_init_is_told_twice_has_one_section(tmp_path: Path) -> None:
    path = tmp_path / "o2c.toml"
    args = _args(init, "init", "--platforms", "shopify, shopify,xero", "--output", str(path))
    assert args.run(args) == 0
    assert [one.connection.platform for one in load(path, {}).connections] == ["shopify", "xero"]


@pytest.mark.parametrize(
    ("slug", "said"),
    [("hubspot", "already"), ("stripe", "already"), ("import", "is no platform name"), ("Acme", "is no platform name")],
)
def test_a_new_platform_shadows_none_and_can_be_imported(tmp_path: Path, slug: str, said: str) -> None:
    args = _args(new_platform, "new-platform", slug, "--root", str(tmp_path))
    with pytest.raises(ConfigError, match=said):
        args.run(args)
    assert list(tmp_path.iterdir()) == []


def test_a_new_platform_goes_beside_no_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "sinks/platforms/acme_erp").mkdir(parents=True)
    args = _args(new_platform, "new-platform", "acme_erp", "--root", str(tmp_path))
    with pytest.raises(ConfigError, match=r"sinks/platforms/acme_erp exists; choose another name"):
        args.run(args)


@pytest.mark.parametrize("text", ["[" * 5_000, '{"a":' * 5_000])
def test_what_is_nested_too_deep_is_no_order_and_no_event(tmp_path: Path, text: str) -> None:
    with pytest.raises(DecodeError, match="Line 1 is neither"):
        read_events(text.encode())
    (tmp_path / "events.jsonl").write_text(text)
    with pytest.raises(DecodeError, match=r"events.jsonl:1: not a change event"):
        list(replay.batches(tmp_path / "events.jsonl"))


def test_a_new_platform_is_five_files_that_compile(tmp_path: Path) -> None:
    args = _args(new_platform, "new-platform", "acme_erp", "--root", str(tmp_path))
    assert args.run(args) == 0
    written = list(tmp_path.rglob("*.py"))
    assert len(written) == 5
    for path in written:
        compile(path.read_text(), str(path), "exec")
    with pytest.raises(ConfigError, match="exists"):
        args.run(args)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--orders", "0", "--deals", "0"), "There is nothing to play; give --orders or --deals more than 0."),
        (("--export", "/dev/null/held"), "cannot be written to (Not a directory); name another folder"),
    ],
)
def test_a_demo_that_cannot_end_well_is_not_begun(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *words]) == 2
    assert said in capsys.readouterr().err
