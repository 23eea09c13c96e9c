"""All that is planned of an order: what its targets lack, and the end of what a person had undone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from schemas.flow import Document, Target
from schemas.state import OrderState
from streams.order.derive import Derived
from streams.order.plan import undo
from streams.order.plan.desk import Desk
from streams.order.plan.plan import Planned, compared, desks, is_confirmed, plan
from streams.order.plan.undone import is_undone
from streams.order.world import World


def plan_all(state: OrderState, derived: Derived, world: World, now: datetime) -> Planned:
    """Return what is missing in every target, but for what was undone: of that only the end, whatever the flow may do.

    A person stops a flow because it wrote what is wrong, and wants that gone while nothing else is written: so the
    commands of an undo name no flow, and leave while it is stopped, and when its order is blocked.
    """
    found = plan(state, derived, world, now)
    if not any(record.undone_at is not None for record in state.writes.values()):
        return found
    at = list(_desks(state, derived, world))
    here = {desk.name: desk for desk in at}
    moves = [
        compared(desk, want, world, now)
        for desk in at
        for want in undo.ends(desk)
        if all(is_confirmed(desk.record(key)) for key in want.after)
    ]
    ends = [msgspec.structs.replace(one.command, flow="") for one in moves if one.command is not None]
    records = {one.record.key: one.record for one in moves if one.record is not None}
    findings = [one.finding for one in moves if one.finding is not None]
    findings += [one for desk in at for one in undo.findings(desk)]
    kept = [one for one in found.findings if not any(undo.outdated(desk, one) for desk in at)]
    others = [one for one in found.commands if one.id not in {end.id for end in ends}]
    wanted = tuple(one for one in others if not is_undone(here[one.connection], one.write))
    still = {key: one for key, one in found.writes.items() if not is_undone(here[one.connection], key)}
    dues = [one.due_at for one in moves if one.due_at is not None]
    dues += [found.due_at] if found.due_at is not None else []
    shown_only = found.shadow and not records
    return msgspec.structs.replace(
        found,
        commands=(*(wanted if shown_only or not found.shadow else ()), *ends),
        writes={**still, **records},
        findings=(*kept, *findings),
        due_at=min(dues, default=None),
        shadow=shown_only,
    )


def _desks(state: OrderState, derived: Derived, world: World) -> Iterator[Desk]:
    """Yield every target, and every system that is no target any more but holds something of ours."""
    yield from desks(state, derived, world)
    targets = {target.connection for target in derived.flow.targets}
    left = {record.connection for record in state.writes.values()} - targets
    others = tuple(Target(connection=name, document=_document(state, name)) for name in sorted(left))
    flow = msgspec.structs.replace(derived.flow, targets=others)
    yield from desks(state, msgspec.structs.replace(derived, flow=flow), world)


def _document(state: OrderState, connection: str) -> Document:
    """Return which document a former target had."""
    records = [one for one in state.writes.values() if one.connection == connection]
    found = [one.capability for one in records]
    if "upsert_sales_receipt" in found:
        return "sales_receipt"
    return "invoice" if {"upsert_invoice", "request_payment"} & set(found) else "none"
