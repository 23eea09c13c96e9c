"""The owner of a connection against a platform that commits and drops the line, with a fake clock and an in-memory log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from app.core.talk import Request, Talk
from schemas.commands import BACKFILL, LIVE_PAYMENT, Command, Result
from schemas.facts import Invoice
from sinks.base import Written
from sinks.delivery.owner import Owner
from sinks.delivery.row import Row, row_key
from tests.unit.sinks.delivery.owning import Bench, Ledgerish, command_of, written


async def test_a_write_is_one_call_one_document_one_result() -> None:
    bench = Bench()
    await bench.owner.accept(command_of())
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
    await bench.owner.accept(command_of())
    await bench.work(600)
    assert len(bench.vendor.rows) == 1
    assert [result.outcome for result in bench.log.results] == ["confirmed"]


@pytest.mark.parametrize("fate", ["ok", "after"])
async def test_a_lease_that_lapses_for_a_while_stops_nothing_for_good(fate: str) -> None:
    bench = Bench([fate])
    bench.lease = False
    await bench.owner.accept(command_of())
    await bench.work(5)
    assert (bench.vendor.calls, bench.log.results) == ([], [])
    bench.lease = True
    await bench.work(300)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1


async def test_a_lease_that_lapses_amid_a_write_leaves_it_to_be_asked_about() -> None:
    bench = Bench()
    await bench.owner.accept(command_of())
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
    await bench.owner.accept(command_of())
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
    await bench.owner.accept(command_of())
    await bench.work(80)
    assert bench.log.results == []
    assert [call for call in bench.vendor.calls if call.startswith("POST")] == ["POST " + bench.vendor.calls[0][5:]]
    await bench.work(60)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
    assert len(bench.vendor.rows) == 1


async def test_the_same_key_is_sent_again_after_an_uncertain_outcome_and_another_after_a_refusal() -> None:
    bench = Bench(["before", 429])
    await bench.owner.accept(command_of())
    await bench.work(600)
    keys = [call[5:] for call in bench.vendor.calls if call.startswith("POST")]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("fate", ["after", "before"])
async def test_a_successor_settles_what_a_killed_owner_left(fate: str) -> None:
    first = Bench([fate])
    await first.owner.accept(command_of())
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
    await bench.owner.accept(command_of())
    await bench.work()
    await bench.owner.accept(command_of())
    await bench.work()
    assert len([call for call in bench.vendor.calls if call.startswith("POST")]) == 1
    assert [result.outcome for result in bench.log.results] == ["confirmed", "confirmed"]


async def test_a_lease_that_lapses_between_the_result_and_its_journal_leaves_nothing_in_doubt() -> None:
    bench, batch = Bench(), Row(command="b", step="invoices", epoch=1, members=("c1", "c2"), at=1.0)
    bench.log.rows[row_key("b", "invoices")] = batch
    bench = Bench(log=bench.log)
    telling = bench.log.publish_result

    async def tell_and_lapse(result: Result) -> None:
        await telling(result)
        bench.lease = len(bench.log.results) > 1

    bench.log.publish_result = tell_and_lapse  # type: ignore[method-assign]
    await bench.owner.accept(command_of())
    await bench.work(300)
    assert list(bench.log.inbox) == ["c1"], "a successor is to tell it again"
    bench.lease = True
    await bench.work(300)
    assert [result.outcome for result in bench.log.results] == ["confirmed", "confirmed"]
    assert bench.log.rows[row_key("c1", "batch")].state == "settled"
    assert (bench.log.inbox, len(bench.vendor.rows)) == ({}, 1)


async def test_what_was_sent_is_asked_about_since_an_hour_before_and_what_nobody_remembers_at_any_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[datetime | None]()
    anytime = Ledgerish.probe

    def probe(self: Ledgerish, command: Command) -> Talk[Written | None]:
        asked.append(None)
        return anytime(self, command)

    def probe_since(self: Ledgerish, command: Command, since: datetime) -> Talk[Written | None]:
        asked.append(since)
        return anytime(self, command)

    monkeypatch.setattr(Ledgerish, "probe", probe)
    monkeypatch.setattr(Ledgerish, "probe_since", probe_since)
    bench = Bench(["after"])
    sent = bench.time
    await bench.owner.accept(command_of())
    await bench.work(5)
    assert asked == [datetime.fromtimestamp(sent - 3600, UTC)]
    assert len(bench.vendor.rows) == 1

    await bench.owner.accept(command_of(id="c2", mark="o2c1:other", presence="unknown"))
    await bench.work()
    assert asked[1:] == [None]


async def test_unknown_presence_asks_before_it_creates() -> None:
    bench = Bench()
    bench.vendor.rows["1"] = {"id": "1", "mark": "m1"}
    await bench.owner.accept(command_of(presence="unknown"))
    await bench.work()
    assert bench.log.results[0].bound is not None
    assert not any(call.startswith("POST") for call in bench.vendor.calls)


async def test_a_rejection_goes_to_dead_letters_and_others_go_on() -> None:
    bench = Bench([400])
    await bench.owner.accept(command_of())
    await bench.owner.accept(command_of(id="c2", entity="document:p", mark="m2"))
    await bench.work()
    assert {result.command: result.outcome for result in bench.log.results} == {"c1": "rejected", "c2": "confirmed"}
    assert [command.id for command in bench.log.dead] == ["c1"]


async def test_a_refused_credential_defers_everything_with_the_outage_number() -> None:
    bench = Bench(["refused"])
    await bench.owner.accept(command_of())
    await bench.owner.accept(command_of(id="c2", entity="document:p"))
    await bench.work()
    assert {result.outcome for result in bench.log.results} == {"deferred"}
    assert bench.log.results[-1].outage == bench.owner.circuit.number == 1_000_001


async def test_retry_after_is_obeyed() -> None:
    bench = Bench(["limited"])
    await bench.owner.accept(command_of())
    await bench.work(4)
    assert len(bench.vendor.calls) == 1
    await bench.work(4)
    assert [result.outcome for result in bench.log.results] == ["confirmed"]


async def test_every_request_of_a_write_is_as_urgent_as_its_command() -> None:
    bench = Bench(["before"])
    await bench.owner.accept(command_of(presence="unknown", priority=LIVE_PAYMENT))
    await bench.work(600)
    await bench.owner.accept(command_of(id="c2", entity="document:p", mark="m2", priority=BACKFILL))
    await bench.work()
    assert bench.vendor.priorities.count(BACKFILL) == 1
    assert set(bench.vendor.priorities) == {LIVE_PAYMENT, BACKFILL}
    assert len(bench.vendor.priorities) > 4


async def test_writes_of_one_entity_go_one_after_the_other() -> None:
    bench = Bench()
    for number in range(5):
        await bench.owner.accept(command_of(id=f"a{number}", kind="append", mark=f"m{number}"))
    await bench.work(5)
    assert [result.command for result in bench.log.results] == [f"a{number}" for number in range(5)]


class _InTwoSteps(Ledgerish):
    """An invoice is a draft, then an open one; who is not sure that nothing is there looks first."""

    def upsert_invoice(self, command: Command) -> Talk[Written]:
        draft = None if command.presence == "absent" else (yield from super().probe(command))
        if draft is None:
            draft = yield from super().upsert_invoice(command)
        body = {"mark": command.mark, "note": "open"}
        reply = yield Request(method="POST", path=f"/invoices/{draft.id}", json=body, mutates=True, step="open")
        if (error := self.classify(reply, mutating=True)) is not None:
            raise error
        return written(reply.json())

    def probe(self, command: Command) -> Talk[Written | None]:
        found = yield from super().probe(command)
        if found is None or not isinstance(found.facts, Invoice):
            return None
        return msgspec.structs.replace(found, complete=found.facts.note == "open")


@pytest.mark.parametrize("fates", [["after"], ["before"], ["before", "after"], ["ok", "before"], ["ok", "after"]])
async def test_what_a_lost_reply_left_in_part_is_gone_on_with_not_begun_anew(fates: list[str | int]) -> None:
    bench = Bench(fates)
    sink = _InTwoSteps(bench.owner._sink.connection)
    bench.owner = Owner(sink, bench.vendor, bench.log, epoch=1, now=lambda: bench.time)
    await bench.owner.accept(command_of(presence="absent"))
    await bench.work(600)
    assert [row["note"] for row in bench.vendor.rows.values()] == ["open"]
    assert [result.outcome for result in bench.log.results] == ["confirmed"]
