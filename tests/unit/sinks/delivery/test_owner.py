"""The owner of a connection against a platform that commits and drops the line, with a fake clock and an in-memory log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from app.core.errors import AuthError, O2CError, RateLimited, UncertainError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import BACKFILL, LIVE_PAYMENT, Command, Pair, Result
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Invoice
from schemas.platform import Auth, Consistency, Effect, Limits, Platform
from sinks.base import Sink, Written
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from sinks.delivery.ports import Lost
from sinks.delivery.row import Row, row_key

PLATFORM = Platform(
    slug="made_up", title="Made up", side="accounting", base_url="https://example.com", docs="https://example.com",
    auth=Auth(), limits=Limits(), consistency=Consistency(settle_seconds=100.0), objects={"invoice": "invoice"},
    statuses={}, capabilities={"upsert_invoice": Effect.RECORDS},
)  # fmt: skip


class Ledgerish(Sink):
    """An invoice is one POST; our mark finds it again."""

    platform: ClassVar[Platform] = PLATFORM

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        path = f"/invoices/{command.bound_id}" if command.bound_id else "/invoices"
        body = {"mark": command.mark, **command.fields}
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step="invoice", key_in="header:Key")
        if (error := self.classify(reply, mutating=True)) is not None:
            raise error
        return _written(reply.json())

    def probe(self, command: Command) -> Talk[Written | None]:
        reply = yield Request(method="GET", path="/invoices", params={"mark": command.mark})
        rows = reply.json()
        return _written(rows[0]) if rows else None

    def reread(self, command: Command) -> Talk[Written | None]:
        reply = yield Request(method="GET", path=f"/invoices/{command.bound_id}")
        return _written(reply.json())

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        return from_status("Made up", response, mutating=mutating)


def _written(row: Mapping[str, Any]) -> Written:
    shouted = row.get("po_number", "").upper()  # systems have their own words
    facts = Invoice(currency="EUR", payable_amount=Decimal(24), note=row.get("note", ""), po_number=shouted)
    return Written(type="invoice", id=row["id"], facts=facts, mark=row["mark"])


class Vendor:
    """Holds invoices; *fate* decides for each POST: "ok", "before", "after" (committed, then the line drops), or a status."""

    def __init__(self, fates: Sequence[str | int] = ()) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.fates = list(fates)
        self.calls: list[str] = []
        self.priorities: list[int] = []
        self.visible_from = 0.0
        self.clock: Callable[[], float] = lambda: 0.0

    async def __call__(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        await asyncio.sleep(0)
        if before is not None:
            await before()
        self.calls.append(f"{request.method} {key[:4]}")
        self.priorities.append(request.priority)
        if request.method == "GET":
            return self._read(request)
        fate = self.fates.pop(0) if self.fates else "ok"
        if fate == "before":
            raise UncertainError("reset")
        if fate == "limited":
            raise RateLimited("slow down", 5.0)
        if fate == "refused":
            raise AuthError("who are you")
        if isinstance(fate, int):
            return Response(status=fate, body=b"{}")
        row = {
            **request.json,
            "id": request.path.split("/")[2] if request.path.count("/") > 1 else str(len(self.rows) + 1),
        }
        self.rows[row["id"]] = row
        if fate == "after":
            raise UncertainError("reset")
        return _reply(row)

    def _read(self, request: Request) -> Response:
        if "mark" in request.params:
            rows = [row for row in self.rows.values() if row["mark"] == request.params["mark"]]
            return _reply(rows if self.clock() >= self.visible_from else [])
        return _reply(self.rows[request.path.split("/")[2]])


def _reply(body: object) -> Response:
    return Response(status=200, body=json.dumps(body).encode())


class Log:
    """What was made durable, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.inbox: dict[str, Command] = {}
        self.results: list[Result] = []
        self.events: list[ChangeEvent] = []
        self.dead: list[Command] = []
        self.offset = 0

    async def keep_row(self, row: Row) -> int:
        self.rows[row_key(row.command, row.step)] = row
        self.offset += 1
        return self.offset

    async def drop_rows(self, keys: list[str]) -> None:
        for key in keys:
            del self.rows[key]

    async def keep_command(self, command: Command) -> None:
        self.inbox[command.id] = command

    async def drop_command(self, command: str) -> None:
        self.inbox.pop(command, None)

    async def publish_result(self, result: Result) -> None:
        self.results.append(result)
        self.events += result.events

    async def dead_letter(self, command: Command, reason: str) -> None:
        self.dead.append(command)


