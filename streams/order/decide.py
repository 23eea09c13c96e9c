"""What a person's decision does to an order's state; each decision counts once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from schemas.decisions import Decision
from schemas.state import Agreed, Conflict, OrderState, WriteRecord
from streams.order.merge import with_writes

_REMEMBERED = 32
_CONFLICTS = 20


def remembered(state: OrderState, conflicts: Sequence[Conflict], now: datetime) -> OrderState:
    """Return the state with new conflicts; the oldest are forgotten first."""
    new = [one if one.at is not None else msgspec.structs.replace(one, at=now) for one in conflicts]
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


def _recreated(state: OrderState, decision: Decision) -> OrderState:
    """Let a document be made once more, under the next generation."""
    record = state.writes.get(decision.write)
    if record is None or decision.generation not in (None, record.generation):
        return state
    anew = WriteRecord(
        key=record.key,
        connection=record.connection,
        account=record.account,
        capability=record.capability,
        canonical=record.canonical,
        order=record.order,
        generation=record.generation + 1,
        outcome="superseded",
    )
    return with_writes(state, {record.key: anew})


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
