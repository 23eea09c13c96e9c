"""What becomes of a wish when another comes, or an edit, before it is made or told."""

from __future__ import annotations

import asyncio

import pytest

from schemas.commands import Pair, Result
from sinks.delivery.ports import Lost
from tests.unit.sinks.delivery.keeping import Log
from tests.unit.sinks.delivery.owning import Bench, command_of


async def test_the_newest_set_wins_and_the_older_one_is_answered() -> None:
    bench = Bench()
    bench.owner.pause(paused=True)
    old = command_of(id="s1", kind="set", bound_id="1", fields={"note": "a"}, changes=("note",))
    new = command_of(id="s2", kind="set", bound_id="1", fields={"note": "b"}, changes=("note",))
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": ""}
    await bench.owner.accept(old)
    await bench.owner.accept(new)
    bench.owner.pause(paused=False)
    await bench.work()
    assert [(result.command, result.outcome) for result in bench.log.results] == [
        ("s1", "superseded"),
        ("s2", "confirmed"),
    ]
    assert bench.vendor.rows["1"]["note"] == "b"


async def test_a_newer_set_goes_before_what_was_planned_after_the_older_one_also_at_the_next_owner() -> None:
    first, changes = Bench(), {"kind": "set", "bound_id": "1", "changes": ("note",)}
    await first.owner.accept(command_of(id="s1", fields={"note": "a"}, **changes))
    await first.owner.accept(command_of(id="p1", kind="append", capability="record_payment"))
    await first.owner.accept(command_of(id="s2", fields={"note": "b"}, **changes))
    assert list(first.log.inbox) == ["p1", "s2"], "as a compacted topic has them"
    second = Bench(log=first.log)
    for command in first.log.inbox.values():
        second.owner.restore(command)
    await second.owner.accept(command_of(id="p2", kind="append", capability="record_payment"))
    assert _in_turn(second) == ["s2", "p1", "p2"]


def _in_turn(bench: Bench) -> list[str]:
    found = []
    while (waiting := bench.owner.inbox.take(bench.time)) is not None:
        found.append(waiting.command.id)
        bench.owner.inbox.remove(waiting.command.id)
        bench.owner.inbox.release(waiting.command.entity)
    return found


async def test_a_set_that_was_kept_beside_the_newer_one_is_answered_by_the_next_owner() -> None:
    first, changes = Bench(), {"kind": "set", "bound_id": "1", "changes": ("note",)}
    await first.owner.accept(command_of(id="s1", fields={"note": "a"}, **changes))
    old = first.log.inbox["s1"]
    await first.owner.accept(command_of(id="s2", fields={"note": "b"}, **changes))
    second = Bench()
    second.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": ""}
    second.log.inbox = {"s1": old, **first.log.inbox}  # killed before it had dropped the old row
    for command in second.log.inbox.values():
        second.owner.restore(command)
    running = asyncio.create_task(second.owner.run())
    for _ in range(1_000):
        await asyncio.sleep(0.005)
        if not second.log.inbox:
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {one.command: one.outcome for one in second.log.results} == {"s1": "superseded", "s2": "confirmed"}


async def test_a_set_that_comes_again_while_it_is_answered_as_replaced_stays() -> None:
    bench, changes = Bench(), {"kind": "set", "bound_id": "1", "changes": ("note",)}
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": ""}
    older, newer = (command_of(id=f"s{note}", fields={"note": note}, **changes) for note in "ab")
    telling = bench.log.publish_result

    async def tell_slowly(result: Result) -> None:
        await asyncio.sleep(0.01)
        await telling(result)

    bench.log.publish_result = tell_slowly  # type: ignore[method-assign]
    await bench.owner.accept(newer)
    await asyncio.gather(bench.owner.accept(older), bench.owner.accept(newer))  # as after a crash, from the topic
    await bench.work()
    assert bench.log.results[-1].command == "sb"
    assert bench.log.results[-1].outcome == "confirmed"
    assert bench.vendor.rows["1"]["note"] == "b"
    assert bench.log.inbox == {}


