"""Many bills, and parcels of many order objects, in few calls; the vendor's files judge each call."""

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
from schemas.facts import Line, Party, Shipment
from sinks.base import Written
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.hubspot.desk import INVOICE, KINDS, Desk, command_of, desks
from tests.platforms.hubspot.many import crashed, held, ids, many_orders, send_many, typed_deals, written_in_the_end

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


def _bill(number: int, order: str = "", **changes: Any) -> Command:
    buyer = Party(name=f"Buyer {number}", email=f"buyer{number}@example.com")
    bill = structs.replace(INVOICE, **{"customer": buyer, "note": f"PO {number}", **changes})
    return command_of("upsert_invoice", bill, links={"order": order} if order else {}, **ids(number))


def _told(written: Sequence[Any]) -> list[str]:
    return [one.facts.note if isinstance(one, Written) else type(one).__name__ for one in written]


async def test_fifty_bills_take_a_dozen_calls(open_desk: Any) -> None:
    desk = await open_desk()
    deals = typed_deals(desk, 50, 0)
    await send_many(desk, [_bill(98), _bill(99)])
    written = await send_many(desk, [_bill(number, deal) for number, deal in enumerate(deals)])
    assert len(written) == desk.sink.batch["upsert_invoice"]
    assert _told(written) == [f"PO {number}" for number in range(50)]
    assert Counter(desk.calls) == {
        "POST /crm/v3/objects/contacts/batch/read": 2,
        "POST /crm/v3/objects/contacts/batch/upsert": 1,
        "POST /crm/v3/objects/invoices/batch/create": 1,
        "POST /crm/v4/associations/invoices/contacts/batch/associate/default": 1,
        "POST /crm/v4/associations/invoices/deals/batch/associate/default": 1,
        "POST /crm/v3/objects/line_items/batch/upsert": 1,
        "POST /crm/v4/associations/invoices/line_items/batch/associate/default": 1,
        "POST /crm/v3/objects/invoices/batch/read": 2,
        "POST /crm/v3/objects/invoices/batch/update": 1,
        "POST /crm/v3/objects/line_items/batch/read": 1,
    }
    events = await desk.converse(desk.source.read_many([desk.hint("invoices", one.id) for one in written]))
    assert [event.facts for event in events] == [one.facts for one in written]
    assert [event.anchors for event in events] == [one.anchors for one in written]
    assert [(event.mirror_of, event.version.native) for event in events] == [(one.mark, one.native) for one in written]
    rows = [row for row in desk.books("invoice") if row.get("order_id")]
    assert {(row["total"], row["status"]) for row in rows} == {("11.90", "invoiced")}
    assert [row["order_id"] for row in rows] == deals


