"""Money that is not simply paid by card: cash that a till rounds, and cards that are only authorised."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import rest
from app.sandbox.platforms.shopify.engine import understood
from schemas.events import ChangeEvent
from schemas.facts import Credit, Order, Payment
from streams.sources.base import Hook
from tests.platforms.shopify.plain import SOURCE
from tests.platforms.shopify.shop import Shop, by_type, opened

pytestmark = pytest.mark.sandbox
SOLD = {"lines": [{"sku": "MUG", "title": "Mug", "quantity": 1, "price": "9.99"}], "currency": "CAD"}
ROUNDED = """query rounded($id: ID!) { order(id: $id) {
  totalReceivedSet { shopMoney { amount } } totalOutstandingSet { shopMoney { amount } }
  totalCashRoundingAdjustment { paymentSet { shopMoney { amount } } refundSet { shopMoney { amount } } }
  transactions { amountSet { shopMoney { amount } } amountRoundingSet { shopMoney { amount } } }
} }"""


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


def _told(shop: Shop, id_: str) -> list[ChangeEvent]:
    body = dumps(rest.order(shop.sandbox.shop.orders[int(id_)]))
    return SOURCE.to_events(Hook(body=body, headers={"x-shopify-topic": "orders/updated"}))


def _asked(shop: Shop, id_: str) -> dict[str, Any]:
    answer = shop.sandbox.engine.run(understood(ROUNDED, None), {"id": f"gid://shopify/Order/{id_}"}, None)
    found: dict[str, Any] = json.loads(dumps(answer))["data"]["order"]
    return found


async def test_cash_that_a_till_rounds_pays_and_is_given_back_to_the_cent(shop: Shop) -> None:
    """The figures are those of Shopify's help page: 9.99 is paid with 10.00, and of 5.02 5.00 are given back."""
    made = shop.act("create_order", reference="SO-1", **SOLD)
    shop.act("pay_order", id=made["id"], gateway="cash", rounding="0.01")
    shop.act("refund_order", id=made["id"], amount="5.02")
    shop.sandbox.shop.orders[int(made["id"])].refunds[0].transactions[0].rounding = Decimal("-0.02")
    shown = _asked(shop, made["id"])
    assert shown["totalCashRoundingAdjustment"] == {
        "paymentSet": {"shopMoney": {"amount": "0.01"}}, "refundSet": {"shopMoney": {"amount": "-0.02"}},
    }  # fmt: skip
    events = await shop.events(made["id"])
    (paid,), (back,) = by_type(events, "transaction"), by_type(events, "refund")
    assert isinstance(paid.facts, Payment)
    assert isinstance(back.facts, Credit)
    for event in (events[0], _told(shop, made["id"])[0]):
        assert isinstance(event.facts, Order)
        assert event.facts.payable_amount == paid.facts.amount == Decimal("9.99")
        assert event.facts.financial == "partially_refunded"
    assert back.facts.amount == Decimal("5.02")


async def test_an_order_whose_cash_was_rounded_down_is_paid(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **SOLD)
    shop.act("pay_order", id=made["id"], gateway="cash", rounding="-0.04")
    order, paid = await shop.events(made["id"])
    assert isinstance(order.facts, Order)
    assert isinstance(paid.facts, Payment)
    assert (order.facts.financial, paid.facts.amount) == ("paid", order.facts.payable_amount)


async def test_money_that_is_authorised_is_not_paid_until_it_is_captured(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **SOLD)
    held = shop.act("authorize_order", id=made["id"])
    order, payment = await shop.events(made["id"])
    assert isinstance(order.facts, Order)
    assert isinstance(payment.facts, Payment)
    assert (order.facts.stage, order.facts.status, order.facts.financial) == ("authorized", "open", "none")
    assert (payment.facts.status, payment.facts.amount) == ("authorised", Decimal("9.99"))
    record = shop.sandbox.shop.orders[int(made["id"])]
    parent = next(one for one in record.transactions if str(one.id) == held["id"])
    shop.sandbox.shop.capture(record, parent, Decimal("9.99"))
    order, *payments = await shop.events(made["id"])
    assert isinstance(order.facts, Order)
    assert order.facts.financial == "paid"
    assert [(one.facts.status, one.facts.amount) for one in payments if isinstance(one.facts, Payment)] == [
        ("authorised", Decimal("9.99")), ("succeeded", Decimal("9.99")),
    ]  # fmt: skip
