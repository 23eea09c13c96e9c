"""What a parcel takes of an order: the lines it names, once, out of one location, and never another line instead."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import ConflictError, UnsupportedError
from schemas.commands import Command
from schemas.facts import Order, Shipment, ShipmentLine
from tests.platforms.shopify.plain import DOMAIN, SINK
from tests.platforms.shopify.shop import BOUGHT, Shop, opened

pytestmark = pytest.mark.sandbox
ORDER_KEY = "a" * 32


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


@pytest.fixture
def made(shop: Shop) -> str:
    """An order of three mugs and a pen."""
    id_: str = shop.act("create_order", reference="SO-1", **BOUGHT)["id"]
    return id_


def ids(shop: Shop, made: str) -> list[str]:
    return [str(line.id) for line in shop.sandbox.shop.orders[int(made)].lines]


async def ship(shop: Shop, made: str, lines: list[tuple[str, Any]], write: str = "b" * 12) -> Any:
    parcel = Shipment(
        tracking_numbers=(f"1Z{write[0]}",),
        lines=tuple(ShipmentLine(line=line, quantity=Decimal(quantity)) for line, quantity in lines),
    )
    wish = Command(
        id=write * 2, kind="append", tenant="acme", connection="shop", account=DOMAIN, capability="record_shipment",
        order=ORDER_KEY, entity="order:1", write="w", canonical="x", mark=f"o2c1:{ORDER_KEY}:{write}", facts=parcel,
        links={"order": made},
    )  # fmt: skip
    return await shop.talk(SINK.write(wish))


def shipped(shop: Shop, made: str) -> list[int]:
    return [line.fulfilled for line in shop.sandbox.shop.orders[int(made)].lines]


async def test_a_named_line_of_which_nothing_is_left_ships_no_other(shop: Shop, made: str) -> None:
    mug, _ = ids(shop, made)
    await ship(shop, made, [(mug, 3)])
    with pytest.raises(ConflictError):
        await ship(shop, made, [(mug, 1)], "c" * 12)
    assert shipped(shop, made) == [3, 0]


async def test_nothing_left_to_ship_is_a_conflict(shop: Shop, made: str) -> None:
    shop.act("fulfil_order", id=made)
    with pytest.raises(ConflictError):
        await ship(shop, made, [])


async def test_a_line_split_over_two_parts_ships_what_was_asked(shop: Shop, made: str) -> None:
    mug, _ = ids(shop, made)
    shop.act("split_order", id=made, lines=[{"sku": "MUG", "quantity": 2}])
    await ship(shop, made, [(mug, 2)])
    assert shipped(shop, made) == [2, 0]
    await ship(shop, made, [(mug, 1)], "c" * 12)
    assert shipped(shop, made) == [3, 0]


async def test_a_line_named_twice_counts_twice_and_a_part_of_a_piece_as_one(shop: Shop, made: str) -> None:
    mug, pen = ids(shop, made)
    named = [(mug, "1"), (mug, "1"), (pen, "0.5")]
    await ship(shop, made, named)
    assert shipped(shop, made) == [2, 1]


async def test_all_that_is_left_ships_by_another_systems_names_and_a_part_of_it_does_not(shop: Shop, made: str) -> None:
    shop.act("split_order", id=made, lines=[{"sku": "MUG", "quantity": 2}])
    with pytest.raises(UnsupportedError, match="another system"):
        await ship(shop, made, [("L1", 3)])
    assert shipped(shop, made) == [0, 0]
    await ship(shop, made, [("L1", 3), ("L2", 1)], "c" * 12)
    assert shipped(shop, made) == [3, 1]


async def test_what_is_held_is_left_where_it_is(shop: Shop, made: str) -> None:
    shop.act("split_order", id=made, lines=[{"sku": "PEN", "quantity": 1}])
    shop.act("hold_order", id=made)
    await ship(shop, made, [])
    assert shipped(shop, made) == [0, 1]


async def test_a_parcel_comes_from_the_one_location_that_has_all_of_it(shop: Shop, made: str) -> None:
    mug, pen = ids(shop, made)
    shop.act("split_order", id=made, location=2, lines=[{"sku": "MUG", "quantity": 2}, {"sku": "PEN", "quantity": 1}])
    await ship(shop, made, [(mug, 2), (pen, 1)])
    assert [share.left for share in shop.sandbox.shop.orders[int(made)].splits[0].shares] == [0, 0]


@pytest.mark.parametrize("named", [True, False])
async def test_a_parcel_out_of_two_locations_is_for_a_person(shop: Shop, made: str, *, named: bool) -> None:
    mug, pen = ids(shop, made)
    shop.act("split_order", id=made, location=2, lines=[{"sku": "PEN", "quantity": 1}])
    with pytest.raises(UnsupportedError, match="location"):
        await ship(shop, made, [(mug, 1), (pen, 1)] if named else [])
    assert shipped(shop, made) == [0, 0]
    assert [request.step for request in shop.asked if request.mutates] == []


async def test_every_part_of_an_order_is_held_and_released(shop: Shop, made: str) -> None:
    shop.act("split_order", id=made, lines=[{"sku": "PEN", "quantity": 1}])
    order = shop.sandbox.shop.orders[int(made)]
    for status, parts in (("on_hold", [order.id, order.splits[0].id]), ("open", [])):
        wish = Command(
            id="d" * 32, kind="set", tenant="acme", connection="shop", account=DOMAIN, capability="set_status",
            order=ORDER_KEY, entity="order:1", write="w", canonical="x", mark="", facts=Order(), bound_id=made,
            status=status,
        )  # fmt: skip
        await shop.talk(SINK.write(wish))
        assert [hold.part for hold in order.holds] == parts


async def test_more_parts_and_lines_than_one_page_are_all_seen(shop: Shop) -> None:
    lines = [{"sku": f"S{number}", "title": "x", "quantity": 1, "price": "1.00"} for number in range(60)]
    made = shop.act("create_order", reference="SO-2", lines=lines)["id"]
    for number in range(12):
        shop.act("split_order", id=made, lines=[{"sku": f"S{number}", "quantity": 1}])
    await ship(shop, made, [])
    assert shipped(shop, made) == [1] * 60
