"""Natural keys, leases, poison, stops, and wishes that find a write done, against a vendor in memory with a fake clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from schemas.commands import Command, Pair
from tests.unit.sinks.delivery.batching import Bench, Vendor, command, single


async def test_orders_that_wait_for_one_customer_are_made_each() -> None:
    bench = Bench(Vendor())
    behind = {"behind": "customer:ada@example.com"}
    await bench.work(5, single(1, links=behind), single(2, links=behind))
    assert [row["mark"] for row in bench.vendor.invoices] == ["m1", "m2"]
    assert [result.bound.id for result in bench.log.results if result.bound] == ["1", "2"]


async def test_a_second_try_under_its_own_lock_is_no_reason_to_begin_anew() -> None:
    bench = Bench(Vendor())
    bench.vendor.taken = {"ada@example.com"}
    await asyncio.wait_for(bench.work(1, single(1, links={"customer": "ada@example.com"})), 5)
    assert [path for path, _, _ in bench.vendor.posts] == ["/customers", "/customers", "/invoices"]
    assert bench.log.outcomes() == {"c1": "confirmed"}


async def test_natural_keys_that_nobody_uses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.delivery.writing._MANY", 20)
    bench = Bench(Vendor())
    customers = [f"buyer{number}@example.com" for number in range(100)]
    await bench.work(60, *(single(n, links={"customer": buyer}) for n, buyer in enumerate(customers)))
    assert set(bench.log.outcomes().values()) == {"confirmed"}
    assert len([path for path, _, _ in bench.vendor.posts if path == "/customers"]) == 100
    assert len(bench.owner._writing._released) <= 20 + 8
    assert not bench.owner._writing._keys


async def test_two_orders_of_one_new_customer_make_one_customer() -> None:
    bench = Bench(Vendor())
    await bench.work(3, *(single(number, links={"customer": "a@example.com"}) for number in range(4)))
    assert len(bench.vendor.customers) == 1
    assert {row["customer"] for row in bench.vendor.invoices} == {"1"}
    assert len(bench.vendor.invoices) == 4


async def test_a_search_that_lags_makes_no_second_customer() -> None:
    bench = Bench(Vendor())
    bench.vendor.hidden = True
    await bench.work(1, single(1, links={"customer": "a@example.com"}), single(2, links={"customer": "a@example.com"}))
    assert len(bench.vendor.customers) == 1
    assert len(bench.vendor.invoices) == 2


async def test_an_unresolved_customer_holds_both_orders_until_it_is_settled() -> None:
    bench = Bench(Vendor(customers=["after"]))
    both = (single(1, links={"customer": "a@example.com"}), single(2, links={"customer": "a@example.com"}))
    bench.vendor.hidden = True
    await bench.work(10, *both)
    assert bench.vendor.invoices == []
    bench.vendor.hidden = False
    await bench.work(120)
    assert len(bench.vendor.customers) == 1
    assert bench.log.outcomes() == {"c1": "confirmed", "c2": "confirmed"}


async def test_a_mistake_in_a_mapper_rejects_one_command_and_the_others_go_on() -> None:
    bench = Bench(Vendor())
    await bench.work(2, single(1, text="poison"), single(2))
    assert bench.log.outcomes() == {"c1": "rejected", "c2": "confirmed"}
    assert "KeyError" in bench.log.results[0].reason or "KeyError" in bench.log.results[1].reason


async def test_without_the_lease_nothing_leaves_and_nothing_is_written_down() -> None:
    bench = Bench(Vendor())
    bench.lease = False
    await bench.work(3, single(1))
    assert (bench.vendor.posts, bench.log.results, bench.log.rows) == ([], [], {})
    assert list(bench.log.inbox) == ["c1"]


async def test_the_same_bytes_go_again_although_the_order_moved_on() -> None:
    bench = Bench(Vendor(invoices=["before"]))
    await bench.work(1, single(1))
    await bench.work(60, single(1, fields={"note": "changed"}))
    first, second = bench.vendor.posts
    assert first == second
    assert bench.log.outcomes() == {"c1": "confirmed"}


async def test_a_planned_again_write_whose_old_bytes_were_sent_does_not_claim_the_new_value() -> None:
    bench = Bench(Vendor(invoices=["before"]))
    await bench.work(0, single(1))
    successor = Bench(bench.vendor, bench.log, bench.time)
    await successor.work(60, single(1, fields={"note": "changed"}))
    (result,) = bench.log.results
    assert (result.made["note"].sent, result.made["note"].made) == ("n", "n")


async def test_results_are_numbered_upwards() -> None:
    bench = Bench(Vendor())
    for number in range(6):
        await bench.work(0, single(number))
    numbers = [result.offset for result in bench.log.results]
    assert numbers == sorted(set(numbers))


async def test_an_outage_answers_what_waits_and_what_was_put_off() -> None:
    bench = Bench(Vendor(invoices=["429"]))
    await bench.work(0, single(1))
    bench.owner.stop_writing("The token was revoked.")
    await bench.work(0, single(2))
    assert bench.log.outcomes() == {"c1": "deferred", "c2": "deferred"}
    assert {result.outage for result in bench.log.results} == {bench.owner.go_on()}
    await bench.work(1, single(1))
    assert bench.log.outcomes()["c1"] == "confirmed"


async def test_a_paused_connection_sends_nothing_until_it_goes_on() -> None:
    bench = Bench(Vendor())
    bench.owner.pause(paused=True)
    await bench.work(2, single(1))
    assert bench.vendor.posts == []
    bench.owner.pause(paused=False)
    await bench.work(2)
    assert bench.log.outcomes() == {"c1": "confirmed"}


async def test_what_a_stopped_flow_asked_for_is_held_and_planned_afresh_when_it_is_live_again() -> None:
    bench = Bench(Vendor())
    bench.stopped.add("web")
    await bench.work(2, single(1, flow="web"), single(2, flow="other"))
    assert bench.log.outcomes() == {"c2": "confirmed"}
    assert list(bench.log.inbox) == ["c1"]
    bench.stopped.clear()
    bench.owner.flow_changed("web")
    await bench.work(2)
    assert bench.log.outcomes() == {"c1": "deferred", "c2": "confirmed"}
    assert "stopped meanwhile" in bench.log.results[-1].reason
    assert bench.log.inbox == {}
    assert len(bench.vendor.posts) == 1
    await bench.work(2, single(1, flow="web"))
    assert bench.log.outcomes()["c1"] == "confirmed"


async def test_a_flow_that_is_stopped_between_two_requests_of_a_write_sends_no_second_one() -> None:
    bench = Bench(Vendor(invoices=["429"]))
    await bench.work(0, single(1, flow="web"))
    assert len(bench.vendor.posts) == 1
    bench.stopped.add("web")
    await bench.work(120)
    assert len(bench.vendor.posts) == 1
    assert bench.vendor.invoices == []


async def test_a_batch_of_a_stopped_flow_does_not_leave() -> None:
    bench = Bench(Vendor())
    bench.stopped.add("web")
    fresh = [command(number, flow="web", presence="absent") for number in range(3)]
    await bench.work(2, *fresh, command(9, flow="other", presence="absent"))
    assert [row["mark"] for row in bench.vendor.invoices] == ["m9"]


async def test_what_may_have_been_done_before_the_stop_is_asked_about_and_not_deferred() -> None:
    bench = Bench(Vendor(invoices=["after"]))
    await bench.work(0, single(1, flow="web"))
    bench.stopped.add("web")
    bench.owner.flow_changed("web")
    await bench.work(60)
    assert bench.log.outcomes() == {}
    bench.stopped.clear()
    bench.owner.flow_changed("web")
    await bench.work(60)
    assert bench.log.outcomes() == {"c1": "confirmed"}
    assert len(bench.vendor.invoices) == 1


async def test_a_drained_owner_ends_what_is_under_way_and_begins_nothing() -> None:
    bench = Bench(Vendor())
    await bench.owner.accept(single(1))
    bench.owner._start_what_is_ready()
    await bench.owner.accept(single(2))
    await bench.owner.drain(5.0)
    bench.owner._start_what_is_ready()
    assert bench.log.outcomes() == {"c1": "confirmed"}
    assert list(bench.log.inbox) == ["c2"]


def _noted(number: int, note: str, **changes: Any) -> Command:
    return command(number, fields={"note": note}, digest=note, **changes)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_later_wish_that_finds_the_write_done_is_not_said_to_have_been_sent(
    count: int, *, restart: bool
) -> None:
    bench = Bench(Vendor())
    await bench.work(1, *(_noted(number, "first") for number in range(count)))
    if restart:
        bench = Bench(bench.vendor, bench.log, bench.time)
    await bench.work(1, *(_noted(number, "second", presence="unknown") for number in range(count)))
    assert [row["note"] for row in bench.vendor.invoices] == ["first"] * count
    last = {result.command: result for result in bench.log.results}
    assert {result.made["note"] for result in last.values()} == {Pair("first", "first")}
    assert {result.digest for result in last.values()} == {"second"}


@pytest.mark.parametrize("count", [1, 3])
async def test_the_same_wish_that_finds_the_write_done_says_what_was_sent(count: int) -> None:
    bench = Bench(Vendor())
    bench.vendor.shouts = True
    for _ in range(2):
        await bench.work(1, *(_noted(number, "first") for number in range(count)))
    assert len(bench.vendor.invoices) == count
    assert len(bench.log.results) == 2 * count
    assert {result.made["note"] for result in bench.log.results} == {Pair("first", "FIRST")}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("alone", [False, True])
async def test_a_create_that_comes_again_after_later_writes_tells_nothing_newer_than_it_did(
    count: int, *, alone: bool
) -> None:
    bench = Bench(Vendor())
    commands = [_noted(number, "first", links={"behind": f"lock:{number}"}) for number in range(count)]
    if alone:
        bench.owner._batchable = lambda _waiting: False  # type: ignore[method-assign]
    await bench.work(2, *commands)
    first = {result.command: result for result in bench.log.results}
    for row in bench.vendor.invoices:
        row["note"] = "later"
    successor = Bench(bench.vendor, bench.log, bench.time, epoch=2)
    await successor.work(2, *commands)
    assert len(bench.vendor.invoices) == count
    again = bench.log.results[count:]
    assert len(again) == count
    for result in again:
        earlier = first[result.command]
        assert (result.epoch, result.offset) <= (earlier.epoch, earlier.offset)
        assert result.look <= earlier.look
        (told,), (before,) = result.events, earlier.events
        assert told.version <= before.version
        assert result.made == earlier.made
