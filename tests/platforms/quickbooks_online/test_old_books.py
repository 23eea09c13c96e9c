"""A first walk reads the books from their beginning, and one after a long absence leaves nothing out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.talk import Request, Response
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from schemas.connection import Connection
from streams.sources.base import Page
from streams.sources.platforms.quickbooks_online import SOURCE
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.plain import NOW, SOURCE_OF, reply
from tests.platforms.quickbooks_online.rig import Rig

DAY = timedelta(days=1)
EMPTY = reply({"CDCResponse": [{"QueryResponse": [{}]}], "time": NOW.isoformat()})


class Years:
    """A clock that people set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def old() -> AsyncIterator[tuple[Rig, Years]]:
    years = Years()
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100, clock=years)
    yield Rig(sandbox, await sandbox.start()), years
    await sandbox.stop()


def typed(rig: Rig, number: str) -> str:
    line = {"title": "thing", "price": "119"}
    asked = {"customer": "Ada", "currency": "EUR", "lines": [line], "reference": number}
    return str(rig.sandbox.verbs["type_invoice"](asked)["id"])


async def walked(rig: Rig, cursor: str, now: datetime) -> tuple[set[str], Page]:
    """Return the ids of the invoices that a whole pass shows, and its last page."""
    seen: set[str] = set()
    while True:
        page = await rig.run(rig.source.sweep("books", cursor, now))
        seen |= {event.object.id for event in page.events if event.object.type == "Invoice"}
        if not page.more:
            return seen, page
        assert page.complete_up_to is None
        cursor = page.cursor


async def test_a_new_connection_reads_what_a_person_typed_long_before(old: tuple[Rig, Years]) -> None:
    rig, years = old
    years.now = NOW - 1000 * DAY
    ids = {typed(rig, "900")}
    years.now = NOW - 60 * DAY
    ids.add(typed(rig, "1001"))
    years.now = NOW
    ids.add(typed(rig, "1002"))

    seen, last = await walked(rig, "", NOW)

    assert seen == ids
    assert last.complete_up_to == NOW


async def test_after_a_long_absence_nothing_is_left_out(old: tuple[Rig, Years]) -> None:
    rig, years = old
    years.now = NOW - 90 * DAY
    typed(rig, "900")
    _, last = await walked(rig, "", years.now)
    years.now = NOW - 60 * DAY
    missed = typed(rig, "1001")
    years.now = NOW

    seen, last = await walked(rig, last.cursor, NOW)

    assert missed in seen
    assert last.complete_up_to == NOW


def test_what_was_deleted_longer_ago_than_the_list_of_deletions_reaches_is_looked_for_one_by_one() -> None:
    for ago, blind in ((None, False), (DAY, False), (28 * DAY, False), (29 * DAY, True), (60 * DAY, True)):
        cursor = "" if ago is None else (NOW - ago).isoformat()
        requests, page = answer(SOURCE_OF.sweep("books", cursor, NOW), EMPTY)
        assert (page.blind, page.more) == (blind, blind or ago is None)
        if page.more:  # told once, not with every window
            _, following = answer(SOURCE_OF.sweep("books", page.cursor, NOW), EMPTY, reply({"QueryResponse": {}}))
            assert not following.blind
        assert requests


def test_a_new_connection_begins_where_its_option_says() -> None:
    for told, begin in (("2026-01-01", "2026-01-01T00:00:00+00:00"), ("2026-01-01T02:00:00+01:00",) * 2):
        source = SOURCE(connection(since=told))
        _, page = answer(source.sweep("books", "", NOW), EMPTY)
        requests, _ = answer(source.sweep("books", page.cursor, NOW), EMPTY, reply({"QueryResponse": {}}))
        assert f"LastUpdatedTime >= '{begin}'" in requests[1].params["query"]


def test_a_beginning_within_the_look_back_needs_one_call() -> None:
    (request,), page = answer(SOURCE(connection(since="2026-05-01")).sweep("books", "", NOW), EMPTY)
    assert (request.path, request.params["changedSince"]) == ("/v3/company/310687/cdc", "2026-05-01T00:00:00+00:00")
    assert page.complete_up_to == NOW


def test_a_beginning_that_is_no_day_means_everything() -> None:
    assert answer(SOURCE(connection(since="soon")).sweep("books", "", NOW), EMPTY)[1].more


def test_long_books_are_read_in_few_calls_and_their_place_is_kept_page_by_page() -> None:
    """Twenty thousand invoices of ten years: about two queries for each thousand, each once, in any process."""
    began = datetime(2016, 1, 1, tzinfo=UTC)
    changed = [began + n * timedelta(hours=4) for n in range(20_000)]
    shown: list[str] = []
    calls, cursor, more = 0, "", True
    while more and calls < 200:
        talk = SOURCE_OF.sweep("books", cursor, NOW)
        request = next(talk)
        while more:
            calls += 1
            try:
                request = talk.send(listed(request, changed))
            except StopIteration as done:
                page: Page = done.value
                break
        assert len(page.events) < 1000
        shown += [event.object.id for event in page.events]
        cursor, more = page.cursor, page.more
    assert sorted(map(int, shown)) == list(range(20_000))
    assert calls < 100


def listed(request: Request, changed: list[datetime]) -> Response:
    """Answer a query for invoices of a window by what changed in it; nothing changed within the look-back."""
    words = request.params.get("query", "").split("'")
    if len(words) < 4 or "from Invoice" not in words[0]:
        return EMPTY if len(words) < 4 else reply({"QueryResponse": {}})
    since, until = datetime.fromisoformat(words[1]), datetime.fromisoformat(words[3])
    rows = [row(n, at) for n, at in enumerate(changed) if since <= at < until][:1000]
    return reply({"QueryResponse": {"Invoice": rows}})


def row(number: int, at: datetime) -> dict[str, Any]:
    return {"Id": str(number), "SyncToken": "0", "MetaData": {"LastUpdatedTime": at.isoformat()}, "TotalAmt": 1}


def connection(**options: str) -> Connection:
    return Connection(name="books", tenant="acme", platform="quickbooks_online", account="310687", options=options)
