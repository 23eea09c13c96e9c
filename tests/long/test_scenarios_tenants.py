"""SCENARIO 2: two tenants on one provider, two workers of each role, and one tenant whose consent is gone."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from app.config.load import load
from tests.e2e.apart import Apart
from tests.long.tenants import TENANTS, Live, company, p95, placed, slowed, tell

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(1_800)]


async def pages(there: Apart) -> dict[str, float]:
    """Return why connections are down, as every worker of the connectors shows it."""
    found: dict[str, float] = {}
    for config in (there.config, there.config.with_name("second.toml")):
        worker = replace(there, settings=load(config, os.environ))
        found |= await worker.metric("connectors", "o2c_connection_down")
    return found


async def down(there: Apart, tenant: str) -> bool:
    labels = f'{{cause="credential",connection="{tenant}-books",tenant="{tenant}"}}'
    return (await pages(there)).get(labels) == 1


async def well(there: Apart, tenant: str) -> bool:
    found = {value for series, value in (await pages(there)).items() if f'connection="{tenant}-books"' in series}
    return found == {0.0}


async def test_02_the_dead_token_of_one_tenant_slows_nobody_else(kafka: str, tmp_path: Path) -> None:
    async with company(kafka, tmp_path, 50.0) as there:
        orders = {tenant: [f"SO-{number}" for number in range(120)] for tenant in TENANTS}
        await asyncio.gather(*(placed(there, tenant, orders[tenant][:60]) for tenant in TENANTS))
        beta = Live(there, "beta", orders["beta"])
        alone = await beta.come(20, 0.3)
        before = await there.books("alpha-books", "invoice", "payment")
        await there.act("alpha-books", "disconnect")
        waiting = asyncio.create_task(placed(there, "alpha", orders["alpha"]))
        for number in orders["alpha"][:60]:
            await tell(there, "alpha", "payment", f"P-{number}", {"amount": "10.00", "currency": "EUR"}, number)
        beside = await beta.come(40, 0.3)
        assert not slowed(beside, alone), (p95(alone), p95(beside))

        await there.until(lambda: down(there, "alpha"), "the alarm names tenant, connection and cause", 300)
        assert not await down(there, "beta")
        assert await there.books("alpha-books", "invoice", "payment") == before
        await there.consents("alpha-books")
        await waiting

        async def paid() -> bool:
            return len(await there.books("alpha-books", "payment")) == 60

        await there.until(paid, "every queued payment is there")
        await there.until(lambda: well(there, "alpha"), "the alarm clears itself")
        rows = await there.books("alpha-books", "invoice", "payment")
        assert Counter(row["kind"] for row in rows) == {"invoice": 120, "payment": 60}
        assert set(Counter(row["mark"] for row in rows if row["kind"] == "invoice").values()) == {1}