@KINDS
async def test_a_bill_among_many_is_what_it_is_alone(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    orders = [one.id for one in await send_many(desk, many_orders(3))]
    together = await send_many(desk, [_bill(0, orders[0]), _bill(1, orders[1])])
    shown = []
    for written in (*together, await desk.write(_bill(2, orders[2]))):
        lines = tuple(structs.replace(line, id="") for line in written.facts.lines)
        shown.append(structs.replace(written.facts, note="", customer=None, number="", lines=lines))
    assert shown[0] == shown[1] == shown[2]


async def test_a_draft_stays_one_and_a_wrong_total_is_not_opened(open_desk: Any) -> None:
    desk = await open_desk()
    desk.sink = HubspotSink(structs.replace(desk.connection, taxes={"19": "115989001"}))
    taxed = Line(
        name="Mug", unit_price=Decimal(10), net_amount=Decimal(10), tax_amount=Decimal(2), tax_rate=Decimal(19)
    )
    wrong = _bill(1, lines=(taxed,), payable_amount=Decimal("12.00"))
    written = await send_many(desk, [_bill(0, status="draft"), wrong, _bill(2)])
    assert _told(written) == ["PO 0", "RejectedError", "PO 2"]
    assert "stays a draft" in str(written[1])
    assert [row["status"] for row in desk.books("invoice")] == ["draft", "draft", "invoiced"]


@pytest.mark.parametrize("what", ["buyer", "order", "line"])
async def test_one_bad_bill_fails_for_itself_alone(what: str, open_desk: Any) -> None:
    desk = await open_desk()
    desk.sink = HubspotSink(structs.replace(desk.connection, taxes={"7": "999"}))
    line = Line(name="Mug", unit_price=Decimal(1), net_amount=Decimal(1), tax_rate=Decimal(7))
    bad = {
        "buyer": _bill(1, customer=Party(name="X", email="no address")),
        "order": _bill(1, "404"),
        "line": _bill(1, lines=(line,), payable_amount=Decimal(1)),
    }
    written = await send_many(desk, [_bill(0), bad[what], _bill(2)])
    error = "ConflictError" if what == "order" else "RejectedError"
    assert _told(written) == ["PO 0", error, "PO 2"]
    assert [row["status"] for row in desk.books("invoice")].count("invoiced") == 2


async def test_what_fails_in_passing_is_tried_again_and_billed_once(open_desk: Any) -> None:
    desk = await open_desk()
    done = await written_in_the_end(desk, [_bill(number) for number in range(20)], 0.1)
    rows = desk.books("invoice")
    assert len({one.id for one in done}) == len(rows) == 20
    assert {(row["total"], row["status"]) for row in rows} == {("11.90", "invoiced")}
    assert held(desk, "line_items") == 40


async def test_a_crash_among_bills_makes_none_twice_and_leaves_none_astray(open_desk: Any) -> None:
    for after in range(1, 40):
        desk = await open_desk()
        deals = typed_deals(desk, 3, 0)
        commands = [_bill(number, deal) for number, deal in enumerate(deals)]
        ended = await crashed(desk, desk.sink.write_many(commands), after)
        for command in commands:
            found = await desk.converse(desk.sink.probe(command))
            assert found is None or found.complete == (found.facts.status == "invoiced")
        written = await send_many(desk, commands)
        assert _told(written) == ["PO 0", "PO 1", "PO 2"]
        rows = desk.books("invoice")
        assert [(row["total"], row["status"], row["order_id"]) for row in rows] == [
            ("11.90", "invoiced", deal) for deal in deals
        ]
        assert (held(desk, "invoices"), held(desk, "line_items")) == (3, 6)
        if ended:
            return
    pytest.fail("The talk never came to its end.")


# -- parcels of order objects ------------------------------------------------------------------------------------------


def _parcels(orders: Sequence[str], first: int = 0) -> list[Command]:
    return [
        command_of(
            "record_shipment",
            Shipment(tracking_numbers=(f"1Z{number}",)),
            links={"order": order},
            status="fulfilled",
            **ids(number),
        )
        for number, order in enumerate(orders, first)
    ]


async def _ordered(desk: Desk, count: int) -> list[str]:
    return [one.id for one in await send_many(desk, many_orders(count))]


async def test_parcels_of_many_orders_are_one_call(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    orders = await _ordered(desk, 50)
    await send_many(desk, _parcels(orders[:2], 900))
    written = await send_many(desk, _parcels(orders))
    assert Counter(desk.calls) == {
        "POST /crm/v3/objects/orders/batch/read": 2,
        "POST /crm/v3/objects/orders/batch/update": 1,
    }
    assert [one.facts.tracking_numbers for one in written] == [(f"1Z{number}",) for number in range(50)]
    assert [one.mark for one in written] == [ids(number)["mark"] for number in range(50)]
    assert [one.id for one in written] == [*(f"{order}-1" for order in orders[:2]), *orders[2:]]
    shown = await desk.converse(desk.source.read_many([desk.hint("orders", id_) for id_ in orders]))
    parcels = {event.object.id: event for event in shown if event.object.type == "shipments"}
    assert all(parcels[one.id].facts == one.facts for one in written)
    again = await send_many(desk, _parcels(orders))
    assert [one.id for one in again] == [one.id for one in written]
    assert set(desk.calls) == {"POST /crm/v3/objects/orders/batch/read"}


async def test_two_parcels_of_one_order_keep_both_numbers(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    one, two = await _ordered(desk, 2)
    written = await send_many(desk, _parcels([one, one, two]))
    assert [part.facts.tracking_numbers for part in written] == [("1Z0",), ("1Z1",), ("1Z2",)]
    assert [row["tracking"] for row in desk.books("shipment")] == ["1Z0, 1Z1", "1Z2"]


async def test_a_parcel_of_an_order_that_is_gone_fails_for_itself_alone(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    one, two = await _ordered(desk, 2)
    parcels = [*_parcels([one, "404", two]), command_of("record_shipment", Shipment(), **ids(8))]
    written = await send_many(desk, parcels)
    assert [type(part) for part in written] == [Written, ConflictError, Written, RejectedError]


async def test_a_crash_among_parcels_writes_none_twice(open_desk: Any) -> None:
    for after in range(1, 20):
        desk = await open_desk(order_object="orders")
        orders = await _ordered(desk, 3)
        ended = await crashed(desk, desk.sink.write_many(_parcels(orders)), after)
        written = await send_many(desk, _parcels(orders))
        assert [one.id for one in written] == orders
        assert [row["tracking"] for row in desk.books("shipment")] == ["1Z0", "1Z1", "1Z2"]
        if ended:
            return
    pytest.fail("The talk never came to its end.")


async def test_parcels_without_a_number_say_how_far_their_orders_have_come(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    orders = await _ordered(desk, 2)
    written = await send_many(desk, [structs.replace(one, facts=Shipment()) for one in _parcels(orders)])
    assert [(one.type, one.id, one.facts) for one in written] == [("shipments", id_, None) for id_ in orders]
    states = desk.sandbox.portal.records["orders"]
    assert [states[id_].values["hs_fulfillment_status"] for id_ in orders] == ["Shipped", "Shipped"]
