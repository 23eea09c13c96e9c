"""What o2c wrote and is still open is read again by id, once per period, from where an earlier owner stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.connectors.reading import Cursor
from app.connectors.rechecking import Recheck, open_objects, standing
from schemas.commands import BACKFILL
from schemas.connection import Connection
from schemas.events import Hint
from schemas.order_state import PublicOrder, Shown
from schemas.refs import ObjectRef

BOOKS = Connection(name="books", tenant="acme", platform="xero", account="1")


def shown(id_: str, **changes: Any) -> Shown:
    known = {"connection": "books", "account": "1", "type": "invoice", "kind": "invoice", "ours": True}
    return Shown(**{**known, "id": id_, **changes})


def order(*objects: Shown, **changes: Any) -> PublicOrder:
    return PublicOrder(**{"key": "k", "tenant": "acme", "amount_due": Decimal(5), "shown": objects, **changes})


def ref(id_: str) -> ObjectRef:
    return ObjectRef("books", "1", "invoice", id_)


def test_only_our_open_objects_of_this_account_are_read_again() -> None:
    others = [shown("2", ours=False), shown("3", status="void"), shown("4", account="9"), shown("5", connection="shop")]
    assert open_objects(order(shown("1", status="paid"), *others), BOOKS) == (ref("1"),)


def test_an_open_order_that_a_person_typed_is_read_again() -> None:
    typed = shown("2", ours=False, kind="order")
    elsewhere = shown("3", ours=False, kind="order", connection="shop")
    assert open_objects(order(typed, elsewhere, shown("4", ours=False, kind="payment")), BOOKS) == (ref("2"),)
    assert open_objects(order(shown("2", ours=False, kind="order", status="cancelled")), BOOKS) == ()


@pytest.mark.parametrize(
    "done", [{"life_cycle": "closed", "amount_due": Decimal(0)}, {"alias_of": "other"}, {"tenant": "another"}]
)
def test_nothing_of_an_order_that_is_done_with_is_read_again(done: dict[str, Any]) -> None:
    assert open_objects(order(shown("1"), **done), BOOKS) == ()


def test_after_a_time_of_which_no_list_tells_everything_that_is_not_over_is_read_again() -> None:
    typed = shown("2", ours=False, kind="payment")
    others = [shown("3", status="void"), shown("4", account="9"), shown("5", connection="shop")]
    done = order(shown("1", status="paid"), typed, *others, life_cycle="closed", amount_due=Decimal(0))
    assert open_objects(done, BOOKS) == ()
    assert open_objects(done, BOOKS, whole=True) == (ref("1"), ref("2"))
    assert open_objects(order(shown("1"), alias_of="other"), BOOKS, whole=True) == ()


async def test_the_newest_state_of_an_order_counts() -> None:
    async def states() -> AsyncIterator[tuple[bytes, bytes | None]]:
        encode = msgspec.json.encode
        yield b"a", encode(order(shown("1")))
        yield b"b", encode(order(shown("2")))
        yield b"c", encode(order(shown("3")))
        yield b"b", encode(order(shown("2", status="void")))
        yield b"c", None

    assert await standing(states(), BOOKS) == [ref("1")]


class Kept:
    """A reader and a durable cursor, in memory."""

    def __init__(self, stops_after: int = 1_000_000) -> None:
        self.read: list[str] = []
        self.priorities: set[int] = set()
        self.cursor: Cursor | None = None
        self.stops_after = stops_after

    async def objects(self, whole: bool) -> Sequence[ObjectRef]:  # noqa: FBT001 - as it is called
        return [ref(f"{n:03}") for n in range(70 if whole else 50)]

    async def look(self, hints: Sequence[Hint]) -> Sequence[Hint]:
        if len(self.read) >= self.stops_after:
            raise asyncio.CancelledError
        self.read += [hint.object.id for hint in hints]
        self.priorities |= {hint.priority for hint in hints}
        return ()

    async def keep(self, _name: str, cursor: Cursor) -> None:
        self.cursor = cursor

    def recheck(self, seconds: float = 0.01) -> Recheck:
        well = asyncio.Event()
        well.set()
        return Recheck(
            BOOKS, self.objects, self.look, keep_cursor=self.keep, cursor=self.cursor, seconds=seconds, well=well
        )


async def test_a_walk_that_was_cut_off_goes_on_where_it_stopped() -> None:
    kept = Kept(stops_after=20)
    with pytest.raises(asyncio.CancelledError):
        await kept.recheck().walk()
    kept.stops_after = 1_000_000
    await kept.recheck().walk()
    assert kept.read == [f"{n:03}" for n in range(50)]
    assert kept.priorities == {BACKFILL}
    assert kept.cursor is not None
    assert kept.cursor.value == ""
    await kept.recheck().walk()
    assert len(kept.read) == 100


@pytest.mark.parametrize(
    ("ago", "seconds", "walks"), [(3600, 600, True), (60, 600, False), (None, 600, False), (3600, 0, False)]
)
async def test_it_walks_when_a_period_is_over(ago: int | None, seconds: float, walks: bool) -> None:  # noqa: FBT001 - a case
    kept = Kept()
    if ago is not None:
        kept.cursor = Cursor("", datetime.now(UTC) - timedelta(seconds=ago))
    running = asyncio.create_task(kept.recheck(seconds).run())
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert bool(kept.read) is walks
    assert kept.cursor is not None


async def test_a_whole_walk_begins_at_once() -> None:
    kept = Kept()
    kept.cursor = Cursor("", datetime.now(UTC))
    running = kept.recheck(3_600)
    working = asyncio.create_task(running.run())
    await asyncio.sleep(0.02)
    assert kept.read == []
    await running.everything()
    await asyncio.sleep(0.02)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert len(kept.read) == 20, "the pause behind the first step is that of a walk that has hours"
    assert kept.cursor == Cursor(f"*{ref('019').key}")


async def test_a_whole_walk_that_was_cut_off_goes_on_whole_where_it_stopped() -> None:
    kept = Kept(stops_after=40)
    first = kept.recheck()
    await first.everything()
    with pytest.raises(asyncio.CancelledError):
        await first.walk()
    kept.stops_after = 1_000_000
    await kept.recheck().walk()
    assert kept.read == [f"{n:03}" for n in range(70)]
    await kept.recheck().walk()
    assert len(kept.read) == 120


async def test_a_walk_under_way_gives_way_to_a_whole_one() -> None:
    kept = Kept()
    kept.cursor = Cursor("", datetime.now(UTC) - timedelta(days=2))
    running = kept.recheck(0.2)
    working = asyncio.create_task(running.run())
    await asyncio.sleep(0.01)
    assert len(kept.read) == 20
    await running.everything()
    await asyncio.sleep(0.3)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert set(kept.read) >= {f"{n:03}" for n in range(70)}
