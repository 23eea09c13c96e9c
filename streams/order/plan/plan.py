"""plan(state, derived, world, now): the missing writes, and the write records that remember they were asked for.

Planning twice plans nothing: what was asked for is not asked again before its result, the end of its outage or the
re-plan deadline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

import msgspec

from schemas.commands import LIVE, LIVE_PAYMENT, Command, Known, Pair
from schemas.projection import digest, project
from schemas.refs import mark_of, set_id, write_id
from schemas.state import OrderState, WriteRecord
from streams.order.derive import Derived
from streams.order.merge import is_gone
from streams.order.plan.want import Want
from streams.order.plan.wants import Desk, wants
from streams.order.world import World

_REVERTS = 3
_UNSETTLED = frozenset((None, "uncertain", "deferred"))


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What planning came to; in shadow mode `writes` is empty and the commands are only shown."""

    commands: tuple[Command, ...] = ()
    writes: dict[str, WriteRecord] = {}
    due_at: datetime | None = None
    shadow: bool = False


def plan(state: OrderState, derived: Derived, world: World, now: datetime) -> Planned:
    """Return what is missing in every target of the order's flow."""
    mode = world.mode(derived.flow)
    if derived.blocked or state.alias_of or derived.order.test or mode == "stopped":
        return Planned()
    found = [pair for desk in _desks(state, derived, world) for pair in _target(desk, world, now)]
    commands = tuple(command for command, _ in found if command is not None)
    if mode != "live":
        return Planned(commands=commands, shadow=True)
    writes = {record.key: record for _, record in found if record is not None}
    return Planned(commands=commands, writes=writes, due_at=_due(state, writes, derived))


def _desks(state: OrderState, derived: Derived, world: World) -> Iterator[Desk]:
    for target in derived.flow.targets:
        connection, platform = world.connection(target.connection), world.platform(target.connection)
        if connection is not None and platform is not None:
            yield Desk(state=state, derived=derived, target=target, connection=connection, platform=platform)


def _due(state: OrderState, writes: Mapping[str, WriteRecord], derived: Derived) -> datetime | None:
    patience = timedelta(seconds=derived.flow.replan_seconds)
    asked = [record.asked_at for record in {**state.writes, **writes}.values() if record.outcome in _UNSETTLED]
    return min((moment + patience for moment in asked if moment is not None), default=None)


def _target(desk: Desk, world: World, now: datetime) -> Iterator[tuple[Command | None, WriteRecord | None]]:
    for want in wants(desk):
        if all(_confirmed(desk.record(key)) for key in want.after):
            yield _compared(desk, want, world, now)


def _confirmed(record: WriteRecord | None) -> bool:
    return record is not None and record.bound is not None


def _compared(desk: Desk, want: Want, world: World, now: datetime) -> tuple[Command | None, WriteRecord | None]:
    record = desk.record(want.write)
    fields = _fields(desk, want)
    if want.kind == "set":
        return _set(desk, want, record, {"status": want.status}, world, now)
    bound = want.bound or (record.bound if record else None)
    if bound is None:
        return _create(desk, want, record, fields, world, now)
    if want.kind == "append":
        return None, None
    missing = _missing(desk, want, record, fields)
    if not missing:
        return None, None
    return _set(desk, want, record, missing, world, now)


def _fields(desk: Desk, want: Want) -> dict[str, str]:
    shown = desk.platform.shows.get(want.capability)
    wanted = project(want.facts)
    agreed = {name: agreed.value for name, agreed in desk.derived.agreed.items() if name in wanted}
    return {name: value for name, value in {**wanted, **agreed}.items() if shown is None or name in shown}


def _missing(desk: Desk, want: Want, record: WriteRecord | None, fields: Mapping[str, str]) -> dict[str, str]:
    """Return the shared fields that the system neither shows nor acknowledged."""
    bound = want.bound or (record.bound if record else None)
    look = desk.state.objects.get(bound.key) if bound else None
    if look is None or is_gone(look):
        return {}
    shown = project(look.facts)
    base = record.base if record else {}
    if record is not None and look.last_read < record.look:
        shown = {**shown, **{name: pair.made for name, pair in base.items()}}
    return {
        name: fields[name]
        for name in want.shared
        if name in fields and name in shown and not _equal(fields[name], shown[name], base.get(name))
    }


