"""Many records in few calls: reads and writes by the hundred against the sandbox; the vendor's files judge each call."""

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

from app.core.errors import ConflictError, DuplicateError, RejectedError, RetryableError, UncertainError
from app.core.talk import Request, Response, Talk
from app.sandbox.platforms.hubspot import model
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Credit, Line, Party, Shipment
from sinks.base import Written
from sinks.platforms.hubspot import HubspotSink
from tests.platforms.conversation import answer, send
from tests.platforms.hubspot.desk import ADA, AUTH, LINES, ORDER, PAYMENT, Desk, command_of, desks

pytestmark = pytest.mark.sandbox
T = TypeVar("T")
MUG = {"title": "Mug", "quantity": 1, "price": "5.00"}


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


# -- reading -----------------------------------------------------------------------------------------------------------


def _typed_deals(desk: Desk, count: int, lines: int) -> list[str]:
    act = desk.sandbox.verbs["create_deal"]
    wanted = [
        {"name": f"D{n}", "currency": "EUR", "email": f"{n}@example.com", "lines": [MUG] * lines} for n in range(count)
    ]
    return [act(one)["id"] for one in wanted]


async def test_a_hundred_changed_lines_read_each_of_their_deals_once(open_desk: Any) -> None:
    desk = await open_desk(commerce="no")
    deals = _typed_deals(desk, 20, 5)
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
    (deal,) = _typed_deals(desk, 1, 1)
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


# -- writing -----------------------------------------------------------------------------------------------------------


def _orders(count: int, first: int = 0) -> list[Command]:
    return [_order(number) for number in range(first, first + count)]


def _order(number: int, **changes: Any) -> Command:
    customer = Party(name=f"Buyer {number}", email=f"Buyer{number}@example.com", phone=f"+49 {number}")
    order = structs.replace(ORDER, **{"number": f"SO-{number}", "customer": customer, **changes})
    return command_of("upsert_order", order, **_ids(number))


def _ids(number: int) -> dict[str, str]:
    return {"id": f"{number:032x}", "mark": f"o2c1:{'a' * 32}:{number:012x}"}


def _numbers(written: Sequence[Any]) -> list[str]:
    return [one.facts.number if isinstance(one, Written) else type(one).__name__ for one in written]


async def _write(desk: Desk, commands: Sequence[Command]) -> list[Any]:
    desk.calls.clear()
    return await desk.converse(desk.sink.write_many(commands))


def _held(desk: Desk, kind: str) -> int:
    return len(desk.sandbox.portal.records[kind])


async def test_a_hundred_and_twenty_orders_take_a_few_calls_for_fifty(open_desk: Any) -> None:
    desk = await open_desk()
    size = desk.sink.batch["upsert_order"]
    first = await _write(desk, _orders(size))
    second = await _write(desk, _orders(size, size))
    calls = Counter(desk.calls)
    known = await _write(desk, [_order(100 + n, customer=ADA) for n in range(20)])
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
    assert (_held(desk, "deals"), _held(desk, "line_items"), _held(desk, "contacts")) == (120, 240, 101)
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
    await _write(desk, _orders(2))
    written = await _write(desk, [_order(n, headline=word, customer=ORDER.customer) for n in range(2, 52)])
    assert _numbers(written) == [f"SO-{n}" for n in range(2, 52)]
    assert len(desk.calls) <= 9
    events = await desk.converse(desk.source.read_many([desk.hint("orders", one.id) for one in written]))
    assert [event.facts for event in events if event.object.type == "orders"] == [one.facts for one in written]
    alone = await desk.write(_order(99, headline=word))
    assert {one.facts.stage for one in written} == {alone.facts.stage}


async def test_what_people_did_to_an_order_since_an_earlier_try_is_shown_and_stays(open_desk: Any) -> None:
    desk = await open_desk()
    commands = _orders(3)
    made = await _write(desk, commands[:2])
    portal = desk.sandbox.portal
    deal = portal.records["deals"][made[0].id]
    eve = portal.create(model.BY_NAME["contacts"], {"email": "eve@example.com"}, "CRM_UI")
    extra = portal.create(model.BY_NAME["line_items"], {"name": "Gift", "quantity": "1", "price": "1.00"}, "CRM_UI")
    portal.link(deal, portal.records["contacts"][made[0].facts.customer.id], "CRM_UI", removed=True)
    portal.link(deal, eve, "CRM_UI")
    portal.link(deal, extra, "CRM_UI")
    again = await _write(desk, commands)
    assert len(desk.calls) <= 16
    assert [one.id for one in again[:2]] == [one.id for one in made]
    assert again[0].facts.customer.email == "eve@example.com"
    assert [line.name for line in again[0].facts.lines] == ["Mug", "Shipping", "Gift"]
    events = await desk.converse(desk.source.read_many([desk.hint("deals", one.id) for one in again]))
    assert [event.facts for event in events] == [one.facts for one in again]


