"""Many payments and notes in few calls against the sandbox; the vendor's files judge each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from app.core.errors import ConflictError, RejectedError
from schemas.commands import Command
from schemas.facts import Credit, Shipment
from sinks.base import Written
from tests.platforms.hubspot.desk import ORDER, PAYMENT, Desk, command_of, desks
from tests.platforms.hubspot.many import crashed, held, ids, many_orders, notes_on, send_many, typed_deals

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


async def _billed(desk: Desk, count: int) -> list[dict[str, str]]:
    """Return the links of so many invoices of 11.90 on deals of their own."""
    deals = typed_deals(desk, count, 1)
    lines = [{"title": "Mug", "quantity": 1, "price": "11.90"}]
    what = {"email": "a@example.com", "currency": "EUR", "lines": lines, "date": "2026-11-01"}
    act = desk.sandbox.verbs["type_invoice"]
    return [{"order": deal, "invoice": act({**what, "order_id": deal})["id"]} for deal in deals]


def _payments(links: Sequence[dict[str, str]]) -> list[Command]:
    return [
        command_of("record_payment", structs.replace(PAYMENT, reference=f"BANK {n}"), links=one, **ids(n))
        for n, one in enumerate(links)
    ]


async def test_a_hundred_payments_take_four_calls(open_desk: Any) -> None:
    desk = await open_desk()
    links = await _billed(desk, 102)
    await send_many(desk, _payments(links)[100:])
    written = await send_many(desk, _payments(links)[: desk.sink.batch["record_payment"]])
    assert [one.facts.reference for one in written] == [f"BANK {n}" for n in range(100)]
    assert Counter(desk.calls) == {
        "POST /crm/v3/objects/commerce_payments/batch/upsert": 1,
        "POST /crm/v4/associations/commerce_payments/invoices/batch/associate/default": 1,
        "POST /crm/v4/associations/commerce_payments/deals/batch/associate/default": 1,
        "POST /crm/v3/objects/commerce_payments/batch/read": 1,
    }
    events = await desk.converse(desk.source.read_many([desk.hint("commerce_payments", one.id) for one in written]))
    assert [event.facts for event in events] == [one.facts for one in written]
    assert [event.version.native for event in events] == [one.native for one in written]
    rows = desk.books("payment")
    assert {(row["invoice_id"], row["mark"]) for row in rows} == {
        (one["invoice"], ids(n)["mark"]) for n, one in enumerate(links)
    }


async def test_a_crash_among_payments_makes_none_twice_and_leaves_none_astray(open_desk: Any) -> None:
    for after in range(1, 40):
        desk = await open_desk()
        commands = _payments(await _billed(desk, 3))
        ended = await crashed(desk, desk.sink.write_many(commands), after)
        for command in commands:
            found = await desk.converse(desk.sink.probe(command))
            if found is not None:
                (event,) = await desk.read("commerce_payments", found.id)
                assert found.complete == (len(event.anchors) == 2)
        written = await send_many(desk, commands)
        assert [one.facts.allocations[0].id for one in written] == [one.links["invoice"] for one in commands]
        assert held(desk, "commerce_payments") == 3
        assert len(desk.calls) <= 9
        assert {row["status"] for row in desk.books("invoice")} == {"paid"}
        if ended:
            return
    pytest.fail("The talk never came to its end.")


async def test_a_payment_on_an_invoice_that_is_gone_fails_for_itself_alone(open_desk: Any) -> None:
    desk = await open_desk()
    links = await _billed(desk, 4)
    commands = _payments([*links[:2], {**links[2], "invoice": "404"}, links[3]])
    written = await send_many(desk, commands)
    assert [type(one) for one in written] == [Written, Written, ConflictError, Written]
    assert held(desk, "commerce_payments") == 4


@pytest.mark.parametrize(
    ("capability", "facts", "text"),
    [
        ("add_note", ORDER, "Paid"),
        ("issue_credit", Credit(number="CN-1", amount=Decimal(2), currency="EUR"), "Credit note CN-1: 2.00 EUR"),
        ("record_refund", Credit(reference="re_1", amount=Decimal(2), currency="EUR"), "Refund re_1: 2.00 EUR"),
        ("record_shipment", Shipment(carrier="UPS", tracking_numbers=("1Z1",)), "Shipped: UPS 1Z1"),
    ],
)
async def test_notes_on_many_deals_are_one_call(capability: str, facts: Any, text: str, open_desk: Any) -> None:
    desk = await open_desk()
    deals = typed_deals(desk, desk.sink.batch[capability] + 2, 0)
    commands = notes_on(capability, deals, facts)
    await send_many(desk, commands[-2:])
    written = await send_many(desk, commands[:-2])
    assert desk.calls == ["POST /crm/v3/objects/notes/batch/create"]
    again = await send_many(desk, commands[:3])
    assert [one.id for one in again] == [one.id for one in written[:3]]
    assert held(desk, "notes") == len(deals)
    assert {row["notes"] for row in desk.books("order")} == {text}
    note = next(iter(desk.sandbox.portal.records["notes"].values()))
    assert note.values["hs_timestamp"] == "2026-11-02T09:00:00.000Z"


async def test_notes_whose_time_nobody_knows_and_parcels_of_order_objects_go_alone(open_desk: Any) -> None:
    desk = await open_desk()
    deals = typed_deals(desk, 2, 0)
    written = await send_many(desk, notes_on("add_note", [*deals, "404"], ORDER, told_at=None))
    assert [type(one) for one in written] == [Written, Written, RejectedError]
    desk = await open_desk(order_object="orders")
    orders = [one.id for one in await send_many(desk, many_orders(2))]
    parcels = await send_many(desk, notes_on("record_shipment", orders, Shipment(tracking_numbers=("1Z1",))))
    assert [one.facts.tracking_numbers for one in parcels] == [("1Z1",), ("1Z1",)]


async def test_a_note_on_a_deal_that_is_gone_fails_for_itself_alone(open_desk: Any) -> None:
    desk = await open_desk()
    deals = typed_deals(desk, 2, 0)
    written = await send_many(desk, notes_on("add_note", [deals[0], "404", deals[1]], ORDER))
    assert [type(one) for one in written] == [Written, RejectedError, Written]
