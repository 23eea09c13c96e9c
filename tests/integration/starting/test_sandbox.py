"""`o2c sandbox`: real processes that outlive the command, are found again and stopped, and act as people do."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.config.load import load

pytestmark = pytest.mark.sandbox


class Trial:
    """The command line in a folder of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def says(self, *words: str) -> tuple[int, Any]:
        """Run a command with --json; return its exit code and what it printed, its complaint if it failed."""
        code = main([*words, "--json"])
        out, err = self._capsys.readouterr()
        return code, json.loads(out) if out else err


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Trial]:
    monkeypatch.chdir(tmp_path)
    found = Trial(capsys)
    yield found
    found.says("sandbox", "stop")


def test_sandboxes_run_until_they_are_stopped(trial: Trial) -> None:
    code, started = trial.says("sandbox", "start", "shopify,stripe")
    assert (code, [one["platform"] for one in started]) == (0, ["shopify", "stripe"])
    assert trial.says("sandbox", "start", "stripe,shopify")[1] == started[::-1], "they run already"
    assert trial.says("sandbox", "status") == (0, started)
    assert trial.says("sandbox", "stop") == (0, {"stopped": ["shopify", "stripe"]})
    assert trial.says("sandbox", "status") == (0, [])
    assert trial.says("sandbox", "stop") == (0, {"stopped": []})


def test_a_shop_begins_with_last_months_orders_and_more_can_be_bought(trial: Trial) -> None:
    trial.says("sandbox", "start", "shopify,stripe", "--old-orders", "2")
    bought = [trial.says("sandbox", "order", "--pay", way)[1] for way in ("shopify", "stripe", "no")]
    assert [one["number"] for one in bought] == ["#1003", "#1004", "#1005"]
    assert [one["total"] for one in bought] == ["18.00", "24.00", "106.80"]
    code, paid = _asked(trial, "shopify", "pay_order", {"id": bought[2]["id"]})
    assert (code, paid["amount"]) == (0, "106.80")
    code, said = _asked(trial, "shopify", "pay", {})
    assert code == 1
    assert "unknown verb; there are authorize_order" in said
    code, said = _asked(trial, "hubspot", "create_deal", {})
    assert (code, said) == (2, "o2c: The sandbox of hubspot does not run; start it with `o2c sandbox start hubspot`.\n")


def _asked(trial: Trial, platform: str, verb: str, asked: dict[str, Any]) -> tuple[int, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))
        return trial.says("sandbox", "act", platform, verb)


def test_init_writes_a_configuration_for_the_sandboxes_that_run(trial: Trial, tmp_path: Path) -> None:
    code, said = trial.says("init", "--platforms", "xero", "--sandbox")
    assert (code, said) == (2, "o2c: The sandbox of xero does not run; start it with `o2c sandbox start xero`.\n")
    _, (shop, books) = trial.says("sandbox", "start", "shopify,xero")
    assert trial.says("init", "--sandbox")[0] == 0
    settings = load(tmp_path / "o2c.toml", os.environ)
    assert {one.connection.name: one.connection.base_url for one in settings.connections} == {
        "shopify": shop["url"],
        "xero": books["url"],
    }
    assert all(value for one in settings.connections for value in one.secrets.values()), "no secret has to be pasted"
    assert settings.topics.prefix.startswith("sandbox-")
    code, done = trial.says("sandbox", "subscribe")
    address = f"{settings.gateway.public_url}/hooks/xero/default"
    assert (code, done) == (0, [{"connection": "xero", "address": address}]), "a shop registers by its API"


def test_only_pages_of_sandboxes_are_visited(trial: Trial) -> None:
    _, (books,) = trial.says("sandbox", "start", "xero")
    code, said = trial.says("sandbox", "visit", "http://127.0.0.1:9/identity/connect/authorize")
    assert code == 2
    assert "is no page of a sandbox that runs here" in said
    code, said = trial.says("sandbox", "visit", f"{books['url']}/identity/connect/authorize?client_id=nobody")
    assert (code, "answers 400" in said) == (1, True)
