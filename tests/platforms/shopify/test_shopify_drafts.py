"""Draft orders: seen where a connection asks for them, billed by nobody, one with the order that they become."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app import platforms
from app.core.errors import UnsupportedError
from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import rest
from schemas.connection import Connection
from schemas.events import MERGED_INTO, ChangeEvent, Hint
from schemas.facts import Order
from schemas.flow import Facts, Flow, Target
from schemas.platforms.shopify import PLATFORM
from schemas.refs import ObjectRef, order_key
from schemas.state import Handover, OrderState
from streams.order.step import Seen, Stepped, step
from streams.order.world import World
from streams.sources.base import Hook
from streams.sources.platforms.shopify import ShopifySource
from tests.platforms.shopify.plain import DOMAIN, SINK, SOURCE, command, hook_of
from tests.platforms.shopify.shop import BOUGHT, Shop, opened

pytestmark = pytest.mark.sandbox
READS = ShopifySource(
    Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN, options={"drafts": "yes"})
)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


def _ref(id_: str) -> ObjectRef:
    return ObjectRef("shop", DOMAIN, "order", id_)


async def _read(shop: Shop, id_: str, reason: str = "") -> list[ChangeEvent]:
    hint = Hint(tenant="acme", object=_ref(id_), reason=reason)
    found: list[ChangeEvent] = await shop.talk(READS.read(hint))
    return found


def _order(event: ChangeEvent) -> Order:
    assert isinstance(event.facts, Order)
    return event.facts


# ---------------------------------------------------------------------------------------------------- what is seen


async def test_a_draft_is_an_order_of_status_draft_whose_lines_add_up(shop: Shop) -> None:
    made = shop.act("create_draft", note="ring twice", po_number="PO-7", **BOUGHT)
    (event,) = await _read(shop, f"draft-{made['id']}")
    facts = _order(event)
    assert event.object == _ref(f"draft-{made['id']}")
    assert (facts.number, facts.status, facts.stage, facts.financial) == ("#D1", "draft", "open", "none")
    assert (facts.note, facts.po_number, facts.currency) == ("ring twice", "PO-7", "EUR")
    assert facts.customer is not None
    assert facts.customer.email == "ada@example.com"
    assert str(facts.payable_amount) == made["total"] == "78.48"
    assert sum(line.net_amount + line.tax_amount for line in facts.lines) == facts.payable_amount
    shop.act("send_draft", id=made["id"])
    assert _order((await _read(shop, f"draft-{made['id']}"))[0]).stage == "invoice_sent"


def test_a_discount_on_a_whole_draft_is_a_line() -> None:
    node = {
        "id": "gid://shopify/DraftOrder/7", "name": "#D7", "status": "OPEN", "currencyCode": "EUR",
        "totalPriceSet": {"shopMoney": {"amount": "8.00"}}, "updatedAt": "2026-03-01T12:00:00Z",
        "lineItems": {"nodes": [{"id": "gid://shopify/DraftOrderLineItem/8", "title": "Mug", "quantity": 1,
                                 "originalUnitPriceSet": {"shopMoney": {"amount": "10.00"}}}]},
    }  # fmt: skip
    (event,) = READS.parse("order", node)
    assert [(line.kind, line.net_amount) for line in _order(event).lines] == [("goods", 10), ("discount", -2)]


async def test_a_long_draft_is_read_to_its_end(shop: Shop) -> None:
    lines = [{"title": f"Mug {number}", "quantity": 1, "price": "1.00"} for number in range(120)]
    made = shop.act("create_draft", lines=lines, currency="EUR")
    (event,) = await _read(shop, f"draft-{made['id']}")
    assert len(_order(event).lines) == 120


async def test_a_deleted_draft_is_gone(shop: Shop) -> None:
    made = shop.act("create_draft", **BOUGHT)
    shop.act("delete_draft", id=made["id"])
    (event,) = await _read(shop, f"draft-{made['id']}")
    assert (event.presence, event.facts) == ("deleted", None)


async def test_a_sweep_walks_drafts_by_pages(shop: Shop) -> None:
    made = [shop.act("create_draft", **BOUGHT) for _ in range(30)]
    cursor, seen, more = "", list[ChangeEvent](), True
    while more:
        page = await shop.talk(READS.sweep("draftOrders", cursor, datetime.now(UTC)))
        seen, cursor, more = [*seen, *page.events], page.cursor, page.more
    assert {event.object.id for event in seen} == {f"draft-{one['id']}" for one in made}
    assert {_order(event).status for event in seen} == {"draft"}


# ------------------------------------------------------------------------------------------------------- deliveries


@pytest.mark.parametrize("topic", ["draft_orders/create", "draft_orders/update", "draft_orders/delete"])
def test_a_delivery_asks_for_a_read_where_drafts_are_wanted_and_is_quiet_elsewhere(topic: str) -> None:
    hook = hook_of(topic, {"id": 77, "status": "open"})
    assert [hint.object for hint in READS.hints(hook)] == [_ref("draft-77")]
    assert SOURCE.hints(hook) == SOURCE.to_events(hook) == READS.to_events(hook) == []


def test_drafts_are_asked_for_by_the_option_alone() -> None:
    assert "draftOrders" in READS.sweeps()
    assert "draftOrders" not in SOURCE.sweeps()
    assert set(READS.topics()) - set(SOURCE.topics()) == {
        "DRAFT_ORDERS_CREATE", "DRAFT_ORDERS_UPDATE", "DRAFT_ORDERS_DELETE",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("granted", "options", "lacking"),
    [
        ((), {}, []),
        (("write_draft_orders", "read_payment_terms"), {"drafts": "yes", "payment_terms": "yes"}, []),
        (("write_orders",), {"drafts": "yes"}, ["The app lacks the scope read_draft_orders, which the option drafts needs."]),
        (("read_draft_orders",), {"drafts": "yes", "payment_terms": "yes"},
         ["The app lacks the scope read_payment_terms, which the option payment_terms needs."]),
    ],
)  # fmt: skip
async def test_a_scope_that_an_option_needs_and_the_shop_did_not_grant_is_named(
    shop: Shop, granted: tuple[str, ...], options: dict[str, str], lacking: list[str]
) -> None:
    shop.sandbox.scopes = granted
    known = Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN, options=options)
    assert list((await shop.talk(ShopifySource(known).identify())).missing) == lacking
    assert len(shop.asked) == (2 if options else 1)


async def test_the_sandbox_tells_of_a_drafts_life(shop: Shop) -> None:
    said: list[tuple[str, Any]] = []
    shop.sandbox.hooks.add("http://127.0.0.1:9/nobody", "secret")
    shop.sandbox.hooks.push = lambda body, *, topic, **_: said.append((topic, json.loads(body)))  # type: ignore[method-assign,misc]
    made = shop.act("create_draft", **BOUGHT)
    order = shop.act("complete_draft", id=made["id"])
    shop.act("delete_draft", id=made["id"])
    told = [(topic, body.get("status"), body.get("order_id")) for topic, body in said if topic.startswith("draft")]
    assert told == [
        ("draft_orders/create", "open", None),
        ("draft_orders/update", "completed", int(order["id"])),
        ("draft_orders/delete", None, None),
    ]
    assert next(body for topic, body in said if topic == "orders/create")["source_name"] == "shopify_draft_order"


# ------------------------------------------------------------------------------------------------ the order it becomes


async def test_a_completed_draft_tells_of_its_order_and_says_which_it_is(shop: Shop) -> None:
    made = shop.act("create_draft", **BOUGHT)
    order = shop.act("complete_draft", id=made["id"], paid=True)
    draft, whole, *parts = await _read(shop, f"draft-{made['id']}")
    assert (_order(draft).status, _order(draft).merged_into) == ("draft", order["id"])
    assert (whole.object, _order(whole).merged_from) == (_ref(order["id"]), (f"draft-{made['id']}",))
    assert [one.object.type for one in parts] == ["transaction"]


async def test_a_deleted_draft_says_what_it_became_where_that_is_known(shop: Shop) -> None:
    made = shop.act("create_draft", **BOUGHT)
    order = shop.act("complete_draft", id=made["id"])
    shop.act("delete_draft", id=made["id"])
    (event,) = await _read(shop, f"draft-{made['id']}", f"{MERGED_INTO}{order['id']}")
    assert (event.presence, _order(event).merged_into) == ("deleted", order["id"])


async def test_an_order_that_was_a_draft_a_moment_ago_is_read_to_see_which(shop: Shop) -> None:
    made = shop.act("create_draft", **BOUGHT)
    order = shop.act("complete_draft", id=made["id"])
    body = rest.order(shop.sandbox.shop.orders[int(order["id"])])
    hook = Hook(body=dumps(body), headers={"x-shopify-topic": "orders/create"})
    assert (READS.to_events(hook), [hint.object for hint in READS.hints(hook)]) == ([], [_ref(order["id"])])
    for _ in range(3):
        shop.act("create_draft", **BOUGHT)
    (read,) = await _read(shop, order["id"])
    assert _order(read).merged_from == (f"draft-{made['id']}",)
    swept = (await shop.talk(READS.sweep("orders", "", datetime.now(UTC)))).events
    assert [_order(event).merged_from for event in swept] == [(f"draft-{made['id']}",)]
    assert SOURCE.to_events(hook)
    naive = {**body, "created_at": "2026-03-01T12:00:00", "updated_at": "2026-03-01T13:00:00Z"}
    assert READS.to_events(Hook(body=dumps(naive), headers={"x-shopify-topic": "orders/updated"}))
    later = {**body, "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:05:00Z"}
    assert READS.to_events(Hook(body=dumps(later), headers={"x-shopify-topic": "orders/updated"}))


class _Core:
    """Orders of the shop that a ledger bills, as the core plans them."""

    def __init__(self) -> None:
        books = Connection(name="books", tenant="acme", platform="xero", account="1")
        flow = Flow(
            name="main", tenant="acme", key_giver="shop", mode="live",
            targets=(Target(connection="books", document="invoice"),),
        )  # fmt: skip
        words = {"shopify": PLATFORM, "xero": platforms.load("xero").platform}
        facts = Facts(connections={"shop": READS.connection, "books": books}, flows=(flow,))
        self.hints: list[Hint] = []
        self._world, self.states = World(facts=facts, platforms=words), dict[str, OrderState]()

    def see(self, *events: ChangeEvent) -> list[str]:
        """Return what is asked for when *events* arrive, hand-overs followed."""
        asked: list[str] = []
        inputs: list[tuple[str, Any]] = [
            (order_key("acme", event.object), Seen(event)) for event in events if isinstance(event.facts, Order)
        ]
        for key, one in inputs:
            stepped: Stepped = step(self.states.get(key, OrderState(key=key, tenant="acme")), [one], self._world, NOW)
            self.states[key] = stepped.state
            asked += [command.capability for command in stepped.commands]
            inputs += [(each.order, each) for each in stepped.forwards if isinstance(each, Handover)]
            self.hints += stepped.hints
        return asked


def _numbered(events: list[ChangeEvent], number: int) -> list[ChangeEvent]:
    """Return reads as the connection's owner numbers them."""
    seen = msgspec.structs.replace
    return [seen(event, version=seen(event.version, epoch=1, seq=number)) for event in events]


