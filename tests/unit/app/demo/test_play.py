"""Histories as they are: scans of carriers come in the wrong order."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from app.core.errors import ConfigError
from app.demo.history import Row
from app.demo.play import Player
from app.sandbox.__main__ import find

_ITEM = {"item": 1, "product_id": "MUG", "price": "10.00", "freight": "2.00"}


def _row(type_: str, day: int, **data: Any) -> Row:
    return Row(order="A-1", type=type_, at=f"2026-03-{day:02}T12:00:00", data=data)


async def test_what_was_delivered_before_it_was_shipped_is_delivered_in_the_end() -> None:
    shop = find("shopify")("demo.myshopify.com", quota_scale=50.0)
    url = await shop.start()
    rows = [
        _row("order.created", 1, currency="EUR", items=[_ITEM], total="12.00"), _row("order.delivered", 2),
        _row("order.shipped", 3),
    ]  # fmt: skip
    try:
        async with aiohttp.ClientSession() as session:
            await Player(session, {"shop": url}).play(rows)
            (parcel,) = (row for row in shop.books() if row["kind"] == "shipment")
    finally:
        await shop.stop()
    assert parcel["status"] == "delivered"


async def test_what_the_shop_refuses_is_told_with_its_row() -> None:
    shop = find("shopify")("demo.myshopify.com", quota_scale=50.0)
    url = await shop.start()
    rows = [_row("order.created", 1, items=[_ITEM], total="12.00"), _row("order.refunded", 2, amount="12.00")]
    try:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(
                ConfigError, match=r"shop refuses order.refunded of A-1 at 2026-03-02T12:00:00: .*; corr"
            ):
                await Player(session, {"shop": url}).play(rows)
    finally:
        await shop.stop()


async def test_rows_of_unknown_types_are_passed_over_for_deals_too() -> None:
    player = Player(aiohttp.ClientSession(), {})
    await player.play([_row("deal.lost", 1)])
    await player._session.close()
    assert player.played.counts == {"deal.lost": 1}
