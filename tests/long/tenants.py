"""Two tenants on one provider, each with a ledger of its own, and two workers of each role between them."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from app.cli.topics import apply_topics
from app.config.load import load
from app.demo.stack import Stack, free_port
from tests.e2e.apart import Apart, _ready
from tests.e2e.configuring import head, xero

TENANTS = ("alpha", "beta")
_ACCOUNT = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in TENANTS}
_CUSTOMERS = 20
_ROLES = ("gateway", "streams", "connectors")
_AT_ONCE = 20
_LOOK = 3.0
"""Seconds between two looks into the books, which may be large."""
_TENANT = """\
[[tenant]]
name = "{name}"
[tenant.connections.{name}-erp]
platform = "external"
account = "erp"
start_at = "{start}"
{books}
start_at = "{start}"
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
async def company(bootstrap: str, folder: Path, quota: float, start: str = "beginning") -> AsyncIterator[Apart]:
    """Start two tenants with *quota* times the vendor's calls; *start* is every connection's `start_at`."""
    stack, ports = Stack(folder), {role: free_port() for role in _ROLES}
    async with aiohttp.ClientSession() as session:
        try:
            for name in TENANTS:
                await _sandbox(stack, name, quota)
            prefix = f"tenants-{uuid.uuid4().hex[:8]}-"
            text = head(bootstrap, prefix, ports)
            for name in TENANTS:
                url = stack.urls[books_of(name)]
                books = xero(books_of(name), _ACCOUNT[name], url, quota=quota, sweep=86_400)
                text += _TENANT.format(name=name, books=books, start=start)
            path, second = folder / "o2c.toml", folder / "second.toml"
            path.write_text(text, encoding="utf-8")
            for role in _ROLES[1:]:
                text = text.replace(f"port = {ports[role]}", f"port = {free_port()}")
            second.write_text(text, encoding="utf-8")
            settings = load(path, os.environ)
            await apply_topics(settings)
            there = Apart(stack, session, settings, path)
            for role in _ROLES:
                await stack.start_role(role, path, f"{role}-1")
            for role in _ROLES:
                await there.until(lambda role=role: _ready(there, role), f"{role} is ready")  # type: ignore[misc]
            for role in _ROLES[1:]:
                await stack.start_role(role, second, f"{role}-2")
            yield there
        finally:
            await stack.stop()


async def _sandbox(stack: Stack, name: str, quota: float) -> None:
    words = ("-m", "app.sandbox", "xero", "--account", _ACCOUNT[name], "--quota-scale", str(quota))
    process = await stack._spawn(books_of(name), *words, piped=True)
    assert process.stdout is not None
    stack.urls[books_of(name)] = (await asyncio.wait_for(process.stdout.readline(), 90)).decode().strip()


def books_of(tenant: str) -> str:
    """Return the connection to the tenant's ledger."""
    return f"{tenant}-books"


async def tell(there: Apart, tenant: str, kind: str, id_: str, facts: dict[str, Any], order: str = "") -> None:
    """Tell of an object of the tenant's other service, which belongs to *order*."""
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


async def told(there: Apart, tenant: str, numbers: Sequence[str], placed_at: datetime | None = None) -> None:
    """Tell of orders of 10.00, placed now unless *placed_at* says when."""
    for start in range(0, len(numbers), _AT_ONCE):
        some = enumerate(numbers[start : start + _AT_ONCE], start)
        await asyncio.gather(*(_order(there, tenant, one, place, placed_at) for place, one in some))


async def _order(there: Apart, tenant: str, number: str, place: int, placed_at: datetime | None) -> None:
    line = {"id": "1", "name": "Mug", "net_amount": "10.00", "unit_price": "10.00", "tax_rate": "0"}
    customer = place % _CUSTOMERS
    who = {"name": f"Customer {customer}", "email": f"c{customer}@example.com"}
    facts = {"number": number, "currency": "EUR", "payable_amount": "10.00", "customer": who, "lines": [line]}
    await tell(there, tenant, "order", number, {**facts, "placed_at": (placed_at or datetime.now(UTC)).isoformat()})


async def placed(there: Apart, tenant: str, numbers: Sequence[str]) -> None:
    """Place orders and wait until the ledger has billed as many."""
    await told(there, tenant, numbers)
    await billed(there, tenant, len(numbers))


async def billed(there: Apart, tenant: str, count: int, seconds: float = 900) -> None:
    """Wait until the tenant's ledger holds that many invoices."""

    async def there_are() -> bool:
        return len(await there.books(books_of(tenant), "invoice")) >= count or await _later()

    await there.until(there_are, f"{tenant} has billed {count}", seconds)


async def _later() -> bool:
    await asyncio.sleep(_LOOK)
    return False


async def booked(there: Apart, tenant: str, kind: str) -> dict[str, float]:
    """Return the first word that each object of *kind* is marked with, and when the tenant's ledger had it first."""
    async with there.session.get(f"{there.stack.urls[books_of(tenant)]}/_sandbox/history") as reply:
        rows = [json.loads(line) for line in (await reply.text()).splitlines()]
    found: dict[str, float] = {}
    for row in rows:
        if row["kind"] == kind:
            found.setdefault(str(row["mark"]).split()[0], datetime.fromisoformat(row["at"]).timestamp())
    return found


class Live:
    """Payments that come in one after another, and how long each takes until the ledger holds it."""

    def __init__(self, there: Apart, tenant: str, orders: Iterable[str]) -> None:
        self.there, self.tenant, self._orders = there, tenant, iter(orders)

    async def come(self, count: int, every: float) -> list[float]:
        """Let *count* payments come; return the seconds that each took."""
        sent: dict[str, float] = {}
        for _ in range(count):
            order = next(self._orders)
            sent[f"PAY-{order}"] = time.time()
            facts = {"amount": "10.00", "currency": "EUR", "reference": f"PAY-{order}"}
            now = datetime.now(UTC).isoformat()
            await tell(self.there, self.tenant, "payment", f"P-{order}", {**facts, "paid_at": now}, order)
            await asyncio.sleep(every)

        async def there_are() -> bool:
            return sent.keys() <= (await booked(self.there, self.tenant, "payment")).keys() or await _later()

        await self.there.until(there_are, "every payment is booked", 600)
        seen = await booked(self.there, self.tenant, "payment")
        return [seen[one] - began for one, began in sent.items()]


def is_busy() -> bool:
    """Tell whether the machine has more to do than processors: then it is what everybody waits for."""
    return os.getloadavg()[1] > (os.cpu_count() or 1)


def slowed(beside: Sequence[float], alone: Sequence[float]) -> bool:
    """Tell whether waits grew by more than a tenth, or a second (five on a busy machine) where they are short."""
    return p95(beside) > max(1.1 * p95(alone), p95(alone) + (5.0 if is_busy() else 1.0))


def p95(values: Sequence[float]) -> float:
    """Return what all but one of twenty stay below."""
    return statistics.quantiles(values, n=20)[-1]
