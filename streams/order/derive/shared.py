"""Shared scalar fields: edits are found against the base, never by comparing clocks.

Each participant has a reference value per field: what the system made of our last write, else what it showed when
the value was last agreed. A participant that shows something else was edited. One edited value becomes the agreed
value; of several the ranking picks one and the others are kept as conflicts, which a person can revert.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from schemas.findings import Finding
from schemas.flow import Flow
from schemas.projection import project
from schemas.state import Agreed, Conflict, Observation, OrderState, WriteRecord
from streams.order.merge import hides, is_gone
from streams.order.world import World

SHARED = ("note", "po_number", "email", "due_date")
_SHOWING = ("upsert_order", "upsert_invoice", "upsert_sales_receipt", "request_payment")


class Participant(msgspec.Struct, frozen=True):
    """One object that shows a shared field."""

    key: str
    look: Observation
    record: WriteRecord | None
    value: str


def agree(
    state: OrderState, flow: Flow, giver: Observation, world: World
) -> tuple[dict[str, Agreed], tuple[Conflict, ...]]:
    """Return the agreed value of each shared field, and what lost where two people edited one."""
    found: dict[str, Agreed] = {}
    conflicts: list[Conflict] = []
    for name, sides in _participants(state, flow, giver, world).items():
        known = state.agreed.get(name)
        if known is not None and _stands(sides, known):
            found[name] = known
        elif there := [one for one in sides if known is not None or not _unanswered(one)]:
            found[name], lost = _agree(name, there, known, flow, giver)
            conflicts += lost
    return found, tuple(conflicts)


def finding(conflict: Conflict) -> Finding:
    """Return what is shown of a conflict when it happens."""
    message = (
        f"{conflict.field} was edited in two systems; {conflict.kept!r} of {conflict.kept_by} was kept, "
        f"{conflict.lost_by} said {conflict.lost!r}."
    )
    step = f"`o2c orders revert` with the field {conflict.field} gives it back"
    return Finding("conflict", "warn", message, conflict.field, step)


def _participants(state: OrderState, flow: Flow, giver: Observation, world: World) -> dict[str, list[Participant]]:
    """Return by field the living objects that show it and take part: the key-giver and the flow's targets."""
    there: dict[str, list[Participant]] = {name: [] for name in SHARED}
    for key, look, record in _sides(state, giver):
        fields = project(look.facts)
        outdated = record is not None and look.last_read < record.look
        for name in _taking_part(look.object.connection, flow, world, gives=look.object == giver.object):
            if name in fields:
                value = _shown(fields[name], record, look, name) if outdated else fields[name]
                there[name].append(Participant(key, look, record, value))
    return there


def _sides(state: OrderState, giver: Observation) -> Iterator[tuple[str, Observation, WriteRecord | None]]:
    """Yield the key-giver's object and those of our writes that show shared fields, each with its write."""
    records = {
        record.bound.key: record
        for record in state.writes.values()
        if record.bound is not None and record.capability in _SHOWING
    }
    keys = {*records, giver.object.key} & state.objects.keys()
    for key in sorted(keys, key=lambda key: state.objects[key].object):
        if not is_gone(state.objects[key]):
            yield key, state.objects[key], records.get(key)


def _taking_part(connection: str, flow: Flow, world: World, *, gives: bool) -> tuple[str, ...]:
    place = (flow.name, connection, gives)
    known = world.taking_part.get(place)
    if known is None or known[0] is not flow:
        known = world.taking_part[place] = (flow, _shared(connection, flow, world, gives=gives))
    return known[1]


def _shared(connection: str, flow: Flow, world: World, *, gives: bool) -> tuple[str, ...]:
    """Return the fields in which an object takes part; a key-giver that nothing is written to is believed as it is."""
    platform = world.platform(connection)
    if platform is None:
        return ()
    if gives and "upsert_order" not in platform.capabilities:
        return SHARED
    kept = world.kept(connection, _SHOWING)
    asked = {name for one in flow.targets if one.connection == connection for name in one.fields}
    return tuple(name for name in SHARED if name in kept and (gives or name in asked))


