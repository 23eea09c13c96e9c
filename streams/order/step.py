"""step(state, inputs, world, now): everything that a batch means for one order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.events import MERGED_INTO, SYNC, TIE, ChangeEvent, Hint
from schemas.links import Alike
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef, order_key
from schemas.state import Handover, OrderState
from streams.order.alias import (
    awaited,
    can_freeze,
    forwarded,
    freeze,
    merged_into,
    public_alias,
    receive,
    resolved,
    take_over,
)
from streams.order.alike import noted
from streams.order.cause import Cause, caused, oldest
from streams.order.decide import decided, remembered
from streams.order.derive import Derived, derive
from streams.order.merge import (
    advance_bases,
    bind_marks,
    first_heard,
    merge,
    merge_result,
    tied,
    told_again,
)
from streams.order.plan import plan_all
from streams.order.stub import expires_at, shrunk, unread
from streams.order.world import World

_AGAIN = timedelta(hours=1)


class Seen(msgspec.Struct, frozen=True):
    """A change event as it reaches an order: with the part of its amount that belongs here."""

    event: ChangeEvent
    share: str | None = None
    share_version: int = 0


class Tick(msgspec.Struct, frozen=True):
    """The order's time has come, or a fact of the world changed: look again."""


Input = Seen | Result | Tick | Decision | Handover | Alike
Forward = Seen | Result | Decision | Handover


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to for one order."""

    state: OrderState
    changed: bool
    public: PublicOrder | None = None
    commands: tuple[Command, ...] = ()
    hints: tuple[Hint, ...] = ()
    shadow: bool = False
    told_again: bool = False
    """Nothing but looks that show the same again: what was planned and shown before stands, timers and waits too."""
    forwards: tuple[Forward, ...] = ()
    """What belongs to the order that this one is an alias of; each names that order."""
    trace: str = ""
    """Of the oldest of the inputs that changed something."""


def step(state: OrderState, inputs: Sequence[Input], world: World, now: datetime) -> Stepped:
    """Merge *inputs*, then derive and plan once.

    The observations after it depend only on which inputs were seen; an input that changes nothing plans nothing new.
    """
    merged, again, causes = state, dict[ObjectRef, ChangeEvent](), list[Cause]()
    forwards: list[Forward] = []
    sync = ticked = False
    for one in inputs:
        ticked = ticked or isinstance(one, Tick)
        if isinstance(one, Seen) and tied(merged, one.event):
            again[one.event.object] = one.event
        before, merged = merged, _merged(merged, one, forwards, now)
        if merged is not before:
            causes.append(_cause(one))
            sync = sync or (isinstance(one, Decision) and one.kind == SYNC)
    hints = (
        []
        if not again
        else [
            Hint(tenant=state.tenant, object=ref, reason=TIE, trace=event.trace, told_at=event.told_at)
            for ref, event in sorted(again.items(), key=lambda pair: pair[0])
        ]
    )
    if merged.alias_of:
        return _alias(state, merged, forwards, hints)
    hints += _everything(merged) if sync else []
    known = first_heard(state, bind_marks(merged), now)
    stepped = _meant(state, known, world, now, (oldest(causes), tuple(hints)), ticked=ticked)
    # Orders were merged in a circle and this one survives: what came before it knew was passed on all the same.
    return msgspec.structs.replace(stepped, forwards=tuple(forwards)) if forwards else stepped


def _meant(
    state: OrderState,
    merged: OrderState,
    world: World,
    now: datetime,
    known: tuple[Cause, tuple[Hint, ...]],
    *,
    ticked: bool,
) -> Stepped:
    """Return what the change from *state* to *merged* means for an order that is no alias."""
    cause, hints = known
    if merged == state and (not ticked or merged.asleep):
        return Stepped(state=state, changed=False, hints=hints)
    if not ticked and state.expired_at is None and told_again(state, merged):
        return Stepped(state=merged, changed=True, told_again=True, hints=hints, trace=cause.trace)
    if merged.asleep:
        merged = msgspec.structs.replace(merged, asleep=False)
    missing = unread(merged, world)
    if missing:
        return _waking(state, merged, missing, hints, now)
    derived = derive(merged, world)
    if derived is None:
        return Stepped(state=merged, changed=merged != state, hints=hints, trace=cause.trace)
    asked = tuple(_moved(state, ref, derived.giver.object) for ref in awaited(derived.giver, merged))
    return _planned(state, merged, derived, world, now, (cause, (*hints, *asked)))


def _everything(state: OrderState) -> list[Hint]:
    """Return hints at whatever was seen of the order or written for it."""
    refs = {look.object for look in state.objects.values()}
    refs |= {record.bound for record in state.writes.values() if record.bound is not None}
    return [Hint(tenant=state.tenant, object=ref, reason=SYNC) for ref in sorted(refs)]


def _moved(state: OrderState, ref: ObjectRef, into: ObjectRef) -> Hint:
    """Return the hint that makes a source say of *ref* that it was merged into *into*, also when it is gone."""
    return Hint(tenant=state.tenant, object=ref, reason=f"{MERGED_INTO}{into.id}")


def _planned(
    state: OrderState,
    merged: OrderState,
    derived: Derived,
    world: World,
    now: datetime,
    known: tuple[Cause, tuple[Hint, ...]],
) -> Stepped:
    cause, hints = known
    merged = advance_bases(msgspec.structs.replace(merged, agreed=derived.agreed))
    if derived.conflicts:
        merged = remembered(merged, derived.conflicts, now)
    expires = expires_at(merged, derived.public, derived.flow)
    if merged == state and expires is not None and expires <= now:
        return Stepped(state=shrunk(merged, derived.giver.object, now), changed=True)
    planned = plan_all(merged, derived, world, now)
    commands, writes = caused(planned.commands, planned.writes, merged.writes, cause)
    due = expires if planned.due_at is None else planned.due_at
    records = {**merged.writes, **writes} if writes else merged.writes
    after = msgspec.structs.replace(merged, writes=records, due_at=due, disputed=planned.disputed)
    found = tuple(sorted({*derived.public.findings, *planned.findings}))
    waiting = derived.public.waiting
    if writes:
        waiting = tuple(one for one in waiting if records[one.write].outcome != "confirmed")
    return Stepped(
        state=after,
        changed=after != state,
        public=msgspec.structs.replace(derived.public, findings=found, conflicts=after.conflicts, waiting=waiting),
        commands=commands,
        hints=hints,
        shadow=planned.shadow,
        trace=cause.trace,
    )


def _cause(one: Input) -> Cause:
    if isinstance(one, Seen):
        return Cause(one.event.trace, one.event.told_at)
    return Cause(one.trace, one.told_at) if isinstance(one, Result) else Cause()


def _alias(state: OrderState, merged: OrderState, forwards: Sequence[Forward], hints: Sequence[Hint]) -> Stepped:
    """Say once where the order went; afterwards only pass on what comes."""
    known = [one.state for one in forwards if isinstance(one, Handover) and one.state.key == state.key]
    froze = known and merged.alias_of != state.alias_of
    return Stepped(
        state=merged,
        changed=merged != state,
        public=public_alias(known[0], merged.alias_of) if froze else None,
        hints=tuple(hints),
        forwards=tuple(forwards),
    )


def _waking(
    state: OrderState, merged: OrderState, missing: Sequence[ObjectRef], hints: Sequence[Hint], now: datetime
) -> Stepped:
    """Read what a stub no longer knows before anything is planned or shown of it; ask again until all was read."""
    asked = [Hint(tenant=merged.tenant, object=ref, reason="expired") for ref in missing]
    after = msgspec.structs.replace(merged, due_at=now + _AGAIN)
    return Stepped(state=after, changed=after != state, hints=(*hints, *asked))


def _merged(state: OrderState, one: Input, forwards: list[Forward], now: datetime) -> OrderState:
    if isinstance(one, (Alike, Decision, Handover, Seen)) and _stranger(state, one):
        return _own(state, one, forwards, now)
    if state.alias_of:
        return _forwarded(state, one, forwards)
    if isinstance(one, Seen):
        after = merge(state, one.event, one.share, one.share_version) or state
        into = merged_into(after, one.event)
        return _frozen(after, into, forwards) if into else after
    if isinstance(one, Result):
        if state.aliases:
            one = msgspec.structs.replace(one, write=resolved(state.writes, one.write))
        return merge_result(state, one) or state
    if isinstance(one, Handover):
        return take_over(state, one)
    if isinstance(one, Alike):
        return noted(state, one)
    if isinstance(one, Decision):
        return _frozen(state, one.into, forwards) if one.kind == "merge" else decided(state, one, now)
    return state


def _stranger(state: OrderState, one: Alike | Decision | Handover | Seen) -> bool:
    """Tell whether *one* speaks for another tenant: nobody's word reaches beyond their own orders."""
    speaker = one.state if isinstance(one, Handover) else one.event if isinstance(one, Seen) else one
    return bool(state.tenant) and speaker.tenant != state.tenant


