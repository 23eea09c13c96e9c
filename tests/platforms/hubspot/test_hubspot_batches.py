"""Many records in few calls: reads and writes by the hundred against the sandbox; the vendor's files judge each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.platforms.hubspot.desk import Desk, desks

pytestmark = pytest.mark.sandbox
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
