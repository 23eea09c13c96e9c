"""SCENARIO 12: what a backfill leaves of a real quota to the live payments of two tenants, and what it uses of the rest.

The vendor's numbers are kept: 5 calls at once, 60 a minute, 5,000 a day for each organisation. Reduced are the backfill
(`O2C_BACKFILL`, 5,000 orders instead of 50,000), the day (until it is done: some minutes, for which 60 calls a minute
are the limit; the cap of a day is played in virtual time, `tests/simulator/test_quota.py`) and the workers (two of each
role instead of eight).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.apart import Apart
from tests.long.tenants import TENANTS, Live, billed, booked, books_of, company, is_busy, p95, placed, slowed, told

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(3_600)]
BACKFILL = int(os.environ.get("O2C_BACKFILL", "5000"))
MINUTE, A_MINUTE = 60.0, 60
"""The vendor's window, and the calls that it allows in one."""
ALONE, BESIDE, EVERY = 20, 40, 4.0
"""Live payments of a tenant before the backfill and beside it, and the seconds between two."""


async def o2c(there: Apart, *words: str) -> dict[str, Any]:
    """Run a command of the operations team; return what it printed."""
    words = ("-m", "app", *words, "--config", str(there.config), "--json")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return dict(json.loads(out))


async def planned(there: Apart, flow: str, count: int) -> str:
    """Wait until the flow's plan knows *count* old orders; return its digest."""
    found: dict[str, Any] = {}

    async def whole() -> bool:
        (plan,) = (await o2c(there, "plan", "--flow", flow))["plans"]
        found.update(plan)
        return sum(row["old"] for row in plan["rows"]) == count

    await there.until(whole, f"{count} old orders are planned", 600)
    return str(found["digest"])


async def test_12_a_backfill_of_one_tenant_beside_the_live_payments_of_two(kafka: str, tmp_path: Path) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with company(kafka, tmp_path, 1.0, start=yesterday.isoformat()) as there:
        new = {tenant: [f"NEW-{number}" for number in range(ALONE + BESIDE)] for tenant in TENANTS}
        await asyncio.gather(*(placed(there, tenant, new[tenant]) for tenant in TENANTS))
        old = [f"OLD-{number}" for number in range(BACKFILL)]
        await told(there, "alpha", old, yesterday - timedelta(days=90))
        digest = await planned(there, "alpha", BACKFILL)
        await asyncio.sleep(MINUTE)  # no call from before counts any more
        live = {tenant: Live(there, tenant, new[tenant]) for tenant in TENANTS}
        alone = await live["beta"].come(ALONE, EVERY)

        before = len((await there.log("alpha-books"))["requests"])
        asked = await o2c(there, "flows", "backfill", "alpha", "--plan", digest)
        assert (asked["backfill"], asked["writes"]) == (True, BACKFILL)
        busy, beside = await asyncio.gather(*(live[tenant].come(BESIDE, EVERY) for tenant in TENANTS))
        await billed(there, "alpha", BACKFILL + len(new["alpha"]), 3_000)
        await there.quiet()

        calls = (await there.log("alpha-books"))["requests"][before:]
        times = [datetime.fromisoformat(one["at"]).timestamp() for one in calls]
        seconds = max((await booked(there, "alpha", "invoice")).values()) - times[0]
        used = _used(times, seconds)
        batches = sum(one["mutating"] and "/Invoices" in one["path"] for one in calls)
        print(  # noqa: T201 - figures of a long test
            f"{BACKFILL} billed in {seconds:.0f} s by {batches} calls, {len(calls)} calls in all; "
            f"{used:.1f} of {A_MINUTE} calls a minute; "
            f"payments p95: busy {p95(busy):.1f} s, the other {p95(beside):.1f} s, alone {p95(alone):.1f} s"
        )
        for tenant in TENANTS:
            assert (await there.log(books_of(tenant)))["counters"]["429"] == 0
        assert used >= (0.75 if is_busy() else 0.95) * A_MINUTE
        assert batches / BACKFILL <= 0.1
        assert p95(busy) < MINUTE / 2
        assert not slowed(beside, alone)
        for tenant, count in (("alpha", BACKFILL + len(new["alpha"])), ("beta", len(new["beta"]))):
            marks = Counter(row["mark"] for row in await there.books(books_of(tenant), "invoice"))
            assert (len(marks), set(marks.values())) == (count, {1}), "each order is billed once"
        paid = {tenant: len(await there.books(books_of(tenant), "payment")) for tenant in TENANTS}
        assert paid == {"alpha": BESIDE, "beta": ALONE + BESIDE}


def _used(times: Sequence[float], seconds: float) -> float:
    """Return how many calls left in a minute, over all whole minutes of the *seconds* since the first."""
    minutes = int(seconds // MINUTE)
    assert minutes, "it took less than a minute: nothing waited for quota"
    return sum(one < times[0] + minutes * MINUTE for one in times) / minutes
