"""How far a sweep got is kept, within a pass as well: who is restarted often comes to the end all the same."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import msgspec
import pytest

from app.connectors import reading
from app.connectors.reading import Cursor, Reader
from app.connectors.silence import Silence
from app.core.errors import DecodeError, RejectedError, RetryableError
from app.core.talk import Request, Response, Talk
from schemas.connection import Connection
from schemas.events import GAP, UNTOLD, ChangeEvent, Hint
from schemas.facts import Customer, Order, Party
from schemas.platform import Platform
from schemas.platforms.xero import PLATFORM
from schemas.refs import ObjectRef
from streams.sources.base import Page, Source

CONNECTION = Connection(name="books", tenant="acme", platform="xero", account="1")
PAGES = 5
LAST = datetime(2026, 5, 5, tzinfo=UTC)


class Book(Source):
    """A walk over five pages of one object each; a place within it is a page's number, a pass begins at "p<number>"."""

    platform: ClassVar[Platform] = PLATFORM

    def __init__(self, connection: Connection = CONNECTION) -> None:
        super().__init__(connection)
        self.asked: list[str] = []
        self.failing: dict[str, Exception] = {}

    def sweeps(self) -> tuple[str, ...]:
        return ("pages",)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        del name
        yield Request(method="GET", path="/pages")
        self.asked.append(cursor)
        if cursor in self.failing:
            raise self.failing[cursor]
        number = int(cursor) if cursor.isdigit() else 0
        hints = (Hint(tenant="acme", object=_ref(number)),)
        if number + 1 < PAGES:
            return Page(hints=hints, cursor=str(number + 1), more=True)
        return Page(hints=hints, cursor="p1", complete_up_to=now)

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        yield Request(method="GET", path=f"/pages/{hint.object.id}")
        return [ChangeEvent(tenant="acme", object=hint.object, facts=Customer(party=Party(name="Ada")), origin="read")]


def _ref(number: int) -> ObjectRef:
    return ObjectRef("books", "1", "contact", str(number))


class Process:
    """One owner of the connection, over what the one before it left; it dies at its *calls*-th call if there is one."""

    def __init__(self, book: Book, left: dict[str, bytes], calls: int = 0) -> None:
        self.told: list[str] = []
        self._left, self._calls = left, calls
        cursors = {name: msgspec.json.decode(row, type=Cursor) for name, row in left.items()}
        self.reader = Reader(
            book, self._send, self._publish, epoch=1, number=lambda: 1, keep_cursor=self._keep, cursors=cursors,
            failed=lambda _error: None,
        )  # fmt: skip

    async def _send(self, _request: Request) -> Response:
        self._calls -= 1
        if self._calls == 0:
            raise asyncio.CancelledError
        return Response(status=200)

    async def _publish(self, event: ChangeEvent) -> None:
        self.told.append(event.object.id)

    async def _keep(self, name: str, cursor: Cursor) -> None:
        self._left[name] = msgspec.json.encode(cursor)


def _kept(left: dict[str, bytes]) -> Cursor:
    return msgspec.json.decode(left["pages"], type=Cursor)


async def test_who_is_restarted_after_every_page_comes_to_the_end_and_moves_the_mark_only_there() -> None:
    left = {"pages": msgspec.json.encode(Cursor("p0", LAST))}
    told = list[str]()
    for _ in range(PAGES - 1):
        process = Process(Book(), left, calls=4)
        with pytest.raises(asyncio.CancelledError):
            await process.reader.sweep("pages")
        told += process.told
        assert (_kept(left).value, _kept(left).complete_up_to) == ("p0", LAST)
    process = Process(Book(), left, calls=4)
    await process.reader.sweep("pages")
    assert [*told, *process.told] == ["0", "1", "2", "3", "4"]
    assert (_kept(left).value, _kept(left).within) == ("p1", "")
    assert (_kept(left).complete_up_to or LAST) > LAST


async def test_who_dies_amid_a_page_reads_it_again() -> None:
    left = dict[str, bytes]()
    process = Process(Book(), left, calls=4)
    with pytest.raises(asyncio.CancelledError):
        await process.reader.sweep("pages")
    assert (process.told, _kept(left).within) == (["0"], "1")
    book = Book()
    await Process(book, left).reader.sweep("pages")
    assert book.asked == ["1", "2", "3", "4"]


class Orders(Source):
    """A walk that finds ten orders anew each time, changed an hour ago."""

    platform: ClassVar[Platform] = PLATFORM

    def sweeps(self) -> tuple[str, ...]:
        return ("orders",)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        del name
        yield Request(method="GET", path="/orders")
        number = f"{cursor}+"
        facts = Order(number=number, currency="EUR")
        refs = [ObjectRef("books", "1", "order", str(n)) for n in range(10)]
        found = [
            ChangeEvent(tenant="acme", object=ref, facts=facts, changed_at=now - timedelta(hours=1)) for ref in refs
        ]
        return Page(events=tuple(found), cursor=number, complete_up_to=now - timedelta(hours=2))