class Bench:
    """One owner with its vendor, log and clock."""

    def __init__(self, fates: Sequence[str | int] = (), log: Log | None = None, vendor: Vendor | None = None) -> None:
        self.time = 1_000.0
        self.vendor, self.log = vendor or Vendor(fates), log or Log()
        self.vendor.clock = lambda: self.time
        connection = Connection(name="books", tenant="acme", platform="made_up", account="b")
        self.lease = True
        self.owner = Owner(
            Ledgerish(connection), self.vendor, self.log, epoch=1, now=lambda: self.time, journal=Journal(self.log.rows.values()),
            owns=lambda: self.lease,
        )  # fmt: skip

    async def work(self, seconds: float = 1.0) -> None:
        """Run the owner while *seconds* of fake time pass."""
        for _ in range(int(seconds * 2) + 1):
            self.owner._start_what_is_ready()
            while self.owner._tasks:
                await asyncio.gather(*self.owner._tasks)
            self.time += 0.5


def _command(**changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": "c1",
        "kind": "create",
        "tenant": "acme",
        "connection": "books",
        "account": "b",
        "entity": "document:o",
        "capability": "upsert_invoice",
        "order": "o",
        "write": "books|document",
        "canonical": "x",
        "mark": "m1",
        "facts": Invoice(currency="EUR", payable_amount=Decimal(24)),
        "fields": {"note": ""},
        "digest": "d1",
    }
    return Command(**{**values, **changes})


async def test_a_write_is_one_call_one_document_one_result() -> None:
    bench = Bench()
    await bench.owner.accept(_command())
    await bench.work()
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1
    assert bench.log.inbox == {}
    (event,) = bench.log.events
    assert (event.origin, event.mirror_of, event.version.read) == ("write", "m1", True)
    assert bench.log.results[0].look == (event.version.epoch, event.version.seq)


@pytest.mark.parametrize("fates", [["after"], ["before"], ["before", "after"], ["before", "before", "after"], [502]])
async def test_after_a_lost_reply_there_is_one_document(fates: list[str | int]) -> None:
    bench = Bench(fates)
    await bench.owner.accept(_command())
    await bench.work(600)
    assert len(bench.vendor.rows) == 1
    assert [result.outcome for result in bench.log.results] == ["confirmed"]


@pytest.mark.parametrize("fate", ["ok", "after"])
async def test_a_lease_that_lapses_for_a_while_stops_nothing_for_good(fate: str) -> None:
    bench = Bench([fate])
    bench.lease = False
    await bench.owner.accept(_command())
    await bench.work(5)
    assert (bench.vendor.calls, bench.log.results) == ([], [])
    bench.lease = True
    await bench.work(300)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1


async def test_a_lease_that_lapses_amid_a_write_leaves_it_to_be_asked_about() -> None:
    bench = Bench()
    await bench.owner.accept(_command())
    bench.owner._start_what_is_ready()
    for _ in range(100):
        await asyncio.sleep(0)
        bench.lease = not bench.vendor.rows
    await bench.work(5)
    bench.lease = True
    await bench.work(300)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1


async def test_a_running_owner_goes_on_by_itself_when_its_lease_is_back() -> None:
    bench = Bench()
    bench.lease = False
    running = asyncio.create_task(bench.owner.run())
    await bench.owner.accept(_command())
    await asyncio.sleep(0.05)
    bench.lease = True
    for _ in range(1_000):
        await asyncio.sleep(0.005)
        if bench.log.results:
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(bench.vendor.rows) == 1


