"""One order planned to the end by the streams' own core, as if every system took what it is asked at once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from schemas.commands import Command, Pair, Result
from schemas.refs import ObjectRef
from schemas.state import OrderState, WriteRecord
from streams.order.step import Stepped, Tick, step
from streams.order.world import World

PLANNED = "planned:"
"""Begins the id of an object that only the rehearsal made."""
_ROUNDS = 20
_LATEST = 2**62
_UNSETTLED = frozenset((None, "uncertain", "deferred"))


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What an order would make the streams ask for; `first` is the step that comes now."""

    first: Stepped
    commands: tuple[tuple[Command, bool], ...]
    """Each with whether it waits for an earlier one."""


def live(world: World, flows: Iterable[str]) -> World:
    """Return the world in which *flows* write."""
    return in_mode(world, flows, "live")


def in_mode(world: World, flows: Iterable[str], mode: str) -> World:
    """Return the world in which *flows* are in *mode*."""
    modes = {**world.facts.modes, **dict.fromkeys(flows, mode)}
    return msgspec.structs.replace(world, facts=msgspec.structs.replace(world.facts, modes=modes))


def backfilling(world: World, flows: Iterable[str], since: datetime) -> World:
    """Return the world in which *flows* also write what is older than the start, back to *since*."""
    asked = {**world.facts.backfills, **dict.fromkeys(flows, since)}
    return msgspec.structs.replace(world, facts=msgspec.structs.replace(world.facts, backfills=asked))


def rehearse(state: OrderState, world: World, now: datetime) -> Rehearsed:
    """Return what is planned of *state* where its flow is live; what was asked for and not answered is part of it."""
    first = stepped = step(_unasked(state), [Tick()], world, now)
    found: dict[str, tuple[Command, bool]] = {}
    for number in range(1, _ROUNDS):
        fresh = [command for command in stepped.commands if command.id not in found]
        if not fresh:
            break
        found |= {command.id: (command, number > 1) for command in fresh}
        stepped = step(stepped.state, [_taken(command, number) for command in fresh], world, now)
    return Rehearsed(first=first, commands=tuple(found.values()))


def _unasked(state: OrderState) -> OrderState:
    """Return the state in which nobody waits for an answer: what is under way has not been written for sure."""
    writes = {key: _open(record) for key, record in state.writes.items()}
    return state if writes == state.writes else msgspec.structs.replace(state, writes=writes)


def _open(record: WriteRecord) -> WriteRecord:
    if record.asked_at is None or record.outcome not in _UNSETTLED:
        return record
    return msgspec.structs.replace(record, asked_at=None)


def _taken(command: Command, number: int) -> Result:
    """Return the result of a system that took *command* as it is."""
    made = ObjectRef(command.connection, command.account, command.canonical, f"{PLANNED}{command.write}")
    return Result(
        command=command.id,
        order=command.order,
        write=command.write,
        tenant=command.tenant,
        connection=command.connection,
        account=command.account,
        capability=command.capability,
        outcome="confirmed",
        digest=command.digest,
        generation=command.generation,
        bound=None if command.kind == "set" else made,
        made={name: Pair(value, value) for name, value in command.fields.items()},
        look=(_LATEST, number),
        epoch=_LATEST,
        offset=number,
    )
