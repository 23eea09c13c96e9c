"""When a write that was asked for may be asked for again, and until when its answer is waited for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from schemas.state import NEVER, WriteRecord
from streams.order.plan.desk import Desk, shown
from streams.order.plan.want import Want
from streams.order.world import World

_UNSETTLED = frozenset((None, "uncertain", "deferred"))


def again(record: WriteRecord, wish: str, desk: Desk, world: World, now: datetime) -> bool:
    """Tell whether a write that was asked for before may be asked for now."""
    if record.stopped == wish:
        return False
    if record.outcome == "deferred":
        up = world.facts.up.get(record.connection)
        if up is not None and (record.result[0], record.outage) <= up:
            return True
    elif record.outcome == "stale":
        there = shown(desk.state, record.bound, record) or {}
        if record.stale and all(there.get(name) == value for name, value in record.stale.items()):
            return True
    elif record.outcome not in _UNSETTLED:
        return True
    changed = record.digest != wish and record.outcome in {None, "stale"}
    return changed or record.asked_at is None or now >= record.asked_at + replan_after(desk)


def replan_after(desk: Desk) -> timedelta:
    """Return for how long an answer is waited for."""
    return timedelta(seconds=desk.derived.flow.replan_seconds)


def patience(record: WriteRecord, desk: Desk, wish: str) -> datetime | None:
    """Return when an unanswered write is planned again; what is refused for good waits for a change or a person."""
    if record.stopped == wish or record.asked_at is None:
        return None
    return record.asked_at + replan_after(desk)


def unanswered(record: WriteRecord, desk: Desk, now: datetime) -> datetime | None:
    """Return until when the answer to a write is waited for, None where it is here or long overdue."""
    due = patience(record, desk, record.digest) if record.outcome is None else None
    return due if due is not None and now < due else None


def is_change(record: WriteRecord, shared: Iterable[str]) -> bool:
    """Tell whether what was asked for last is a change of *shared* fields; a create names others as well."""
    return set(record.asked) <= set(shared)


def in_flight(want: Want, record: WriteRecord | None) -> tuple[str, ...]:
    """Return the fields of a change of amounts that is not answered: what shows of them may be from before it.

    They are asked for as long as it is: where an order is back at what shows, the change must not be what stays.
    """
    if record is None or record.outcome is not None or record.result == NEVER or "payable_amount" not in record.asked:
        return ()
    return record.asked if is_change(record, want.shared) else ()
