"""Many orders in few calls: reads and writes by the hundred against the sandbox; the vendor's files judge each call."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from msgspec import structs

from app.core.errors import DuplicateError, RejectedError, UncertainError
from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.hubspot import model
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Line, Party
from sinks.base import Written
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.conversation import answer, send
from tests.platforms.hubspot.desk import ADA, AUTH, LINES, ORDER, desks
from tests.platforms.hubspot.many import (
    MUG,
    crashed,
    held,
    many_orders,
    notes_on,
    order_of,
    send_many,
    typed_deals,
    written_in_the_end,
)

pytestmark = pytest.mark.sandbox
T = TypeVar("T")


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


async def test_a_hundred_changed_lines_read_each_of_their_deals_once(open_desk: Any) -> None:
    desk = await open_desk(commerce="no")
    deals = typed_deals(desk, 20, 5)
    lines = list(desk.sandbox.portal.records["line_items"])
    assert len(lines) == desk.source.read_batch["line_items"] == 100
    events = await desk.converse(desk.source.read_many([desk.hint("line_items", id_) for id_ in lines]))
    assert [event.object.id for event in events] == deals
    assert Counter(desk.calls) == {
        "POST /crm/v4/associations/line_items/deals/batch/read": 1,
        "POST /crm/v3/objects/deals/batch/read": 1,
        "POST /crm/v4/associations/deals/contacts/batch/read": 1,
        "POST /crm/v4/associations/deals/line_items/batch/read": 1,
        "POST /crm/v3/objects/contacts/batch/read": 1,
        "POST /crm/v3/objects/line_items/batch/read": 1,
    }
    assert events == [event for id_ in deals for event in await desk.read("deals", id_)]


@pytest.mark.parametrize(("commerce", "kinds"), [("yes", {"deals", "invoices"}), ("no", {"deals"})])
async def test_lines_lead_to_invoices_only_where_those_are_followed(
    commerce: str, kinds: set[str], open_desk: Any
) -> None:
    desk = await open_desk(commerce=commerce)
    (deal,) = typed_deals(desk, 1, 1)
    invoice = {"email": "a@example.com", "currency": "EUR", "lines": [MUG, MUG], "order_id": deal, "date": "2026-11-01"}
    desk.sandbox.verbs["type_invoice"](invoice)
    hints = [desk.hint("line_items", id_) for id_ in (*desk.sandbox.portal.records["line_items"], "404")]
    events = await desk.converse(desk.source.read_many(hints))
    assert {event.object.type for event in events} == kinds
    assert len(events) == len(kinds)
    assert not any("invoices" in call for call in desk.calls if commerce == "no")


async def test_a_line_that_is_gone_leads_nowhere(open_desk: Any) -> None:
    desk = await open_desk()
    assert await desk.read("line_items", "404") == []


@pytest.mark.parametrize("kind", ["deals", "orders", "contacts"])
async def test_a_swept_hint_carries_the_version_that_a_read_shows(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object="orders" if kind == "orders" else "deals")
    what = {"name": "D", "currency": "EUR", "amount": "5.00", "email": "a@example.com"}
    desk.sandbox.verbs["create_order" if kind == "orders" else "create_deal"](what)
    page = await desk.converse(desk.source.sweep(kind, "", datetime.now(UTC)))
    (hint,) = page.hints
    (event, *_) = await desk.converse(desk.source.read(hint))
    assert hint.native == event.version.native > 0


def _numbers(written: Sequence[Any]) -> list[str]:
    return [one.facts.number if isinstance(one, Written) else type(one).__name__ for one in written]


async def test_a_hundred_and_twenty_orders_take_a_few_calls_for_fifty(open_desk: Any) -> None:
    desk = await open_desk()
    size = desk.sink.batch["upsert_order"]
    first = await send_many(desk, many_orders(size))
    second = await send_many(desk, many_orders(size, size))
    calls = Counter(desk.calls)
    known = await send_many(desk, [order_of(100 + n, customer=ADA) for n in range(20)])
    written = [*first, *second, *known]
    assert _numbers(written) == [f"SO-{n}" for n in range(120)]
    assert calls == {
        "POST /crm/v3/objects/contacts/batch/read": 2,
        "POST /crm/v3/objects/contacts/batch/upsert": 1,
        "POST /crm/v3/objects/deals/batch/create": 1,
        "POST /crm/v3/objects/line_items/batch/create": 1,
        "POST /crm/v3/objects/deals/batch/read": 1,
        "POST /crm/v3/objects/line_items/batch/read": 1,
    }
    assert sum(calls.values()) <= 8
    assert (held(desk, "deals"), held(desk, "line_items"), held(desk, "contacts")) == (120, 240, 101)
    events = [
        event
        for start in range(0, 120, 100)
        for event in await desk.converse(
            desk.source.read_many([desk.hint("deals", one.id) for one in written[start : start + 100]])
        )
    ]
    assert [event.facts for event in events] == [one.facts for one in written]
    assert [(event.mirror_of, event.version.native) for event in events] == [(one.mark, one.native) for one in written]


@pytest.mark.parametrize("word", ["open", "paid", "delivered", "unheard of"])
async def test_order_objects_go_together_as_well(word: str, open_desk: Any) -> None:
    desk = await open_desk(order_object="orders")
    await send_many(desk, many_orders(2))
    written = await send_many(desk, [order_of(n, headline=word, customer=ORDER.customer) for n in range(2, 52)])
    assert _numbers(written) == [f"SO-{n}" for n in range(2, 52)]
    assert len(desk.calls) <= 9
    events = await desk.converse(desk.source.read_many([desk.hint("orders", one.id) for one in written]))
    assert [event.facts for event in events if event.object.type == "orders"] == [one.facts for one in written]
    alone = await desk.write(order_of(99, headline=word))
    assert {one.facts.stage for one in written} == {alone.facts.stage}


async def test_what_people_did_to_an_order_since_an_earlier_try_is_shown_and_stays(open_desk: Any) -> None:
    desk = await open_desk()
    commands = many_orders(3)
    made = await send_many(desk, commands[:2])
    portal = desk.sandbox.portal
    deal = portal.records["deals"][made[0].id]
    eve = portal.create(model.BY_NAME["contacts"], {"email": "eve@example.com"}, "CRM_UI")
    extra = portal.create(model.BY_NAME["line_items"], {"name": "Gift", "quantity": "1", "price": "1.00"}, "CRM_UI")
    portal.link(deal, portal.records["contacts"][made[0].facts.customer.id], "CRM_UI", removed=True)
    portal.link(deal, eve, "CRM_UI")
    portal.link(deal, extra, "CRM_UI")
    again = await send_many(desk, commands)
    assert len(desk.calls) <= 16
    assert [one.id for one in again[:2]] == [one.id for one in made]
    assert again[0].facts.customer.email == "eve@example.com"
    assert [line.name for line in again[0].facts.lines] == ["Mug", "Shipping", "Gift"]
    events = await desk.converse(desk.source.read_many([desk.hint("deals", one.id) for one in again]))
    assert [event.facts for event in events] == [one.facts for one in again]


async def test_a_known_buyer_keeps_what_people_typed(open_desk: Any) -> None:
    desk = await open_desk()
    await send_many(desk, [order_of(n, customer=ADA) for n in range(2)])
    await send_many(desk, [order_of(n, customer=Party(name="Typo", email="ADA@example.com")) for n in range(2, 4)])
    (row,) = desk.books("customer")
    assert row["number"] == "Ada Lovelace"


def _spoiled(what: str) -> Command:
    if what == "buyer":
        return order_of(3, customer=Party(name="X", email="no address"))
    if what == "order":
        return order_of(3, po_number="PO 7")
    line = Line(name="Mug", unit_price=Decimal(1), net_amount=Decimal(1), tax_rate=Decimal(7))
    return order_of(3, lines=(LINES[0], line))


@pytest.mark.parametrize("what", ["buyer", "order", "line"])
async def test_one_bad_order_fails_for_itself_alone(what: str, open_desk: Any) -> None:
    desk = await open_desk(po_property="nowhere")
    desk.sink = HubspotSink(structs.replace(desk.connection, taxes={"7": "999"}))
    commands = many_orders(6)
    commands[3] = _spoiled(what)
    written = await send_many(desk, commands)
    assert _numbers(written) == ["SO-0", "SO-1", "SO-2", "RejectedError", "SO-4", "SO-5"]
    assert all(len(one.facts.lines) == 2 for one in written if isinstance(one, Written))
    assert held(desk, "deals") == (6 if what == "line" else 5)


async def test_what_fails_in_passing_is_tried_again_and_made_once(open_desk: Any) -> None:
    desk = await open_desk()
    done = await written_in_the_end(desk, many_orders(30), 0.2)
    assert len({one.id for one in done}) == 30
    assert all(len(one.facts.lines) == 2 and one.facts.customer for one in done)
    assert (held(desk, "deals"), held(desk, "line_items"), held(desk, "contacts")) == (30, 60, 30)


@pytest.mark.parametrize("order_object", ["deals", "orders"])
async def test_a_crash_after_any_call_makes_nothing_twice(order_object: str, open_desk: Any) -> None:
    for after in range(1, 40):
        desk = await open_desk(order_object=order_object)
        ended = await crashed(desk, desk.sink.write_many(many_orders(3)), after)
        written = await send_many(desk, many_orders(3))
        assert _numbers(written) == ["SO-0", "SO-1", "SO-2"]
        assert f"POST /crm/v3/objects/{order_object}" not in desk.calls
        assert all(len(one.facts.lines) == 2 and one.facts.customer for one in written)
        assert (held(desk, order_object), held(desk, "line_items"), held(desk, "contacts")) == (3, 6, 3)
        if ended:
            return
    pytest.fail("The talk never came to its end.")


def _noted(talk: Talk[T], asked: list[Request], replies: list[Response]) -> Talk[T]:
    try:
        request = next(talk)
        while True:
            asked.append(request)
            replies.append((yield request))
            request = talk.send(replies[-1])
    except StopIteration as done:
        found: T = done.value
        return found


async def test_the_same_replies_lead_to_the_same_requests(open_desk: Any) -> None:
    desk = await open_desk()
    commands = [*many_orders(3), _spoiled("buyer")]
    replies: list[Response] = []
    asked: list[Request] = []
    first = await desk.converse(_noted(desk.sink.write_many(commands), asked, replies))
    again, result = answer(HubspotSink(desk.connection).write_many(commands), *replies)
    assert again == asked
    assert _numbers(result) == _numbers(first) == ["SO-0", "SO-1", "SO-2", "RejectedError"]
    steps = [request.step for request in asked if request.mutates]
    assert len(set(steps)) == len(steps)


async def test_a_batch_that_is_lost_on_its_way_is_uncertain_for_each(open_desk: Any) -> None:
    desk = await open_desk()
    await send_many(desk, many_orders(2))
    talk = desk.sink.write_many(many_orders(3, 2))
    async with aiohttp.ClientSession() as session:
        request = next(talk)
        while request.step != "orders":
            request = talk.send(await send(session, desk.url, request, AUTH))
        with pytest.raises(StopIteration) as done:
            talk.throw(UncertainError("reset"))
    parts = done.value.value
    assert [type(part) for part in parts] == [UncertainError] * 3
    assert len({id(part) for part in parts}) == 3


# -- replies that the sandbox does not give ----------------------------------------------------------------------------


def _rows(*rows: dict[str, Any], status: int = 200) -> Response:
    return Response(status=status, body=json.dumps({"status": "COMPLETE", "results": rows}).encode())


def _lines_of(deal: str) -> list[dict[str, Any]]:
    return [{"id": f"{deal}{n}", "objectWriteTraceId": f"deals/{deal}/{n}", "properties": {}} for n in range(2)]


def test_a_buyers_second_address_is_known_and_an_unlisted_deal_is_found_by_its_mark() -> None:
    one, two = many_orders(2)
    buyers = (
        {
            "id": "1",
            "properties": {"email": "main@example.com", "hs_additional_emails": "x@example.com;buyer0@example.com"},
        },
        {"id": "2", "properties": {"email": "buyer1@example.com"}},
    )
    won = {"dealstage": "closedwon", "deal_currency_code": "EUR"}
    deals = [
        {"id": id_, "properties": {"dealname": command.facts.number, "o2c_mark": command.mark, **won}}
        for id_, command in (("7", one), ("8", two))
    ]
    connection = Connection(name="crm", tenant="acme", platform="hubspot", account="1")
    requests, written = answer(
        HubspotSink(connection).write_many([one, two]),
        _rows(*buyers),
        _rows({**deals[0], "objectWriteTraceId": one.mark}, status=201),
        _rows(deals[1]),
        _rows({"from": {"id": "8"}, "to": [{"toObjectId": 2, "associationTypes": []}]}),
        _rows(buyers[1]),
        _rows(*_lines_of("7"), status=201),
        _rows(*_lines_of("8")),
        _rows(),
        _rows({"from": {"id": "8"}, "to": [{"toObjectId": 80}, {"toObjectId": 81}]}),
        _rows(*deals),
        _rows(*_lines_of("7"), *_lines_of("8")),
    )
    assert [(one.id, one.facts.customer.id, len(one.facts.lines)) for one in written] == [("7", "1", 2), ("8", "2", 2)]
    assert [request.step for request in requests if request.mutates] == [
        "orders",
        "lines",
        "known-lines",
        "link-known-lines",
    ]
    assert requests[2].json["inputs"] == [{"id": two.mark}]


@pytest.mark.parametrize("status", [400, 409])
def test_a_batch_that_is_refused_without_naming_anybody_is_left_to_the_loop_to_split(status: int) -> None:
    commands = notes_on("add_note", ["7", "8"], ORDER)
    refused = Response(status=status, body=b'{"status":"error","category":"CONFLICT","message":"no","errors":[]}')
    talk = HubspotSink(Connection(name="crm", tenant="acme", platform="hubspot", account="1")).write_many(commands)
    with pytest.raises((RejectedError, DuplicateError)):
        answer(talk, refused, *([_rows(), refused] if status == 400 else []))
