"""What a connection shows, by the real reader, limiter and registry."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, ClassVar, get_args

import pytest

from app.connectors.gauges import ConnectionGauges, Lag
from app.connectors.reading import Cursor, Reader
from app.core.limits import Limiter
from app.core.metrics import Metrics, new_metrics
from app.core.talk import Talk
from schemas.connection import Connection
from schemas.platform import Limit, Limits, Platform
from schemas.platforms.xero import PLATFORM
from sinks.delivery.circuit import Cause, Circuit
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


def _reader(cursors: dict[str, Cursor]) -> Reader:
    async def nothing(*_: Any) -> Any:
        return None

    return Reader(
        Swept(CONNECTION), nothing, nothing, epoch=1, number=lambda: 1, keep_cursor=nothing, cursors=cursors,
        failed=lambda _error: None,
    )  # fmt: skip


def _shown(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels or {"connection": "books"})


async def test_the_age_grows_by_itself_and_the_oldest_mark_counts(metrics: Metrics) -> None:
    old = datetime.now(UTC) - timedelta(hours=2)
    reader = _reader({"invoices": Cursor("", old), "payments": Cursor("", datetime.now(UTC))})
    gauges = ConnectionGauges(metrics, PLATFORM, CONNECTION)
    gauges.show("complete_up_to_age", reader.age)
    first = _shown(metrics, "o2c_complete_up_to_age_seconds")
    assert first is not None
    assert 7200 <= first < 7260
    await asyncio.sleep(0.01)
    assert (_shown(metrics, "o2c_complete_up_to_age_seconds") or 0) > first
    for name in ("invoices", "payments"):
        await reader.sweep(name)
    assert (_shown(metrics, "o2c_complete_up_to_age_seconds") or 0) < 60


def test_a_sweep_that_never_ended_counts_from_the_beginning() -> None:
    reader = _reader({"invoices": Cursor("", datetime.now(UTC) + timedelta(hours=1))})
    assert 0 <= reader.age() < 60


def test_what_moved_away_is_shown_by_its_new_owner_alone(metrics: Metrics) -> None:
    gauges, lag = ConnectionGauges(metrics, PLATFORM, CONNECTION), Lag(metrics)
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
    ConnectionGauges(metrics, PLATFORM, CONNECTION)
    series = {"platform": "xero", "connection": "books", "capability": "upsert_invoice"}
    assert _shown(metrics, "o2c_writes_total", **series, outcome="rejected") == 0


def test_a_dead_connection_is_shown_with_its_tenant_and_cause_and_its_end_as_well(metrics: Metrics) -> None:
    gauges, circuit = ConnectionGauges(metrics, PLATFORM, CONNECTION), Circuit(1)
    gauges.show_down(lambda: circuit.cause)

    def shown() -> dict[str, float]:
        labels = {"tenant": "acme", "connection": "books"}
        found = {cause: _shown(metrics, "o2c_connection_down", **labels, cause=cause) for cause in get_args(Cause)}
        return {cause: value for cause, value in found.items() if value is not None}

    assert shown() == dict.fromkeys(get_args(Cause), 0.0)
    circuit.open("Xero refused the credential.", 0.0, "credential")
    assert shown() == {**dict.fromkeys(get_args(Cause), 0.0), "credential": 1.0}
    circuit.still("Xero did not answer.", 1.0)
    assert shown() == {**dict.fromkeys(get_args(Cause), 0.0), "no_answer": 1.0}
    circuit.well()
    assert shown() == dict.fromkeys(get_args(Cause), 0.0)
    gauges.close()
    assert shown() == {}, "who owns it next shows its own"


def test_a_used_up_quota_shows_when_it_allows_the_next_call(metrics: Metrics) -> None:
    now = 1_000.0
    limiter = Limiter(Limits(windows=(Limit(10, 60.0), Limit(20, 86_400.0))), lambda: now)
    ConnectionGauges(metrics, PLATFORM, CONNECTION).show_quota(limiter)
    assert _shown(metrics, "o2c_quota_reset_at") == pytest.approx(time.time(), abs=5)
    for minute in range(19):
        now = 1_000.0 + 70 * minute
        assert limiter.wait() == 0
        limiter.sent()
    assert _shown(metrics, "o2c_daily_quota_left") == 0
    assert _shown(metrics, "o2c_quota_left") == 0
    until = 1_000.0 + 86_400.0 * 1.008 - now
    assert _shown(metrics, "o2c_quota_reset_at") == pytest.approx(time.time() + until, abs=5)


def test_a_platform_without_a_cap_of_a_day_shows_none(metrics: Metrics) -> None:
    ConnectionGauges(metrics, PLATFORM, CONNECTION).show_quota(Limiter(Limits(windows=(Limit(25, 1.0),)), lambda: 0.0))
    assert _shown(metrics, "o2c_daily_quota_left") is None