async def test_a_known_buyer_keeps_what_people_typed(open_desk: Any) -> None:
    desk = await open_desk()
    await _write(desk, [_order(n, customer=ADA) for n in range(2)])
    await _write(desk, [_order(n, customer=Party(name="Typo", email="ADA@example.com")) for n in range(2, 4)])
    (row,) = desk.books("customer")
    assert row["number"] == "Ada Lovelace"


def _spoiled(what: str) -> Command:
    if what == "buyer":
        return _order(3, customer=Party(name="X", email="no address"))
    if what == "order":
        return _order(3, po_number="PO 7")
    line = Line(name="Mug", unit_price=Decimal(1), net_amount=Decimal(1), tax_rate=Decimal(7))
    return _order(3, lines=(LINES[0], line))


@pytest.mark.parametrize("what", ["buyer", "order", "line"])
async def test_one_bad_order_fails_for_itself_alone(what: str, open_desk: Any) -> None:
    desk = await open_desk(po_property="nowhere")
    desk.sink = HubspotSink(structs.replace(desk.connection, taxes={"7": "999"}))
    commands = _orders(6)
    commands[3] = _spoiled(what)
    written = await _write(desk, commands)
    assert _numbers(written) == ["SO-0", "SO-1", "SO-2", "RejectedError", "SO-4", "SO-5"]
    assert all(len(one.facts.lines) == 2 for one in written if isinstance(one, Written))
    assert _held(desk, "deals") == (6 if what == "line" else 5)


async def test_what_fails_in_passing_is_tried_again_and_made_once(open_desk: Any) -> None:
    desk = await open_desk()
    desk.sandbox.injector.faults = desk.sandbox.faults.changed({"batch_item_failure": 0.2})
    left, done = _orders(30), {}
    for _ in range(30):
        for command, part in zip(left, await _write(desk, left), strict=True):
            assert isinstance(part, Written | RetryableError)
            if isinstance(part, Written):
                done[command.id] = part
        left = [command for command in left if command.id not in done]
        if not left:
            break
    assert desk.sandbox.injector.injected["batch_item_failure"]
    assert len({one.id for one in done.values()}) == 30
    assert all(len(one.facts.lines) == 2 and one.facts.customer for one in done.values())
    assert (_held(desk, "deals"), _held(desk, "line_items"), _held(desk, "contacts")) == (30, 60, 30)


async def _crashed(desk: Desk, talk: Talk[Any], after: int) -> bool:
    """Throw *talk* away after so many requests; tell whether it came to its end before."""
    async with aiohttp.ClientSession() as session:
        try:
            request = next(talk)
            for _ in range(after):
                request = talk.send(await send(session, desk.url, request, AUTH))
        except StopIteration:
            return True
    talk.close()
    return False


@pytest.mark.parametrize("order_object", ["deals", "orders"])
async def test_a_crash_after_any_call_makes_nothing_twice(order_object: str, open_desk: Any) -> None:
    for after in range(1, 40):
        desk = await open_desk(order_object=order_object)
        ended = await _crashed(desk, desk.sink.write_many(_orders(3)), after)
        written = await _write(desk, _orders(3))
        assert _numbers(written) == ["SO-0", "SO-1", "SO-2"]
        assert f"POST /crm/v3/objects/{order_object}" not in desk.calls
        assert all(len(one.facts.lines) == 2 and one.facts.customer for one in written)
        assert (_held(desk, order_object), _held(desk, "line_items"), _held(desk, "contacts")) == (3, 6, 3)
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
    commands = [*_orders(3), _spoiled("buyer")]
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
    await _write(desk, _orders(2))
    talk = desk.sink.write_many(_orders(3, 2))
    async with aiohttp.ClientSession() as session:
        request = next(talk)
        while request.step != "orders":
            request = talk.send(await send(session, desk.url, request, AUTH))
        with pytest.raises(StopIteration) as done:
            talk.throw(UncertainError("reset"))
    parts = done.value.value
    assert [type(part) for part in parts] == [UncertainError] * 3
    assert len({id(part) for part in parts}) == 3


# -- payments and notes ------------------------------------------------------------------------------------------------


async def _billed(desk: Desk, count: int) -> list[dict[str, str]]:
    """Return the links of so many invoices of 11.90 on deals of their own."""
    deals = _typed_deals(desk, count, 1)
    lines = [{"title": "Mug", "quantity": 1, "price": "11.90"}]
    what = {"email": "a@example.com", "currency": "EUR", "lines": lines, "date": "2026-11-01"}
    act = desk.sandbox.verbs["type_invoice"]
    return [{"order": deal, "invoice": act({**what, "order_id": deal})["id"]} for deal in deals]


def _payments(links: Sequence[dict[str, str]]) -> list[Command]:
    return [
        command_of("record_payment", structs.replace(PAYMENT, reference=f"BANK {n}"), links=one, **_ids(n))
        for n, one in enumerate(links)
    ]


async def test_a_hundred_payments_take_four_calls(open_desk: Any) -> None:
    desk = await open_desk()
    links = await _billed(desk, 102)
    await _write(desk, _payments(links)[100:])
    written = await _write(desk, _payments(links)[: desk.sink.batch["record_payment"]])
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
        (one["invoice"], _ids(n)["mark"]) for n, one in enumerate(links)
    }


