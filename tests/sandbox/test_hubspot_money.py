"""Invoices, payments, credits and parcels of HubSpot written to the sandbox and read back; the vendor's files judge each call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from app.core.errors import RejectedError
from app.sandbox.platforms.hubspot.portal import Portal
from schemas.facts import Credit, Invoice, Line, Shipment, ShipmentLine
from schemas.refs import ObjectRef
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.hubspot.desk import INVOICE, KINDS, MARKS, ORDER, PAYMENT, Desk, command_of, desks, fields

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


async def _billed(desk: Desk) -> tuple[str, str]:
    order = await desk.write(command_of("upsert_order", ORDER))
    invoice = await desk.write(command_of("upsert_invoice", INVOICE, 1, links={"order": order.id}))
    return order.id, invoice.id


async def test_an_invoice_comes_out_to_the_cent_and_hangs_on_its_order(open_desk: Any) -> None:
    desk = await open_desk()
    order, invoice = await _billed(desk)
    await _billed(desk)
    (event,) = await desk.read("invoices", invoice)
    facts = event.facts
    assert isinstance(facts, Invoice)
    assert (facts.payable_amount, facts.status, facts.due_date) == (Decimal("11.90"), "invoiced", date(2026, 12, 2))
    assert [(anchor.kind, anchor.ref.type, anchor.ref.id) for anchor in event.anchors] == [("object", "deals", order)]
    (row,) = desk.books("invoice")
    assert (row["total"], row["status"], row["mark"], row["order_id"]) == ("11.90", "invoiced", MARKS[1], order)


async def test_a_coupon_of_one_tax_among_lines_of_another_is_billed_to_the_cent(open_desk: Any) -> None:
    desk = await open_desk()
    desk.sink = HubspotSink(structs.replace(desk.connection, taxes={"19": "115989001", "7": "115989002"}))
    sold = (("Book", "100", "7.00", 7), ("Mug", "50", "9.50", 19), ("Coupon", "-10", "-1.90", 19))
    lines = tuple(
        Line(
            name=name, unit_price=Decimal(net), net_amount=Decimal(net), tax_amount=Decimal(tax), tax_rate=Decimal(rate)
        )
        for name, net, tax, rate in sold
    )
    bill = Invoice(**{**fields(INVOICE), "lines": lines, "payable_amount": Decimal("154.60")})
    await desk.write(command_of("upsert_invoice", bill, 1))
    (row,) = desk.books("invoice")
    assert (row["total"], row["tax"], row["status"]) == ("154.60", "14.60", "invoiced")


async def test_an_invoice_that_would_not_come_out_stays_a_draft(open_desk: Any) -> None:
    desk = await open_desk()
    with pytest.raises(RejectedError, match="stays a draft"):
        await desk.write(command_of("upsert_invoice", INVOICE, 1), after={"link-lines": _dearer})
    assert desk.books("invoice")[0]["status"] == "draft"


def _dearer(portal: Portal) -> None:
    line = next(iter(portal.records["line_items"].values()))
    portal.update(line, {"price": "5.01"}, "CRM_UI")


async def test_an_invoice_is_edited_and_voided(open_desk: Any) -> None:
    desk = await open_desk()
    _, invoice = await _billed(desk)
    edited = Invoice(**{**fields(INVOICE), "note": "PO 7", "due_date": date(2027, 1, 2)})
    done = await desk.write(
        command_of("upsert_invoice", edited, 1, kind="set", bound_id=invoice, changes=("note", "due_date"))
    )
    assert (done.facts.note, done.facts.due_date) == ("PO 7", date(2027, 1, 2))
    voided = await desk.write(command_of("void_invoice", INVOICE, 1, kind="set", bound_id=invoice))
    assert voided.facts.status == "void"
    assert (await desk.converse(desk.sink.reread(command_of("void_invoice", INVOICE, bound_id=invoice)))).id == invoice


async def test_payments_pay_the_invoice_once_and_are_taken_back(open_desk: Any) -> None:
    desk = await open_desk()
    order, invoice = await _billed(desk)
    command = command_of("record_payment", PAYMENT, 2, kind="append", links={"order": order, "invoice": invoice})
    written = await desk.write(command)
    await desk.write(command)
    assert (await desk.converse(desk.sink.probe(command))).id == written.id
    assert len(desk.books("payment")) == 1
    assert desk.books("invoice")[0]["status"] == "paid"
    (event,) = await desk.read("commerce_payments", written.id)
    assert event.facts == written.facts
    assert (event.facts.amount, event.facts.reference, event.facts.date) == (
        Decimal("11.90"),
        "BANK 77",
        date(2026, 11, 3),
    )
    assert {(anchor.ref.type, anchor.ref.id) for anchor in event.anchors} == {("deals", order), ("invoices", invoice)}
    assert {anchor.kind for anchor in event.anchors} == {"object"}
    taken = command_of("reverse_payment", PAYMENT, 3, kind="append", links={"payment": written.id})
    assert await desk.converse(desk.sink.probe(taken)) is None
    await desk.write(taken)
    assert desk.books("payment") == []
    assert desk.books("invoice")[0]["due"] == "11.90"
    assert (await desk.converse(desk.sink.probe(taken))).id == written.id


@KINDS
async def test_notes_credits_and_refunds_are_written_once_each(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    order = await desk.write(command_of("upsert_order", ORDER))
    credit = Credit(number="CN-1", amount=Decimal("2.00"), currency="EUR", reference="re_1")
    links = {"order": order.id}
    commands = [
        command_of("add_note", ORDER, 4, kind="append", links=links, text="Invoice INV-1 is paid."),
        command_of("issue_credit", credit, 5, kind="append", links=links),
        command_of("record_refund", credit, 6, kind="append", links=links),
    ]
    for command in [*commands, *commands]:
        written = await desk.write(command)
        assert (await desk.converse(desk.sink.probe(command))).id == written.id
    notes = desk.books("order")[0]["notes"].split("\n")
    assert notes == ["Invoice INV-1 is paid.", "Credit note CN-1: 2.00 EUR", "Refund re_1: 2.00 EUR"]


async def test_parcels_share_the_orders_fields_and_keep_their_marks(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    order = await desk.write(command_of("upsert_order", ORDER))
    links = {"order": order.id}
    first = command_of("record_shipment", Shipment(tracking_numbers=("1Z1",)), 7, kind="append", links=links)
    second = command_of(
        "record_shipment", Shipment(tracking_numbers=("1Z2",), status="delivered"), 8, kind="append", links=links
    )
    assert await desk.converse(desk.sink.probe(first)) is None
    written = [await desk.write(command) for command in (first, second, first)]
    assert [one.id for one in written] == [order.id, f"{order.id}-1", order.id]
    assert (await desk.converse(desk.sink.probe(second))).mark == MARKS[8]
    shown = await desk.read("shipments", f"{order.id}-1")
    parcels = {event.object.id: event for event in shown if event.object.type == "shipments"}
    assert {event.mirror_of for event in parcels.values()} == {MARKS[7], MARKS[8]}
    assert parcels[order.id].facts.tracking_numbers == ("1Z1",)
    assert parcels[order.id].anchors[0].ref == ObjectRef("crm", desk.sandbox.account, "orders", order.id)


@KINDS
async def test_parcel_payment_and_note_of_a_billed_order_find_the_order(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    order, invoice = await _billed(desk)
    links = {"order": order, "invoice": invoice}
    assert desk.books("invoice")[0]["order_id"] == order
    for mark, (capability, facts) in enumerate(
        (("record_payment", PAYMENT), ("record_shipment", Shipment(tracking_numbers=("1Z1",)))), 4
    ):
        command = command_of(capability, facts, mark, kind="append", links=links)
        await desk.write(command)
        assert await desk.converse(desk.sink.probe(command))
    (row,) = desk.books("payment")
    assert (row["order_id"], row["invoice_id"]) == (order, invoice)
    shown = desk.books("order")[0].get("notes") if kind == "deals" else desk.books("shipment")[0]["tracking"]
    assert "1Z1" in shown


async def test_a_parcel_of_a_bill_without_an_order_is_a_note_on_the_bill(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    _, invoice = await _billed(desk)
    first, later = (Shipment(tracking_numbers=(number,)) for number in ("1Z1", "1Z2"))
    command = command_of("record_shipment", first, 4, kind="append", links={"invoice": invoice})
    assert await desk.converse(desk.sink.probe(command)) is None
    made = await desk.write(command)
    assert (await desk.converse(desk.sink.probe(command))).id == made.id
    await desk.write(command)
    moved = command_of("record_shipment", later, 4, kind="set", bound_id=made.id, links={"invoice": invoice})
    assert (await desk.write(moved)).id == made.id
    assert (await desk.converse(desk.sink.reread(moved))).id == made.id
    (note,) = desk.sandbox.portal.records["notes"].values()
    assert note.values["hs_note_body"] == "Shipped: 1Z2"
    assert desk.books("shipment") == []


async def test_a_parcel_without_order_or_bill_says_what_it_lacks(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    with pytest.raises(RejectedError, match="needs the order"):
        await desk.write(command_of("record_shipment", Shipment(), 4, kind="append"))


WORDS = {"partially_fulfilled_word": "Part sent", "fulfilled_word": "Sent", "delivered_word": "There"}


@pytest.mark.parametrize(
    ("words", "shown"),
    [({}, ("Partially shipped", "Shipped", "Delivered")), (WORDS, tuple(WORDS.values()))],
    ids=["default", "own"],
)
async def test_the_one_word_for_all_parcels_is_that_of_the_whole_order(
    words: dict[str, str], shown: tuple[str, ...], open_desk: Any
) -> None:
    desk = await open_desk(order_object="orders", **words)
    order = await desk.write(command_of("upsert_order", ORDER))
    links = {"order": order.id}
    part = Shipment(tracking_numbers=("1Z1",), status="delivered", lines=(ShipmentLine(line="1", quantity=Decimal(1)),))
    parcels = [(part, "partially_fulfilled"), (Shipment(tracking_numbers=("1Z2",)), "fulfilled"), (part, "delivered")]
    for mark, ((parcel, come), word) in enumerate(zip(parcels, shown, strict=True), 4):
        await desk.write(command_of("record_shipment", parcel, mark, kind="append", links=links, status=come))
        assert desk.books("shipment")[0]["vendor_status"] == word
        record, *told = await desk.read("orders", order.id)
        assert record.facts.headline == ("delivered" if come == "delivered" else "open")
        assert {one.facts.status for one in told} == {"delivered" if come == "delivered" else "shipped"}
        done = await desk.write(command_of("set_status", ORDER, kind="set", bound_id=order.id, status="open"))
        moved = await desk.write(command_of("set_status", ORDER, kind="set", bound_id=order.id, status=come))
        assert (done.id, desk.books("shipment")[0]["vendor_status"]) == (moved.id, word)
        await desk.write(command_of("set_status", ORDER, kind="set", bound_id=order.id, status="open"))


async def test_a_parcel_of_an_order_that_came_back_says_nothing_of_the_whole(open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    order = await desk.write(command_of("upsert_order", ORDER))
    parcel = Shipment(tracking_numbers=("1Z1",))
    await desk.write(
        command_of("record_shipment", parcel, 4, kind="append", links={"order": order.id}, status="returned")
    )
    assert "vendor_status" not in desk.books("shipment")[0]


async def test_a_deals_shipment_is_a_note(open_desk: Any) -> None:
    desk = await open_desk()
    order = await desk.write(command_of("upsert_order", ORDER))
    parcel = Shipment(carrier="UPS", tracking_numbers=("1Z1",))
    command = command_of("record_shipment", parcel, 7, kind="append", links={"order": order.id})
    await desk.write(command)
    assert desk.books("order")[0]["notes"] == "Shipped: UPS 1Z1"
    assert await desk.converse(desk.sink.probe(command))
