"""step(state, inputs, world, now): everything that a batch means for one order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from schemas.commands import Command, Result
from schemas.events import ChangeEvent, Hint
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef
from schemas.state import OrderState, WriteRecord
from streams.order.cause import Cause, caused, oldest
from streams.order.derive import derive
from streams.order.merge import advance_bases, bind_marks, merge, merge_result, tied, with_writes
from streams.order.plan import plan
from streams.order.world import World


class Seen(msgspec.Struct, frozen=True):
    """A change event as it reaches an order: with the part of its amount that belongs here."""

    event: ChangeEvent
    share: str | None = None
    share_version: int = 0


class Tick(msgspec.Struct, frozen=True):
    """The order's time has come, or a fact of the world changed: look again."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word about one write (or, without one, about all of the order); each id counts once."""

    id: str
    kind: Literal["retry", "recreate"]
    write: str = ""


Input = Seen | Result | Tick | Decision


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to for one order."""

    state: OrderState
    changed: bool
    public: PublicOrder | None = None
    commands: tuple[Command, ...] = ()
    hints: tuple[Hint, ...] = ()
    shadow: bool = False
    trace: str = ""
    """Of the oldest of the inputs that changed something."""


def step(state: OrderState, inputs: Sequence[Input], world: World, now: datetime) -> Stepped:
    """Merge *inputs*, then derive and plan once.

    The observations after it depend only on which inputs were seen; an input that changes nothing plans nothing new.
    """
    merged, again, causes = state, dict[ObjectRef, ChangeEvent](), list[Cause]()
    for one in inputs:
        if isinstance(one, Seen) and tied(merged, one.event):
            again[one.event.object] = one.event
        before, merged = merged, _merged(merged, one)
        if merged is not before:
            causes.append(_cause(one))
    cause, merged = oldest(causes), bind_marks(merged)
    hints = tuple(
        Hint(tenant=state.tenant, object=ref, reason="tie", trace=event.trace, told_at=event.told_at)
        for ref, event in sorted(again.items(), key=lambda pair: pair[0])
    )
    if merged == state and not any(isinstance(one, Tick) for one in inputs):
        return Stepped(state=state, changed=False, hints=hints)
    derived = derive(merged, world)
    if derived is None:
        return Stepped(state=merged, changed=merged != state, hints=hints, trace=cause.trace)
    merged = advance_bases(msgspec.structs.replace(merged, agreed=derived.agreed))
    planned = plan(merged, derived, world, now)
    commands, writes = caused(planned.commands, planned.writes, merged.writes, cause)
    after = with_writes(merged, writes) if writes else merged
    after = msgspec.structs.replace(after, due_at=planned.due_at)
    found = tuple(sorted({*derived.public.findings, *planned.findings}))
    return Stepped(
        state=after,
        changed=after != state,
        public=msgspec.structs.replace(derived.public, findings=found),
        commands=commands,
        hints=hints,
        shadow=planned.shadow,
        trace=cause.trace,
    )


def _cause(one: Input) -> Cause:
    if isinstance(one, Seen):
        return Cause(one.event.trace, one.event.told_at)
    return Cause(one.trace, one.told_at) if isinstance(one, Result) else Cause()


def _merged(state: OrderState, one: Input) -> OrderState:
    if isinstance(one, Seen):
        return merge(state, one.event, one.share, one.share_version) or state
    if isinstance(one, Result):
        return merge_result(state, one) or state
    return _decided(state, one) if isinstance(one, Decision) else state


def _decided(state: OrderState, decision: Decision) -> OrderState:
    """Plan refused writes afresh, or make a deleted document once more under the next generation."""
    if decision.id in state.decisions:
        return state
    chosen = {key: record for key, record in state.writes.items() if decision.write in ("", key)}
    if decision.kind == "retry":
        writes = {
            key: msgspec.structs.replace(record, stopped="", reverted=(), asked_at=None)
            for key, record in chosen.items()
            if record.outcome != "confirmed" or record.reverted
        }
    else:
        writes = {key: _anew(record) for key, record in chosen.items() if key == decision.write}
    return msgspec.structs.replace(with_writes(state, writes), decisions=(*state.decisions, decision.id))


def _anew(record: WriteRecord) -> WriteRecord:
    return WriteRecord(
        key=record.key,
        connection=record.connection,
        account=record.account,
        capability=record.capability,
        canonical=record.canonical,
        generation=record.generation + 1,
        outcome="superseded",
    )