def _shown(value: str, record: WriteRecord | None, look: Observation, name: str) -> str:
    """Return what the object shows; an observation older than our last write shows what that write made."""
    if record is not None and hides(record, name, look):
        return record.base[name].made
    return value


def _in_flight(record: WriteRecord | None, name: str) -> bool:
    """Tell whether our own write of the field may be what is shown: delivery says `stale` if it is not."""
    return record is not None and record.outcome in {None, "uncertain"} and name in record.asked


def _reference(one: Participant, agreed: Agreed | None, name: str) -> str | None:
    if one.record is not None and name in one.record.base:
        return one.record.base[name].made
    return None if agreed is None else agreed.seen.get(one.key)


def _agree(
    name: str, there: Sequence[Participant], agreed: Agreed | None, flow: Flow, giver: Observation
) -> tuple[Agreed, list[Conflict]]:
    seen = {one.key: one.value for one in there}
    if agreed is None:
        return _first(name, there, giver, seen), []
    seen |= {one.key: agreed.seen.get(one.key, one.value) for one in there if _in_flight(one.record, name)}
    edited = [
        one
        for one in there
        if not _in_flight(one.record, name)
        and (known := _reference(one, agreed, name)) is not None
        and one.value != known
    ]
    values = {one.value for one in edited if one.value != agreed.value}
    if not values:
        return Agreed(agreed.value, agreed.source, seen), []
    if any(_crossed(one, agreed, name) for one in edited):
        edited += [one for one in there if one not in edited and (one.key, one.value) == (agreed.source, agreed.value)]
        values = {one.value for one in edited}
    winner = min(edited, key=lambda one: _rank(one, flow, name))
    chosen = Agreed(winner.value, winner.key, seen)
    if values == {winner.value}:
        return chosen, []
    return chosen, [_conflict(name, winner, one) for one in edited if one.value != winner.value]


def _stands(there: Sequence[Participant], agreed: Agreed) -> bool:
    """Tell whether nobody takes part, or all show what was agreed, as they did then: there is no edit to look for."""
    value, seen = agreed.value, agreed.seen
    for one in there:
        if one.value != value or seen.get(one.key) != value:
            return False
    return len(there) in {0, len(seen)}


def _crossed(one: Participant, agreed: Agreed, name: str) -> bool:
    """Tell whether an edit met a write of ours: somebody else's edit was on its way there, so that two stand."""
    if one.record is None or one.value == agreed.value:
        return False
    if name in one.record.base:
        return one.record.base[name].sent != agreed.value
    return one.record.outcome == "stale" and name in one.record.asked


def _first(name: str, there: Sequence[Participant], giver: Observation, seen: dict[str, str]) -> Agreed:
    """Return the first agreed value: the key-giver's, else what we asked for, else what is shown."""
    for one in there:
        if one.look.object == giver.object:
            return Agreed(one.value, one.key, seen)
    for one in there:
        if one.record is not None and name in one.record.base:
            return Agreed(one.record.base[name].sent, giver.object.key, seen)
    return Agreed(there[0].value, there[0].key, seen)


def _unanswered(one: Participant) -> bool:
    """Tell whether our write is shown before its result: what was asked for is not known, only what became of it."""
    return one.record is not None and one.record.outcome is None and not one.record.base and bool(one.record.id)


def _conflict(name: str, winner: Participant, loser: Participant) -> Conflict:
    return Conflict(
        field=name,
        kept=winner.value,
        lost=loser.value,
        kept_by=winner.key,
        lost_by=loser.key,
        at=loser.look.changed_at,
    )


def _rank(one: Participant, flow: Flow, name: str) -> tuple[int, str]:
    order = flow.ranking.get(name) or (flow.key_giver, *(target.connection for target in flow.targets))
    connection = one.look.object.connection
    return (order.index(connection) if connection in order else len(order), one.key)
