"""A journal's place moves once all before it was read and acknowledged; its troubles stop nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
import pytest

from app.connectors import following
from app.connectors.following import PLACE, Follower
from app.connectors.reading import Cursor, Reader
from app.core.errors import AuthError, RateLimited, RejectedError, RetryableError
from app.core.talk import Request, Response, Talk
from schemas.connection import Connection
from schemas.events import GAP, ChangeEvent, Hint
from schemas.facts import Order
from schemas.platform import Platform
from schemas.platforms.hubspot import PLATFORM
from schemas.refs import ObjectRef
from streams.sources.base import Page, Source
from streams.sources.subscribing import Subscriber, Subscription

CONNECTION = Connection(name="crm", tenant="acme", platform="hubspot", account="1")
WANTED = (Subscription(key="a", topics=("x", "y"), address=""), Subscription(key="b", topics=("z",), address=""))


def _hint(id_: str, reason: str = "") -> Hint:
    return Hint(tenant="acme", object=ObjectRef("crm", "1", "deals", id_), reason=reason)


class Subscriptions(Subscriber):
    """Two are wanted; somebody else has a third, and one of ours twice."""

    def __init__(self, *found: Subscription, refuses: dict[str, Exception] | None = None) -> None:
        self.rows, self.refuses = list(found), refuses or {}

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        assert (address, topics) == ("", ())
        return WANTED

    def found(self) -> Talk[list[Subscription]]:
        yield Request(method="GET", path="/subscriptions")
        return self.rows

    def create(self, wanted: Subscription) -> Talk[str]:
        yield Request(method="POST", path="/subscriptions")
        if error := self.refuses.get(wanted.key):
            raise error
        self.rows.append(msgspec.structs.replace(wanted, id=f"{len(self.rows)}"))
        return ""

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        yield Request(method="POST", path="/subscriptions")
        self.rows[self.rows.index(found)] = msgspec.structs.replace(wanted, id=found.id)
        return ""


class Crm(Source):
    """A journal of numbered entries, each with hints; its end asks for no more."""

    platform: ClassVar[Platform] = PLATFORM

    def __init__(self, *entries: Sequence[Hint], subscriptions: Subscriptions | None = None) -> None:
        super().__init__(CONNECTION)
        self.entries = list(entries)
        self.subscriptions = subscriptions or Subscriptions()
        self.asked: list[str] = []
        self.failing: list[Exception] = []
        self.read_ids: list[str] = []
        self.tries = 0
        self.unreadable: dict[str, Exception] = {}

    def entry(self, cursor: str) -> Talk[Page]:
        yield Request(method="GET", path="/journal")
        self.asked.append(cursor)
        if self.failing:
            raise self.failing.pop()
        at = int(cursor or 0)
        if at == len(self.entries):
            return Page(cursor=cursor)
        return Page(hints=tuple(self.entries[at]), cursor=str(at + 1), more=True)

    def journal_subscriber(self) -> Subscriptions:
        return self.subscriptions

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        yield Request(method="GET", path="/deals")
        if error := self.unreadable.get(hint.object.id):
            self.tries += 1
            raise error
        self.read_ids.append(hint.object.id)
        return [ChangeEvent(tenant="acme", object=hint.object, facts=Order(number=hint.object.id), origin="read")]


class Owner:
    """One owner of the connection, over what the one before it left."""

    def __init__(self, crm: Crm, left: dict[str, bytes], *, seconds: float = 0.01, look_seconds: float = 0.0) -> None:
        self.crm, self.left = crm, left
        self.told: list[str] = []
        self.acknowledges = asyncio.Event()
        self.acknowledges.set()
        self.aside: list[str] = []
        self.missing: list[int] = []
        self.reader = Reader(
            crm, self._send, self._publish, epoch=1, number=lambda: 1, keep_cursor=self._keep, cursors={},
            failed=lambda _error: None, put_aside=self._put_aside,
        )  # fmt: skip
        kept = left.get(PLACE)
        self.well = asyncio.Event()
        self.well.set()
        self.follower = Follower(
            crm, self._send, self.reader.want, keep_cursor=self._keep,
            cursor=None if kept is None else msgspec.json.decode(kept, type=Cursor),
            seconds=seconds, look_seconds=look_seconds, well=self.well, missing=self.missing.append,
        )  # fmt: skip

    async def _send(self, _request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(status=200)

    async def _publish(self, event: ChangeEvent) -> None:
        await self.acknowledges.wait()
        self.told.append(event.object.id)

    async def _put_aside(self, hint: Hint, _why: str) -> None:
        self.aside.append(hint.object.id)

    async def _keep(self, name: str, cursor: Cursor) -> None:
        self.left[name] = msgspec.json.encode(cursor)

    @property
    def place(self) -> str:
        kept = self.left.get(PLACE)
        return "" if kept is None else msgspec.json.decode(kept, type=Cursor).value

    async def until(self, true: Callable[[], object]) -> None:
        """Run until *true*, as the desk runs it."""
        tasks = [asyncio.create_task(self.reader.run()), asyncio.create_task(self.follower.run())]
        try:
            async with asyncio.timeout(20):
                while not true():
                    assert not any(task.done() for task in tasks), [task.exception() for task in tasks if task.done()]
                    await asyncio.sleep(0.005)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_entries_are_read_in_turn_and_the_place_is_kept() -> None:
    owner = Owner(Crm([_hint("1"), _hint("2")], [], [_hint("3")]), {})
    await owner.until(lambda: owner.place == "3")
    assert sorted(owner.told) == ["1", "2", "3"]
    assert owner.crm.asked[:4] == ["", "1", "2", "3"]


async def test_the_place_stays_until_what_was_told_is_acknowledged_and_the_next_owner_reads_it_again() -> None:
    crm, left = Crm([_hint("1")], [_hint("2")]), dict[str, bytes]()
    first = Owner(crm, left)
    first.acknowledges.clear()
    await first.until(lambda: crm.read_ids)
    assert (first.place, first.told) == ("", [])
    second = Owner(crm, left)
    await second.until(lambda: second.place == "2")
    assert second.told == ["1", "2"]
    third = Owner(crm, left)
    third.crm.entries.append([_hint("3")])
    await third.until(lambda: third.place == "3")
    assert third.told == ["3"]


async def test_what_is_told_twice_is_told_once_and_what_cannot_be_read_is_put_aside() -> None:
    crm = Crm([_hint("1"), _hint("bad")], [_hint("1")])
    crm.unreadable["bad"] = RejectedError("It is nobody's.")
    owner = Owner(crm, {})
    await owner.until(lambda: owner.place == "2")
    assert (owner.told, owner.aside) == (["1"], ["bad"])


async def test_what_cannot_be_read_now_holds_the_place() -> None:
    crm = Crm([_hint("1")])
    crm.unreadable["1"] = RetryableError("Later.")
    owner = Owner(crm, {})
    await owner.until(lambda: crm.tries > 1)
    assert owner.place == ""
    crm.unreadable.clear()
    await owner.until(lambda: owner.place == "1")
    assert owner.told == ["1"]


async def test_a_gap_brings_the_next_sweep_forward_and_needs_no_read() -> None:
    owner = Owner(Crm([_hint("1", GAP)]), {})
    await owner.until(lambda: owner.place == "1")
    assert owner.reader._lost.is_set()
    assert owner.crm.read_ids == []


@pytest.mark.parametrize("error", [RetryableError("x"), AuthError("x"), RejectedError("x"), ValueError("x")])
async def test_a_failed_look_is_repeated_and_stops_nothing(error: Exception) -> None:
    crm = Crm([_hint("1")])
    crm.failing = [error]
    owner = Owner(crm, {})
    await owner.until(lambda: owner.place == "1")
    assert crm.asked[:2] == ["", ""]


def test_looks_that_fail_come_less_often_and_as_late_as_was_asked() -> None:
    assert following._longer(30.0, RetryableError("x")) == 60.0
    assert following._longer(600.0, RetryableError("x")) == 600.0
    assert following._longer(30.0, RateLimited("x", 3600.0)) == 3600.0


async def test_nothing_is_asked_while_the_account_is_not_verified() -> None:
    owner = Owner(Crm([_hint("1")]), {})
    owner.well.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await owner.until(lambda: owner.crm.asked)


# -- subscriptions -----------------------------------------------------------------------------------------------------


async def test_what_is_missing_is_made_and_nothing_is_ended() -> None:
    others = Subscription(key="c", topics=("q",), id="9", address="")
    twice = [Subscription(key="a", topics=("x",), id=id_, address="") for id_ in ("1", "2")]
    subscriptions = Subscriptions(*twice, others)
    owner = Owner(Crm(subscriptions=subscriptions), {})
    await owner.until(lambda: owner.missing[1:])
    assert [(row.id, row.topics) for row in subscriptions.rows] == [
        ("1", ("x", "y")), ("2", ("x",)), ("9", ("q",)), ("3", ("z",)),
    ]  # fmt: skip
    assert owner.missing == [2, 0]


async def test_lost_subscriptions_are_made_again_on_schedule_or_when_the_journal_seems_silent() -> None:
    subscriptions = Subscriptions()
    owner = Owner(Crm(subscriptions=subscriptions), {}, look_seconds=0.05)
    await owner.until(lambda: len(subscriptions.rows) == 2)
    subscriptions.rows.clear()
    await owner.until(lambda: len(subscriptions.rows) == 2)
    once = Owner(Crm(subscriptions=subscriptions), {})
    await once.until(lambda: once.missing)
    subscriptions.rows.clear()
    once.follower.look()
    await once.until(lambda: len(subscriptions.rows) == 2)


async def test_who_may_not_subscribe_follows_all_the_same() -> None:
    subscriptions = Subscriptions(refuses={"a": RejectedError("No right.")})
    owner = Owner(Crm([_hint("1")], subscriptions=subscriptions), {}, look_seconds=0.05)
    await owner.until(lambda: owner.place == "1" and owner.missing[3:])
    assert [row.key for row in subscriptions.rows] == ["b"]
    assert owner.missing[:4] == [3, 2, 2, 2]
