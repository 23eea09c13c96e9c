"""What a person does to the lines of an order, told by a webhook and found by a sweep alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.platforms.hubspot.model import BY_NAME
from app.sandbox.platforms.hubspot.records import Record
from schemas.events import ChangeEvent
from schemas.facts import Order
from streams.sources.base import Hook, Page
from tests.platforms.hubspot.desk import INVOICE, KINDS, ORDER, Desk, command_of, desks

pytestmark = pytest.mark.sandbox
PERSON = "CRM_UI"


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


def _lines(desk: Desk) -> list[Record]:
    return list(desk.sandbox.portal.records["line_items"].values())


def _shown(events: list[ChangeEvent]) -> list[tuple[str, list[Decimal]]]:
    """Return the orders that *events* tell of, each with what its lines come to."""
    return [
        (event.object.id, [line.net_amount for line in event.facts.lines])
        for event in events
        if isinstance(event.facts, Order)
    ]


def _told(desk: Desk) -> list[bytes]:
    """Return what the portal tells from now on."""
    told: list[bytes] = []
    desk.sandbox.emit = lambda event, **_: told.append(event)  # type: ignore[method-assign]  # nobody else listens
    return told


async def _heard(desk: Desk, told: list[bytes]) -> list[ChangeEvent]:
    """Return what reading leads to after the deliveries *told*."""
    body = json.dumps([json.loads(event) for event in told]).encode()
    return [
        event for hint in desk.source.hints(Hook(body=body)) for event in await desk.converse(desk.source.read(hint))
    ]


async def _pass(desk: Desk, name: str, cursor: str) -> Page:
    page = await desk.converse(desk.source.sweep(name, cursor, datetime.now(UTC)))
    assert not page.more
    return page


async def _swept(desk: Desk, cursor: str) -> list[ChangeEvent]:
    page = await _pass(desk, "line_items", cursor)
    return await desk.converse(desk.source.read_many(page.hints)) if page.hints else []


@KINDS
async def test_a_webhook_of_a_deleted_line_leads_to_its_order(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind, commerce="no")
    written = await desk.write(command_of("upsert_order", ORDER))
    told = _told(desk)
    desk.sandbox.portal.archive(_lines(desk)[1], PERSON)
    assert _shown(await _heard(desk, told)) == [(written.id, [Decimal(10)])]


async def test_a_deleted_line_of_an_invoice_leads_there(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.write(command_of("upsert_invoice", INVOICE))
    told = _told(desk)
    desk.sandbox.portal.archive(_lines(desk)[0], PERSON)
    assert {event.object.type for event in await _heard(desk, told)} == {"invoices"}


async def test_a_line_that_hung_on_nothing_leads_nowhere(open_desk: Any) -> None:
    desk = await open_desk()
    desk.sandbox.portal.create(BY_NAME["line_items"], {"name": "Pen"}, PERSON)
    assert await desk.read("line_items", _lines(desk)[0].id) == []
    desk.sandbox.portal.archive(_lines(desk)[0], PERSON)
    assert await desk.read("line_items", _lines(desk)[0].id) == []
    assert await desk.read("line_items", "404") == []


@KINDS
async def test_a_sweep_finds_a_line_that_was_edited(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind, commerce="no")
    assert desk.source.sweeps() == ("line_items", kind, "contacts")
    first = await _pass(desk, "line_items", "")
    written = await desk.write(command_of("upsert_order", ORDER))
    heads = await _pass(desk, kind, "")
    desk.sandbox.portal.update(_lines(desk)[0], {"quantity": "1", "price": "7.00"}, PERSON)
    seen = await _pass(desk, kind, heads.cursor)
    assert [hint.native for hint in seen.hints] == [written.native], "the order itself looks unchanged"
    assert _shown(await _swept(desk, first.cursor)) == [(written.id, [Decimal(7), Decimal(2)])]


async def test_the_first_walk_leaves_old_lines_to_the_walk_of_orders(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.write(command_of("upsert_order", ORDER))
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for line in _lines(desk):
        line.looks[-1][1]["hs_lastmodifieddate"] = past.isoformat()
    assert (await _pass(desk, "line_items", "")).hints == ()
