"""Records under the path of a dated version: the same round trips, judged by the vendor's files of that version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.connection import Connection
from schemas.facts import Shipment
from schemas.platforms.hubspot import paths
from tests.platforms.hubspot.desk import INVOICE, KINDS, LINES, ORDER, PAYMENT, Desk, command_of, desks
from tests.platforms.hubspot.many import many_orders, send_many

pytestmark = pytest.mark.sandbox
DATED, NUMBERED = "/crm/objects/2026-09/", "/crm/v3/objects/"


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


def _of_records(desk: Desk) -> set[str]:
    """Return which of both paths the calls went to."""
    return {place for place in (DATED, NUMBERED) for call in desk.calls if f" {place}" in call}


@pytest.mark.parametrize(
    ("option", "path"),
    [
        ({}, "/crm/v3/objects/deals/7"),
        ({"api_version": "v3"}, "/crm/v3/objects/deals/7"),
        ({"api_version": "2026-03"}, "/crm/objects/2026-03/deals/7"),
    ],
)
def test_the_version_is_configured(option: dict[str, str], path: str) -> None:
    connection = Connection(name="crm", tenant="acme", platform="hubspot", account="7", options=option)
    assert paths.records(connection, "deals", "7") == path


@KINDS
async def test_an_order_is_written_changed_and_read_there(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind, api_version="2026-09")
    made = await desk.write(command_of("upsert_order", ORDER))
    fewer = replace(ORDER, lines=LINES[:1], note="none", headline="paid")
    change = {"kind": "set", "bound_id": made.id, "changes": ("lines", "note", "status", "email")}
    changed = await desk.write(command_of("upsert_order", fewer, **change))
    (event,) = await desk.read(kind, made.id)
    assert event.facts == changed.facts
    parcel = Shipment(tracking_numbers=("1Z",))
    await desk.write(command_of("record_shipment", parcel, 1, kind="append", links={"order": made.id}))
    await desk.write(command_of("add_note", ORDER, 2, kind="append", links={"order": made.id}, text="Paid"))
    events = await desk.converse(desk.source.read_many([desk.hint(kind, made.id), desk.hint(kind, "404")]))
    assert {(one.object.id, one.presence) for one in events if one.object.type == kind} == {
        (made.id, "present"),
        ("404", "deleted"),
    }
    assert _of_records(desk) == {DATED}


async def test_invoices_and_payments_live_there_too(open_desk: Any) -> None:
    desk = await open_desk(api_version="2026-09")
    billed = await desk.write(command_of("upsert_invoice", INVOICE))
    paid = await desk.write(command_of("record_payment", PAYMENT, 1, links={"invoice": billed.id}))
    await desk.write(command_of("reverse_payment", PAYMENT, 1, kind="void", bound_id=paid.id))
    assert [event.presence for event in await desk.read("commerce_payments", paid.id)] == ["deleted"]
    assert _of_records(desk) == {DATED}


@KINDS
async def test_batches_and_sweeps_go_there(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind, api_version="2026-09", commerce="no")
    written = await send_many(desk, [replace(one, presence="absent") for one in many_orders(3)])
    for name in desk.source.sweeps():
        page = await desk.converse(desk.source.sweep(name, "", datetime.now(UTC)))
        assert page.hints
    assert len(written) == 3
    assert _of_records(desk) == {DATED}
