from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.config.model import Settings, StreamsConfig
from app.roles.streams import worker_settings


def test_a_worker_has_a_folder_of_its_own_and_as_many_standbys_as_the_configuration_says() -> None:
    settings = Settings(data_dir=Path("data"), worker="w7", streams=StreamsConfig(standbys=1))
    told = worker_settings(settings)
    assert (told.name, told.data_dir, told.standby_replicas) == ("w7", Path("data/w7"), 1)
    assert worker_settings(Settings(data_dir=Path("data"))).standby_replicas == 0


def test_standbys_cannot_be_fewer_than_none() -> None:
    with pytest.raises(ValidationError):
        StreamsConfig(standbys=-1)
