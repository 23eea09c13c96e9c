"""Alerts and panels ask for metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from app.core.metrics import new_metrics
from streams.engine.instruments import Instruments

_NAME = re.compile(r"\bo2c_[a-z_]+")


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Return every series that a role can expose, with its labels."""
    found: dict[str, set[str]] = {}
    metrics = new_metrics()
    Instruments(metrics)
    for name, collector in metrics.registry._names_to_collectors.items():
        found[name] = set(getattr(collector, "_labelnames", ()))
    return found


def alerts(root: Path) -> dict[str, str]:
    groups = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels(root: Path) -> dict[str, str]:
    board = json.loads((root / "deploy/grafana/dashboards/o2c.json").read_text(encoding="utf-8"))
    return {f"{panel['title']} {one['refId']}": one["expr"] for panel in board["panels"] for one in panel["targets"]}


def test_alerts_and_panels_ask_for_series_that_exist(root: Path, known: dict[str, set[str]]) -> None:
    asked = {name for expression in (alerts(root) | panels(root)).values() for name in _NAME.findall(expression)}
    assert asked - set(known) - {"o2c"} == set()


def test_labels_that_are_asked_for_exist(root: Path, known: dict[str, set[str]]) -> None:
    for title, expression in (alerts(root) | panels(root)).items():
        names = _NAME.findall(expression)
        labels = {"le", "job", "role", "instance"}.union(*(known[name] for name in names))
        grouped = re.findall(r"by \(([^)]*)\)", expression)
        used = {label.strip() for group in grouped for label in group.split(",")}
        used |= set(re.findall(r"(\w+)=~?\"", expression))
        assert used <= labels, title


def test_every_metric_of_the_contract_is_on_the_dashboard(root: Path) -> None:
    text = " ".join(panels(root).values())
    names = [
        "o2c_events_total",
        "o2c_batch_size",
        "o2c_ack_seconds",
        "o2c_lag",
        "o2c_end_to_end_seconds",
        "o2c_writes_total",
        "o2c_quota_left",
        "o2c_token_expiry_seconds",
        "o2c_complete_up_to_age_seconds",
        "o2c_parked",
        "o2c_dead_letters_total",
        "o2c_hooks_total",
        "o2c_deliveries_total",
        "o2c_findings",
    ]
    assert [name for name in names if name not in text] == []


def test_every_scraped_role_is_a_service_with_that_port(root: Path) -> None:
    scraped = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    services = yaml.safe_load((root / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for target in (
        one for job in scraped["scrape_configs"] for entry in job["static_configs"] for one in entry["targets"]
    ):
        name, port = target.split(":")
        assert f"http://127.0.0.1:{port}/" in services[name]["healthcheck"]["test"][-1]


def test_two_sets_of_metrics_never_meet() -> None:
    first, second = new_metrics(), new_metrics()
    first.dead_letters.labels("unreadable").inc()
    assert b'o2c_dead_letters_total{reason="unreadable"} 1.0' in first.exposition()
    assert b'o2c_dead_letters_total{reason="unreadable"} 0.0' in second.exposition()
