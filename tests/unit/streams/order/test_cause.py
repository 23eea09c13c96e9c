"""What a command goes back to: the oldest change that it answers, whatever happened on the way."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from schemas.cloudevents import encode
from schemas.commands import Command, Result
from schemas.trace import new_trace, trace_id
from streams.engine.fold import Record
from streams.order.step import Input, Seen, Stepped, Tick, step
from streams.processors.orders import Orders

_spec = importlib.util.spec_from_file_location("sample", Path(__file__).with_name("sample.py"))
assert _spec is not None
assert _spec.loader is not None
sample: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sample)
NOW, WORLD, EMPTY = sample.NOW, sample.WORLD, sample.EMPTY
FIRST, SECOND = new_trace(), new_trace()
LATER = NOW + timedelta(minutes=5)


def _told(seen: Seen, trace: str, at: datetime) -> Seen:
    return msgspec.structs.replace(seen, event=msgspec.structs.replace(seen.event, trace=trace, told_at=at))


def _run(state: Any, *inputs: Input, now: datetime = NOW) -> Stepped:
    return step(state, inputs, WORLD, now)


def _answered(command: Command, **changes: Any) -> Result:
    result, _ = sample.confirmed(command, "x-1", 1)
    made = {"trace": command.trace, "told_at": command.told_at}
    return msgspec.structs.replace(result, **{**made, **changes})


def test_a_command_carries_trace_and_time_of_what_caused_it() -> None:
    stepped = _run(EMPTY, _told(sample.order(), FIRST, NOW))
    assert {(one.trace, one.told_at) for one in stepped.commands} == {(FIRST, NOW)}
    assert stepped.trace == FIRST


def test_of_several_changes_the_one_told_first_counts() -> None:
    stepped = _run(EMPTY, _told(sample.order(2), SECOND, LATER), _told(sample.payment(), FIRST, NOW))
    assert {(one.trace, one.told_at) for one in stepped.commands} == {(FIRST, NOW)}


def test_a_redelivery_that_changes_nothing_causes_nothing() -> None:
    state = _run(EMPTY, _told(sample.order(), FIRST, NOW)).state
    stepped = _run(state, _told(sample.order(), FIRST, NOW), _told(sample.payment(), SECOND, LATER))
    assert stepped.trace == SECOND


def test_the_next_step_of_a_chain_answers_the_same_change() -> None:
    stepped = _run(EMPTY, _told(sample.order(), FIRST, NOW), _told(sample.payment(), FIRST, NOW))
    invoice = next(one for one in stepped.commands if one.capability == "upsert_invoice")
    after = _run(stepped.state, _answered(invoice), now=LATER)
    paid = next(one for one in after.commands if one.capability == "record_payment")
    assert (paid.trace, paid.told_at) == (FIRST, NOW)


def test_an_outage_counts_although_only_time_brings_the_command_back() -> None:
    stepped = _run(EMPTY, _told(sample.order(), FIRST, NOW))
    state = stepped.state
    for command in stepped.commands:
        state = _run(state, _answered(command, outcome="deferred", bound=None, made={}, outage=1)).state
    up = dict.fromkeys(sample.CONNECTIONS, (1, 1))
    world = msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, up=up))
    again = step(state, [Tick()], world, LATER)
    assert again.commands
    assert {(one.trace, one.told_at) for one in again.commands} == {(FIRST, NOW)}


def test_what_was_answered_is_forgotten() -> None:
    stepped = _run(EMPTY, _told(sample.order(), FIRST, NOW))
    state = stepped.state
    for command in stepped.commands:
        result, look = sample.confirmed(command, f"{command.connection}-1", 1)
        state = _run(state, msgspec.structs.replace(result, told_at=NOW), look).state
    changed = _run(state, _told(sample.order(2, note="gift"), SECOND, LATER))
    assert {(one.trace, one.told_at) for one in changed.commands} == {(SECOND, LATER)}


def test_an_event_of_another_service_counts_from_its_record_and_gets_a_trace_that_a_replay_repeats() -> None:
    event = sample.order().event
    key, headers, value = encode(msgspec.structs.replace(event, order=sample.KEY), "order")
    record = Record("crm-changes", 0, 7, key, value, headers, int(NOW.timestamp() * 1000))

    def commands() -> list[Command]:
        orders = Orders(WORLD)
        orders.keys([record])
        folded = orders.fold(0, [record], {key: None}, NOW, {})
        return [msgspec.json.decode(out.value or b"", type=Command) for out in folded.outs if out.topic == "commands"]

    first = commands()
    assert {one.told_at for one in first} == {NOW.astimezone(UTC)}
    assert [one.trace for one in first] == [one.trace for one in commands()]
    assert all(trace_id(one.trace) for one in first)
