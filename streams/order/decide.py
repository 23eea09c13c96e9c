"""What a person's decision does to an order's state; each decision counts once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from schemas.decisions import Decision
from schemas.state import TAKEN_BACK, Agreed, Conflict, OrderState, WriteRecord
from streams.order.merge import with_writes
from streams.order.taken_back import all_ended

_REMEMBERED = 32
_CONFLICTS = 20


def remembered(state: OrderState, conflicts: Sequence[Conflict], now: datetime) -> OrderState:
    """Return the state with new conflicts; one that still stands is none, and the oldest are forgotten first."""
    stands = {(one.field, one.kept, one.lost, one.lost_by) for one in state.conflicts}
    fresh = [one for one in conflicts if (one.field, one.kept, one.lost, one.lost_by) not in stands]
    new = [one if one.at is not None else msgspec.structs.replace(one, at=now) for one in fresh]
    return msgspec.structs.replace(state, conflicts=(*state.conflicts, *new)[-_CONFLICTS:])


def decided(state: OrderState, decision: Decision, now: datetime) -> OrderState:
    """Return the state after *decision*; one that was heard before, or fits nothing any more, changes no write."""
    if decision.id in state.decisions:
        return state
    heard = msgspec.structs.replace(state, decisions=(*state.decisions, decision.id)[-_REMEMBERED:])
    if decision.kind == "retry":
        return _retried(heard, decision)
    if decision.kind == "recreate":
        return _recreated(heard, decision)
    if decision.kind == "undo":
        return _undone(heard, decision, now)
    if decision.kind == "resume":
        return msgspec.structs.replace(heard, held=False)
    if decision.kind in {"adopt", "disown"}:
        said = {**heard.said_of, decision.object: decision.kind == "adopt"}
        return msgspec.structs.replace(heard, said_of=said)
    return _reverted(heard, decision, now) if decision.kind == "revert" else heard


def _retried(state: OrderState, decision: Decision) -> OrderState:
    """Plan refused writes afresh; nothing is resent."""
    chosen = [
        record
        for key, record in state.writes.items()
        if decision.write in ("", key)
        and decision.digest in ("", record.stopped)
        and (record.outcome != "confirmed" or record.reverted)
    ]
    return with_writes(
        state,
        {one.key: msgspec.structs.replace(one, stopped="", reverted=(), asked_at=None) for one in chosen},
    )


def _undone(state: OrderState, decision: Decision, now: datetime) -> OrderState:
    """Let what these writes made be taken back; what was undone already, or is another object by now, is left alone."""
    named = {one.write: one for one in decision.writes}
    chosen = {
        key: msgspec.structs.replace(record, undone_at=decision.at or now)
        for key, record in state.writes.items()
        if key in named
        and record.undone_at is None
        and record.bound is not None
        and (record.generation, record.bound.key) == (named[key].generation, named[key].object)
    }
    return msgspec.structs.replace(with_writes(state, chosen), format=TAKEN_BACK) if chosen else state


def _recreated(state: OrderState, decision: Decision) -> OrderState:
    """Let a document be made once more, or, where none is named, all that was undone and has ended."""
    if not decision.write:
        undone = [record for record in state.writes.values() if record.undone_at is not None]
        return with_writes(state, {one.key: _anew(one) for one in undone}) if all_ended(state) else state
    record = state.writes.get(decision.write)
    if record is None or decision.generation not in (None, record.generation):
        return state
    if record.undone_at is not None and not all_ended(state):
        return state
    return with_writes(state, {record.key: _anew(record)})


def _anew(record: WriteRecord) -> WriteRecord:
    """Return the write under its next generation, of which nothing was asked for yet."""
    return WriteRecord(
        key=record.key,
        connection=record.connection,
        account=record.account,
        capability=record.capability,
        canonical=record.canonical,
        order=record.order,
        generation=record.generation + 1,
        outcome="superseded",
        past=record.past if record.bound is None else (*record.past, record.bound.key),
    )


def _reverted(state: OrderState, decision: Decision, now: datetime) -> OrderState:
    """Give the lost value of the newest conflict of a field back; once more brings the other one back."""
    found = [one for one in state.conflicts if one.field == decision.field]
    agreed = state.agreed.get(decision.field)
    if not found or agreed is None:
        return state
    newest = found[-1]
    swapped = Conflict(
        field=newest.field,
        kept=newest.lost,
        lost=agreed.value,
        kept_by=newest.lost_by,
        lost_by=agreed.source,
        at=decision.at or now,
    )
    return msgspec.structs.replace(
        state,
        agreed={**state.agreed, newest.field: Agreed(newest.lost, newest.lost_by, agreed.seen)},
        conflicts=tuple(swapped if one is newest else one for one in state.conflicts),
    )
