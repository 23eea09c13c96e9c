"""A portal with one currency names it nowhere but in its settings: its deals are in that one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.facts import Order
from tests.platforms.hubspot.desk import ORDER, command_of, desks

pytestmark = pytest.mark.sandbox
DETAILS = "GET /account-info/v3/details"


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


async def test_a_read_asks_for_the_currency_that_a_deal_does_not_name(open_desk: Any) -> None:
    desk = await open_desk()
    ids = [desk.sandbox.verbs["create_deal"]({"name": name, "amount": "5.00"})["id"] for name in ("A", "B")]
    (event,) = await desk.read("deals", ids[0])
    assert event.facts.currency == "EUR"
    events = await desk.converse(desk.source.read_many([desk.hint("deals", id_) for id_ in ids]))
    assert [event.facts.currency for event in events] == ["EUR", "EUR"]
    assert desk.calls.count(DETAILS) == 2


async def test_what_is_known_is_not_asked_for(open_desk: Any) -> None:
    named = await open_desk()
    deal = named.sandbox.verbs["create_deal"]({"name": "A", "amount": "5.00", "currency": "USD"})
    (event,) = await named.read("deals", deal["id"])
    configured = await open_desk(currency="GBP")
    deal = configured.sandbox.verbs["create_deal"]({"name": "A", "amount": "5.00"})
    (other,) = await configured.read("deals", deal["id"])
    assert (event.facts.currency, other.facts.currency) == ("USD", "GBP")
    assert DETAILS not in named.calls + configured.calls


async def test_a_write_shows_the_currency_that_a_read_shows(open_desk: Any) -> None:
    desk = await open_desk()
    deal = desk.sandbox.verbs["create_deal"]({"name": "A", "amount": "5.00"})
    change = command_of("upsert_order", ORDER, kind="set", bound_id=deal["id"], changes=("note",))
    written = await desk.write(change)
    assert isinstance(written.facts, Order)
    assert written.facts.currency == "EUR"


async def test_many_writes_show_it_too(open_desk: Any) -> None:
    desk = await open_desk()
    orders = [replace(ORDER, currency="", number=str(n)) for n in range(2)]
    commands = [
        command_of("upsert_order", order, number, id=str(number) * 32, presence="absent")
        for number, order in enumerate(orders)
    ]
    made = await desk.converse(desk.sink.write_many(commands))
    assert [one.facts.currency for one in made] == ["EUR", "EUR"]
