"""The deployment files speak of commands and metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from app.cli import main
from app.core.metrics import new_metrics

_NAME = re.compile(r"\bo2c_[a-z_]+\b")


def _metrics() -> set[str]:
    names: set[str] = set()
    for family in new_metrics().registry.collect():
        names |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    return names


def test_every_service_of_ours_runs_a_command_that_exists(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    ours = {name: service["command"] for name, service in services.items() if service.get("image") == "o2c"}
    assert set(ours) == {"topics", "gateway", "streams", "connectors"}
    for words in ours.values():
        known = words[: words.index("--config")]
        with pytest.raises(SystemExit) as ended:
            main([*known, "--help"])
        assert ended.value.code == 0
    assert "example" in capsys.readouterr().out


def test_dashboard_and_alerts_ask_for_metrics_that_exist(root: Path) -> None:
    dashboard = json.loads((root / "deploy/grafana/dashboards/o2c.json").read_text())
    alerts = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text())
    asked = [panel["targets"][0]["expr"] for panel in dashboard["panels"]]
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    names = {name for expression in asked for name in _NAME.findall(expression)}
    assert names
    assert names <= _metrics()


def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"^    ([a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert len(listed) >= 12
    for command in listed:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "example: o2c" in capsys.readouterr().out, command
