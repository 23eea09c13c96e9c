"""The Kafka of a benchmark: the one that is named, else O2C_KAFKA, else one of its own that is stopped afterwards."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.broker import java
from app.broker.ready import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_READY_SECONDS = 60.0


@contextmanager
def provided(given: str | None, data_dir: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the bootstrap servers of a Kafka that answers; one that is started here keeps its data in *data_dir*."""
    with asyncio.Runner() as runner:
        if address := given or environment.get("O2C_KAFKA"):
            runner.run(wait_until_ready(address, _READY_SECONDS))
            yield address
            return
        running = runner.run(java.start(data_dir, environment))
        try:
            yield running.bootstrap
        finally:
            runner.run(java.stop(data_dir, forget=True))