async def test_a_negative_answer_does_not_count_before_the_settle_time() -> None:
    bench = Bench(["after"])
    bench.vendor.visible_from = bench.time + 90
    await bench.owner.accept(_command())
    await bench.work(80)
    assert bench.log.results == []
    assert [call for call in bench.vendor.calls if call.startswith("POST")] == ["POST " + bench.vendor.calls[0][5:]]
    await bench.work(60)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1


async def test_the_same_key_is_sent_again_after_an_uncertain_outcome_and_another_after_a_refusal() -> None:
    bench = Bench(["before", 429])
    await bench.owner.accept(_command())
    await bench.work(600)
    keys = [call[5:] for call in bench.vendor.calls if call.startswith("POST")]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("fate", ["after", "before"])
async def test_a_successor_settles_what_a_killed_owner_left(fate: str) -> None:
    first = Bench([fate])
    await first.owner.accept(_command())
    await first.work(0)
    row = first.log.rows[row_key("c1", "invoice")]
    first.log.rows[row_key("c1", "invoice")] = msgspec.structs.replace(row, state="intent")
    second = Bench(log=first.log, vendor=first.vendor)
    second.time = first.time
    second.owner.restore(first.log.inbox["c1"])
    await second.work(300)
    assert len(second.vendor.rows) == 1
    assert [result.outcome for result in second.log.results] == ["confirmed"]


async def test_a_replayed_command_writes_nothing_again() -> None:
    bench = Bench()
    await bench.owner.accept(_command())
    await bench.work()
    await bench.owner.accept(_command())
    await bench.work()
    assert len([call for call in bench.vendor.calls if call.startswith("POST")]) == 1
    assert [result.outcome for result in bench.log.results] == ["confirmed", "confirmed"]


async def test_the_newest_set_wins_and_the_older_one_is_answered() -> None:
    bench = Bench()
    bench.owner.pause(paused=True)
    old = _command(id="s1", kind="set", bound_id="1", fields={"note": "a"}, changes=("note",))
    new = _command(id="s2", kind="set", bound_id="1", fields={"note": "b"}, changes=("note",))
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
    await first.owner.accept(_command(id="s1", fields={"note": "a"}, **changes))
    await first.owner.accept(_command(id="p1", kind="append", capability="record_payment"))
    await first.owner.accept(_command(id="s2", fields={"note": "b"}, **changes))
    assert list(first.log.inbox) == ["p1", "s2"], "as a compacted topic has them"
    second = Bench(log=first.log)
    for command in first.log.inbox.values():
        second.owner.restore(command)
    await second.owner.accept(_command(id="p2", kind="append", capability="record_payment"))
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
    await first.owner.accept(_command(id="s1", fields={"note": "a"}, **changes))
    old = first.log.inbox["s1"]
    await first.owner.accept(_command(id="s2", fields={"note": "b"}, **changes))
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
    older, newer = (_command(id=f"s{note}", fields={"note": note}, **changes) for note in "ab")
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
    await bench.owner.accept(_command(digest="d1"))
    bench.owner._start_what_is_ready()
    await asyncio.sleep(0)
    await bench.owner.accept(_command(digest="d2", fields={"note": "newer"}))
    await bench.work()
    told = [(result.digest, result.outcome) for result in bench.log.results]
    assert told == [("d1", first), ("d2", "deferred" if first == "deferred" else "confirmed")]
    assert bench.log.inbox == {}


async def test_what_was_asked_for_while_an_earlier_wish_was_made_is_told_by_what_there_is() -> None:
    bench = Bench()
    await bench.owner.accept(_command(digest="d1"))
    bench.owner._start_what_is_ready()
    await asyncio.sleep(0)
    await bench.owner.accept(_command(digest="d2", fields={"note": "newer"}))
    await bench.work()
    assert [(result.digest, result.outcome) for result in bench.log.results] == [("d1", "confirmed")]
    assert bench.log.inbox == {}


