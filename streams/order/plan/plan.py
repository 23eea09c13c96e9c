"""plan(state, derived, world, now): the missing writes, and the write records that remember they were asked for.

Planning twice plans nothing: what was asked for is not asked again before its result, the end of its outage or the
re-plan deadline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from schemas.commands import BACKFILL, LIVE, LIVE_PAYMENT, Command, Known, Pair
from schemas.findings import Finding
from schemas.projection import digest, project
from schemas.refs import ObjectRef, mark_of, set_id, write_id
from schemas.state import NEVER, OrderState, WriteRecord
from streams.order.derive import Derived
from streams.order.derive.shared import SHARED
from streams.order.echo import typed_in
from streams.order.plan import documents, endings, telling, unapplied
from streams.order.plan.asking import again, in_flight, is_change, patience, replan_after, unanswered
from streams.order.plan.begin import backfilled, too_old
from streams.order.plan.desk import AMOUNTS, Desk, equal, replaced, shown
from streams.order.plan.period import closed_up_to, held, in_open_period, unseen
from streams.order.plan.reversing import credit_findings, payment_findings
from streams.order.plan.want import Want
from streams.order.plan.wants import status_findings, wants
from streams.order.world import World

_REVERTS = 3
_FOR_A_PERSON = frozenset(("ambiguous_document", "double"))
_ASKED_AGAIN = frozenset((None, "stale", "deferred"))
_NEW = timedelta(days=1)
_HELD = timedelta(hours=1)


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What planning came to; in shadow mode `writes` is empty and the commands are only shown."""

    commands: tuple[Command, ...] = ()
    writes: dict[str, WriteRecord] = {}
    findings: tuple[Finding, ...] = ()
    due_at: datetime | None = None
    shadow: bool = False
    disputed: tuple[str, ...] = ()
    """Documents of which a person must say whether they bill the order."""


class Move(NamedTuple):
    """What came of one want: nothing, a command with its record, or a finding."""

    command: Command | None = None
    record: WriteRecord | None = None
    finding: Finding | None = None
    due_at: datetime | None = None


_NOTHING = Move()


def plan(state: OrderState, derived: Derived, world: World, now: datetime) -> Planned:
    """Return what is missing in every target of the order's flow."""
    mode = world.mode(derived.flow)
    if derived.blocked or state.alias_of or derived.order.test or mode == "stopped":
        return Planned()
    at = list(desks(state, derived, world))
    moves, held = _moves(at, world, now)
    commands = tuple(move.command for move in moves if move.command is not None)
    if backfilled(derived, world):
        commands = tuple(msgspec.structs.replace(command, priority=BACKFILL) for command in commands)
    found = [move.finding for move in moves if move.finding is not None]
    found += [finding for desk in at for told in _TOLD for finding in told(desk)]
    found += [_too_old(derived, held)] if held else []
    disputed = tuple(one.subject for one in found if one.code in _FOR_A_PERSON)
    if mode != "live":
        return Planned(commands=commands, findings=tuple(found), shadow=True, disputed=disputed)
    writes = {move.record.key: move.record for move in moves if move.record is not None}
    due = min((move.due_at for move in moves if move.due_at is not None), default=None)
    return Planned(commands=commands, writes=writes, findings=tuple(found), due_at=due, disputed=disputed)


def desks(state: OrderState, derived: Derived, world: World) -> Iterator[Desk]:
    """Yield every target of the order that is configured."""
    for target in derived.flow.targets:
        connection, platform = world.connection(target.connection), world.platform(target.connection)
        if connection is not None and platform is not None:
            yield Desk(
                state=state,
                derived=derived,
                target=target,
                connection=connection,
                platform=platform,
                closed=closed_up_to(target.connection, world),
                replaced=replaced(state, target.connection),
            )


def _moves(at: Iterable[Desk], world: World, now: datetime) -> tuple[list[Move], int]:
    """Return what comes of every want whose turn it is, and how many writes are kept back since they are too old."""
    moves, held = list[Move](), 0
    for desk in at:
        asked: dict[str, WriteRecord] = {}
        for want in wants(desk):
            if want.after and not _is_due(desk, want, asked):
                continue
            move = compared(desk, want, world, now)
            old = too_old(desk, want, world)
            if not old:
                moves.append(move)
            elif move.command is not None:
                held += 1
                continue
            if move.record is not None:
                asked[want.write] = move.record
    return moves, held


def _is_due(desk: Desk, want: Want, asked: Mapping[str, WriteRecord]) -> bool:
    """Tell whether all is there that *want* hangs on."""
    for key in want.after:  # noqa: SIM110  `all` over a generator takes three times as long
        if not is_confirmed(asked.get(key) or desk.record(key)):
            return False
    return True


def _too_old(derived: Derived, held: int) -> Finding:
    giver = derived.giver.object
    message = f"{held} writes are not made: they tell of what is older than the start of its connection."
    step = f"ask for them with `o2c flows backfill {derived.flow.name}`, or leave the old books as they are"
    return Finding("before_start", "warn", message, giver.key, step)


