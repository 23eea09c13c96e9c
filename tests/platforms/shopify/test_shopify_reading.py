"""Shopify's source in conversation with the sandbox: reads, sweeps and holds."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import rest
from schemas.connection import Connection
from schemas.events import Anchor, Hint
from schemas.facts import Order
from schemas.flow import Facts, Flow
from schemas.platforms.shopify import PLATFORM, pages
from schemas.refs import ObjectRef, mark_of
from sinks.platforms.shopify import ShopifySink
from streams.order.link import route
from streams.order.world import World
from streams.sources.base import Hook
from streams.sources.platforms.shopify import ShopifySource, reading
from tests.platforms.shopify.plain import DOMAIN, SOURCE
from tests.platforms.shopify.shop import BOUGHT, Shop, by_type, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


async def test_a_read_and_a_webhook_of_the_same_state_say_the_same(shop: Shop) -> None:
    said: list[tuple[str, bytes]] = []
    shop.sandbox.hooks.add("http://127.0.0.1:9/nobody", "secret")
    shop.sandbox.hooks.push = lambda body, *, topic, **_: said.append((topic, body))  # type: ignore[method-assign,misc]
    made = shop.act("create_order", reference="SO-1", note="ring twice", **BOUGHT)
    paid = shop.act("pay_order", id=made["id"], gateway="card", reference="pi_1", at="2026-03-01T12:00:00Z")
    shop.act("fulfil_order", id=made["id"], carrier="UPS", tracking="1Z", lines=[{"sku": "MUG", "quantity": 2}])
    shop.act("refund_order", id=made["id"], lines=[{"sku": "PEN", "quantity": 1}], amount="1.62", note="broken")
    shop.act("deliver_order", id=made["id"])
    read = await shop.events(made["id"])
    webhooks = {
        event.object.key: event
        for topic, body in said
        for event in SOURCE.to_events(Hook(body=body, headers={"x-shopify-topic": topic}))
    }
    assert {event.object.key for event in read} <= set(webhooks)
    for event in read:
        other = webhooks[event.object.key]
        assert other.facts == event.facts, event.object.key
        assert other.version.native == event.version.native
        alone = event.object.type == "transaction"  # its webhook shows no order, which may be a copy
        assert other.anchors == tuple(Anchor("object" if alone else one.kind, one.ref) for one in event.anchors)
    assert by_type(read, "transaction")[0].object.id == paid["id"]


async def test_a_sweep_walks_pages_and_brings_every_part(shop: Shop) -> None:
    made = [shop.act("create_order", reference=f"SO-{number}", **BOUGHT) for number in range(23)]
    shop.act("pay_order", id=made[0]["id"], gateway="card")
    cursor, seen, pages, now = "", [], 0, datetime.now(UTC)
    more = True
    while more:
        page = await shop.talk(SOURCE.sweep("orders", cursor, now))
        seen += page.events
        cursor, more, pages = page.cursor, page.more, pages + 1
        assert (page.complete_up_to is not None) is not more
    assert pages == 3
    assert {event.object.id for event in by_type(seen, "order")} == {one["id"] for one in made}
    assert len(by_type(seen, "transaction")) == 1
    again = await shop.talk(SOURCE.sweep("orders", cursor, now))
    assert len(by_type(list(again.events), "order")) == 10  # the overlap
    customers = await shop.talk(SOURCE.sweep("customers", "", now))
    assert [event.object.type for event in customers.events] == ["customer"]


@pytest.mark.parametrize("name", ["orders", "customers"])
async def test_a_first_sweep_of_a_large_shop_comes_to_its_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shop.sandbox.deepest = 250
    monkeypatch.setattr(reading, "DEEPEST", 200)
    begun, made = datetime(2026, 1, 1, tzinfo=UTC), []
    for number in range(700):  # two in each second
        shop.sandbox.shop.clock = lambda number=number: begun + timedelta(seconds=number // 2)
        line = {"sku": "MUG", "quantity": 1, "price": "1.00"}
        made.append(shop.act("create_order", lines=[line], email=f"{number}@example.com")["id"])
    cursor, more, seen, now = "", True, [], datetime.now(UTC)
    while more:
        page = await shop.talk(SOURCE.sweep(name, cursor, now))
        seen += [event.object.id for event in page.events]
        cursor, more = page.cursor, page.more
    if name == "orders":
        assert set(seen) == set(made)
    assert len(set(seen)) == 700
    assert len(seen) < 720
    assert page.complete_up_to is not None


@pytest.mark.parametrize("name", ["orders", "customers"])
@pytest.mark.parametrize("apart", [timedelta(0), timedelta(minutes=1)], ids=["one second", "one day"])
async def test_more_changes_at_a_time_than_a_walk_may_have_are_walked_by_id(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, apart: timedelta
) -> None:
    shop.sandbox.deepest, shop.sandbox.whole_days = 150, True
    monkeypatch.setattr(reading, "DEEPEST", 100)
    begun, now, made = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC), list[str]()
    for number in range(420):
        changed = begun if number < 20 else begun + timedelta(days=1) + number * apart
        shop.sandbox.shop.clock = lambda changed=changed: changed
        line = {"sku": "MUG", "quantity": 1, "price": "1.00"}
        made.append(shop.act("create_order", lines=[line], email=f"{number}@example.com")["id"])
    shop.sandbox.shop.clock = lambda: now
    cursor, more, seen, by_id = "", True, list[str](), False
    while more:
        page = await shop.talk(SOURCE.sweep(name, cursor, now))
        seen += [event.object.id for event in by_type(list(page.events), name.removesuffix("s"))]
        cursor, more = page.cursor, page.more
        if not by_id and (by_id := '"past"' in cursor):
            shop.act("edit_order", id=made[5], note="moved")
    assert by_id == (name == "customers" or not apart), "times that differ need no ids"
    assert len(set(seen)) == 420
    assert name != "orders" or set(seen) == set(made)
    assert len(seen) <= 420 + 3 * reading.DEEPEST + 1, "what the walks by time saw before, and who moved"
    assert page.complete_up_to is not None
    if name == "orders" and by_id:
        again = await shop.talk(SOURCE.sweep(name, cursor, now))
        orders = by_type(list(again.events), "order")
        assert [event.object.id for event in orders] == [made[5]], "what changed behind the walk"


async def test_one_order_that_cannot_be_told_does_not_end_a_sweep(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [shop.act("create_order", reference=f"SO-{number}", **BOUGHT)["id"] for number in range(2)]
    for _ in range(25):
        shop.act("pay_order", id=made[0], amount="1.00", gateway="card")
    monkeypatch.setattr(pages, "MOST", 25)
    page = await shop.talk(SOURCE.sweep("orders", "", datetime.now(UTC)))
    assert [event.object.id for event in by_type(list(page.events), "order")] == made[1:]
    assert [hint.object.id for hint in page.hints] == made[:1]
    assert page.complete_up_to is not None


async def test_an_order_that_moves_during_a_sweep_is_not_lost(shop: Shop) -> None:
    made = [shop.act("create_order", reference=f"SO-{number}", **BOUGHT) for number in range(12)]
    now = datetime.now(UTC)
    first = await shop.talk(SOURCE.sweep("orders", "", now))
    later = datetime.now(UTC).replace(year=2030)
    shop.sandbox.shop.clock = lambda: later
    shop.act("edit_order", id=by_type(list(first.events), "order")[-1].object.id, note="moved")
    second = await shop.talk(SOURCE.sweep("orders", first.cursor, now))
    both = by_type([*first.events, *second.events], "order")
    assert {event.object.id for event in both} == {one["id"] for one in made}
    assert second.complete_up_to is not None
    assert second.complete_up_to < now


async def test_parts_are_read_by_their_order_and_gone_ones_are_deleted(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    paid = shop.act("pay_order", id=made["id"], gateway="card")
    shop.act("hold_order", id=made["id"])
    for type_, id_ in (("transaction", paid["id"]), ("fulfillment_order", made["id"])):
        events = await shop.talk(SOURCE.read(Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, type_, id_))))
        assert by_type(events, "order")[0].object.id == made["id"]
    gone = await shop.talk(SOURCE.read(Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "refund", "9"))))
    assert [(one.presence, one.object.type) for one in gone] == [("deleted", "refund")]
    shop.act("delete_order", id=made["id"])
    assert (await shop.events(made["id"]))[0].presence == "deleted"


async def test_several_orders_are_read_at_once(shop: Shop) -> None:
    made = [shop.act("create_order", reference=f"SO-{number}", **BOUGHT) for number in range(2)]
    ids = [one["id"] for one in made] + ["1"]
    hints = [Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", id_)) for id_ in ids]
    events = await shop.talk(SOURCE.read_many(hints))
    assert [(event.object.id, event.presence) for event in by_type(events, "order")] == [
        (ids[0], "present"), (ids[1], "present"), ("1", "deleted")
    ]  # fmt: skip
    assert len(shop.asked) == 1


async def test_the_account_is_the_shops_domain(shop: Shop) -> None:
    identity = await shop.talk(SOURCE.identify())
    assert (identity.account, identity.home_currency, identity.missing) == (DOMAIN, "EUR", ())


async def test_the_taxes_of_the_latest_orders_are_told(shop: Shop) -> None:
    assert (await shop.talk(SOURCE.setup())).rates == ()
    line = {"sku": "A", "quantity": 1, "price": "10.00"}
    taxed = [{**line, "tax_rate": "19"}, {**line, "tax_rate": "5.5"}]
    shop.act("create_order", reference="SO-1", lines=taxed, shipping={"price": "4.00", "tax_rate": "19"})
    shop.act("create_order", reference="SO-2", lines=[line])
    assert [str(rate) for rate in (await shop.talk(SOURCE.setup())).rates] == ["19", "5.5", "0"]


async def test_a_due_date_is_read_where_the_connection_asks_for_it(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", due_at="2026-12-23T23:30:00Z", **BOUGHT)
    known = Connection(
        name="s", tenant="t", platform="shopify", account=DOMAIN, time_zone="Europe/Berlin",
        options={"payment_terms": "yes"},
    )  # fmt: skip
    source, sink = ShopifySource(known), ShopifySink(known)
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", made["id"]))
    swept = await shop.talk(source.sweep("orders", "", datetime.now(UTC)))
    for events in (await shop.talk(source.read(hint)), await shop.talk(source.read_many([hint])), swept.events):
        facts = events[0].facts
        assert isinstance(facts, Order)
        assert facts.due_date == date(2026, 12, 24)
    assert sink.written(await shop.talk(sink.order(f"gid://shopify/Order/{made['id']}"))).facts == facts
    delivery = Hook(
        body=dumps(rest.order(shop.sandbox.shop.orders[int(made["id"])])), headers={"x-shopify-topic": "orders/create"}
    )
    assert source.to_events(delivery) == []
    assert [one.object.id for one in source.hints(delivery)] == [made["id"]]
    plain = (await shop.talk(SOURCE.read(hint)))[0].facts
    assert isinstance(plain, Order)
    assert plain.due_date is None


@pytest.mark.parametrize(("due_at", "overdue"), [("2026-01-01T00:00:00Z", True), ("2100-01-01T00:00:00Z", False)])
async def test_what_is_overdue_is_read_where_the_connection_asks_for_payment_terms(
    shop: Shop, due_at: str, *, overdue: bool
) -> None:
    made = shop.act("create_order", reference="SO-1", due_at=due_at, **BOUGHT)
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", made["id"]))
    options = {"payment_terms": "yes"}
    careful = ShopifySource(Connection(name="s", tenant="t", platform="shopify", account=DOMAIN, options=options))
    for source, shown in ((careful, overdue), (SOURCE, False)):
        facts = (await shop.talk(source.read(hint)))[0].facts
        assert isinstance(facts, Order)
        assert facts.overdue is shown


async def test_holds_are_seen_where_the_connection_asks_for_them(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("hold_order", id=made["id"])
    careful = ShopifySource(
        Connection(name="s", tenant="t", platform="shopify", account=DOMAIN, options={"holds": "yes"})
    )
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", made["id"]))
    facts = (await shop.talk(careful.read(hint)))[0].facts
    assert isinstance(facts, Order)
    assert facts.status == "on_hold"
    plain = (await shop.talk(SOURCE.read(hint)))[0].facts
    assert isinstance(plain, Order)
    assert plain.status == "open"


@pytest.mark.parametrize(("mark", "kind"), [("", "order"), (mark_of("a" * 32, "b" * 32), "object")])
async def test_what_hangs_on_a_copy_of_another_systems_order_is_not_said_to_be_of_an_order_of_the_shop(
    shop: Shop, mark: str, kind: str
) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    record = shop.sandbox.shop.orders[int(made["id"])]
    record.source_identifier = mark
    for act in ("pay_order", "fulfil_order"):
        shop.act(act, id=made["id"])
    hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", made["id"]))
    told = SOURCE.to_events(Hook(body=dumps(rest.order(record)), headers={"x-shopify-topic": "orders/updated"}))
    parts = [event for event in (*(await shop.talk(SOURCE.read(hint))), *told) if event.object.type != "order"]
    assert {event.object.type for event in parts} == {"transaction", "fulfillment"}
    assert {(anchor.kind, anchor.ref.id) for event in parts for anchor in event.anchors} == {(kind, made["id"])}


async def test_a_payment_that_a_webhook_tells_by_itself_may_hang_on_a_copy(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    record = shop.sandbox.shop.orders[int(made["id"])]
    paid = shop.sandbox.shop.pay(record, Decimal(5), "shopify_payments")
    body = dumps(rest.transaction(record, paid))
    (told,) = SOURCE.to_events(Hook(body=body, headers={"x-shopify-topic": "order_transactions/create"}))
    assert told.anchors == (Anchor("object", ObjectRef("shop", DOMAIN, "order", made["id"])),)
    flow = Flow(name="main", tenant="acme", key_giver="shop")
    world = World(facts=Facts(connections={"shop": SOURCE.connection}, flows=(flow,)), platforms={"shopify": PLATFORM})
    assert route(told, world) == ""  # not at once the order with the copy's id: the copy's own order is asked for
