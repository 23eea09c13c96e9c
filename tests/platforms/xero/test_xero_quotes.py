"""A quote stands for an order where the connection says so: it is swept and read, and nothing is written of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.events import ChangeEvent
from schemas.facts import Order
from schemas.platforms.xero import PLATFORM
from streams.sources.base import Page
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.company import CONNECTION, NOBODY, Company, opened

pytestmark = pytest.mark.sandbox
NOW = datetime(2026, 5, 2, tzinfo=UTC)
MUGS = {
    "email": "ada@example.com", "customer": "Ada Lovelace", "reference": "PO 7", "date": "2026-05-01",
    "lines": [{"title": "Mug", "price": "10", "quantity": 2, "tax_rate": 20}],
}  # fmt: skip


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        found.source = XeroSource(msgspec.structs.replace(CONNECTION, options={"quotes": "orders"}))
        yield found


def act(company: Company, verb: str, **asked: Any) -> str:
    done: dict[str, Any] = company.sandbox.verbs[verb](asked)  # type: ignore[assignment]
    return str(done["id"])


async def swept(company: Company, cursor: str = "") -> tuple[list[ChangeEvent], Page]:
    events: list[ChangeEvent] = []
    while True:
        page = await company.talk(company.source.sweep("quotes", cursor, NOW))
        events += page.events
        if not page.more:
            return events, page
        cursor = page.cursor


async def test_a_quote_is_an_order_read_and_swept_alike(company: Company) -> None:
    id_ = act(company, "type_quote", **MUGS)
    (event,), page = await swept(company)
    (read,) = await company.read("quote", id_)
    assert (event.object, event.facts, event.anchors, event.mirror_of) == (read.object, read.facts, read.anchors, None)
    assert [(anchor.kind, anchor.ref.id) for anchor in event.anchors] == [("number", "PO 7")]
    order = event.facts
    assert isinstance(order, Order)
    assert (order.number, order.status, order.stage, order.po_number) == ("QU-0001", "draft", "DRAFT", "PO 7")
    assert (order.net_amount, order.tax_amount, order.payable_amount, order.currency) == (20, 4, 24, "EUR")
    assert order.placed_at is not None
    assert order.placed_at.date() == date(2026, 5, 1)
    assert [(line.name, line.quantity, line.net_amount, line.tax_amount) for line in order.lines] == [("Mug", 2, 20, 4)]
    assert page.complete_up_to is not None
    (gone,) = await company.read("quote", NOBODY)
    assert gone.presence == "deleted"


@pytest.mark.parametrize(
    ("stage", "life", "word"),
    [
        ("DRAFT", "draft", "draft"), ("SENT", "draft", "draft"), ("ACCEPTED", "open", "open"),
        ("INVOICED", "open", "invoiced"), ("DECLINED", "cancelled", "cancelled"), ("DELETED", "cancelled", "cancelled"),
    ],
)  # fmt: skip
async def test_the_status_follows_from_the_quotes_word(company: Company, stage: str, life: str, word: str) -> None:
    id_ = act(company, "type_quote", **MUGS)
    _, page = await swept(company)
    act(company, "edit_quote", id=id_, status=stage)
    (event,), _ = await swept(company, page.cursor)
    assert isinstance(event.facts, Order)
    assert (event.facts.status, event.facts.headline, event.facts.stage) == (life, word, stage)


async def test_a_list_without_page_sizes_is_walked_whole(company: Company) -> None:
    ids = [act(company, "type_quote", **MUGS) for _ in range(230)]
    events, _ = await swept(company)
    assert {event.object.id for event in events} == set(ids)
    asked = [request for request in company.requests if request.path == "/Quotes"]
    assert len(asked) <= 6
    assert all(set(request.params) == {"page", "order"} for request in asked)


async def test_quotes_are_read_where_they_are_orders_alone_and_never_written() -> None:
    assert "quotes" not in XeroSource(CONNECTION).sweeps()
    assert "quotes" in XeroSource(msgspec.structs.replace(CONNECTION, options={"quotes": "orders"})).sweeps()
    assert [word for word in PLATFORM.capabilities if "order" in word] == []


def test_an_inclusive_quote_keeps_its_tax_apart() -> None:
    line = {
        "LineItemID": "l1",
        "Description": "Fish",
        "Quantity": 1,
        "UnitAmount": 12,
        "LineAmount": 12,
        "TaxAmount": 2,
    }
    quote = {
        "QuoteID": "q1",
        "Status": "SENT",
        "LineAmountTypes": "INCLUSIVE",
        "LineItems": [line],
        "CurrencyCode": "AUD",
    }
    (event,) = XeroSource(CONNECTION).parse("order", [{**quote, "Total": 12, "SubTotal": 10, "TotalTax": 2}])
    assert isinstance(event.facts, Order)
    assert (event.facts.lines[0].net_amount, event.facts.prices_include_tax) == (Decimal(10), True)
