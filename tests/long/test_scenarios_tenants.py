"""SCENARIO 2: two tenants on one provider, two workers of each role, and one tenant whose consent is gone."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import Stack, free_port
from tests.e2e.apart import Apart, _ready
from tests.e2e.configuring import API_KEY

pytestmark = [pytest.mark.long, pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(1_800)]
TENANTS = ("alpha", "beta")
ACCOUNT = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in TENANTS}
CUSTOMERS = 20
HEAD = """\
data_dir = "data"
key = "made-up-key-for-tests"
[kafka]
bootstrap = "{bootstrap}"
partitions = 4
[topics]
prefix = "{prefix}"
[gateway]
port = {gateway}
public_url = "http://127.0.0.1:{gateway}"
api_keys = ["{key}"]
[streams]
port = {streams}
[connectors]
port = {connectors}
"""
TENANT = """\
[[tenant]]
name = "{name}"
[tenant.connections.{name}-erp]
platform = "external"
account = "erp"
start_at = "beginning"
[tenant.connections.{name}-books]
platform = "xero"
account = "{account}"
base_url = "{url}"
allow_private = true
sweep_seconds = 86400
start_at = "beginning"
secrets = {{ client_id = "sandbox-client", client_secret = "sandbox-secret", refresh_token = "sandbox-refresh" }}
accounts = {{ sales = "200", payments = "090", rounding = "860" }}
taxes = {{ "0" = "NONE" }}
[[tenant.flows]]
name = "{name}"
key_giver = "{name}-erp"
mode = "live"
[[tenant.flows.targets]]
connection = "{name}-books"
document = "invoice"
asks = "never"
"""


@asynccontextmanager
async def company(bootstrap: str, folder: Path, quota: float) -> AsyncIterator[Apart]:
    """Start two tenants with *quota* times the vendor's calls."""
    stack = Stack(folder)
    async with aiohttp.ClientSession() as session:
        try:
            for name in TENANTS:
                await _sandbox(stack, name, quota)
            ports = {role: free_port() for role in ("gateway", "streams", "connectors")}
            prefix = f"tenants-{uuid.uuid4().hex[:8]}-"
            text = HEAD.format(bootstrap=bootstrap, prefix=prefix, key=API_KEY, **ports)
            for name in TENANTS:
                table = TENANT.format(name=name, account=ACCOUNT[name], url=stack.urls[f"{name}-books"])
                text += table.replace("allow_private", f"quota_share = {quota}\nallow_private")
            path = folder / "o2c.toml"
            path.write_text(text, encoding="utf-8")
            settings = load(path, os.environ)
            await apply_topics(settings)
            there = Apart(stack, session, settings, path)
            second = folder / "second.toml"
            for role in ("streams", "connectors"):
                text = text.replace(f"port = {ports[role]}", f"port = {free_port()}")
            second.write_text(text, encoding="utf-8")
            for role in ports:
                await stack.start_role(role, path, f"{role}-1")
            for role in ports:
                await there.until(lambda role=role: _ready(there, role), f"{role} is ready")  # type: ignore[misc]
            for role in ("streams", "connectors"):
                await stack.start_role(role, second, f"{role}-2")
            yield there
        finally:
            await stack.stop()


async def _sandbox(stack: Stack, name: str, quota: float) -> None:
    words = ("-m", "app.sandbox", "xero", "--account", ACCOUNT[name], "--quota-scale", str(quota))
    process = await stack._spawn(f"{name}-books", *words, piped=True)
    assert process.stdout is not None
    stack.urls[f"{name}-books"] = (await asyncio.wait_for(process.stdout.readline(), 90)).decode().strip()


async def tell(there: Apart, tenant: str, kind: str, id_: str, facts: dict[str, Any], order: str = "") -> None:
    ref = {"connection": f"{tenant}-erp", "account": "erp", "type": kind, "id": id_}
    anchors = [{"kind": "order", "ref": {**ref, "type": "order", "id": order}}] if order else []
    data = {
        "tenant": tenant,
        "object": ref,
        "version": {"native": 1},
        "facts": {"type": kind, **facts},
        "anchors": anchors,
    }
    await there.tell(kind, data, f"/{tenant}/{tenant}-erp/erp")


async def place(there: Apart, tenant: str, number: str, customer: int) -> None:
    line = {"id": "1", "name": "Mug", "net_amount": "10.00", "unit_price": "10.00", "tax_rate": "0"}
    who = {"name": f"Customer {customer}", "email": f"c{customer}@example.com"}
    facts = {"number": number, "currency": "EUR", "payable_amount": "10.00", "customer": who, "lines": [line]}
    await tell(there, tenant, "order", number, {**facts, "placed_at": datetime.now(UTC).isoformat()})


async def placed(there: Apart, tenant: str, numbers: Sequence[str]) -> None:
    """Place orders and wait until the ledger has billed all of them."""
    for start in range(0, len(numbers), 20):
        await asyncio.gather(
            *(place(there, tenant, one, place_ % CUSTOMERS) for place_, one in enumerate(numbers[start : start + 20]))
        )

    async def billed() -> bool:
        return len(await there.books(f"{tenant}-books", "invoice")) >= len(numbers)

    await there.until(billed, f"{tenant} has billed {len(numbers)}", 900)


class Live:
    """Payments that come in one after another, and how long each takes until the ledger holds it."""

    def __init__(self, there: Apart, tenant: str, orders: Iterable[str]) -> None:
        self.there, self.tenant, self._orders = there, tenant, iter(orders)
        self._sent: dict[str, float] = {}

    async def come(self, count: int, every: float) -> list[float]:
        """Let *count* payments come; return the seconds that each took."""
        mine = []
        for _ in range(count):
            order = next(self._orders)
            self._sent[f"PAY-{order}"] = time.time()
            mine.append(f"PAY-{order}")
            facts = {"amount": "10.00", "currency": "EUR", "reference": f"PAY-{order}"}
            await tell(self.there, self.tenant, "payment", f"P-{order}", facts, order)
            await asyncio.sleep(every)

        async def there_are() -> bool:
            return set(mine) <= (await self._seen()).keys()

        await self.there.until(there_are, "every payment is booked", 600)
        seen = await self._seen()
        return [seen[one] - self._sent[one] for one in mine]

    async def _seen(self) -> dict[str, float]:
        url = f"{self.there.stack.urls[f'{self.tenant}-books']}/_sandbox/history"
        async with self.there.session.get(url) as reply:
            rows = [json.loads(line) for line in (await reply.text()).splitlines()]
        found: dict[str, float] = {}
        for row in rows:
            if row["kind"] == "payment":
                name = str(row["mark"]).split()[0]
                found.setdefault(name, datetime.fromisoformat(row["at"]).timestamp())
        return found


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


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
    return [value for series, value in (await pages(there)).items() if f'tenant="{tenant}"' in series] == [0.0] * 4


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
        assert p95(beside) <= max(1.1 * p95(alone), p95(alone) + 1.0), (p95(alone), p95(beside))

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
