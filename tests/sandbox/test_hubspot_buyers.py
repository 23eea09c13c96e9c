"""A buyer who gave no e-mail is a contact all the same, found again by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.facts import Party
from tests.platforms.hubspot.desk import ADA, INVOICE, KINDS, ORDER, Desk, command_of, desks
from tests.platforms.hubspot.many import order_of, send_many

pytestmark = pytest.mark.sandbox
TILL = Party(name="Till Customer", phone="+49 1")
BORIS = Party(name="Boris")
NOBODY = Party(phone="+49 2")


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


def _contacts(desk: Desk) -> list[str]:
    return [str(row["number"]) for row in desk.books("customer")]


@KINDS
async def test_an_order_finds_or_makes_its_buyer_by_name(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    written = [
        await desk.write(command_of("upsert_order", replace(ORDER, customer=party), mark))
        for mark, party in enumerate((TILL, replace(TILL, name=" TILL CUSTOMER "), ADA, NOBODY, None))
    ]
    shown = [one.facts.customer and (one.facts.customer.name, one.facts.customer.email) for one in written]
    till, ada = ("Till Customer", ""), ("Ada Lovelace", "ada@example.com")
    assert shown == [till, till, ada, None, None]
    assert _contacts(desk) == ["Till Customer", "Ada Lovelace"]
    billed = await desk.write(command_of("upsert_invoice", replace(INVOICE, customer=TILL), 5))
    assert billed.facts.customer.id == written[0].facts.customer.id


async def test_an_order_that_was_left_without_its_buyer_gets_him(open_desk: Any) -> None:
    desk = await open_desk()
    command = command_of("upsert_order", replace(ORDER, customer=TILL), presence="unknown")
    bare = await desk.write(command_of("upsert_order", replace(ORDER, customer=None)))
    assert not (await desk.converse(desk.sink.probe(command))).complete
    again = await desk.write(command)
    assert (again.id, again.facts.customer.name) == (bare.id, "Till Customer")
    assert (await desk.converse(desk.sink.probe(command))).complete


@KINDS
async def test_many_orders_find_or_make_their_buyers_by_name_in_a_few_calls(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    parties = (TILL, BORIS, ADA, TILL, NOBODY, None)
    orders = [order_of(number, customer=party) for number, party in enumerate(parties)]
    written = await send_many(desk, [replace(one, presence="absent") for one in orders])
    assert [one.facts.customer and one.facts.customer.name for one in written] == [
        "Till Customer",
        "Boris",
        "Ada Lovelace",
        "Till Customer",
        None,
        None,
    ]
    assert sorted(_contacts(desk)) == ["Ada Lovelace", "Boris", "Till Customer"]
    assert len([call for call in desk.calls if call == f"POST /crm/v3/objects/{kind}"]) == 0
    more = [order_of(number, customer=TILL) for number in (7, 8)]
    again = await send_many(desk, [replace(one, presence="absent") for one in more])
    assert {one.facts.customer.id for one in again} == {written[0].facts.customer.id}
    assert len(_contacts(desk)) == 3