async def test_what_sweeps_find_and_nobody_told_makes_webhooks_silent_and_is_not_read_for_that() -> None:
    process = Process(Orders(CONNECTION), {"orders": msgspec.json.encode(Cursor("", LAST))})  # type: ignore[arg-type]
    reader, silent, read = process.reader, list[int](), list[int]()
    clock = [time.time() - 7_200.0]
    reader._silence = Silence(lambda: clock[0])  # an owner since two hours
    clock[0] += 7_200.0

    async def published(event: ChangeEvent) -> None:
        """Say as the streams do that nobody had told of it."""
        process.told.append(event.object.id)
        reader.want(Hint(tenant="acme", object=event.object, reason=UNTOLD), lambda: read.append(1))

    reader._publish = published
    reader.silent = lambda: silent.append(len(process.told))
    walking = asyncio.create_task(reader.sweep_forever(0))
    async with asyncio.timeout(30):
        while not silent:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    walking.cancel()
    await asyncio.gather(walking, return_exceptions=True)
    assert (silent[0], len(read) >= silent[0], reader.read_by_hint) == (10, True, 0)


@pytest.mark.parametrize(("reason", "passes"), [(GAP, 2), (UNTOLD, 1)])
async def test_lost_deliveries_bring_the_next_sweep_forward_and_cost_no_read(
    monkeypatch: pytest.MonkeyPatch, reason: str, passes: int
) -> None:
    monkeypatch.setattr(reading, "_SOONEST", 0.01)
    monkeypatch.setattr(reading, "_LATE", 0.0)
    book, read = Book(), list[int]()
    reader = Process(book, {}).reader
    walking = asyncio.create_task(reader.sweep_forever(600))
    while len(book.asked) < PAGES:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0)
    reader.want(Hint(tenant="acme", object=_ref(7), reason=reason), lambda: read.append(1))
    await asyncio.sleep(0.2)
    walking.cancel()
    await asyncio.gather(walking, return_exceptions=True)
    assert (len(book.asked), read, reader.read_by_hint) == (passes * PAGES, [1], passes * PAGES)


@pytest.mark.parametrize("error", [RejectedError("no such page"), DecodeError("no list"), KeyError("at")])
async def test_a_place_that_is_refused_lets_the_pass_begin_anew(error: Exception) -> None:
    left = {"pages": msgspec.json.encode(Cursor("p0", LAST, "3"))}
    book = Book()
    book.failing["3"] = error
    process = Process(book, left)
    await process.reader._guarded_sweep("pages")
    book.failing.clear()
    await process.reader._guarded_sweep("pages")
    assert book.asked == ["3", "p0", "1", "2", "3", "4"]
    assert _kept(left).value == "p1"


async def test_a_place_that_cannot_be_asked_for_now_is_asked_for_again() -> None:
    left = {"pages": msgspec.json.encode(Cursor("p0", LAST, "3"))}
    book = Book()
    book.failing["3"] = RetryableError("later")
    process = Process(book, left)
    await process.reader._guarded_sweep("pages")
    book.failing.clear()
    await process.reader._guarded_sweep("pages")
    assert book.asked == ["3", "3", "4"]


async def test_a_new_since_begins_the_pass_anew() -> None:
    left = dict[str, bytes]()
    with pytest.raises(asyncio.CancelledError):
        await Process(Book(), left, calls=4).reader.sweep("pages")
    book = Book(msgspec.structs.replace(CONNECTION, options={"since": "2026-01-01"}))
    process = Process(book, left, calls=4)
    with pytest.raises(asyncio.CancelledError):
        await process.reader.sweep("pages")
    assert book.asked[0] == ""
    again = Book(msgspec.structs.replace(CONNECTION, options={"since": "2026-01-01"}))
    await Process(again, left).reader.sweep("pages")
    assert again.asked[0] == "1"


async def test_a_cursor_of_an_earlier_version_is_where_a_pass_begins() -> None:
    left = {"pages": b'{"value":"p0","complete_up_to":"2026-05-05T00:00:00Z"}'}
    book = Book()
    await Process(book, left).reader.sweep("pages")
    assert book.asked[0] == "p0"


async def test_a_pass_that_no_list_of_deletions_reaches_back_to_asks_for_everything_before_its_place_is_kept() -> None:
    told: list[str] = []

    class Blind(Book):
        def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
            page = yield from super().sweep(name, cursor, now)
            return msgspec.structs.replace(page, blind=not cursor)

    left = dict[str, bytes]()
    process = Process(Blind(), left)

    async def everything() -> None:
        told.append(f"after {len(process.told)} kept {len(left)}")

    process.reader.blind = everything
    await process.reader.sweep("pages")
    assert told == ["after 1 kept 0"]