@pytest.mark.parametrize(("fate", "first"), [("refused", "deferred"), (422, "rejected")])
async def test_what_was_asked_for_while_an_earlier_wish_was_under_way_in_vain_is_answered_as_well(
    fate: str | int, first: str
) -> None:
    bench = Bench([fate])
    await bench.owner.accept(command_of(digest="d1"))
    bench.owner._start_what_is_ready()
    await asyncio.sleep(0)
    await bench.owner.accept(command_of(digest="d2", fields={"note": "newer"}))
    await bench.work()
    told = [(result.digest, result.outcome) for result in bench.log.results]
    assert told == [("d1", first), ("d2", "deferred" if first == "deferred" else "confirmed")]
    assert bench.log.inbox == {}


async def test_what_was_asked_for_while_an_earlier_wish_was_made_is_told_by_what_there_is() -> None:
    bench = Bench()
    await bench.owner.accept(command_of(digest="d1"))
    bench.owner._start_what_is_ready()
    await asyncio.sleep(0)
    await bench.owner.accept(command_of(digest="d2", fields={"note": "newer"}))
    await bench.work()
    assert [(result.digest, result.outcome) for result in bench.log.results] == [("d1", "confirmed")]
    assert bench.log.inbox == {}


async def test_a_set_on_an_edited_document_is_stale_and_changes_nothing() -> None:
    bench = Bench()
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": "edited by a person"}
    base = {"note": Pair("old", "old")}
    await bench.owner.accept(
        command_of(kind="set", bound_id="1", fields={"note": "ours"}, changes=("note",), base=base)
    )
    await bench.work()
    (result,) = bench.log.results
    assert (result.outcome, result.shown) == ("stale", {"note": "edited by a person"})
    assert bench.vendor.rows["1"]["note"] == "edited by a person"


BASE = {"note": Pair("old", "old"), "po_number": Pair("po", "PO")}
CHANGED = command_of(
    kind="set", bound_id="1", base=BASE, fields={"note": "new", "po_number": "po 2"}, changes=("note", "po_number")
)


async def test_a_set_whose_answer_was_lost_is_not_taken_for_an_edit_where_the_system_words_it_otherwise() -> None:
    bench = Bench(["after"])
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": "old", "po_number": "po"}
    await bench.owner.accept(CHANGED)
    await bench.work(300)
    (result,) = bench.log.results
    assert (result.outcome, result.made) == (
        "confirmed",
        {"note": Pair("new", "new"), "po_number": Pair("PO 2", "PO 2")},
    )


class Dying(Log):
    """Its owner is killed before it can tell a result."""

    async def publish_result(self, result: Result) -> None:
        raise Lost("killed")


async def test_a_set_that_was_answered_and_not_told_is_told_by_the_next_owner_and_not_taken_for_an_edit() -> None:
    first = Bench(log=Dying())
    first.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": "old", "po_number": "po"}
    await first.owner.accept(CHANGED)
    await first.work(0)
    log = Log()
    log.rows, log.inbox = first.log.rows, first.log.inbox
    second = Bench(log=log, vendor=first.vendor)
    second.owner.restore(log.inbox["c1"])
    await second.work()
    (result,) = log.results
    assert (result.outcome, result.made) == (
        "confirmed",
        {"note": Pair("new", "new"), "po_number": Pair("po 2", "PO 2")},
    )
    assert len([call for call in first.vendor.calls if call.startswith("POST")]) == 1


@pytest.mark.parametrize("edited", [{"note": "a person's"}, {"note": "new", "po_number": "po"}])
async def test_an_edit_beside_a_lost_set_is_never_written_over(edited: dict[str, str]) -> None:
    bench = Bench(["before"])
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": "old", "po_number": "po"}
    await bench.owner.accept(CHANGED)
    await bench.work(0)
    bench.vendor.rows["1"].update(edited)
    await bench.work(300)
    (result,) = bench.log.results
    assert result.outcome == ("stale" if edited["note"] != "new" else "confirmed")
    assert bench.vendor.rows["1"]["note"] == edited["note"]
