"""What may have been made before is asked about together, and what is missing is made together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec
import pytest

from app.core.errors import O2CError, RejectedError, RetryableError
from app.core.talk import Request, Talk
from schemas.commands import BACKFILL, LIVE_PAYMENT, Command
from schemas.connection import Connection
from sinks.base import Written
from sinks.delivery.owner import Owner
from tests.unit.sinks.delivery.batching import Bench, Books, Vendor, command, shown, single


class Asking(Books):
    """Books that are asked about many invoices in one call."""

    asks: ClassVar[Mapping[str, int]] = {"upsert_invoice": 50}
    refuses: ClassVar[list[O2CError]] = []
    halves: ClassVar[set[str]] = set()

    def probe_many(self, commands: Sequence[Command]) -> Talk[list[Written | None]]:
        if self.refuses:
            raise self.refuses.pop()
        found: list[Written | None] = []
        reply = yield from self._ask(Request(method="GET", path="/invoices", params={"note": "n"}))
        for one in commands:
            row = next((row for row in reply.json() if row["mark"] == one.mark), None)
            written = None if row is None else shown(row)
            if written is not None and one.mark in self.halves:
                written = msgspec.structs.replace(written, complete=False)
            found.append(written)
        return found


class Counting(Vendor):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def __call__(self, request: Request, *more: object) -> object:  # type: ignore[override]
        if request.method == "GET":
            self.asked.append(",".join(request.params))
        return await super().__call__(request, *more)  # type: ignore[arg-type]


def asking(vendor: Vendor) -> Bench:
    bench = Bench(vendor)
    connection = Connection(name="books", tenant="t", platform="made_up", account="a")
    bench.owner = Owner(Asking(connection), vendor, bench.log, epoch=1, now=bench._now)
    return bench


async def test_a_hundred_that_may_be_there_cost_a_few_calls_and_those_that_are_there_none() -> None:
    bench = asking(vendor := Counting())
    for number in range(0, 100, 10):
        vendor._add(vendor.invoices, {"mark": f"m{number}", "note": "n"})
    await bench.work(5, *(single(number) for number in range(100)))
    assert sorted(row["mark"] for row in vendor.invoices) == sorted(f"m{number}" for number in range(100))
    assert bench.log.outcomes() == {f"c{number}": "confirmed" for number in range(100)}
    assert (vendor.asked, len(vendor.posts)) == (["note"] * 2, 2)
    assert bench.log.inbox == {}


async def test_an_owner_that_takes_over_asks_again() -> None:
    bench = asking(Counting())
    for number in range(3):
        await bench.owner.accept(single(number))
    bench.owner._start_what_is_ready()
    assert {one.presence for one in bench.log.inbox.values()} == {"unknown"}, "what was found out is not kept"
    await bench.work(5)
    assert set(bench.log.outcomes().values()) == {"confirmed"}


async def test_what_is_there_in_part_is_completed_by_itself() -> None:
    bench = asking(vendor := Counting())
    for number in range(2):
        vendor._add(vendor.invoices, {"mark": f"m{number}", "note": "n"})
    Asking.halves.add("m0")
    try:
        await bench.work(5, single(0), single(1))
    finally:
        Asking.halves.clear()
    assert bench.log.outcomes() == {"c0": "confirmed", "c1": "confirmed"}
    assert vendor.asked == ["note", "mark"]


@pytest.mark.parametrize("error", [RejectedError("The filter is too long."), RetryableError("busy"), KeyError("mark")])
async def test_where_asking_together_fails_nothing_is_written_unasked(error: Exception) -> None:
    bench = asking(vendor := Counting())
    vendor._add(vendor.invoices, {"mark": "m1", "note": "n"})
    Asking.refuses.append(error)  # type: ignore[arg-type]
    await bench.work(30, *(single(number) for number in range(3)))
    assert sorted(row["mark"] for row in vendor.invoices) == ["m0", "m1", "m2"]
    assert set(bench.log.outcomes().values()) == {"confirmed"}


async def test_what_surely_is_not_there_is_never_asked_about() -> None:
    bench = asking(vendor := Counting())
    await bench.work(5, *(command(number) for number in range(10)))
    assert vendor.asked == []


async def test_a_payment_needs_not_wait_until_back_fill_under_way_is_done() -> None:
    bench = asking(Counting())
    for number in range(20):
        await bench.owner.accept(command(number, priority=BACKFILL, kind="append", capability="add_note"))
    bench.owner._start_what_is_ready()
    busy = len(bench.owner._tasks)
    await bench.owner.accept(command(90, priority=LIVE_PAYMENT))
    bench.owner._start_what_is_ready()
    assert len(bench.owner._tasks) == busy + 1, "one place is kept for what is urgent"
    await bench.owner.accept(command(91, priority=LIVE_PAYMENT, capability="add_note"))
    bench.owner._start_what_is_ready()
    assert len(bench.owner._tasks) == busy + 1
    for task in bench.owner._tasks:
        task.cancel()