def _equal(wanted: str, shown: str, base: Pair | None) -> bool:
    return wanted == shown or (base is not None and base.sent == wanted and base.made == shown)


def _create(
    desk: Desk, want: Want, record: WriteRecord | None, fields: dict[str, str], world: World, now: datetime
) -> tuple[Command | None, WriteRecord | None]:
    wish = digest(fields)
    if record is not None and not _again(record, wish, desk, world, now):
        return None, None
    generation = record.generation if record else 0
    name, account = desk.name, desk.connection.account
    id_ = write_id(name, account, want.capability, want.canonical, generation)
    presence: Known = "absent" if record is None else "unknown"
    command = _command(desk, want, id_, fields, wish, presence=presence, generation=generation)
    return command, _asked(desk, want, record, command, now)


def _set(
    desk: Desk, want: Want, record: WriteRecord | None, missing: dict[str, str], world: World, now: datetime
) -> tuple[Command | None, WriteRecord | None]:
    wish = digest(missing)
    if record is not None and not _again(record, wish, desk, world, now):
        return None, None
    if record is not None and record.outcome == "confirmed" and _reverts(record, wish) >= _REVERTS:
        return None, None
    bound = want.bound or (record.bound if record else None)
    if bound is None:
        return None, None
    base = record.base if record else {}
    known = digest({name: pair.made for name, pair in base.items()})
    id_ = set_id(desk.name, desk.connection.account, want.entity, want.capability, known, wish)
    command = msgspec.structs.replace(
        _command(desk, want, id_, missing, wish, presence="present", generation=record.generation if record else 0),
        kind="set",
        bound_id=bound.id,
        changes=tuple(sorted(missing)),
        base={name: base[name] for name in missing if name in base},
        mark="" if record is None or not record.id else mark_of(desk.state.key, record.id),
    )
    return command, _asked(desk, want, record, command, now)


def _again(record: WriteRecord, wish: str, desk: Desk, world: World, now: datetime) -> bool:
    """Tell whether a write that was asked for before may be asked for now."""
    if record.stopped == wish:
        return False
    if record.outcome == "deferred":
        up = world.facts.up.get(record.connection)
        if up is not None and record.outage <= up[1]:
            return True
    elif record.outcome not in _UNSETTLED:
        return True
    patience = timedelta(seconds=desk.derived.flow.replan_seconds)
    changed = record.digest != wish and record.outcome is None
    return changed or record.asked_at is None or now >= record.asked_at + patience


def _reverts(record: WriteRecord, wish: str) -> int:
    return sum(1 for reverted in record.reverted if reverted == wish)


def _command(
    desk: Desk, want: Want, id_: str, fields: dict[str, str], wish: str, *, presence: Known, generation: int
) -> Command:
    money = want.capability in {"record_payment", "record_refund", "reverse_payment"}
    return Command(
        id=id_,
        kind=want.kind,
        tenant=desk.state.tenant,
        connection=desk.name,
        account=desk.connection.account,
        capability=want.capability,
        order=desk.state.key,
        entity=want.entity,
        write=want.write,
        canonical=want.canonical,
        generation=generation,
        mark=mark_of(desk.state.key, id_),
        presence=presence,
        facts=want.facts,
        fields=fields,
        digest=wish,
        links=want.links,
        status=want.status,
        text=want.text,
        priority=LIVE_PAYMENT if money else LIVE,
    )


def _asked(desk: Desk, want: Want, record: WriteRecord | None, command: Command, now: datetime) -> WriteRecord:
    first = record or WriteRecord(
        key=want.write,
        connection=desk.name,
        account=desk.connection.account,
        capability=want.capability,
        canonical=want.canonical,
    )
    again = record is not None and record.digest == command.digest and record.outcome == "confirmed"
    reverted = (*first.reverted, command.digest)[-_REVERTS:] if again else first.reverted
    creates = command.kind != "set"
    return msgspec.structs.replace(
        first,
        id=command.id if creates else first.id,
        digest=command.digest,
        asked_at=now,
        outcome=None,
        reverted=reverted,
        bound=first.bound or want.bound,
    )
