"""A draft order of Shopify that a CRM shows: one deal in it, before and after the draft became an order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app import platforms
from app.render.studio import Studio, studio
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.facts import Order
from schemas.flow import Facts, Flow, Target
from schemas.refs import ObjectRef, order_key
from schemas.state import Handover, OrderState
from streams.order.step import Seen, step
from streams.order.world import World
from streams.sources.platforms.shopify import ShopifySource
from tests.platforms.shopify.plain import DOMAIN
from tests.platforms.shopify.shop import BOUGHT, Shop, opened

pytestmark = pytest.mark.sandbox
OPTIONS = {"drafts": "yes"}
SHOP = Connection(name="shop", tenant="local", platform="shopify", account=DOMAIN, options=OPTIONS)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


class Shown:
    """The shop's orders, kept in a CRM: reads in, results fed back, hand-overs followed."""

    def __init__(self, shop: Shop, bench: Studio) -> None:
        target = Target(connection=bench.connection.name, order=True)
        flow = Flow(name="main", tenant="local", key_giver="shop", mode="live", targets=(target,))
        facts = Facts(connections={"shop": SHOP, bench.connection.name: bench.connection}, flows=(flow,))
        words = {slug: platforms.load(slug).platform for slug in ("shopify", bench.connection.platform)}
        self._world, self._states = World(facts=facts, platforms=words), dict[str, OrderState]()
        self._shop, self._bench, self._read = shop, bench, 0
        self.written: list[tuple[str, str]] = []
        """Whether each write made or changed something, and which deal."""

    async def read(self, id_: str) -> None:
        """Read an order or a draft as a connector does, and do all that follows from it."""
        self._read += 1
        hint = Hint(tenant="local", object=ObjectRef("shop", DOMAIN, "order", id_))
        events: list[ChangeEvent] = await self._shop.talk(ShopifySource(SHOP).read(hint))
        seen = msgspec.structs.replace
        looks = [seen(one, version=seen(one.version, epoch=1, seq=self._read)) for one in events]
        await self._fold([(order_key("local", one.object), Seen(one)) for one in looks if isinstance(one.facts, Order)])

    async def _fold(self, inputs: list[tuple[str, Any]]) -> None:
        for key, one in inputs:
            stepped = step(self._states.get(key, OrderState(key=key, tenant="local")), [one], self._world, NOW)
            self._states[key] = stepped.state
            inputs += [(each.order, each) for each in stepped.forwards if isinstance(each, Handover)]
            for command in stepped.commands:
                result = await self._bench.deliver(command)
                assert result.outcome == "confirmed", result.reason
                self.written.append((command.kind, command.bound_id or (result.bound.id if result.bound else "")))
                inputs += [(command.order, result), *((command.order, Seen(event)) for event in result.events)]


@pytest.mark.parametrize("order_first", [False, True])
async def test_a_draft_and_the_order_that_it_becomes_are_one_deal(shop: Shop, *, order_first: bool) -> None:
    async with studio("hubspot") as bench:
        shown = Shown(shop, bench)
        made = shop.act("create_draft", **BOUGHT)
        await shown.read(f"draft-{made['id']}")
        ((kind, deal),) = shown.written
        assert kind == "create"
        order = shop.act("complete_draft", id=made["id"])
        if order_first:
            await shown.read(order["id"])
        await shown.read(f"draft-{made['id']}")
        await shown.read(order["id"])
        assert len(shown.written) > 1  # its number, and its stage
        assert set(shown.written[1:]) == {("set", deal)}
