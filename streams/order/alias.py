"""Two orders that prove to be one: one is frozen and hands over all it knew; what still comes for it is forwarded.

Nothing is written twice: write records keep their id, generation and mark. Where both orders had a write under one
key, both records are kept and a person is asked.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.commands import Result
from schemas.events import ChangeEvent
from schemas.facts import Invoice, Order
from schemas.findings import Finding
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef, order_key
from schemas.state import Handover, Observation, OrderState, WriteRecord
from streams.order.merge import is_gone, join

_APART = "|#"
_NO_DOCUMENTS = frozenset(("upsert_order", "set_status", "upsert_customer", "add_note"))
_CONFLICTS = 20


def merged_into(state: OrderState, event: ChangeEvent) -> str:
    """Return the order that *event* of the key-giver's object says this one was merged into, "" when it says none."""
    facts = event.facts
    if not isinstance(facts, Order) or not facts.merged_into or order_key(state.tenant, event.object) != state.key:
        return ""
    return order_key(state.tenant, msgspec.structs.replace(event.object, id=facts.merged_into))


def can_freeze(state: OrderState, into: str) -> bool:
    """Tell whether this order may become an alias of *into*."""
    return bool(into) and not state.alias_of and not state.elected and into not in (state.key, *state.aliases)


def freeze(state: OrderState, into: str) -> tuple[OrderState, Handover]:
    """Return the frozen order and what it hands over; it keeps the keys of its writes to name their results."""
    frozen = OrderState(key=state.key, tenant=state.tenant, alias_of=into, aliases=state.aliases, writes=state.writes)
    return frozen, Handover(order=into, state=state, path=(state.key,))


def awaited(giver: Observation, state: OrderState) -> list[ObjectRef]:
    """Return the objects merged into the key-giver's whose orders have not handed over yet."""
    merged = giver.facts.merged_from if isinstance(giver.facts, Order) else ()
    refs = [msgspec.structs.replace(giver.object, id=id_) for id_ in merged]
    return [ref for ref in refs if order_key(state.tenant, ref) not in state.aliases]


def take_over(state: OrderState, handover: Handover) -> OrderState:
    """Return the order with what the frozen one knew; a repeated hand-over changes nothing."""
    other = handover.state
    objects = {**state.objects}
    for key, look in other.objects.items():
        objects[key] = join(objects[key], look) if key in objects else look
    if other.key in (state.key, *state.aliases):
        return state if objects == state.objects else msgspec.structs.replace(state, objects=objects)
    return msgspec.structs.replace(
        state,
        tenant=state.tenant or other.tenant,
        format=max(state.format, other.format),
        objects=objects,
        writes={**state.writes, **_moved(state.writes, other)},
        agreed={**other.agreed, **state.agreed},
        aliases=tuple(sorted({*state.aliases, other.key, *other.aliases} - {state.key})),
        held=state.held or other.held or (_has_documents(state) and not _is_draft(other)) or _has_documents(other),
        conflicts=(*other.conflicts, *state.conflicts)[-_CONFLICTS:],
        said_of={**other.said_of, **state.said_of},
        expired_at=state.expired_at or other.expired_at,
    )


def _moved(known: Mapping[str, WriteRecord], other: OrderState) -> dict[str, WriteRecord]:
    found: dict[str, WriteRecord] = {}
    for key, record in other.writes.items():
        name = f"{key}{_APART}{other.key}" if key in known else key
        found[name] = msgspec.structs.replace(record, key=name, order=record.order or other.key)
    return found


def _has_documents(state: OrderState) -> bool:
    asked = any(record.capability not in _NO_DOCUMENTS for record in state.writes.values())
    return asked or any(isinstance(look.facts, Invoice) and not is_gone(look) for look in state.objects.values())


def _is_draft(state: OrderState) -> bool:
    """Tell whether the order was no more than a draft of the other one: without documents it bills nothing twice."""
    looks = (look for look in state.objects.values() if order_key(state.tenant, look.object) == state.key)
    return any(isinstance(look.facts, Order) and look.facts.status == "draft" for look in looks)


def receive(state: OrderState, handover: Handover) -> tuple[OrderState, Handover | None]:
    """Return a frozen order after a hand-over, and what it passes on.

    Its own hand-over coming back means that people merged in a circle: of those on the way the smallest key survives.
    """
    absorbed = {*handover.absorbed, *state.aliases}
    path = (*handover.path, state.key)
    if handover.state.key == state.key and state.key == min(set(path) - absorbed):
        return msgspec.structs.replace(handover.state, elected=True), None
    passed = Handover(order=state.alias_of, state=handover.state, path=path, absorbed=tuple(sorted(absorbed)))
    return state, passed


def forwarded(state: OrderState, result: Result) -> Result:
    """Return *result* for the order that took this one over, under the name that the write has there."""
    known = resolved(state.writes, result.write)
    name = known if _APART in known else f"{known}{_APART}{state.key}"
    return msgspec.structs.replace(result, order=state.alias_of, write=name)


def resolved(writes: Mapping[str, WriteRecord], write: str) -> str:
    """Return the key under which a forwarded result's write is kept here."""
    first, apart, _ = write.rpartition(_APART)
    return first if apart and write not in writes and first in writes else write


def public_alias(state: OrderState, into: str) -> PublicOrder:
    """Return what is shown of a frozen order: its number and where it went."""
    numbers = [
        look.facts.number
        for look in state.objects.values()
        if isinstance(look.facts, Order) and order_key(state.tenant, look.object) == state.key
    ]
    return PublicOrder(key=state.key, tenant=state.tenant, number=numbers[0] if numbers else "", alias_of=into)


def findings(state: OrderState) -> list[Finding]:
    """Return what a person must know about orders that became one."""
    if not state.aliases:
        return []
    others = ", ".join(state.aliases)
    found = [
        Finding(
            "double", "warn", f"{record.bound.key} was written for {record.order}, which is one with this order.",
            record.bound.key, "void or merge one of the two there",
        )
        for record in state.writes.values()
        if _APART in record.key and record.bound is not None and _living(state, record.bound)
    ]  # fmt: skip
    if state.held:
        message = f"Orders with documents are one: {others} and this one; nothing is planned."
        found.append(Finding("merged", "block", message, others, "look at the documents, then `o2c orders resume`"))
    return found


def _living(state: OrderState, ref: ObjectRef) -> bool:
    look = state.objects.get(ref.key)
    ended = look is not None and isinstance(look.facts, Invoice) and look.facts.status in {"void", "cancelled"}
    return look is None or not (is_gone(look) or ended)
