"""What a connection shows, by the real reader, limiter and registry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from app.connectors.gauges import ConnectionGauges, Lag
from app.connectors.reading import Cursor, Reader
from app.core.limits import Limiter
from app.core.metrics import Metrics, new_metrics
from app.core.talk import Talk
from schemas.connection import Connection
from schemas.platform import Limit, Limits, Platform
from schemas.platforms.xero import PLATFORM
from streams.sources.base import Page, Source

CONNECTION = Connection(name="books", tenant="acme", platform="xero", account="1")


class Swept(Source):
    """A source of two sweeps without news."""

    platform: ClassVar[Platform] = PLATFORM

    def sweeps(self) -> tuple[str, ...]:
        return ("invoices", "payments")

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        yield from ()
        return Page(events=(), cursor=cursor, more=False, complete_up_to=now)


@pytest.fixture
def metrics() -> Metrics:
    return new_metrics()


def _reader(metrics: Metrics, cursors: dict[str, Cursor]) -> Reader:
    async def nothing(*_: Any) -> Any:
        return None

    return Reader(
        Swept(CONNECTION), nothing, nothing, epoch=1, number=lambda: 1, keep_cursor=nothing, cursors=cursors,
        metrics=metrics, failed=lambda _error: None,
    )  # fmt: skip


def _shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels or {"connection": "books"})


async def test_the_age_grows_by_itself_and_the_oldest_mark_counts(metrics: Metrics) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    reader = _reader(metrics, {"invoices": Cursor("", old), "payments": Cursor("", datetime.now(UTC))})
    gauges = ConnectionGauges(metrics, PLATFORM, "books")
    gauges.show("complete_up_to_age", reader.age)
    first = _shown(metrics, "o2c_complete_up_to_age_seconds")
    assert first is not None
    assert 7200 <= first < 7260
    await asyncio.sleep(0.01)
    assert (_shown(metrics, "o2c_complete_up_to_age_seconds") or 0) > first
    for name in ("invoices", "payments"):
        await reader.sweep(name)
    assert (_shown(metrics, "o2c_complete_up_to_age_seconds") or 0) < 60


def test_a_sweep_that_never_ended_counts_from_the_beginning(metrics: Metrics) -> None:
    reader = _reader(metrics, {"invoices": Cursor("", datetime.now(UTC) + timedelta(hours=1))})
    assert 0 <= reader.age() < 60


def test_what_moved_away_is_shown_by_its_new_owner_alone(metrics: Metrics) -> None:
    gauges, lag = ConnectionGauges(metrics, PLATFORM, "books"), Lag(metrics)
    gauges.show("quota_left", lambda: 5.0)
    lag.show("inbox", 3, lambda: 7.0)
    assert _shown(metrics, "o2c_quota_left") == 5
    assert _shown(metrics, "o2c_lag", topic="inbox", partition="3") == 7
    gauges.close()
    lag.close()
    assert _shown(metrics, "o2c_quota_left") is None
    assert _shown(metrics, "o2c_lag", topic="inbox", partition="3") is None


def test_no_quota_is_left_while_the_platform_asks_to_wait() -> None:
    clock = SimpleNamespace(now=0.0)
    limiter = Limiter(Limits(windows=(Limit(requests=100, per_seconds=60),)), lambda: clock.now)
    assert limiter.left() > 0
    limiter.pause(30)
    assert limiter.left() == 0
    clock.now = 31.0
    assert limiter.left() > 0


def test_every_write_has_its_series_before_the_first(metrics: Metrics) -> None:
    ConnectionGauges(metrics, PLATFORM, "books")
    series = {"platform": "xero", "connection": "books", "capability": "upsert_invoice"}
    assert _shown(metrics, "o2c_writes_total", **series, outcome="rejected") == 0