@pytest.mark.parametrize("order_first", [False, True])
async def test_a_draft_and_its_order_are_one_order_that_is_billed_once(shop: Shop, *, order_first: bool) -> None:
    core = _Core()
    made = shop.act("create_draft", **BOUGHT)
    draft = f"draft-{made['id']}"
    assert core.see(*_numbered(await _read(shop, draft), 1)) == []  # nobody bills a draft
    order = shop.act("complete_draft", id=made["id"])
    if order_first:
        assert core.see(*_numbered(await _read(shop, order["id"]), 2)) == []  # it waits until its draft has told
        (hint,) = core.hints
        assert (hint.object, hint.reason) == (_ref(draft), f"{MERGED_INTO}{order['id']}")
    asked = core.see(*_numbered(await _read(shop, draft), 3))
    assert asked.count("upsert_invoice") == 1
    known = core.states[order_key("acme", _ref(order["id"]))]
    assert core.states[order_key("acme", _ref(draft))].alias_of == known.key
    assert (known.aliases, known.held) == ((order_key("acme", _ref(draft)),), False)


def test_a_draft_is_not_written_to() -> None:
    for more in ({"links": {"order": "draft-7"}}, {"bound_id": "draft-7"}):
        with pytest.raises(UnsupportedError, match="draft"):
            SINK.write(command("add_note", Order(), text="x", **more))
