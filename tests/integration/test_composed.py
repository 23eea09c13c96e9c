"""Every service of docker-compose.yml that is Kafka or ours: started and checked by its own words, without Docker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.run import ROLES
from tests.composed import Composed

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]
PATIENCE = 120.0


@pytest.fixture
def composed(root: Path, tmp_path: Path) -> Iterator[Composed]:
    made = Composed(root, tmp_path, {"O2C_KEY": "made-up-key-for-tests"})
    yield made
    made.close()


def _until_healthy(composed: Composed, service: str) -> None:
    until = time.monotonic() + PATIENCE
    while not composed.healthy(service):
        assert not composed.ended(service), composed.log(service)
        assert time.monotonic() < until, composed.log(service)
        time.sleep(0.5)


def test_services_start_in_their_order_and_their_checks_tell_the_truth(composed: Composed) -> None:
    assert not composed.healthy("kafka")
    composed.start_kafka()
    _until_healthy(composed, "kafka")
    assert composed.run("topics") == 0, composed.log("topics")
    for role in ROLES:
        assert not composed.healthy(role)
        composed.start(role, composed.words(role))
    for role in ROLES:
        _until_healthy(composed, role)
    for role in ROLES:
        assert composed.stop(role) == 0, composed.log(role)
        assert not composed.healthy(role)
    composed.stop("kafka")
    assert not composed.healthy("kafka")


def test_every_service_with_a_check_is_started_here_or_comes_with_its_image(composed: Composed) -> None:
    images = {name: str(service["image"]) for name, service in composed.services.items()}
    foreign = {name for name, image in images.items() if image.partition("/")[0] in {"prom", "grafana"}}
    assert {"kafka", "topics", *ROLES} == images.keys() - foreign
    waited = {
        name: {other: how["condition"] for other, how in service.get("depends_on", {}).items()}
        for name, service in composed.services.items()
    }
    assert waited["topics"] == {"kafka": "service_healthy"}
    assert all(waited[role] == {"topics": "service_completed_successfully"} for role in ROLES)
