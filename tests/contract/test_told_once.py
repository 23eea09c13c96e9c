"""What a write shows and what a read shows of the same object are one look: else every write would be told twice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from app import platforms
from app.connectors.known import Known
from app.connectors.sending import conversed
from app.render.order import default_target
from app.render.studio import Studio, studio
from schemas.commands import Result
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Hint, Version
from schemas.facts import Line, Order, Party, Payment
from schemas.flow import Facts, Flow
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Input, Seen, step
from streams.order.world import World

pytestmark = pytest.mark.sandbox
SLUGS = [slug for slug in platforms.slugs() if platforms.load(slug).platform.capabilities]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = ObjectRef("erp", "1", "order", "7")
ERP = Connection(name="erp", tenant="local", platform="external", account="1")
FACTS = Order(
    number="SO-7", currency="EUR", payable_amount=Decimal("24.00"), tax_amount=Decimal("4.00"), placed_at=NOW,
    customer=Party(name="Ada Example", email="ada@example.com"),
    lines=(
        Line(id="1", sku="MUG", name="Mug", quantity=Decimal(2), unit_price=Decimal("10.00"),
             net_amount=Decimal("20.00"), tax_amount=Decimal("4.00"), tax_rate=Decimal(20)),
    ),
)  # fmt: skip
PAID = Payment(amount=Decimal("24.00"), currency="EUR", paid_at=NOW, reference="ch_1")


def _world(connection: Connection) -> World:
    platform = platforms.load(connection.platform).platform
    flow = Flow(
        name="main", tenant="local", key_giver="erp", mode="live", targets=(default_target(platform, connection.name),)
    )
    return World(
        facts=Facts(connections={"erp": ERP, connection.name: connection}, flows=(flow,)),
        platforms={connection.platform: platform, "external": platforms.load("external").platform},
    )


async def _told_again(bench: Studio, result: Result) -> list[str]:
    """Return the objects of *result* that a read, as a webhook would cause, shows otherwise than the write did."""
    known, source = Known(), platforms.load(bench.connection.platform).source(bench.connection)
    found = []
    for written in result.events:
        known.note(written)
        hint = Hint(tenant="local", object=written.object)
        shown = [one for one in await conversed(source.read(hint), bench.sending) if one.object == written.object]
        assert shown, f"{written.object.type} is not read"
        read = msgspec.structs.replace(shown[0], version=Version(native=shown[0].version.native, read=True))
        if known.is_new(read):
            parts = ("facts", "mirror_of", "anchors", "version")
            differ = [f"{name}: {getattr(written, name)} / {getattr(read, name)}" for name in parts]
            found.append(f"{result.capability} {written.object.type}: " + "; ".join(differ))
    return found


@pytest.mark.parametrize("slug", SLUGS)
async def test_the_echo_of_a_write_is_no_news(slug: str) -> None:
    order = ChangeEvent(tenant="local", object=ORDER, facts=FACTS, version=Version(1), changed_at=NOW)
    paid = ChangeEvent(
        tenant="local", object=ObjectRef("erp", "1", "payment", "p"), facts=PAID, version=Version(1),
        anchors=(Anchor("order", ORDER),),
    )  # fmt: skip
    async with studio(slug) as bench:
        world = _world(bench.connection)
        state = OrderState(key=order_key("local", ORDER), tenant="local")
        inputs: list[Input] = [Seen(order), Seen(paid)]
        seen, news = set[str](), list[str]()
        while inputs:
            stepped = step(state, inputs, world, NOW)
            state, inputs = stepped.state, []
            for command in stepped.commands:
                result = await bench.deliver(command)
                assert result.outcome == "confirmed", result.reason
                news += await _told_again(bench, result)
                inputs += [result, *map(Seen, result.events)]
                seen |= {event.object.type for event in result.events}
        assert seen
        assert news == []
