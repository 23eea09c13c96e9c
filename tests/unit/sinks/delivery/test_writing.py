"""Batches, natural keys, leases and poison, against a vendor in memory with a fake clock."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from app.core.errors import O2CError, RejectedError, UncertainError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command, Pair, Result
from schemas.connection import Connection
from schemas.events import ChangeEvent
from schemas.facts import Invoice
from schemas.platform import Auth, Consistency, Effect, Limits, Platform
from sinks.base import Sink, Written
from sinks.delivery.journal import Journal
from sinks.delivery.owner import Owner
from sinks.delivery.ports import Lost
from sinks.delivery.row import Row, row_key
from tests.property.virtual_time import run

PLATFORM = Platform(
    slug="made_up", title="Made up", side="accounting", base_url="https://example.com", docs="https://example.com",
    auth=Auth(), limits=Limits(), consistency=Consistency(settle_seconds=20.0, search_lag_seconds=5.0),
    objects={"invoice": "invoice"}, statuses={}, capabilities={"upsert_invoice": Effect.RECORDS},
)  # fmt: skip


class Books(Sink):
    """An invoice needs its customer, found or made by e-mail; many invoices go in one call."""

    platform: ClassVar[Platform] = PLATFORM
    batch: ClassVar[Mapping[str, int]] = {"upsert_invoice": 50}

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        body = {"mark": command.mark, "note": command.fields.get("note", "")}
        if email := command.links.get("customer"):
            body["customer"] = yield from self._customer(email)
        if command.text == "poison":
            raise KeyError("a mistake in the mapper")
        lock = command.links.get("behind", "")
        request = Request(method="POST", path="/invoices", json=[body], mutates=True, step="invoice", lock=lock)
        reply = yield from self._ask(msgspec.structs.replace(request, shared=False))
        return _written(reply.json()[0])

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        body = [{"mark": one.mark, "note": one.fields.get("note", "")} for one in commands]
        reply = yield from self._ask(Request(method="POST", path="/invoices", json=body, mutates=True, step="invoices"))
        return [RejectedError(f"Made up: {row['error']}.") if "error" in row else _written(row) for row in reply.json()]

    def _customer(self, email: str) -> Talk[str]:
        found = (yield from self._ask(Request(method="GET", path="/customers", params={"email": email}))).json()
        if found:
            return str(found[0]["id"])
        body = {"email": email}
        request = Request(
            method="POST", path="/customers", json=body, mutates=True, step="customer", lock=f"customer:{email}"
        )
        try:
            reply = yield from self._ask(request)
        except RejectedError:  # another customer has the name
            named = {**body, "name": email}
            reply = yield from self._ask(msgspec.structs.replace(request, json=named, step="customer:renamed"))
        return str(reply.json()["id"])

    def _ask(self, request: Request) -> Talk[Response]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        return reply

    def probe(self, command: Command) -> Talk[Written | None]:
        reply = yield from self._ask(Request(method="GET", path="/invoices", params={"mark": command.mark}))
        return _written(reply.json()[0]) if reply.json() else None

    def reread(self, command: Command) -> Talk[Written | None]:
        reply = yield from self._ask(Request(method="GET", path="/invoices", params={"id": command.bound_id}))
        return _written(reply.json()[0]) if reply.json() else None

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        return from_status("Made up", response, mutating=mutating)


def _written(row: Mapping[str, Any]) -> Written:
    facts = Invoice(currency="EUR", payable_amount=Decimal(1), note=row["note"])
    return Written(type="invoice", id=row["id"], facts=facts, mark=row["mark"])


class Vendor:
    """Holds invoices and customers; *fates* by path: what happens to the next POSTs there."""

    def __init__(self, **fates: list[str]) -> None:
        self.invoices: list[dict[str, Any]] = []
        self.customers: list[dict[str, Any]] = []
        self.fates = fates
        self.posts: list[tuple[str, str, bytes]] = []
        self.refused: set[str] = set()
        self.taken: set[str] = set()
        self.hidden = False
        self.shouts = False
        """Words notes in capitals."""

    async def __call__(
        self, request: Request, key: str, before: Callable[[], Awaitable[None]] | None = None
    ) -> Response:
        await asyncio.sleep(0)
        if before is not None:
            await before()
        await asyncio.sleep(0)
        kept = self.customers if request.path == "/customers" else self.invoices
        if request.method == "GET":
            ((name, value),) = request.params.items()
            return _reply([row for row in kept if row[name] == value and not (self.hidden and kept is self.customers)])
        content = request.content()[0]
        self.posts.append((request.path, key, content))
        fates = self.fates.get(request.path[1:], [])
        fate = fates.pop(0) if fates else "ok"
        if fate == "before":
            raise UncertainError("reset")
        if fate.isdigit():
            return Response(status=int(fate), body=b"{}")
        body = json.loads(content)
        if kept is self.customers and "name" not in body and body["email"] in self.taken:
            return Response(status=400, body=b"{}")
        rows = [self._add(kept, row) for row in (body if isinstance(body, list) else [body])]
        if fate == "after":
            raise UncertainError("reset")
        return _reply(rows if isinstance(body, list) else rows[0])

    def _add(self, kept: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
        if row.get("mark") in self.refused:
            return {"error": "no such account"}
        row = {**row, "note": row["note"].upper()} if self.shouts else row
        kept.append({**row, "id": f"{len(kept) + 1}"})
        return kept[-1]


def _reply(body: object) -> Response:
    return Response(status=200, body=json.dumps(body).encode())


class Log:
    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.inbox: dict[str, Command] = {}
        self.results: list[Result] = []
        self.events: list[ChangeEvent] = []
        self.dead: list[str] = []

    async def keep_row(self, row: Row) -> int:
        self.rows[row_key(row.command, row.step)] = row
        return len(self.rows)

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
        self.dead.append(command.id)

    def outcomes(self) -> dict[str, str]:
        return {result.command: result.outcome for result in self.results}


class Bench:
    def __init__(self, vendor: Vendor, log: Log | None = None, time: float = 1_000.0, epoch: int = 1) -> None:
        self.time, self.vendor, self.log, self.lease = time, vendor, log or Log(), True
        self.clock: Callable[[], float] = lambda: self.time
        self.stopped: set[str] = set()
        connection = Connection(name="books", tenant="t", platform="made_up", account="a")
        self.owner = Owner(
            Books(connection), vendor, self.log, epoch=epoch, now=self._now, journal=Journal(self.log.rows.values()),
            owns=lambda: self.lease,
        )  # fmt: skip
        self.owner.live = lambda flow: flow not in self.stopped

    def _now(self) -> float:
        return self.clock()

    async def work(self, seconds: float = 1.0, *commands: Command) -> None:
        for command in commands:
            await self.owner.accept(command)
        for _ in range(int(seconds * 2) + 1):
            await self.owner._plan_afresh()
            self.owner._start_what_is_ready()
            while self.owner._tasks:
                await asyncio.gather(*self.owner._tasks)
            self.time += 0.5


def command(number: int, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": f"c{number}", "kind": "create", "tenant": "t", "connection": "books", "account": "a",
        "capability": "upsert_invoice", "order": f"o{number}", "entity": f"e{number}", "write": "w", "canonical": "x",
        "mark": f"m{number}", "facts": Invoice(currency="EUR", payable_amount=Decimal(1)), "fields": {"note": "n"},
    }  # fmt: skip
    return Command(**{**values, **changes})


def single(number: int, **changes: Any) -> Command:
    """Return a command that goes by itself: nobody knows whether it was made before."""
    return command(number, presence="unknown", **changes)


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
    assert bench.log.dead == ["c3"]


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