async def test_a_set_on_an_edited_document_is_stale_and_changes_nothing() -> None:
    bench = Bench()
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1", "note": "edited by a person"}
    base = {"note": Pair("old", "old")}
    await bench.owner.accept(_command(kind="set", bound_id="1", fields={"note": "ours"}, changes=("note",), base=base))
    await bench.work()
    (result,) = bench.log.results
    assert (result.outcome, result.shown) == ("stale", {"note": "edited by a person"})
    assert bench.vendor.rows["1"]["note"] == "edited by a person"


BASE = {"note": Pair("old", "old"), "po_number": Pair("po", "PO")}
CHANGED = _command(
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


async def test_a_lease_that_lapses_between_the_result_and_its_journal_leaves_nothing_in_doubt() -> None:
    bench, batch = Bench(), Row(command="b", step="invoices", epoch=1, members=("c1", "c2"), at=1.0)
    bench.log.rows[row_key("b", "invoices")] = batch
    bench = Bench(log=bench.log)
    telling = bench.log.publish_result

    async def tell_and_lapse(result: Result) -> None:
        await telling(result)
        bench.lease = len(bench.log.results) > 1

    bench.log.publish_result = tell_and_lapse  # type: ignore[method-assign]
    await bench.owner.accept(_command())
    await bench.work(300)
    assert list(bench.log.inbox) == ["c1"], "a successor is to tell it again"
    bench.lease = True
    await bench.work(300)
    assert [result.outcome for result in bench.log.results] == ["confirmed", "confirmed"]
    assert bench.log.rows[row_key("c1", "batch")].state == "settled"
    assert (bench.log.inbox, len(bench.vendor.rows)) == ({}, 1)


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


async def test_unknown_presence_asks_before_it_creates() -> None:
    bench = Bench()
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1"}
    await bench.owner.accept(_command(presence="unknown"))
    await bench.work()
    assert bench.log.results[0].bound is not None
    assert not any(call.startswith("POST") for call in bench.vendor.calls)


async def test_a_rejection_goes_to_dead_letters_and_others_go_on() -> None:
    bench = Bench([400])
    await bench.owner.accept(_command())
    await bench.owner.accept(_command(id="c2", entity="document:p", mark="m2"))
    await bench.work()
    assert {result.command: result.outcome for result in bench.log.results} == {"c1": "rejected", "c2": "confirmed"}
    assert [command.id for command in bench.log.dead] == ["c1"]


async def test_a_refused_credential_defers_everything_with_the_outage_number() -> None:
    bench = Bench(["refused"])
    await bench.owner.accept(_command())
    await bench.owner.accept(_command(id="c2", entity="document:p"))
    await bench.work()
    assert {result.outcome for result in bench.log.results} == {"deferred"}
    assert bench.log.results[-1].outage == bench.owner.circuit.number == 1_000_001


async def test_retry_after_is_obeyed() -> None:
    bench = Bench(["limited"])
    await bench.owner.accept(_command())
    await bench.work(4)
    assert len(bench.vendor.calls) == 1
    await bench.work(4)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]


async def test_every_request_of_a_write_is_as_urgent_as_its_command() -> None:
    bench = Bench(["before"])
    await bench.owner.accept(_command(presence="unknown", priority=LIVE_PAYMENT))
    await bench.work(600)
    await bench.owner.accept(_command(id="c2", entity="document:p", mark="m2", priority=BACKFILL))
    await bench.work()
    assert bench.vendor.priorities.count(BACKFILL) == 1
    assert set(bench.vendor.priorities) == {LIVE_PAYMENT, BACKFILL}
    assert len(bench.vendor.priorities) > 4


async def test_writes_of_one_entity_go_one_after_the_other() -> None:
    bench = Bench()
    for number in range(5):
        await bench.owner.accept(_command(id=f"a{number}", kind="append", mark=f"m{number}"))
    await bench.work(5)
    assert [result.command for result in bench.log.results] == [f"a{number}" for number in range(5)]
