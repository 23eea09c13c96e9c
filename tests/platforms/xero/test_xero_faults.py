"""The delivery loop against a Xero that resets, lies, answers late and ignores its keys: one document each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.core.errors import UncertainError
from app.core.http import HttpClient, new_session
from app.core.talk import Request, Response
from app.sandbox.faults import Faults
from app.sandbox.platforms.xero import XeroSandbox
from schemas.facts import Credit, Facts, Party, Payment, Shipment
from sinks.delivery.owner import Owner
from sinks.platforms.xero import XeroSink
from tests.platforms.memory import Memory
from tests.platforms.xero.company import AUTH, CONNECTION, INVOICE, TENANT, command

pytestmark = pytest.mark.sandbox
ORDERS = 6
FASTER = 200
"""The loop's clock runs this much faster than the platform's: pauses of minutes take a moment."""
FAULTS = Faults(
    reset_before_commit=0.1,
    reset_after_commit=0.2,
    slow_commit=0.12,
    slow_commit_s=0.02,
    error_5xx=0.05,
    error_5xx_after_commit=0.1,
    html_200=0.05,
    idempotency_off=1.0,
    visibility_lag_s=0.03,
)


async def _order(owner: Owner, memory: Memory, n: int) -> None:
    """Bill, take money twice (the second time too much), credit a part, pay it back, ship."""

    async def done(step: int, capability: str, facts: Facts, **links: str) -> str:
        wanted = command(capability, facts, n=100 * n + step, links=links)
        wanted = msgspec.structs.replace(wanted, order=f"{n:032x}", entity=f"document:{n}")
        event = memory.waiting.setdefault(wanted.id, asyncio.Event())
        await owner.accept(wanted)
        await event.wait()
        result = memory.results[wanted.id]
        assert result.outcome == "confirmed", result
        assert result.bound is not None
        return result.bound.id

    billed = msgspec.structs.replace(INVOICE, customer=Party(name=f"Buyer {n // 2}", email=f"b{n // 2}@example.com"))
    invoice = await done(1, "upsert_invoice", billed)
    part = Payment(amount=Decimal("5.53"), currency="EUR", date=date(2026, 5, 2), reference=f"a{n}")
    await done(2, "record_payment", part, invoice=invoice)
    await done(
        3, "record_payment", msgspec.structs.replace(part, amount=Decimal(12), reference=f"b{n}"), invoice=invoice
    )
    back = Credit(amount=Decimal(3), currency="EUR", date=date(2026, 5, 3))
    credit = await done(4, "issue_credit", back, invoice=invoice)
    await done(5, "record_refund", back, invoice=invoice, credit=credit)
    await done(6, "record_shipment", Shipment(carrier="UPS", tracking_numbers=(f"1Z{n}",)), invoice=invoice)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_whatever_goes_wrong_every_document_is_there_exactly_once(seed: int) -> None:
    sandbox = XeroSandbox(TENANT, seed=seed, quota_scale=1000, faults=FAULTS)
    url = await sandbox.start()
    memory, time = Memory(), asyncio.get_running_loop().time
    async with new_session(allow_private=True, timeout=5) as session:
        http = HttpClient(session, url, allow_private=True)

        async def sender(request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None) -> Response:
            if before is not None:
                await before()
            return await http.send(request, {**AUTH, **({"Idempotency-Key": key} if key else {})}, {})

        owner = Owner(
            XeroSink(CONNECTION),
            sender,
            memory,
            epoch=1,
            now=lambda: FASTER * time(),
            settle=1.0 * FASTER,
        )
        running = asyncio.create_task(owner.run())
        try:
            await asyncio.wait_for(asyncio.gather(*[_order(owner, memory, n) for n in range(1, ORDERS + 1)]), 120)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    books = sandbox.books()
    await sandbox.stop()
    assert memory.dead == []
    assert sum(sandbox.injector.injected[name] for name in ("reset_after_commit", "slow_commit")) > 1, "about 14 of 45"
    _check(books)


def _check(books: list[dict[str, Any]]) -> None:
    kinds = Counter(row["kind"] for row in books)
    once = {"invoice": 1, "payment": 3, "credit": 1, "refund": 1, "shipment": 1}
    assert {kind: kinds[kind] for kind in once} == {kind: count * ORDERS for kind, count in once.items()}
    sums = {
        kind: sum(Decimal(row.get("amount") or row.get("total") or 0) for row in books if row["kind"] == kind)
        for kind in once
    }
    assert sums["invoice"] == Decimal("15.53") * ORDERS
    assert sums["payment"] == Decimal("17.53") * ORDERS
    assert sums["credit"] == sums["refund"] == 3 * ORDERS
    assert all(row["due"] == "0.00" for row in books if row["kind"] == "invoice")
    marks = Counter(row["mark"] for row in books if row["kind"] != "customer")
    assert set(marks.values()) == {1}
    assert kinds["customer"] == ORDERS // 2 + 1, "two orders of one buyer make one contact"


def test_uncertain_is_not_retried_blind() -> None:
    error = XeroSink(CONNECTION).classify(Response(status=503), mutating=True)
    assert isinstance(error, UncertainError)