async def test_a_crash_among_payments_makes_none_twice_and_leaves_none_astray(open_desk: Any) -> None:
    for after in range(1, 40):
        desk = await open_desk()
        commands = _payments(await _billed(desk, 3))
        ended = await _crashed(desk, desk.sink.write_many(commands), after)
        for command in commands:
            found = await desk.converse(desk.sink.probe(command))
            if found is not None:
                (event,) = await desk.read("commerce_payments", found.id)
                assert found.complete == (len(event.anchors) == 2)
        written = await _write(desk, commands)
        assert [one.facts.allocations[0].id for one in written] == [one.links["invoice"] for one in commands]
        assert _held(desk, "commerce_payments") == 3
        assert len(desk.calls) <= 9
        assert {row["status"] for row in desk.books("invoice")} == {"paid"}
        if ended:
            return
    pytest.fail("The talk never came to its end.")


async def test_a_payment_on_an_invoice_that_is_gone_fails_for_itself_alone(open_desk: Any) -> None:
    desk = await open_desk()
    links = await _billed(desk, 4)
    commands = _payments([*links[:2], {**links[2], "invoice": "404"}, links[3]])
    written = await _write(desk, commands)
    assert [type(one) for one in written] == [Written, Written, ConflictError, Written]
    assert _held(desk, "commerce_payments") == 4


def _notes(capability: str, deals: Sequence[str], facts: Any, **changes: Any) -> list[Command]:
    told = {"told_at": datetime(2026, 11, 2, 9, tzinfo=UTC), "text": "Paid", **changes}
    return [command_of(capability, facts, links={"order": id_}, **_ids(n), **told) for n, id_ in enumerate(deals)]


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
    deals = _typed_deals(desk, desk.sink.batch[capability] + 2, 0)
    commands = _notes(capability, deals, facts)
    await _write(desk, commands[-2:])
    written = await _write(desk, commands[:-2])
    assert desk.calls == ["POST /crm/v3/objects/notes/batch/create"]
    again = await _write(desk, commands[:3])
    assert [one.id for one in again] == [one.id for one in written[:3]]
    assert _held(desk, "notes") == len(deals)
    assert {row["notes"] for row in desk.books("order")} == {text}
    note = next(iter(desk.sandbox.portal.records["notes"].values()))
    assert note.values["hs_timestamp"] == "2026-11-02T09:00:00.000Z"


async def test_notes_whose_time_nobody_knows_and_parcels_of_order_objects_go_alone(open_desk: Any) -> None:
    desk = await open_desk()
    deals = _typed_deals(desk, 2, 0)
    written = await _write(desk, _notes("add_note", [*deals, "404"], ORDER, told_at=None))
    assert [type(one) for one in written] == [Written, Written, RejectedError]
    desk = await open_desk(order_object="orders")
    orders = [one.id for one in await _write(desk, _orders(2))]
    parcels = await _write(desk, _notes("record_shipment", orders, Shipment(tracking_numbers=("1Z1",))))
    assert [one.facts.tracking_numbers for one in parcels] == [("1Z1",), ("1Z1",)]


async def test_a_note_on_a_deal_that_is_gone_fails_for_itself_alone(open_desk: Any) -> None:
    desk = await open_desk()
    deals = _typed_deals(desk, 2, 0)
    written = await _write(desk, _notes("add_note", [deals[0], "404", deals[1]], ORDER))
    assert [type(one) for one in written] == [Written, RejectedError, Written]


# -- replies that the sandbox does not give ----------------------------------------------------------------------------


def _rows(*rows: dict[str, Any], status: int = 200) -> Response:
    return Response(status=status, body=json.dumps({"status": "COMPLETE", "results": rows}).encode())


def _lines_of(deal: str) -> list[dict[str, Any]]:
    return [{"id": f"{deal}{n}", "objectWriteTraceId": f"deals/{deal}/{n}", "properties": {}} for n in range(2)]


def test_a_buyers_second_address_is_known_and_an_unlisted_deal_is_found_by_its_mark() -> None:
    one, two = _orders(2)
    buyers = (
        {
            "id": "1",
            "properties": {"email": "main@example.com", "hs_additional_emails": "x@example.com;buyer0@example.com"},
        },
        {"id": "2", "properties": {"email": "buyer1@example.com"}},
    )
    deals = [
        {
            "id": id_,
            "properties": {"dealname": command.facts.number, "dealstage": "closedwon", "o2c_mark": command.mark},
        }
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
    commands = _notes("add_note", ["7", "8"], ORDER)
    refused = Response(status=status, body=b'{"status":"error","category":"CONFLICT","message":"no","errors":[]}')
    talk = HubspotSink(Connection(name="crm", tenant="acme", platform="hubspot", account="1")).write_many(commands)
    with pytest.raises((RejectedError, DuplicateError)):
        answer(talk, refused, *([_rows(), refused] if status == 400 else []))
