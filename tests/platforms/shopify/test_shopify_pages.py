"""Orders with more of everything than one page shows: a read tells all that a webhook of the same state tells."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.core.errors import DecodeError
from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import rest
from app.sandbox.platforms.shopify.engine import understood
from schemas.commands import Command
from schemas.events import ChangeEvent
from schemas.facts import Credit, Order, Payment, Shipment
from schemas.platforms.shopify import pages
from tests.platforms.shopify.plain import DOMAIN, SINK, SOURCE, hook_of
from tests.platforms.shopify.shop import Shop, by_type, opened

pytestmark = pytest.mark.sandbox
LINES = [{"sku": f"S{place}", "title": "x", "quantity": 20, "price": "10.00"} for place in range(60)]


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


@pytest.fixture
def made(shop: Shop) -> str:
    id_: str = shop.act("create_order", reference="SO-1", lines=LINES, currency="EUR", shipping="4.90")["id"]
    return id_


def told(shop: Shop, made: str) -> dict[str, ChangeEvent]:
    """Return what a webhook of the order as it is now says of it and its parts."""
    body = rest.order(shop.sandbox.shop.orders[int(made)])
    return {event.object.key: event for event in SOURCE.to_events(hook_of("orders/updated", dumps(body)))}


async def agreed(shop: Shop, made: str, kind: str) -> list[ChangeEvent]:
    """Hold a read to the webhook; return its events of *kind*."""
    read, webhook = await shop.events(made), told(shop, made)
    for event in read:
        if event.object.type != "transaction":
            assert event.facts == webhook[event.object.key].facts
            assert event.mirror_of == webhook[event.object.key].mirror_of
    assert webhook.keys() <= {event.object.key for event in read}
    return by_type(read, kind)


async def test_a_credit_of_more_lines_than_a_page_is_read_to_the_cent(shop: Shop, made: str) -> None:
    shop.act("refund_order", id=made, lines=[{"sku": f"S{place}", "quantity": 1} for place in range(55)])
    (credit,) = await agreed(shop, made, "refund")
    assert isinstance(credit.facts, Credit)
    assert (credit.facts.amount, len(credit.facts.lines)) == (Decimal("550.00"), 55)


async def test_all_refunds_and_payments_of_an_order_are_read(shop: Shop, made: str) -> None:
    for _ in range(26):
        shop.act("pay_order", id=made, amount="100.00", gateway="card")
    for place in range(12):
        shop.act("refund_order", id=made, amount="1.00", lines=[{"sku": "S0", "quantity": 1}] if place else [])
    assert len(await agreed(shop, made, "refund")) == 12
    payments = by_type(await shop.events(made), "transaction")
    assert len(payments) == 26
    (order,) = by_type(await shop.events(made), "order")
    assert isinstance(order.facts, Order)
    assert order.facts.lines[0].quantity == 20  # credits do not lower it


async def test_money_back_on_many_payments_is_read_whole(shop: Shop, made: str) -> None:
    for _ in range(8):
        shop.act("pay_order", id=made, amount="10.00", gateway="card")
    shop.act("refund_order", id=made, amount="80.00")
    (credit,) = await agreed(shop, made, "refund")
    assert isinstance(credit.facts, Credit)
    assert (credit.facts.amount, len(credit.facts.allocations)) == (80, 8)


async def test_all_parcels_their_lines_and_numbers_are_read(shop: Shop, made: str) -> None:
    shop.act("fulfil_order", id=made, lines=[{"sku": f"S{place}", "quantity": 1} for place in range(25)])
    order = shop.sandbox.shop.orders[int(made)]
    shop.sandbox.shop.track(order, order.parcels[0], "UPS", [f"1Z{place}" for place in range(7)], [])
    for place in range(11):
        shop.act("fulfil_order", id=made, tracking=f"2Z{place}", lines=[{"sku": "S0", "quantity": 1}])
    parcels = await agreed(shop, made, "fulfillment")
    first = parcels[0].facts
    assert isinstance(first, Shipment)
    assert (len(parcels), len(first.lines), len(first.tracking_numbers)) == (12, 25, 7)


async def test_a_claim_behind_many_others_still_marks_our_payment(shop: Shop, made: str) -> None:
    for place in range(27):
        write = f"{place:02}" + "b" * 10
        wish = Command(
            id=write * 2, kind="append", tenant="acme", connection="shop", account=DOMAIN, capability="record_payment",
            order="a" * 32, entity="order:1", write="w", canonical="x", mark=f"o2c1:{'a' * 32}:{write}",
            facts=Payment(amount=Decimal(10), currency="EUR", date=date(2026, 3, 1)), links={"order": made},
        )  # fmt: skip
        written = await shop.talk(SINK.write(wish))
        assert written.mark == wish.mark
    payments = await agreed(shop, made, "transaction")
    assert len({event.mirror_of for event in payments}) == 27
    assert None not in {event.mirror_of for event in payments}


async def test_a_sweep_reads_on_as_well(shop: Shop, made: str) -> None:
    shop.act("refund_order", id=made, lines=[{"sku": f"S{place}", "quantity": 1} for place in range(25)])
    page = await shop.talk(SOURCE.sweep("orders", "", datetime.now(UTC)))
    (credit,) = by_type(list(page.events), "refund")
    assert isinstance(credit.facts, Credit)
    assert credit.facts.amount == 250


def test_more_than_can_be_listed_is_refused_aloud() -> None:
    nodes = [{"id": str(place)} for place in range(25)]
    talk = pages.whole({"id": "1", "transactions": nodes}, _asked)
    assert next(talk)[0] == pages.IDS
    ids = [{"id": str(place)} for place in range(pages.MOST)]
    shown = {"transactions": ids, "refunds": [], "fulfillments": []}
    assert talk.send({"order": shown})[0] == pages.UNCUT
    with pytest.raises(DecodeError):
        talk.send({"order": shown})


def uncut(name: str, more: int, counted: int | None) -> Any:
    """Return what is asked once an order shows so many *more* parts than may be asked for, and counts that many."""
    ids = [{"id": str(place)} for place in range(pages.MOST + more)]
    talk = pages.whole({"id": "1", name: ids[:25]}, _asked)
    next(talk)
    talk.send({"order": {name: ids[: pages.MOST]}})
    count = None if counted is None else {"count": pages.MOST + counted}
    return talk.send({"order": {name: ids, f"{name}Count": count}})


@pytest.mark.parametrize(("name", "more", "counted"), [("refunds", pages.MOST, None), ("transactions", 1, 2)])
def test_a_list_that_may_be_cut_is_refused(name: str, more: int, counted: int | None) -> None:
    with pytest.raises(DecodeError, match=f"no more than {pages.MOST + more} {name} are shown"):
        uncut(name, more, counted)


@pytest.mark.parametrize(
    ("name", "more", "counted"),
    [("refunds", 1, None), ("transactions", 1, 1), ("fulfillments", 9, 9), ("fulfillments", 9, None)],
)
def test_a_list_that_is_whole_is_read_on(name: str, more: int, counted: int | None) -> None:
    query, variables, _ = uncut(name, more, counted)
    assert "byId" in query
    assert variables["ids"][0] == "25"


async def test_an_order_of_more_parts_than_a_list_may_be_asked_for_is_read_whole(
    shop: Shop, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(27):
        shop.act("pay_order", id=made, amount="10.00", gateway="card")
        shop.act("fulfil_order", id=made, tracking=f"2Z{place}", lines=[{"sku": f"S{place}", "quantity": 1}])
        shop.act("refund_order", id=made, lines=[{"sku": f"S{place}", "quantity": 1}])
    monkeypatch.setattr(pages, "MOST", 26)
    for name in ("IDS", "UNCUT"):
        monkeypatch.setattr(pages, name, getattr(pages, name).replace("250", "26"))
    for kind in ("transaction", "fulfillment", "refund"):
        assert len(await agreed(shop, made, kind)) == 27


def test_an_order_that_is_deleted_meanwhile_is_what_was_seen_of_it() -> None:
    more = {"pageInfo": {"hasNextPage": True, "endCursor": "c"}}
    talk = pages.whole({"id": "1", "lineItems": {"nodes": [{"id": "2"}], **more}, "transactions": [{}] * 25}, _asked)
    next(talk)
    talk.send({"order": None})
    with pytest.raises(StopIteration) as done:
        talk.send({"order": None})
    assert done.value.value["lineItems"] == {"nodes": [{"id": "2"}]}


def _asked(query: str, variables: Any, cost: int) -> Any:
    return (yield query, variables, cost)


@pytest.mark.parametrize("name", [name for name, text in vars(pages).items() if str(text).startswith("query ")])
def test_no_question_costs_more_than_is_booked_for_it(name: str) -> None:
    asked = understood(getattr(pages, name), None)
    assert asked.errors == []
    assert 0 < asked.cost <= pages.COST
