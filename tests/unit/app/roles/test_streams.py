from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest
from pydantic import ValidationError

from app.config.model import Settings, StreamsConfig
from app.core.metrics import new_metrics
from app.roles.streams import begun, worker_settings
from schemas.connection import Connection


def test_a_worker_has_a_folder_of_its_own_and_as_many_standbys_as_the_configuration_says() -> None:
    settings = Settings(data_dir=Path("data"), worker="w7", streams=StreamsConfig(standbys=1))
    told = worker_settings(settings)
    assert (told.name, told.data_dir, told.standby_replicas) == ("w7", Path("data/w7"), 1)
    assert worker_settings(Settings(data_dir=Path("data"))).standby_replicas == 0


def test_what_is_counted_per_connection_begins_at_zero_within_each_tenant() -> None:
    known = [Connection(name=name, tenant=name[0], platform="x", account=name) for name in ("a1", "a2", "b1")]
    text = generate_latest(begun(new_metrics(), known).registry).decode()
    assert [
        line for line in text.splitlines() if line.startswith(("o2c_healed_by_sweep_total", "o2c_echoes_total"))
    ] == [
        *(f'o2c_healed_by_sweep_total{{connection="{name}"}} 0.0' for name in ("a1", "a2", "b1")),
        'o2c_echoes_total{source="a1",system="a2"} 0.0',
        'o2c_echoes_total{source="a2",system="a1"} 0.0',
    ]


def test_standbys_cannot_be_fewer_than_none() -> None:
    with pytest.raises(ValidationError):
        StreamsConfig(standbys=-1)
