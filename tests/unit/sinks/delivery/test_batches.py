"""What goes together in one call, what gathers for it, and what a batch that is cut off leaves."""

from __future__ import annotations

import asyncio
import itertools

import msgspec
import pytest

from schemas.commands import Result
from sinks.delivery.ports import Lost
from sinks.delivery.row import row_key
from tests.property.virtual_time import run
from tests.unit.sinks.delivery.batching import Bench, Vendor, command, single
from tests.unit.sinks.delivery.keeping import Log


async def test_many_creates_go_in_one_call_and_each_gets_its_result() -> None:
    bench = Bench(Vendor())
    await bench.work(1, *(command(number) for number in range(10)))
    assert len(bench.vendor.posts) == 1
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    assert {result.bound.id for result in bench.log.results if result.bound} == {f"{n}" for n in range(1, 11)}


async def test_what_comes_while_a_batch_is_under_way_goes_together_in_the_next_and_what_goes_alone_does_not_wait() -> (
    None
):
    bench = Bench(Vendor())
    owner = bench.owner
    await owner.accept(command(0))
    owner._start_what_is_ready()
    for number in range(1, 6):
        await owner.accept(command(number))
        owner._start_what_is_ready()
    await owner.accept(single(9))
    owner._start_what_is_ready()
    assert len(owner._tasks) == 2
    await bench.work(1)
    assert len(bench.vendor.posts) == 3
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    assert len(bench.log.outcomes()) == 7


async def test_a_whole_batch_does_not_wait_for_the_one_under_way() -> None:
    bench = Bench(Vendor())
    for number in range(101):
        await bench.owner.accept(command(number))
    bench.owner._start_what_is_ready()
    assert len(bench.owner._tasks) == 2
    await bench.work(1)
    assert len(bench.vendor.posts) == 3


async def test_what_comes_right_after_a_batch_gathers_and_the_first_after_a_while_waits_for_nobody() -> None:
    bench = Bench(Vendor())
    for number in range(3):
        await bench.owner.accept(command(number))
        bench.owner._start_what_is_ready()
        while bench.owner._tasks:
            await asyncio.gather(*bench.owner._tasks)
    assert len(bench.vendor.posts) == 1, "the other two wait for more"
    bench.time += 0.5
    bench.owner._start_what_is_ready()
    while bench.owner._tasks:
        await asyncio.gather(*bench.owner._tasks)
    assert len(bench.vendor.posts) == 2
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    bench.time += 0.5
    await bench.owner.accept(command(3))
    bench.owner._start_what_is_ready()
    assert len(bench.owner._tasks) == 1
    await bench.work(1)


async def _trickle(bench: Bench, seconds: float = 2.0, pause: float = 0.0) -> None:
    """Have an owner run while three come; each look at the clock is *pause* seconds later than the one before."""
    looks, loop = itertools.count(), asyncio.get_running_loop()
    bench.clock = lambda: loop.time() + next(looks) * pause
    running = asyncio.create_task(bench.owner.run())
    for number in range(3):
        await bench.owner.accept(command(number))
        await asyncio.sleep(0.05)
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_running_owner_sends_what_gathered_although_nothing_more_comes() -> None:
    bench = Bench(Vendor())
    run(_trickle(bench))
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    assert len(bench.log.results) == 3
    assert len(bench.vendor.posts) == 2


@pytest.mark.parametrize("pause", [0.02, 0.05, 0.1, 0.3])
def test_what_gathered_leaves_also_where_its_moment_passes_between_two_looks_at_the_clock(pause: float) -> None:
    """As in a process that is not let run."""
    bench = Bench(Vendor())
    run(_trickle(bench, 30.0, pause))
    assert bench.log.outcomes() == {f"c{number}": "confirmed" for number in range(3)}


async def test_a_batch_that_is_cut_off_leaves_each_document_once() -> None:
    for fate in ("after", "before"):
        bench = Bench(Vendor(invoices=[fate]))
        await bench.work(200, *(command(number) for number in range(10)))
        assert sorted(row["mark"] for row in bench.vendor.invoices) == sorted(f"m{n}" for n in range(10))
        assert bench.log.outcomes() == {f"c{n}": "confirmed" for n in range(10)}


