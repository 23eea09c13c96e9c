"""The owner of a connection against a sandbox that breaks: one document per write, whatever breaks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import pytest

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from schemas.facts import Party
from sinks.delivery.owner import Owner
from tests.platforms.quickbooks_online.delivering import Line, MemoryLedger, deliver
from tests.platforms.quickbooks_online.rig import Rig, command, credit, invoice, payment

pytestmark = pytest.mark.sandbox
ORDERS = 10
PACE = 10


def quick() -> float:
    """Return a time that runs ten times as fast: what waits two seconds waits a fifth of one."""
    return time.monotonic() * PACE


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=1000, seed=7)
    yield Rig(sandbox, await sandbox.start())
    await sandbox.stop()


FAULTS = [
    {"reset_after_commit": 0.15},
    {"reset_before_commit": 0.15},
    {"slow_commit": 0.15, "slow_commit_s": 0.1},
    {"error_5xx_after_commit": 0.15},
    {"error_5xx": 0.05, "html_200": 0.03},
    {"reset_after_commit": 0.15, "slow_commit": 0.1, "slow_commit_s": 0.1, "error_5xx": 0.03, "visibility_lag_s": 0.1},
]


@pytest.mark.parametrize("faults", FAULTS, ids="+".join)
async def test_each_write_leaves_one_document_without_idempotency_keys(rig: Rig, faults: dict[str, float]) -> None:
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({**faults, "idempotency_off": 1})
    ledger = MemoryLedger()
    async with aiohttp.ClientSession() as session:
        line = Line(session, rig.url)
        owner = Owner(rig.sink, line, ledger, epoch=1, now=quick, settle=4)
        running = asyncio.create_task(owner.run())
        try:
            buyers = [Party(name=f"Buyer {n % 4}", email=f"buyer{n % 4}@example.com") for n in range(ORDERS)]
            billing = [command("upsert_invoice", invoice(customer=buyers[n]), order=str(n)) for n in range(ORDERS)]
            billed = await deliver(ledger, owner, billing)
            links = [{"invoice": result.bound.id} for result in billed if result.bound]
            assert len(links) == ORDERS
            paying = [
                command("record_payment", payment("10"), order=str(n), links=links[n], kind="append")
                for n in range(ORDERS)
            ]
            crediting = [
                command("issue_credit", credit("5.41"), order=str(n), links=links[n], kind="append")
                for n in range(ORDERS)
            ]
            paid = await deliver(ledger, owner, paying)
            credited = await deliver(ledger, owner, crediting)
        finally:
            while not running.done():  # wait_for of Python 3.11 may swallow one cancellation
                running.cancel()
                await asyncio.wait({running}, timeout=0.1)
    assert Counter(result.outcome for result in [*billed, *paid, *credited]) == {"confirmed": 3 * ORDERS}
    marks = Counter(row["mark"] for kind in ("invoice", "payment", "credit") for row in rig.books(kind))
    assert set(marks.values()) == {1}
    assert len(marks) == 3 * ORDERS
    assert {(row["paid"], row["credited"], row["due"]) for row in rig.books("invoice")} == {("10.00", "5.41", "0.00")}
    assert len(rig.books("customer")) == 4
    assert sum(rig.sandbox.injector.injected.values()) > 5
