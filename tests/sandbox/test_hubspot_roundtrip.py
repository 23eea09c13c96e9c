"""Orders of HubSpot written to the sandbox and read back by the source; the vendor's files judge each call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import aiohttp
import msgspec
import pytest
from aiohttp import web

from app.core.errors import ConflictError, O2CError, UnsupportedError
from schemas.connection import Connection
from schemas.facts import Customer, Invoice, Line, Order, Party, Shipment
from schemas.platform import Words
from schemas.platforms.hubspot import PLATFORM
from sinks.platforms.hubspot import HubspotSink
from streams.sources.base import Hook
from tests.platforms.conversation import send
from tests.platforms.hubspot.desk import ADA, AUTH, INVOICE, KINDS, LINES, MARKS, ORDER, command_of, desks, fields

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


@KINDS
async def test_an_order_is_written_and_read_back_as_it_was(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    written = await desk.write(command_of("upsert_order", ORDER))
    (event,) = await desk.read(kind, written.id)
    assert event.facts == written.facts
    assert event.mirror_of == written.mark == MARKS[0]
    assert event.version.native == written.native > 0
    facts = event.facts
    assert isinstance(facts, Order)
    assert (facts.number, facts.headline, facts.payable_amount, facts.note) == ("SO-1001", "open", Decimal(12), "gift")
    assert [(line.name, line.quantity, line.net_amount) for line in facts.lines] == [
        ("Mug", 3, Decimal("10.00")),
        ("Shipping", 1, Decimal("2.00")),
    ]
    assert facts.customer
    assert (facts.customer.email, facts.customer.name) == ("ada@example.com", "Ada Lovelace")


@KINDS
async def test_the_same_order_twice_is_one_order(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    command = command_of("upsert_order", ORDER)
    first = await desk.write(command)
    again = await desk.write(command)
    asked = await desk.write(command_of("upsert_order", ORDER, presence="unknown"))
    assert first.id == again.id == asked.id
    assert len(desk.books("order")) == 1
    assert len(desk.sandbox.portal.records["line_items"]) == 2
    assert len(desk.books("customer")) == 1


async def test_a_deal_of_a_known_buyer_takes_two_writes_and_its_note_one(open_desk: Any) -> None:
    desk = await open_desk()
    first = await desk.write(command_of("upsert_order", ORDER))
    await desk.write(command_of("add_note", ORDER, 1, links={"order": first.id}, text="Paid"))
    desk.calls.clear()
    second = await desk.write(command_of("upsert_order", ORDER, 2))
    await desk.write(command_of("add_note", ORDER, 3, links={"order": second.id}, text="Paid"))
    writes = [call for call in desk.calls if call.startswith("POST") and not call.endswith("/batch/read")]
    assert writes == [
        "POST /crm/v3/objects/deals",
        "POST /crm/v3/objects/line_items/batch/create",
        "POST /crm/v3/objects/notes",
    ]


@KINDS
async def test_first_writes_at_the_same_time_all_get_through(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    commands = [command_of("upsert_order", ORDER, mark) for mark in range(6)]
    made = await asyncio.gather(*(desk.write(command) for command in commands))
    assert len({one.id for one in made}) == len(desk.books("order")) == 6
    parcels = [
        command_of("record_shipment", Shipment(tracking_numbers=(f"1Z{n}",)), 8, links={"order": one.id})
        for n, one in enumerate(made)
    ]
    await asyncio.gather(*(desk.write(command) for command in parcels))
    tracked = [row for row in desk.books("shipment") if row.get("tracking")]
    assert len(tracked) == (6 if kind == "orders" else 0)


async def test_a_probe_finds_nothing_before_and_the_whole_order_after(open_desk: Any) -> None:
    desk = await open_desk()
    command = command_of("upsert_order", ORDER)
    assert await desk.converse(desk.sink.probe(command)) is None
    written = await desk.write(command)
    found = await desk.converse(desk.sink.probe(command))
    assert (found.id, found.complete, found.facts) == (written.id, True, written.facts)


async def test_a_try_that_died_half_way_is_found_incomplete_and_completed(open_desk: Any) -> None:
    desk = await open_desk()
    command = command_of("upsert_order", ORDER, presence="unknown")
    talk = desk.sink.write(command)
    async with aiohttp.ClientSession() as session:
        request = next(talk)
        while request.step != "order-again":
            request = talk.send(await send(session, desk.url, request, AUTH))
        await send(session, desk.url, request, AUTH)
    found = await desk.converse(desk.sink.probe(command))
    assert (found.complete, found.facts.lines) == (False, ())
    written = await desk.write(command)
    assert written.id == found.id
    assert len(written.facts.lines) == 2


async def test_a_set_sends_only_what_changed(open_desk: Any) -> None:
    desk = await open_desk()
    made = await desk.write(command_of("upsert_order", ORDER))
    desk.sandbox.verbs["edit_deal"]({"id": made.id, "name": "Renamed by Sales"})
    order = Order(**{**fields(ORDER), "note": "", "customer": Party(email="eve@example.com"), "lines": LINES[:1]})
    command = command_of("upsert_order", order, kind="set", bound_id=made.id, changes=("note", "email", "lines"))
    changed = await desk.write(command)
    facts = changed.facts
    assert (facts.number, facts.note, facts.customer.email) == ("Renamed by Sales", "", "eve@example.com")
    assert len(facts.lines) == 1
    (row,) = desk.books("order")
    assert (row["customer"], row["total"]) == ("eve@example.com", "12.00")


@pytest.mark.parametrize(
    ("kind", "word", "stage", "headline"),
    [
        ("deals", "draft", "appointmentscheduled", "draft"),
        ("deals", "paid", "closedwon", "open"),
        ("deals", "cancelled", "closedlost", "cancelled"),
        ("orders", "paid", "Paid", "paid"),
        ("orders", "fulfilled", "Shipped", "fulfilled"),
        ("orders", "delivered", "Shipped", "delivered"),
        ("orders", "cancelled", "Cancelled", "cancelled"),
        ("orders", "refunded", "Refunded", "refunded"),
    ],
)
async def test_a_status_moves_the_order_to_its_stage(
    kind: str, word: str, stage: str, headline: str, open_desk: Any
) -> None:
    desk = await open_desk(order_object=kind)
    made = await desk.write(command_of("upsert_order", ORDER))
    done = await desk.write(command_of("set_status", ORDER, kind="set", bound_id=made.id, status=word))
    assert (done.facts.stage, done.facts.headline) == (stage, headline)
    assert desk.books("order")[0]["vendor_status"] == stage


WORDS = (*get_args(Words), "unheard of")


@KINDS
@pytest.mark.parametrize("word", WORDS)
async def test_no_status_keeps_an_order_out(kind: str, word: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    order = Order(**{**fields(ORDER), "headline": word})
    written = await desk.write(command_of("upsert_order", order))
    assert written.facts.stage
    assert len(desk.books("order")) == 1


async def test_a_word_without_a_stage_is_a_task_for_a_person(open_desk: Any) -> None:
    desk = await open_desk()
    with pytest.raises(UnsupportedError, match="map it under stages"):
        await desk.write(command_of("set_status", ORDER, kind="set", bound_id="1", status="on_hold"))


async def test_a_stage_of_the_companys_own_is_read_by_what_it_means(open_desk: Any) -> None:
    desk = await open_desk()
    body = {"label": "Signed", "metadata": {"isClosed": "true", "probability": "1.0"}, "displayOrder": 9}
    async with aiohttp.ClientSession(headers=AUTH) as session:
        made = await session.post(f"{desk.url}/crm/v3/pipelines/deals/default/stages", json=body)
        stage = (await made.json())["id"]
    deal = desk.sandbox.verbs["create_deal"]({"name": "D", "amount": "5", "currency": "EUR", "stage": "Signed"})
    (event,) = await desk.read("deals", deal["id"])
    assert (event.facts.stage, event.facts.headline) == ("won", "open")
    who = await desk.converse(desk.source.identify())
    assert who.account == desk.sandbox.account
    setup = await desk.converse(desk.source.setup())
    assert setup.words["deals:won"] == "Signed"
    assert set(setup.words) <= set(PLATFORM.statuses)
    assert (setup.unshown, setup.offers) == ({}, {})
    assert stage.isdigit()


async def test_stages_are_offered_for_words_that_no_stage_shows(open_desk: Any) -> None:
    desk = await open_desk()
    async with aiohttp.ClientSession(headers=AUTH) as session:
        body = {"label": "Paid", "metadata": {"isClosed": "true", "probability": "1.0"}, "displayOrder": 9}
        made = await session.post(f"{desk.url}/crm/v3/pipelines/deals/default/stages", json=body)
    paid = (await made.json())["id"]
    gone = dict.fromkeys(("open", "paid", "cancelled"), "Gone")
    source = type(desk.source)(msgspec.structs.replace(desk.source.connection, stages=gone))
    offers = (await desk.converse(source.setup())).offers
    assert {key: offer.best for key, offer in offers.items()} == {
        "stages.open": "",  # two stages are won
        "stages.paid": paid,
        "stages.cancelled": "closedlost",
    }
    assert paid in {one.value for one in offers["stages.open"].choices}


async def test_customers_are_found_by_email_and_never_overwritten(open_desk: Any) -> None:
    desk = await open_desk()
    first = await desk.write(command_of("upsert_customer", Customer(party=ADA)))
    second = await desk.write(
        command_of("upsert_customer", Customer(party=Party(name="Typo", email="ADA@example.com")))
    )
    assert first.id == second.id
    assert desk.books("customer")[0]["number"] == "Ada Lovelace"
    nameless = await desk.write(command_of("upsert_customer", Customer(party=Party(name="Till Customer"))))
    again = await desk.write(command_of("upsert_customer", Customer(party=Party(name="Till Customer"))))
    assert nameless.id == again.id != first.id
    assert (await desk.converse(desk.sink.probe(command_of("upsert_customer", Customer(party=ADA))))).id == first.id


async def test_writing_to_a_deleted_deal_is_stale(open_desk: Any) -> None:
    desk = await open_desk()
    made = await desk.write(command_of("upsert_order", ORDER))
    desk.sandbox.verbs["delete_deal"]({"id": made.id})
    command = command_of("upsert_order", ORDER, kind="set", bound_id=made.id, changes=("note",))
    assert await desk.converse(desk.sink.reread(command)) is None
    with pytest.raises(ConflictError):
        await desk.write(command)
    (event,) = await desk.read("deals", made.id)
    assert (event.presence, event.facts) == ("deleted", None)


async def test_many_are_read_in_few_calls_and_the_missing_are_deleted(open_desk: Any) -> None:
    desk = await open_desk()
    act = desk.sandbox.verbs["create_deal"]
    lines = [{"title": "Mug", "quantity": 1, "price": "5.00"}]
    ids = [
        act({"name": f"D{n}", "amount": "5", "currency": "EUR", "email": f"{n % 3}@example.com", "lines": lines})["id"]
        for n in range(20)
    ]
    hints = [desk.hint("deals", id_) for id_ in [*ids, "404"]]
    events = await desk.converse(desk.source.read_many(hints))
    one_by_one = [(await desk.read("deals", id_))[0] for id_ in ids[:3]]
    assert events[:3] == one_by_one
    assert [event.object.id for event in events if event.presence == "deleted"] == ["404"]
    assert len(desk.calls) <= 5 + 3 * 3


@pytest.mark.parametrize(("amount", "payable"), [("12.90", "12.90"), ("11.00", "12.90"), ("15.00", "15.00")])
async def test_a_deals_own_sum_leaves_tax_out_and_a_typed_amount_is_law(
    amount: str, payable: str, open_desk: Any
) -> None:
    desk = await open_desk()
    lines = [
        {"title": "Mug", "quantity": 2, "price": "5.00", "tax_rate": "19"},
        {"title": "Book", "quantity": 1, "price": "1.00", "tax_rate": "0"},
    ]
    deal = desk.sandbox.verbs["create_deal"]({"name": "D", "amount": amount, "currency": "EUR", "lines": lines})
    (event,) = await desk.read("deals", deal["id"])
    assert event.facts.payable_amount == Decimal(payable)
    assert [(line.tax_rate, line.tax_amount) for line in event.facts.lines] == [(19, Decimal("1.90")), (0, 0)]


async def test_the_portals_own_tax_rates_are_used_where_they_are_mapped(open_desk: Any) -> None:
    desk = await open_desk()
    desk.connection = Connection(
        name="crm", tenant="acme", platform="hubspot", account=desk.sandbox.account, taxes={"19": "115989001"}
    )
    desk.sink = HubspotSink(desk.connection)
    written = await desk.write(command_of("upsert_invoice", INVOICE, 1))
    assert (written.facts.payable_amount, written.facts.lines[0].tax_amount) == (Decimal("11.90"), Decimal("1.90"))


async def test_a_discount_line_comes_out_in_the_total(open_desk: Any) -> None:
    desk = await open_desk()
    coupon = Line(kind="discount", name="Coupon", unit_price=Decimal(-1), net_amount=Decimal("-1.00"))
    invoice = Invoice(**{**fields(INVOICE), "lines": (*INVOICE.lines, coupon), "payable_amount": Decimal("10.90")})
    written = await desk.write(command_of("upsert_invoice", invoice, 1))
    assert written.facts.payable_amount == Decimal("10.90")


async def test_a_sweep_finds_every_change_however_many_fall_on_one_instant(open_desk: Any) -> None:
    now = datetime.now(UTC)
    desk = await open_desk()
    portal = desk.sandbox.portal
    ids = [desk.sandbox.verbs["create_deal"]({"name": f"D{n}", "currency": "EUR"})["id"] for n in range(450)]
    instant = portal.records["deals"][ids[100]].values["hs_lastmodifieddate"]
    for id_ in ids[100:]:
        record = portal.records["deals"][id_]
        record.values["hs_lastmodifieddate"] = instant
        record.looks[-1] = (record.looks[-1][0], dict(record.values), False)
    seen, cursor, more = set(), "", True
    while more:
        page = await desk.converse(desk.source.sweep("deals", cursor, now))
        seen |= {hint.object.id for hint in page.hints}
        cursor, more = page.cursor, page.more
        assert len(desk.calls) < 12
    assert seen == set(ids)
    assert page.complete_up_to
    after = await desk.converse(desk.source.sweep("deals", cursor, now))
    assert len(after.hints) <= 200


async def test_a_merge_ends_both_deals_and_shows_the_third(open_desk: Any) -> None:
    desk = await open_desk()
    one, two = (desk.sandbox.verbs["create_deal"]({"name": name, "currency": "EUR"})["id"] for name in "AB")
    merged = desk.sandbox.verbs["merge_deals"]({"id": one, "other": two})["id"]
    shown = {id_: (await desk.read("deals", id_))[0].presence for id_ in (one, two, merged)}
    assert shown == {one: "deleted", two: "deleted", merged: "present"}


async def test_a_changed_line_leads_to_its_deal(open_desk: Any) -> None:
    desk = await open_desk()
    made = await desk.write(command_of("upsert_order", ORDER))
    line = made.facts.lines[0].id
    events = await desk.read("line_items", line)
    assert [event.object.id for event in events] == [made.id]


@pytest.mark.parametrize("fault", ["reset_after_commit", "error_5xx_after_commit"])
async def test_a_lost_reply_never_makes_a_second_order(fault: str, open_desk: Any) -> None:
    desk = await open_desk()
    desk.spec = None
    desk.sandbox.injector.faults = desk.sandbox.faults.changed({fault: 0.4})
    command = command_of("upsert_order", ORDER, presence="unknown")
    done = None
    for _ in range(60):
        try:
            done = await desk.write(command)
            break
        except (O2CError, aiohttp.ClientError):
            continue
    assert done
    assert len(desk.books("order")) == 1
    assert len(desk.sandbox.portal.records["line_items"]) == 2
    assert len(desk.books("customer")) == 1


async def test_what_people_do_arrives_signed_and_leads_to_what_they_did(open_desk: Any) -> None:
    desk = await open_desk()
    taken: list[Hook] = []

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        taken.append(Hook(url=str(request.url), headers=headers, body=await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hooks/hubspot/app", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk.sandbox.hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/hubspot/app", "made-up")
    act = desk.sandbox.verbs
    lines = [{"sku": "M1", "title": "Mug", "quantity": 2, "price": "5.00"}]
    deal = act["create_deal"]({"name": "SO-7", "amount": "10.00", "currency": "EUR", "email": "a@example.com"})
    act["set_stage"]({"id": deal["id"], "stage": "closedwon"})
    invoice = act["type_invoice"](
        {"email": "a@example.com", "currency": "EUR", "lines": lines, "order_id": deal["id"], "date": "2026-11-01"}
    )
    act["type_payment"]({"invoice_id": invoice["id"], "amount": "4.00", "reference": "B1", "date": "2026-11-02"})
    async with asyncio.timeout(60):
        while desk.sandbox.hooks.pending:  # noqa: ASYNC110 - deliveries have no event to wait for
            await asyncio.sleep(0.01)
    await runner.cleanup()
    assert all(desk.source.verify(hook, ["made-up"], datetime.now(UTC)) for hook in taken)
    assert not any(desk.source.verify(hook, ["other"], datetime.now(UTC)) for hook in taken)
    hints = {hint.object: hint for hook in taken for hint in desk.source.hints(hook)}
    events = [event for hint in hints.values() for event in await desk.converse(desk.source.read(hint))]
    shown = {event.object.type: event.facts for event in events}
    assert {"deals", "contacts", "invoices", "commerce_payments"} <= set(shown)
    assert (shown["deals"].stage, shown["deals"].payable_amount) == ("closedwon", Decimal(10))
    assert (shown["invoices"].status, shown["invoices"].amount_due) == ("partially_paid", Decimal(6))
    assert shown["commerce_payments"].allocations[0].id == invoice["id"]