async def test_a_second_batch_that_is_cut_off_is_asked_about_although_the_first_was_refused() -> None:
    bench = Bench(Vendor(invoices=["429", "after"]))
    await bench.work(200, *(command(number) for number in range(10)))
    assert sorted(row["mark"] for row in bench.vendor.invoices) == sorted(f"m{n}" for n in range(10))
    assert bench.log.outcomes() == {f"c{n}": "confirmed" for n in range(10)}


async def test_a_second_batch_that_a_killed_owner_left_open_is_asked_about_as_well() -> None:
    bench = Bench(Vendor(invoices=["429", "after"]))
    await bench.work(2, *(command(number) for number in range(3)))
    assert len(bench.vendor.invoices) == 3
    bench.log.rows = {
        key: msgspec.structs.replace(row, state="intent") if row.members else row for key, row in bench.log.rows.items()
    }
    successor = Bench(bench.vendor, bench.log, bench.time)
    for waiting in list(bench.log.inbox.values()):
        successor.owner.restore(waiting)
    await successor.work(60)
    assert len(bench.vendor.invoices) == 3
    assert set(bench.log.outcomes().values()) == {"confirmed"}


class Dying(Log):
    """Its owner is killed before it can tell a result."""

    async def publish_result(self, result: Result) -> None:
        raise Lost("killed")


@pytest.mark.parametrize("count", [1, 3])
async def test_who_dies_between_finding_out_and_telling_leaves_its_successor_to_ask_again(count: int) -> None:
    bench = Bench(Vendor(invoices=["after"]), Dying())
    await bench.work(60, *(command(number) for number in range(count)))
    assert {row.state for row in bench.log.rows.values()} >= {"settled"}
    log = Log()
    log.rows, log.inbox = bench.log.rows, bench.log.inbox
    successor = Bench(bench.vendor, log, bench.time)
    for waiting in list(log.inbox.values()):
        successor.owner.restore(waiting)
    await successor.work(60)
    assert len(bench.vendor.invoices) == count
    assert log.outcomes() == {f"c{number}": "confirmed" for number in range(count)}


@pytest.mark.parametrize("count", [1, 3])
async def test_what_was_found_done_is_asked_about_when_it_comes_again(count: int) -> None:
    bench = Bench(Vendor(invoices=["after"]))
    for _ in range(2):
        await bench.work(60, *(command(number) for number in range(count)))
    assert len(bench.vendor.invoices) == count
    assert [result.outcome for result in bench.log.results] == ["confirmed"] * 2 * count


async def test_one_bad_record_of_a_batch_is_refused_alone() -> None:
    bench = Bench(Vendor())
    bench.vendor.refused = {"m3"}
    await bench.work(5, *(command(number) for number in range(5)))
    assert bench.log.outcomes() == {f"c{n}": "rejected" if n == 3 else "confirmed" for n in range(5)}
    assert [command.id for command in bench.log.dead] == ["c3"]


async def test_a_batch_refused_as_a_whole_goes_one_by_one() -> None:
    bench = Bench(Vendor(invoices=["400"]))
    await bench.work(5, *(command(number) for number in range(3)))
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    assert len(bench.vendor.posts) == 4


async def test_a_replayed_member_of_a_batch_is_answered_from_the_journal_also_by_a_successor() -> None:
    bench = Bench(Vendor())
    await bench.work(1, command(1), command(2))
    successor = Bench(bench.vendor, bench.log)
    await successor.work(1, command(1), command(2))
    assert len(bench.vendor.posts) == 1
    assert len(bench.log.results) == 4


async def test_a_batch_that_was_answered_before_its_parts_were_kept_is_asked_about() -> None:
    bench = Bench(Vendor())
    await bench.work(1, command(1), command(2))
    for id_ in ("c1", "c2"):
        del bench.log.rows[row_key(id_, "batch")]
    successor = Bench(bench.vendor, bench.log)
    await successor.work(60, command(1), command(2))
    assert len(bench.vendor.invoices) == 2
    assert len(bench.vendor.posts) == 1
