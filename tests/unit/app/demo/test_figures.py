"""The figures of the live view, from what real registries expose."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession, web

from app.core.metrics import Metrics, new_metrics
from app.demo.figures import Figures, ask
from app.demo.watch import Watch, line, summary
from app.roles.status_page import add_status_routes, serve


async def _served(metrics: Metrics) -> tuple[web.AppRunner, str]:
    app = web.Application()
    add_status_routes(app, metrics, live=dict, ready=dict)
    runner, port = await serve(app, "127.0.0.1", 0)
    return runner, f"http://127.0.0.1:{port}"


def _filled() -> Metrics:
    metrics = new_metrics()
    metrics.events.labels("p-crm-changes", "applied").inc(5)
    metrics.events.labels("p-accounting-changes", "duplicate").inc(2)
    metrics.events.labels("p-crm-changes", "forwarded").inc(9)
    metrics.events.labels("p-results", "applied").inc(9)
    metrics.writes.labels("xero", "books", "upsert_invoice", "confirmed").inc(4)
    metrics.writes.labels("xero", "books", "upsert_invoice", "rejected").inc(1)
    metrics.lag.labels("p-results", "0").set(3)
    metrics.findings.labels("rounding").set(2)
    for seconds in (0.15, 0.15, 0.25, 4.0):
        metrics.end_to_end.observe(seconds)
    return metrics


@pytest.mark.sandbox
async def test_figures_of_all_roles_are_added_and_an_absent_role_adds_nothing(unused_tcp_port: int) -> None:
    first, one = await _served(_filled())
    second, two = await _served(_filled())
    async with ClientSession() as session:
        seen = await ask(session, [one, two, f"http://127.0.0.1:{unused_tcp_port}"])
    await first.cleanup()
    await second.cleanup()
    assert (seen.events, seen.writes, seen.refused, seen.lag, seen.findings) == (14, 8, 2, 6, 4)
    told = seen.as_json()
    assert (told["refused"], told["refusals"]) == (2, {"books upsert_invoice": 2})
    assert seen.quantile(0.5) == pytest.approx(0.2)
    assert seen.quantile(0.95) == pytest.approx(4.6)


def test_no_write_has_no_latency_and_the_last_bucket_ends_at_its_beginning() -> None:
    assert Figures().quantile(0.5) is None
    assert Figures(journeys={1.0: 0.0, float("inf"): 0.0}).quantile(0.5) is None
    assert Figures(journeys={1.0: 1.0, float("inf"): 4.0}).quantile(0.95) == 1.0


def test_a_moment_is_one_line_with_rates() -> None:
    before, now = Figures(events=10, writes=4), Figures(events=30, writes=5, journeys={1.0: 2.0}, parked=1)
    assert line(12.0, 7, before, now, 2.0) == (
        "  12 s  orders 7  events 30 (10/s)  writes 5 (0/s)  lag 0  end to end p50 0.5 s p95 0.9 s  findings 0  parked 1"
    )
    refused = Figures(refusals={"books record_payment": 2, "crm add_note": 1})
    assert line(1.0, 0, before, refused, 1.0).endswith("findings 0  refused 3 (books record_payment, crm add_note)")
    assert summary(7, now, 61.4) == "7 orders, 30 events, 5 writes; end to end p50 0.5 s, p95 0.9 s; 61 s"


@pytest.mark.sandbox
async def test_the_view_writes_plain_lines_where_no_terminal_is() -> None:
    runner, url = await _served(_filled())
    out: Any = io.StringIO()
    async with ClientSession() as session, Watch(session, {}, [url]).shown(out, lambda: 3, quiet=False):
        until = datetime.now(UTC) + timedelta(seconds=20)
        while out.getvalue().count("\n") < 2 and datetime.now(UTC) < until:  # noqa: ASYNC110 - nothing tells of output
            await asyncio.sleep(0.05)
    await runner.cleanup()
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    assert all("orders 3  events 7" in text and "\x1b" not in text and "\r" not in text for text in lines)
