"""What one owned connection shows on /metrics: true at the moment it is asked, and gone when the connection moves."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import get_args

from prometheus_client import Gauge

from app.core.limits import Limiter
from app.core.metrics import Metrics
from schemas.commands import Outcome
from schemas.connection import Connection
from schemas.platform import Platform
from sinks.delivery.circuit import Cause


class ConnectionGauges:
    """Gauges of one connection; whoever owns it next shows its own."""

    def __init__(self, metrics: Metrics, platform: Platform, connection: Connection) -> None:
        """Begin the counters at 0: an alert sees no increase in what begins with its first count."""
        self._connection, self._down = connection.name, metrics.connection_down
        self._causes = [(connection.tenant, connection.name, cause) for cause in get_args(Cause)]
        self._gauges = {
            "quota_left": metrics.quota_left,
            "quota_reset_at": metrics.quota_reset_at,
            "daily_quota_left": metrics.daily_quota_left,
            "token_expiry": metrics.token_expiry,
            "complete_up_to_age": metrics.complete_up_to_age,
            "webhooks_missing": metrics.webhooks_missing,
        }
        for capability, outcome in itertools.product(platform.capabilities, get_args(Outcome)):
            metrics.writes.labels(platform.slug, connection.name, capability, outcome)
        metrics.webhooks_mended.labels(connection.name)

    def show_down(self, cause: Callable[[], Cause | None]) -> None:
        """Show for each cause whether it is why nothing is written now."""

        def is_why(one: str) -> float:
            return float(cause() == one)

        for labels in self._causes:
            self._down.labels(*labels).set_function(partial(is_why, labels[-1]))

    def show_quota(self, limiter: Limiter) -> None:
        """Show how many calls may go now and today, and when the next one may; nothing where there is no limit."""
        if limiter.left() >= 0:
            self.show("quota_left", limiter.left)
            self.show("quota_reset_at", lambda: time.time() + limiter.wait())
        if limiter.left_today() is not None:
            self.show("daily_quota_left", lambda: limiter.left_today() or 0)

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
        for labels in self._causes:
            _remove(self._down, *labels)


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
