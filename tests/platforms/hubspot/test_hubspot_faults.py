"""Every write of HubSpot under every fault: what is asked for is there once, whatever the connection did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

import aiohttp
import pytest

from app.core.errors import AuthError, RetryableError, UncertainError
from app.core.talk import Talk
from app.sandbox.base import Faults
from app.sandbox.platforms.hubspot import HubspotSandbox
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Customer, Invoice, Line, Order, Party, Payment, Shipment
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.conversation import converse

pytestmark = pytest.mark.sandbox
T = TypeVar("T")
HEADERS = {"Authorization": "Bearer pat-made-up"}
SETTLE_S = 0.05
STORM = Faults(
    reset_before_commit=0.08,
    reset_after_commit=0.08,
    slow_commit=0.06,
    slow_commit_s=0.02,
    error_5xx=0.03,
    error_5xx_after_commit=0.05,
    rate_429=0.03,
    html_200=0.02,
    expired_token=0.02,
    visibility_lag_s=5.0,
    batch_item_failure=0.1,
)
ADA = Party(name="Ada Example", email="ada@example.com")
LINES = (
    Line(sku="MUG", name="Mug", quantity=Decimal(2), unit_price=Decimal(10), net_amount=Decimal(20)),
    Line(sku="PEN", name="Pen", quantity=Decimal(1), unit_price=Decimal(4), net_amount=Decimal(4)),
)
ORDER = Order(number="SO-1", headline="open", currency="EUR", customer=ADA, lines=LINES, payable_amount=Decimal(24))
CREDIT = Credit(number="CN-1", amount=Decimal("1.35"), currency="EUR")
WISHES: dict[str, tuple[Any, str]] = {
    "upsert_order": (ORDER, "orders"),
    "upsert_customer": (Customer(party=Party(name="Bo Lind", email="bo@example.com")), "contacts"),
    "upsert_invoice": (Invoice(currency="EUR", customer=ADA, lines=LINES, payable_amount=Decimal(24)), "invoices"),
    "record_payment": (Payment(amount=Decimal(5), currency="EUR", date=date(2026, 11, 3)), "commerce_payments"),
    "issue_credit": (CREDIT, "notes"),
    "record_refund": (CREDIT, "notes"),
    "add_note": (ORDER, "notes"),
    "record_shipment": (Shipment(tracking_numbers=("1Z",)), ""),
}


async def _insist(make: Callable[[], Talk[T]], url: str) -> T:
    """Run the talk that *make* gives until the platform answers; a read may be repeated blindly."""
    while True:
        try:
            return await converse(make(), url, HEADERS)
        except (RetryableError, AuthError, aiohttp.ClientError):
            await asyncio.sleep(0)


async def _deliver(sink: HubspotSink, command: Command, url: str) -> Any:
    """Write as the delivery loop does: unsure means settle, probe, and only then again."""
    while True:
        try:
            return await converse(sink.write(command), url, HEADERS)
        except (UncertainError, aiohttp.ClientError):
            await asyncio.sleep(SETTLE_S)
            found = await _insist(lambda: sink.probe(command), url)
            if found is not None and found.complete:
                return found
        except (RetryableError, AuthError):
            await asyncio.sleep(0)


@pytest.fixture
async def portal() -> AsyncIterator[tuple[HubspotSandbox, str]]:
    sandbox = HubspotSandbox(quota_scale=1000)
    yield sandbox, await sandbox.start()
    await sandbox.stop()


@pytest.mark.parametrize("capability", WISHES)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("order_object", ["deals", "orders"])
async def test_a_write_in_a_storm_is_there_once(
    portal: tuple[HubspotSandbox, str], capability: Any, seed: int, order_object: str
) -> None:
    sandbox, url = portal
    connection = Connection(
        name="crm", tenant="acme", platform="hubspot", account=sandbox.account, options={"order_object": order_object}
    )
    sink = HubspotSink(connection)
    made = sandbox.verbs["create_order"]({"name": "SO-7", "amount": "24.00", "currency": "EUR"})
    assert isinstance(made, dict)
    facts, kind = WISHES[capability]
    if kind == "orders":
        kind = order_object
    if order_object == "deals":
        made = sandbox.verbs["create_deal"]({"name": "SO-7", "amount": "24.00", "currency": "EUR"})
        assert isinstance(made, dict)
        kind = kind or "notes"
    held = sandbox.portal.records.get(kind, {})
    before = len(held)
    sandbox.injector._random = Random(seed + 1)
    sandbox.injector.faults = STORM
    written = []
    for position in range(3):
        write = f"{seed}{position}" + "b" * 10
        wanted = Shipment(tracking_numbers=(f"1Z{position}",)) if capability == "record_shipment" else facts
        command = Command(
            id=write * 2,
            kind="append",
            tenant="acme",
            connection="crm",
            account=sandbox.account,
            capability=capability,
            order="a" * 32,
            entity="order:1",
            write=write,
            canonical=write,
            mark=f"o2c1:{'a' * 32}:{write}",
            links={"order": made["id"]},
            facts=wanted,
            text="Paid",
        )
        async with asyncio.timeout(30):
            written += [await _deliver(sink, command, url) for _ in range(2)]
    await asyncio.sleep(SETTLE_S)
    assert sum(sandbox.injector.injected.values()) > 0
    if not kind:
        assert sandbox.portal.records["orders"][made["id"]].values["hs_shipping_tracking_number"] == "1Z0, 1Z1, 1Z2"
        return
    once = 1 if capability == "upsert_customer" else 3
    assert len(held) - before == len({one.id for one in written}) == once
    if capability in {"upsert_order", "upsert_invoice"}:
        assert len(sandbox.portal.records["line_items"]) == 3 * len(LINES)
        rows = [row for row in sandbox.books() if row["kind"] in {"order", "invoice"} and row.get("mark")]
        assert [row["total"] for row in rows] == ["24.00"] * 3
        assert {row["customer"] for row in rows} == {"ada@example.com"}
        assert {row["status"] for row in rows} <= {"open", "invoiced"}