def is_confirmed(record: WriteRecord | None) -> bool:
    """Tell whether what was asked for is there, and known to be as asked, or what of it is not.

    An object of ours that is seen before its write was answered may have been made of an earlier wish: nothing is hung
    on it until the answer tells what must be corrected first. The same holds while an amount was asked for, or is to be
    asked for again since an earlier change of ours or an outage came between: money would overtake the next try.
    """
    if record is None or record.bound is None:
        return False
    answered = record.outcome not in _ASKED_AGAIN
    return answered or (record.result != NEVER and "payable_amount" not in record.asked)


def compared(desk: Desk, want: Want, world: World, now: datetime) -> Move:
    """Return what comes of *want*: the command for what is missing, nothing, or a finding."""
    record = desk.record(want.write)
    if want.kind == "set":
        if not want.status:
            return _let_go(desk, record, now)
        return _set(desk, want, record, {"status": want.status}, world, now)
    bound = want.bound or (record.bound if record else None)
    if bound is None or (record is not None and _half_made(record)):
        return _create(desk, want, record, _fields(desk, want, world), world, now)
    missing = _missing(desk, want, record, world) if want.shared else {}
    if not missing:
        return _satisfied(desk, want, record, world, now)
    return _set(desk, want, record, missing, world, now)


def _half_made(record: WriteRecord) -> bool:
    """Tell whether the create was put off and not ended since: what was seen may lack what its later steps do.

    Asked for again under its id, it goes on where it stopped. Until then nothing else is asked for.
    """
    put_off = record.outcome in {None, "deferred"} and record.result != NEVER
    return put_off and bool(record.id) and not record.base


def _satisfied(desk: Desk, want: Want, record: WriteRecord | None, world: World, now: datetime) -> Move:
    """Close a write whose effect was seen before its result came: nothing is waited for any more."""
    if record is None or record.outcome == "confirmed":
        return _NOTHING
    due = unanswered(record, desk, now)
    if due is not None and _is_on_its_way(desk, want, record, world):
        return Move(due_at=due)
    return Move(record=msgspec.structs.replace(record, outcome="confirmed", reason="", stale={}))


def _is_on_its_way(desk: Desk, want: Want, record: WriteRecord, world: World) -> bool:
    """Tell whether what shows is from before an amount that was asked for, or of an earlier wish for it."""
    if "payable_amount" not in record.asked:
        return False
    if record.result != NEVER and is_change(record, (*want.shared, *AMOUNTS)):
        return True
    wished = _wanted(desk, want, record.asked, world)
    if is_change(record, want.shared):
        return digest(wished) != record.digest
    there = shown(desk.state, record.bound, record) or {}
    return record.result == NEVER and there.get("payable_amount") != wished.get("payable_amount")


def _let_go(desk: Desk, record: WriteRecord | None, now: datetime) -> Move:
    """Close a write that nobody wants any more, once it is answered or was waited for: what it asked is not there."""
    if record is None:
        return _NOTHING
    if (due := unanswered(record, desk, now)) is not None:
        return Move(due_at=due)
    closed = msgspec.structs.replace(record, outcome="confirmed", reason="", stale={}, stopped="", digest="", asked=())
    return Move(record=closed)


def _fields(desk: Desk, want: Want, world: World) -> dict[str, str]:
    return _wanted(desk, want, project(want.facts), world)


def _wanted(desk: Desk, want: Want, names: Iterable[str], world: World) -> dict[str, str]:
    """Return those fields of *names* that the system should show, with their values."""
    fields, shows = project(want.facts), world.shown(desk.name, want.capability)
    agreed = desk.derived.agreed
    return {
        name: agreed[name].value if name in agreed else fields[name]
        for name in names
        if name in fields and (shows is None or name in shows)
    }


def _missing(desk: Desk, want: Want, record: WriteRecord | None, world: World) -> dict[str, str]:
    """Return the shared fields that the system neither shows nor acknowledged, or may not show any more."""
    there = shown(desk.state, want.bound or (record.bound if record else None), record)
    if there is None:
        return {}
    base, flying = record.base if record else {}, in_flight(want, record)
    missing = dict[str, str]()
    for name, value in _wanted(desk, want, want.shared, world).items():
        pair = base.get(name)
        found = there.get(name, value if pair is None else pair.made)  # what it does not show is as it was made
        shows = equal(value, found, pair) or _reported(desk, name, value, pair)
        if not shows or name in flying:
            missing[name] = value
    return missing


def _reported(desk: Desk, name: str, wanted: str, base: Pair | None) -> bool:
    """Tell whether the system left what we wrote and the flow only reports that (shared fields are edits, no drift)."""
    return desk.derived.flow.drift == "report" and name not in SHARED and base is not None and base.sent == wanted


_TOLD = (
    documents.findings,
    unapplied.findings,
    endings.findings,
    payment_findings,
    credit_findings,
    status_findings,
    telling.findings,
)


