"""Notes: the order's own where a ledger's documents have none, and what became of a document in another system."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.facts import Invoice, Order
from schemas.projection import digest
from schemas.state import Observation
from streams.order.merge import is_gone
from streams.order.once import kept
from streams.order.plan.desk import Desk
from streams.order.plan.documents import CAPABILITIES
from streams.order.plan.want import Want, write_key

_DEAD = frozenset(("void", "cancelled"))
_BILLS = frozenset(CAPABILITIES.values())


def notes(desk: Desk) -> Iterator[Want]:
    """Yield what the system should note; a text that was written before is not written again."""
    yield from _agreed(desk)
    yield from _ended_elsewhere(desk)


def _ended_elsewhere(desk: Desk) -> Iterator[Want]:
    """Tell a system that keeps the order that somebody voided or deleted its document in a ledger, each once."""
    derived = desk.derived
    order = desk.order_ref if desk.target.document == "none" else None
    if order is None or derived.cancelled or not desk.can("add_note"):
        return
    for look in _ended(desk):
        what = "deleted" if is_gone(look) else "voided"
        text = f"{getattr(look.facts, 'number', '') or look.object.id} was {what} in {look.object.connection}."
        name = digest({"object": look.object.key, "what": what})
        yield Want(
            write=write_key(desk.name, "note", name),
            connection=desk.name,
            capability="add_note",
            kind="append",
            canonical=f"{what} {look.object.key}+{derived.giver.object.key}",
            entity=f"order:{desk.state.key}",
            facts=Order(number=derived.order.number, currency=derived.order.currency),
            links={"order": order.id},
            text=text,
        )


def _ended(desk: Desk) -> list[Observation]:
    """Return our documents in other systems that ended there without our doing."""
    bound = {
        record.bound.key
        for record in desk.state.writes.values()
        if record.capability in _BILLS
        and record.bound is not None
        and record.undone_at is None
        and record.connection != desk.name
    }
    looks = [look for key in bound if (look := desk.state.objects.get(key)) is not None]
    ended = [look for look in looks if is_gone(look) or getattr(look.facts, "status", "") in _DEAD]
    return sorted(ended, key=lambda look: look.object.key)


def _agreed(desk: Desk) -> Iterator[Want]:
    text = desk.derived.order.note
    document = desk.document if text else None
    if document is None or desk.ended or desk.voiding or not _apart(desk):
        return
    name = kept(_name, desk.derived.order)
    key = write_key(desk.name, "note", name)
    if desk.done(key):
        return
    yield Want(
        write=key,
        connection=desk.name,
        capability="add_note",
        kind="append",
        canonical=f"note {name}+{desk.derived.giver.object.key}",
        entity=f"document:{desk.state.key}",
        facts=Invoice(currency=desk.derived.order.currency),
        links={"invoice": document.id},
        text=text,
    )


def _name(order: Order) -> str:
    return digest({"note": order.note})


def _apart(desk: Desk) -> bool:
    """Tell whether the system has notes, but none in the document itself."""
    capability = CAPABILITIES.get(desk.target.document)
    if capability is None or "note" not in desk.target.fields or not desk.can("add_note"):
        return False
    shown = desk.platform.shown(capability, desk.connection.options)
    return shown is not None and "note" not in shown
