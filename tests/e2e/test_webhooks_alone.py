"""Each of five platforms, end to end by its webhooks alone: webhook in, ledgers written, status back in the shop."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.people import BUYER, TOTAL, deal_in_crm, head, linked, money_everywhere, order_in_shop
from tests.e2e.running import Running, running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]
NEVER = 86_400.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Return a company that is swept when it starts and never again."""
    prefix = f"told-{uuid.uuid4().hex[:8]}-"
    async with running(kafka, tmp_path_factory.mktemp("told"), prefix, sweep=NEVER) as there:
        await there.idle()
        yield there


async def pay(told: Running, platform: str, key: str, id_: str) -> None:
    """Take the order's money in *platform*, as people do it there."""
    if platform == "shop":
        await told.act("shop", "pay_order", id=id_, amount=TOTAL, gateway="bank transfer", reference=told.name("P"))
    elif platform == "pay":
        charge = {"order_id": told.order(key).number, "invoice": head(told, "pay", key)["id"], "email": BUYER["email"]}
        await told.act("pay", "charge", **charge, amount=TOTAL, currency="EUR")
    else:
        invoice = head(told, platform, key)["id"]
        await told.act(platform, "type_payment", invoice_id=invoice, amount=TOTAL, reference=told.name("BANK"))


@pytest.mark.parametrize("platform", ["shop", "books", "qbo", "pay"])
async def test_an_order_and_the_money_for_it(told: Running, platform: str) -> None:
    key, id_ = await order_in_shop(told)
    before = told.sandboxes[platform].hooks.counts["delivered"]
    await pay(told, platform, key, id_)
    await money_everywhere(told, key, TOTAL)
    assert head(told, "shop", key)["status"] == "paid"
    assert told.sandboxes[platform].hooks.counts["delivered"] > before
    await told.silent(1)
    assert (told.order(key).financial, told.findings(key)) == ("paid", [])


async def test_a_deal_and_the_money_for_it(told: Running) -> None:
    key, _ = await deal_in_crm(told)
    await linked(told, key)
    await pay(told, "books", key, "")
    await money_everywhere(told, key, TOTAL)
    assert head(told, "shop", key)["status"] == "paid"
    assert told.sandboxes["crm"].hooks.counts["delivered"] > 0
    await told.silent(1)
    assert told.findings(key) == []
