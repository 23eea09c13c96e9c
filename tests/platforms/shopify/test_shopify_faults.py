"""Every write of Shopify under every fault: what is asked for is there once, whatever the connection did."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from random import Random
from typing import Any

import aiohttp
import pytest

from app.core.errors import AuthError, RetryableError, UncertainError
from app.core.talk import Talk
from app.sandbox.base import Faults
from app.sandbox.platforms.shopify import ShopifySandbox
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Customer, Facts, Line, Order, Party, Payment, Shipment
from sinks.platforms.shopify import ShopifySink
from tests.platforms.conversation import converse

pytestmark = pytest.mark.sandbox
DOMAIN = "example.myshopify.com"
SINK = ShopifySink(Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN))
HEADERS = {"X-Shopify-Access-Token": ShopifySandbox.token}
SETTLE_S = 0.08
STORM = Faults(
    reset_before_commit=0.2,
    reset_after_commit=0.2,
    slow_commit=0.2,
    slow_commit_s=0.02,
    error_5xx=0.08,
    error_5xx_after_commit=0.15,
    rate_429=0.05,
    html_200=0.05,
    idempotency_off=1,
)
BUYER = Party(name="Ada Example", email="ada@example.com")
LINES = (Line(sku="MUG", name="Mug", quantity=Decimal(2), net_amount=Decimal(20), tax_amount=Decimal(4)),)
WISHES: dict[str, tuple[Facts, str]] = {
    "upsert_order": (Order(currency="EUR", customer=BUYER, lines=LINES, payable_amount=Decimal(24)), "order"),
    "record_payment": (Payment(amount=Decimal("5.00"), currency="EUR"), "payment"),
    "issue_credit": (
        Credit(amount=Decimal("1.35"), currency="EUR", lines=(Line(sku="PEN", quantity=Decimal(1)),)),
        "refund",
    ),
    "record_refund": (Credit(document="refund", amount=Decimal("3.00"), currency="EUR"), "refund"),
    "record_shipment": (Shipment(tracking_numbers=("1Z",), carrier="UPS", status="delivered"), "shipment"),
    "upsert_customer": (Customer(party=Party(name="Bo Lind", email="bo@example.com")), "customer"),
}
BOUGHT = {
    "lines": [
        {"sku": "MUG", "title": "Mug", "quantity": 2, "price": "20.00"},
        {"sku": "PEN", "title": "Pen", "quantity": 3, "price": "1.35"},
    ],
    "email": "ada@example.com",
}


@pytest.fixture
async def shop() -> AsyncIterator[tuple[ShopifySandbox, str]]:
    sandbox = ShopifySandbox(DOMAIN, quota_scale=1000)
    yield sandbox, await sandbox.start()
    await sandbox.stop()


async def insist(make: Any, url: str) -> Any:
    """Run the talk that *make* gives until the platform answers; a read may be repeated blindly."""
    while True:
        try:
            return await converse(make(), url, HEADERS)
        except (RetryableError, AuthError, aiohttp.ClientError):
            await asyncio.sleep(0)


async def deliver(command: Command, url: str) -> None:
    """Write as the delivery loop does: unsure means settle, probe, and only then again."""
    while True:
        talk: Talk[Any] = SINK.write(command)
        try:
            await converse(talk, url, HEADERS)
        except (UncertainError, aiohttp.ClientError):
            await asyncio.sleep(SETTLE_S)
            await insist(lambda: SINK.probe(command), url)
        except (RetryableError, AuthError):
            await asyncio.sleep(0)
        else:
            return


@pytest.mark.parametrize("capability", WISHES)
@pytest.mark.parametrize("seed", range(3))
async def test_a_write_in_a_storm_is_there_once(shop: tuple[ShopifySandbox, str], capability: Any, seed: int) -> None:
    sandbox, url = shop
    sandbox.injector._random = Random(seed + 1)
    made = sandbox.verbs["create_order"](BOUGHT)
    assert isinstance(made, dict)
    sandbox.verbs["pay_order"]({"id": made["id"], "amount": "10.00", "gateway": "card"})
    facts, kind = WISHES[capability]
    before = len([row for row in sandbox.books() if row["kind"] == kind])
    sandbox.injector.faults = STORM
    links = {} if capability in {"upsert_order", "upsert_customer"} else {"order": made["id"]}
    for position in range(3):
        write = f"{seed}{position}" + "b" * 10
        unlike = {} if capability != "upsert_customer" else {"facts": _other(position)}
        command = Command(
            id=write * 2, kind="append", tenant="acme", connection="shop", account=DOMAIN, capability=capability,
            order="a" * 32, entity="order:1", write=write, canonical=write, mark=f"o2c1:{'a' * 32}:{write}", links=links,
            **{"facts": facts if capability != "record_shipment" or not position else Shipment(), **unlike},
        )  # fmt: skip
        if capability == "record_shipment" and position:
            break
        async with asyncio.timeout(20):
            await deliver(command, url)
    await asyncio.sleep(SETTLE_S)
    wanted = 1 if capability == "record_shipment" else 3
    there = [row for row in sandbox.books() if row["kind"] == kind]
    assert len(there) - before == wanted
    assert sum(sandbox.injector.injected.values()) > 0


def _other(position: int) -> Customer:
    return Customer(party=Party(name="Bo Lind", email=f"bo{position}@example.com"))
