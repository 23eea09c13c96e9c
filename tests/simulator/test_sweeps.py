"""SCENARIO 38: pages slide while they are read; the real reader and Xero's source against a fake list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.connectors.reading import Cursor, Reader
from app.core.talk import Request, Response
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef
from streams.sources.platforms.xero import XeroSource

SEEDS = pytest.mark.parametrize("burst", [True, False], ids=["one second", "one a second"])
ACCOUNT = "00000000-0000-4000-8000-000000000001"
START = datetime(2026, 3, 2, 9, tzinfo=UTC)


class Shelf:
    """Xero's list of invoices in memory: modified since, by page, oldest change first; *between* runs amid pages."""

    def __init__(self, rows: int, *, burst: bool) -> None:
        self.now = START
        self.rows: dict[str, datetime] = {}
        for number in range(rows):
            self.rows[str(UUID(int=number))] = START + timedelta(seconds=0 if burst else number)
        self.now = START + timedelta(seconds=rows)
        self.between: Callable[[], None] = lambda: None
        self.pages = 0

    def edit(self, id_: str) -> None:
        self.now += timedelta(seconds=1)
        del self.rows[id_]
        self.rows[id_] = self.now

    def delete(self, id_: str) -> None:
        del self.rows[id_]

    async def __call__(self, request: Request) -> Response:
        if "pageSize" not in request.params:
            return Response(status=404 if request.path.rpartition("/")[2] not in self.rows else 500)
        since = datetime.fromisoformat(request.headers.get("If-Modified-Since", "2000-01-01T00:00:00")).replace(
            tzinfo=UTC
        )
        page, size = int(request.params["page"]), int(request.params["pageSize"])
        found = sorted((at, id_) for id_, at in self.rows.items() if at >= since)
        shown = found[(page - 1) * size : page * size]
        body = {
            "DateTimeUTC": _time(self.now),
            "pagination": {
                "page": page,
                "pageSize": size,
                "pageCount": -(-len(found) // size),
                "itemCount": len(found),
            },
            "Invoices": [_invoice(id_, at) for at, id_ in shown],
        }
        self.pages += 1
        self.between()
        return Response(status=200, body=msgspec.json.encode(body))


def _time(at: datetime) -> str:
    return f"/Date({int(at.timestamp() * 1000)}+0000)/"


def _invoice(id_: str, at: datetime) -> dict[str, Any]:
    return {
        "Type": "ACCREC", "InvoiceID": id_, "InvoiceNumber": f"N-{id_[-4:]}", "Status": "AUTHORISED",
        "Total": 1, "AmountDue": 1, "CurrencyCode": "EUR", "Reference": f"at {at:%H:%M:%S}", "UpdatedDateUTC": _time(at),
    }  # fmt: skip


class Desk:
    """The real reader over the shelf, with what it published and where its mark stands."""

    def __init__(self, shelf: Shelf, left: Cursor | None = None) -> None:
        self.events: list[ChangeEvent] = []
        self.marks: list[Cursor] = []
        self.number = 0
        connection = Connection(name="books", tenant="acme", platform="xero", account=ACCOUNT)
        self.reader = Reader(
            XeroSource(connection), shelf, self._publish, epoch=1, number=self._next, keep_cursor=self._keep,
            cursors={} if left is None else {"invoices": left}, failed=lambda _error: None,
        )  # fmt: skip

    async def _publish(self, event: ChangeEvent) -> None:
        self.events.append(event)

    async def _keep(self, name: str, cursor: Cursor) -> None:
        self.marks.append(cursor)

    def _next(self) -> int:
        self.number += 1
        return self.number

    @property
    def seen(self) -> set[str]:
        return {event.object.id for event in self.events if event.presence == "present"}


def _amid(shelf: Shelf, act: Callable[[], None]) -> None:
    """Let *act* happen once, after the second page was read."""

    def between() -> None:
        if shelf.pages == 2:
            act()

    shelf.between = between


@SEEDS
async def test_38_a_row_that_slides_to_a_page_that_was_read_is_not_missed(burst: bool) -> None:  # noqa: FBT001
    shelf, first = Shelf(1205, burst=burst), str(UUID(int=0))
    desk = Desk(shelf)
    _amid(shelf, lambda: shelf.edit(first))
    await desk.reader.sweep("invoices")
    assert desk.seen == set(shelf.rows)
    assert {mark.complete_up_to for mark in desk.marks[:-1]} == {None}
    mark = desk.marks[-1]
    assert mark.complete_up_to is not None
    assert mark.complete_up_to < shelf.rows[first]
    shelf.pages = 100
    await desk.reader.sweep("invoices")
    assert max(event.changed_at for event in desk.events if event.object.id == first) == shelf.rows[first]  # type: ignore[type-var]


@SEEDS
async def test_38_a_row_that_is_deleted_hides_no_other_and_reads_as_gone(burst: bool) -> None:  # noqa: FBT001
    shelf, first = Shelf(1205, burst=burst), str(UUID(int=0))
    desk = Desk(shelf)
    _amid(shelf, lambda: shelf.delete(first))
    await desk.reader.sweep("invoices")
    assert desk.seen >= set(shelf.rows)
    await desk.reader._read([Hint(tenant="acme", object=ObjectRef("books", ACCOUNT, "invoice", first))])
    assert [event.presence for event in desk.events if event.object.id == first] == ["present", "deleted"]


@SEEDS
async def test_38_a_sweep_that_breaks_off_leaves_its_mark_where_it_was_and_goes_on_from_there(burst: bool) -> None:  # noqa: FBT001
    shelf = Shelf(1205, burst=burst)
    desk = Desk(shelf)

    def fall() -> None:
        raise ConnectionError("the line dropped")

    _amid(shelf, fall)
    with pytest.raises(ConnectionError):
        await desk.reader.sweep("invoices")
    assert [(mark.value, mark.complete_up_to) for mark in desk.marks] == [("", None)]
    seen, shelf.pages = desk.seen, 100
    after = Desk(shelf, desk.marks[-1])
    await after.reader.sweep("invoices")
    assert seen | after.seen == set(shelf.rows)
    assert burst or len(after.seen) < len(shelf.rows), "what was kept is not read again"