def _own(
    state: OrderState, one: Alike | Decision | Handover | Seen, forwards: list[Forward], now: datetime
) -> OrderState:
    """Return *state*, or a new one where *one* is the object whose key it is: what strangers had put there goes."""
    if not isinstance(one, Seen) or order_key(one.event.tenant, one.event.object) != state.key:
        return state
    return _merged(OrderState(key=state.key, tenant=one.event.tenant), one, forwards, now)


def _frozen(state: OrderState, into: str, forwards: list[Forward]) -> OrderState:
    if not can_freeze(state, into):
        return state
    frozen, handover = freeze(state, into)
    forwards.append(handover)
    return frozen


def _forwarded(state: OrderState, one: Input, forwards: list[Forward]) -> OrderState:
    """Pass *one* on to the order that this one is an alias of."""
    if isinstance(one, Seen):
        event = msgspec.structs.replace(one.event, order=state.alias_of)
        forwards.append(Seen(event, one.share, one.share_version))
    elif isinstance(one, Result):
        forwards.append(forwarded(state, one))
    elif isinstance(one, Decision):
        forwards.append(msgspec.structs.replace(one, order=state.alias_of))
    elif isinstance(one, Handover):
        state, passed = receive(state, one)
        forwards += [passed] if passed is not None else []
    return state
