"""Where the tests' Kafka comes from: `O2C_KAFKA`, else Docker, else Apache Kafka's Java artifacts."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.broker import provide

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def provided(data_dir: Path) -> Iterator[str]:
    """Yield the bootstrap servers of a real Kafka; it is stopped afterwards if it was started here."""
    with asyncio.Runner() as runner:
        broker = runner.run(provide(data_dir, os.environ))
        try:
            yield broker.bootstrap
        finally:
            runner.run(broker.stop())
