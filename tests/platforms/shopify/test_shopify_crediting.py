"""Credits of what is left of a Shopify order, after money or goods went back before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from app.core.errors import UnsupportedError
from schemas.facts import Credit
from tests.platforms.shopify.plain import SINK, command
from tests.platforms.shopify.shop import BOUGHT, Shop, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


async def _credited(shop: Shop, id_: str, amount: str) -> Decimal:
    wish = command("issue_credit", Credit(amount=Decimal(amount), currency="EUR"), links={"order": id_})
    credited: Decimal = (await shop.talk(SINK.write(wish))).facts.amount
    return credited


async def test_what_is_left_after_money_went_back_alone_is_no_credit_of_all_lines(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("pay_order", id=made["id"])
    shop.act("refund_order", id=made["id"], amount="5.00")
    assert shop.books("order")[0]["current_total"] == "73.48"
    with pytest.raises(UnsupportedError, match="entered by a person"):
        await _credited(shop, made["id"], "73.48")  # the lines and the shipping that are left are worth 78.48
    assert [row["amount"] for row in shop.books("refund")] == ["5.00"]


async def test_what_is_left_after_goods_and_their_money_went_back_is_credited(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("pay_order", id=made["id"])
    shop.act("refund_order", id=made["id"], lines=[{"sku": "PEN", "quantity": 1}], amount="1.62")
    assert await _credited(shop, made["id"], "76.86") == Decimal("76.86")
    assert shop.books("order")[0]["current_total"] == "0.00"


async def test_what_is_left_after_shipping_was_credited_is_credited_without_it(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    order = shop.sandbox.shop.orders[int(made["id"])]
    shop.sandbox.shop.refund(order, shipping=Decimal("4.90"))
    assert await _credited(shop, made["id"], "73.58") == Decimal("73.58")
    assert shop.books("order")[0]["current_total"] == "0.00"
