"""What can be seen from outside while real roles work on a real Kafka: one trace over all hops, and metrics that are true."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from app.broker import java
from app.core import topics
from schemas.commands import Command, Result
from schemas.trace import trace_id
from tests.e2e.observing import PATIENCE, ROLES, XERO, Seen, observed

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]
_WITH_LAG = (
    *(topics.CRM_CHANGES, topics.ACCOUNTING_CHANGES, topics.ORDER_FACTS, topics.RESULTS, topics.LINKS),
    *(topics.COMMANDS, topics.HINTS, topics.INBOX, topics.DELIVERIES),
)


@pytest.fixture
async def seen(kafka: str, tmp_path: Path) -> AsyncIterator[Seen]:
    async with observed(kafka, tmp_path) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counting(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Seen]:
    """Return roles for tests that count what nobody else makes there."""
    async with observed(kafka, tmp_path_factory.mktemp("counting")) as found:
        yield found


async def test_one_webhook_has_one_trace_over_all_hops_and_every_figure_is_true(seen: Seen) -> None:
    began = time.time()
    lines = [{"sku": "MUG", "title": "Mug", "quantity": 2, "price": "10.00", "tax_rate": "20"}]
    order = {"reference": "SO-1", "email": "ada@example.com", "currency": "EUR", "lines": lines}
    assert seen.shop.verbs["create_order"](order)
    confirmed = "o2c_writes_total{capability=upsert_invoice,connection=books,outcome=confirmed,platform=xero}"
    await seen.until(lambda: seen.value("connectors", confirmed) == 1, "the invoice is confirmed")
    await seen.until_on(topics.RESULTS, 1)
    applied = f"o2c_events_total{{outcome=applied,topic={seen.prefix}crm-changes}}"
    await seen.until(
        lambda: seen.value("connectors", "o2c_end_to_end_seconds_count{}") and seen.value("streams", applied), "timed"
    )
    await seen.until(lambda: (seen.value("streams", "o2c_batch_size_sum{}") or 0) >= 3, "its result is read")
    await seen.until(
        lambda: all(seen.value(role, "o2c_ack_seconds_count{}") for role in ROLES),
        "every role had something acknowledged",
    )
    age = "o2c_complete_up_to_age_seconds{connection=books}"
    await seen.until(lambda: (seen.value("connectors", age) or -1) >= 0, "a sweep has ended")
    took = time.time() - began

    (delivery,) = [line for line in seen.log("connectors") if line["event"] == "delivery"]
    trace = delivery["trace_id"]
    assert len(trace) == 32
    assert any(trace in line.get("trace_ids", ()) for line in seen.log("streams") if line["event"] == "batch")
    written = [line for line in seen.log("connectors") if line["event"] == "write" and line["trace_id"] == trace]
    assert [(line["capability"], line["outcome"]) for line in written] == [("upsert_invoice", "confirmed")]
    results = [msgspec.json.decode(value, type=Result) for value in await seen.records(topics.RESULTS)]
    assert [(trace_id(one.trace), one.outcome) for one in results] == [(trace, "confirmed")]
    (command,) = [msgspec.json.decode(value, type=Command) for value in await seen.records(topics.COMMANDS)]
    assert trace_id(command.trace) == trace
    assert command.told_at is not None
    assert began <= command.told_at.timestamp() <= began + took

    assert seen.value("connectors", "o2c_end_to_end_seconds_count{}") == 1
    assert 0 < (seen.value("connectors", "o2c_end_to_end_seconds_sum{}") or 0) <= took
    assert seen.value("gateway", "o2c_hooks_total{outcome=accepted,platform=shopify}") == 1
    assert seen.value("connectors", "o2c_deliveries_total{outcome=accepted,platform=shopify}") == 1
    assert seen.value("streams", applied) == 1
    assert (seen.value("connectors", "o2c_quota_left{connection=books}") or 0) > 0
    assert (seen.value("connectors", age) or 0) < took + PATIENCE
    await seen.until(lambda: seen.lags().keys() >= set(_WITH_LAG), "every topic has its lag")
    await seen.until(lambda: set(seen.lags().values()) == {0.0}, "nothing waits")


def _payment(order: str) -> dict[str, Any]:
    ref = {"connection": "erp", "account": "erp-1", "type": "payment", "id": "P-1"}
    anchor = {"kind": "object", "ref": {"connection": "books", "account": XERO, "type": "invoice", "id": order}}
    facts = {"type": "payment", "amount": "5.00", "currency": "EUR"}
    return {"tenant": "acme", "object": ref, "version": {"native": 1}, "facts": facts, "anchors": [anchor]}


def _order(native: int, total: str) -> dict[str, Any]:
    ref = {"connection": "erp", "account": "erp-1", "type": "order", "id": "E-1"}
    line = {"id": "1", "net_amount": "20.00", "tax_amount": "4.00"}
    facts = {"type": "order", "number": "E-1", "currency": "EUR", "payable_amount": total, "lines": [line]}
    return {"tenant": "acme", "object": ref, "version": {"native": native}, "facts": facts}


@pytest.mark.asyncio(loop_scope="module")
async def test_what_waits_and_what_is_wrong_is_counted_until_it_is_mended(counting: Seen) -> None:
    waits, wrong = "o2c_parked{reason=parent}", "o2c_findings{code=totals_differ}"
    await counting.look()
    assert (counting.value("streams", waits), counting.value("streams", wrong)) == (0, 0)
    assert await counting.tell("payment", _payment("nobody's")) == 202
    assert await counting.tell("order", _order(1, "30.00")) == 202
    await counting.until(lambda: counting.value("streams", waits) == 1, "the payment waits for its parent")
    await counting.until(lambda: counting.value("streams", wrong) == 1, "the order has a finding")
    assert await counting.tell("order", _order(2, "24.00")) == 202
    await counting.until(lambda: counting.value("streams", wrong) == 0, "the finding is gone")


@pytest.mark.asyncio(loop_scope="module")
async def test_every_dead_letter_is_counted_by_the_role_that_wrote_it(counting: Seen) -> None:
    unreadable = "o2c_dead_letters_total{reason=unreadable}"
    await counting.look()
    assert [counting.value(role, unreadable) for role in ROLES] == [0, 0, 0]
    for topic in (topics.ACCOUNTING_CHANGES, topics.COMMANDS, topics.HINTS, topics.DELIVERIES):
        await counting.spoil(topic)
    await counting.until(
        lambda: counting.value("connectors", unreadable) == 3, "command, hint and delivery are put aside"
    )
    await counting.until(lambda: counting.value("streams", unreadable) == 1, "the event is put aside")
    read = f"o2c_events_total{{outcome=unreadable,topic={counting.prefix}{topics.ACCOUNTING_CHANGES}}}"
    await counting.until(lambda: counting.value("streams", read) == 1, "the event is counted")
    await counting.until_on(topics.DEAD_LETTERS, 4)


async def test_no_role_is_ready_while_kafka_is_away_and_all_are_again_when_it_is_back(tmp_path: Path) -> None:
    data = tmp_path / "kafka"
    running = await java.start(data, os.environ)
    try:
        async with observed(running.bootstrap, tmp_path) as seen:
            await java.stop(data)
            pages = await seen.until_ready(503)
            assert all("afka" in text or "broker" in text for _, text in pages.values())
            assert {status for status, _ in (await seen.health("live")).values()} == {200}
            began = time.monotonic()
            assert await seen.tell("order", _order(1, "24.00")) == 503
            assert time.monotonic() - began < 5
            await java.start(data, os.environ, port=int(running.bootstrap.rpartition(":")[2]))
            await seen.until_ready(200)
    finally:
        await java.stop(data)
