"""What one owned connection shows on /metrics: true at the moment it is asked, and gone when the connection moves."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import get_args

from prometheus_client import Gauge

from app.core.metrics import Metrics
from schemas.commands import Outcome
from schemas.platform import Platform


class ConnectionGauges:
    """Gauges of one connection; whoever owns it next shows its own."""

    def __init__(self, metrics: Metrics, platform: Platform, connection: str) -> None:
        """Begin the counters at 0: an alert sees no increase in what begins with its first count."""
        self._connection = connection
        self._gauges = {
            "quota_left": metrics.quota_left,
            "token_expiry": metrics.token_expiry,
            "complete_up_to_age": metrics.complete_up_to_age,
            "webhooks_missing": metrics.webhooks_missing,
        }
        for capability, outcome in itertools.product(platform.capabilities, get_args(Outcome)):
            metrics.writes.labels(platform.slug, connection, capability, outcome)
        metrics.webhooks_mended.labels(connection)

    def show(self, name: str, value: Callable[[], float]) -> None:
        """Show what *value* returns whenever somebody asks."""
        self._gauges[name].labels(self._connection).set_function(value)

    def hide(self, name: str) -> None:
        """Show this one no more."""
        _remove(self._gauges[name], self._connection)

    def close(self) -> None:
        """Show nothing more: what an owner of yesterday says would stand still beside the new owner's truth."""
        for gauge in self._gauges.values():
            _remove(gauge, self._connection)


class Lag:
    """What waits per topic and partition."""

    def __init__(self, metrics: Metrics) -> None:
        """Begin with nothing shown."""
        self._gauge = metrics.lag
        self._shown: set[tuple[str, str]] = set()

    def show(self, topic: str, partition: int, waiting: Callable[[], float]) -> None:
        """Show what *waiting* returns whenever somebody asks."""
        place = (topic, str(partition))
        self._shown.add(place)
        self._gauge.labels(*place).set_function(waiting)

    def close(self) -> None:
        """Show nothing more."""
        for place in self._shown:
            _remove(self._gauge, *place)
        self._shown.clear()


def _remove(gauge: Gauge, *labels: str) -> None:
    with contextlib.suppress(KeyError):
        gauge.remove(*labels)
