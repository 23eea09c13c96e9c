"""Delivery and limiter together, in virtual time: while work waits the quota is used, and never exceeded on the way.

What takes time is what takes it in production: the platform, and Kafka, which makes an intent durable before each call
and answers late now and then. The vendor counts when calls leave, not when they were let go.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, ClassVar, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.connectors.sending import Sending
from app.core.auth import Credential
from app.core.errors import O2CError
from app.core.http import HttpClient
from app.core.limits import Limiter, abreast
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command, Pair, Result
from schemas.connection import Connection
from schemas.facts import Invoice
from schemas.platform import Auth, Consistency, Effect, Limit, Limits, Platform
from schemas.platforms.hubspot import PLATFORM as HUBSPOT
from schemas.platforms.quickbooks_online import PLATFORM as QUICKBOOKS
from schemas.platforms.stripe import PLATFORM as STRIPE
from schemas.platforms.xero import PLATFORM as XERO
from sinks.base import Sink, Written
from sinks.delivery.owner import Owner
from tests.property.virtual_time import run

Delay = Callable[[], float]
BOOKS = Connection(name="books", tenant="acme", platform="made_up", account="b")


def made_up(limits: Limits) -> Platform:
    return Platform(
        slug="made_up", title="Made up", side="accounting", base_url="https://example.com", docs="https://example.com",
        auth=Auth(), limits=limits, consistency=Consistency(), objects={"invoice": "invoice"}, statuses={},
        capabilities={"upsert_invoice": Effect.RECORDS},
    )  # fmt: skip


class Notes(Sink):
    """Reads an invoice and changes its note: two calls a write."""

    platform: ClassVar[Platform] = made_up(Limits())

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        path, body = f"/invoices/{command.bound_id}", {"note": command.fields["note"]}
        return _written((yield Request(method="POST", path=path, json=body, mutates=True, step="invoice")))

    def reread(self, command: Command) -> Talk[Written | None]:
        return _written((yield Request(method="GET", path=f"/invoices/{command.bound_id}")))

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        return from_status("Made up", response, mutating=mutating)


def _written(reply: Response) -> Written:
    row = reply.json()
    facts = Invoice(currency="EUR", payable_amount=Decimal(1), note=row["note"])
    return Written(type="invoice", id=row["id"], facts=facts, mark=row["id"])


class Vendor:
    """Answers each call after a while, and notes when each reached it."""

    def __init__(self, takes: Delay) -> None:
        self.takes, self.notes = takes, dict[str, str]()
        self.at: list[float] = []
        self.flying = self.most = 0

    async def send(self, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Response:
        del headers, params
        self.at.append(asyncio.get_running_loop().time())
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(self.takes())
        self.flying -= 1
        id_ = request.path.split("/")[-1]
        if request.mutates:
            self.notes[id_] = request.json["note"]
        return Response(status=200, body=msgspec.json.encode({"id": id_, "note": self.notes.get(id_, "")}))


class NoCredential:
    access = ""

    async def headers(self) -> Mapping[str, str]:
        return {}


def sending(vendor: Vendor, limits: Limits, limiter: Limiter) -> Sending:
    http, credential = cast("HttpClient", vendor), cast("Credential", NoCredential())
    return Sending(BOOKS, made_up(limits), http, credential, limiter)


class Log:
    """Acknowledges everything after a while."""

    def __init__(self, takes: Delay, told: Callable[[Result], None]) -> None:
        self._takes, self._told = takes, told

    async def _acknowledged(self) -> None:
        await asyncio.sleep(self._takes())

    async def keep_row(self, _: Any) -> int:
        await self._acknowledged()
        return 1

    async def drop_rows(self, _: list[str]) -> None:
        await self._acknowledged()

    async def keep_command(self, _: Command) -> None:
        await self._acknowledged()

    async def drop_command(self, _: str) -> None:
        await self._acknowledged()

    async def publish_result(self, result: Result) -> None:
        await self._acknowledged()
        self._told(result)

    async def dead_letter(self, command: Command, reason: str) -> None:
        raise AssertionError(reason, command)


def changed(number: int, version: int) -> Command:
    before = str(version - 1) if version > 1 else ""
    return Command(
        id=f"{number}-{version}", kind="set", tenant="acme", connection="books", account="b", order=f"{number}",
        capability="upsert_invoice", entity=f"{number}", write="w", canonical="invoice", mark=f"{number}",
        presence="present", bound_id=f"{number}", facts=Invoice(currency="EUR", payable_amount=Decimal(1)),
        changes=("note",), fields={"note": f"{version}"}, base={"note": Pair(before, before)},
    )  # fmt: skip


async def _busy(limits: Limits, share: float, answers: Delay, acknowledges: Delay, seconds: float) -> Vendor:
    """Let enough documents change again and again, as soon as each change was told."""
    clock, vendor, jobs = asyncio.get_running_loop().time, Vendor(answers), set[asyncio.Task[None]]()

    def again(result: Result) -> None:
        assert result.outcome == "confirmed", result.reason
        number, version = map(int, result.command.split("-"))
        job = asyncio.ensure_future(owner.accept(changed(number, version + 1)))
        jobs.add(job)
        job.add_done_callback(jobs.discard)

    limiter = Limiter(limits, clock, share)
    owner = Owner(
        Notes(BOOKS), sending(vendor, limits, limiter), Log(acknowledges, again), epoch=1, now=clock,
        concurrency=abreast(limits, share),
    )  # fmt: skip
    await asyncio.gather(*(owner.accept(changed(number, 1)) for number in range(200)))
    working = asyncio.create_task(owner.run())
    await asyncio.sleep(seconds)
    working.cancel()
    await asyncio.gather(working, *jobs, return_exceptions=True)
    return vendor


@pytest.mark.parametrize(
    ("platform", "place", "share", "slow", "windows"),
    [(STRIPE, 0, 4.0, 0.4, 4), (HUBSPOT, 0, 1.9, 0.6, 2), (QUICKBOOKS, 1, 1.0, 0.8, 1), (XERO, 0, 1.0, 1.5, 3)],
    ids=["stripe", "hubspot", "quickbooks", "xero"],
)
def test_a_quota_is_used_although_platform_and_kafka_take_their_time(
    platform: Platform, place: int, share: float, slow: float, windows: int
) -> None:
    limits = msgspec.structs.replace(platform.limits, points=None, remaining_headers=())
    random = Random(7)
    limit = limits.windows[place]
    warm, seconds = 3 * slow, limit.per_seconds * windows
    vendor = run(
        _busy(
            limits,
            share,
            lambda: slow * random.uniform(0.7, 1.3),
            lambda: 0.05 if random.random() < 0.99 else 0.4,
            warm + seconds,
        )
    )
    counted = [at - vendor.at[0] for at in vendor.at if at - vendor.at[0] >= (warm if limit.per_seconds < 60 else 0)]
    used = sum(at < counted[0] + seconds for at in counted) / (limit.requests * share * windows)
    assert 0.95 <= used <= 1.0
    assert vendor.most <= (limits.concurrent or 100)
    for one in limits.windows:
        _none_holds_more(vendor.at, one.requests * share, one.per_seconds)


def _none_holds_more(at: Sequence[float], requests: float, seconds: float) -> None:
    most = int(requests)
    for first, one_more in zip(at, itertools.islice(at, most, None), strict=False):
        assert one_more - first >= seconds - 1e-6, f"{most + 1} calls left within {one_more - first:.3f} s"


_WINDOWS = st.lists(st.tuples(st.integers(2, 60), st.floats(1.0, 60.0)), min_size=1, max_size=2)


async def _held_up(limits: Limits, delays: Sequence[float]) -> tuple[Vendor, list[float]]:
    vendor, checked = Vendor(lambda: 0.1), list[float]()
    limiter = Limiter(limits, asyncio.get_running_loop().time)
    send = sending(vendor, limits, limiter)

    async def one(delay: float) -> None:
        async def durable() -> None:
            await asyncio.sleep(delay)
            checked.append(asyncio.get_running_loop().time())

        await send(Request(method="POST", path="/invoices/1", json={"note": ""}, mutates=True), "", durable)

    await asyncio.gather(*(one(delay) for delay in delays))
    return vendor, checked


@settings(deadline=None, max_examples=25)
@given(_WINDOWS, st.lists(st.floats(0.0, 2.0), min_size=5, max_size=100))
def test_however_long_intents_take_no_window_of_the_vendors_holds_more_than_its_limit_and_each_is_looked_at_last(
    windows: list[tuple[int, float]], delays: list[float]
) -> None:
    limits = Limits(windows=tuple(Limit(count, seconds) for count, seconds in windows), concurrent=100)
    vendor, checked = run(_held_up(limits, delays))
    assert len(vendor.at) == len(delays)
    for count, seconds in windows:
        _none_holds_more(vendor.at, count, seconds)
    # What had to wait once more was made durable once more: nothing leaves on an old look at the lease.
    assert all(any(look == left for look in checked) for left in vendor.at)