def _create(
    desk: Desk, want: Want, record: WriteRecord | None, fields: dict[str, str], world: World, now: datetime
) -> Move:
    wish = digest(fields)
    if record is not None and not again(record, wish, desk, world, now):
        return Move(due_at=patience(record, desk, wish))
    if desk.name in world.facts.unseen:
        return Move(finding=unseen(desk))
    dated = in_open_period(want.facts, desk)
    if dated is None:
        return Move(finding=held(desk, want.facts), due_at=now + _HELD)
    generation = record.generation if record else 0
    canonical = record.canonical if record is not None and record.id else want.canonical
    id_ = write_id(desk.name, desk.connection.account, want.capability, canonical, generation)
    asks = record is not None or backfilled(desk.derived, world) or not _surely_absent(desk, now)
    presence: Known = "unknown" if asks else "absent"
    if dated is not want.facts or canonical != want.canonical:
        want = msgspec.structs.replace(want, facts=dated, canonical=canonical)
    command = _command(desk, want, id_, fields, wish, presence=presence, generation=generation)
    if record is not None and record.order:
        command = msgspec.structs.replace(command, mark=mark_of(record.order, id_))
    return _asked(desk, want, record, command, now)


def _surely_absent(desk: Desk, now: datetime) -> bool:
    """Tell whether no earlier life of ours can have written it: the order is new, or the flow says so."""
    if desk.state.expired_at is not None:
        return False
    if desk.target.asks != "old":
        return desk.target.asks == "never"
    placed = desk.derived.order.placed_at or desk.derived.giver.changed_at
    return placed is not None and now - placed < _NEW


def _set(
    desk: Desk, want: Want, record: WriteRecord | None, missing: dict[str, str], world: World, now: datetime
) -> Move:
    wish = digest(missing)
    if record is not None:
        # What a create sent is known only from its result: an echo that overtakes it looks like a difference.
        unanswered = record.outcome is None and record.result == (0, 0)
        asked = record.digest if unanswered else wish
        if not again(record, asked, desk, world, now):
            return Move(due_at=patience(record, desk, asked))
        if _took_back(record, wish):
            return Move(finding=_reverted(desk, record))
    bound = want.bound or (record.bound if record else None)
    if bound is None:
        return _NOTHING
    base = _base(desk, bound, record, missing)
    seen = digest({name: f"{pair.sent}>{pair.made}" for name, pair in base.items()})
    id_ = set_id(desk.name, desk.connection.account, want.entity, want.capability, seen, wish)
    command = msgspec.structs.replace(
        _command(desk, want, id_, missing, wish, presence="present", generation=record.generation if record else 0),
        kind="set",
        bound_id=bound.id,
        changes=tuple(sorted(missing)),
        base=base,
        mark="" if record is None or not record.id else mark_of(record.order or desk.state.key, record.id),
    )
    return _asked(desk, want, record, command, now)


def _base(desk: Desk, bound: ObjectRef, record: WriteRecord | None, missing: Mapping[str, str]) -> dict[str, Pair]:
    """Return what the set rests on: what the system showed last. Delivery answers `stale` when that changed."""
    there = shown(desk.state, bound, record) or {}
    known = {} if record is None else record.base
    told = {name: known[name] for name in missing if name in known}  # also what it does not show
    return told | {
        name: Pair(told[name].sent if name in told else "", there[name]) for name in missing if name in there
    }


def _took_back(record: WriteRecord, wish: str) -> bool:
    """Tell whether the system took the same value back for the third time: once when first written, twice after."""
    earlier = sum(1 for reverted in record.reverted if reverted == wish)
    return record.outcome == "confirmed" and record.digest == wish and earlier + 1 >= _REVERTS


def _reverted(desk: Desk, record: WriteRecord) -> Finding:
    message = f"{desk.name} took back the same value {_REVERTS} times; it is not written again."
    return Finding("reverted", "warn", message, record.key, "find out what changes it there")


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
        flow=desk.derived.flow.name,
        source=typed_in(fields, desk.derived.agreed, (want.source or desk.derived.giver).object),
    )


def _asked(desk: Desk, want: Want, record: WriteRecord | None, command: Command, now: datetime) -> Move:
    first = record or WriteRecord(
        key=want.write,
        connection=desk.name,
        account=desk.connection.account,
        capability=want.capability,
        canonical=want.canonical,
    )
    repeated = record is not None and record.digest == command.digest and record.outcome == "confirmed"
    reverted = (*first.reverted, command.digest)[-_REVERTS:] if repeated else first.reverted
    creates = command.kind != "set"
    after = msgspec.structs.replace(
        first,
        id=command.id if creates else first.id,
        digest=command.digest,
        asked=tuple(sorted(command.fields)),
        asked_at=now,
        source=command.source,
        outcome=None,
        reverted=reverted,
        bound=first.bound or want.bound,
        stale={},
    )
    return Move(command, after, due_at=now + replan_after(desk))
