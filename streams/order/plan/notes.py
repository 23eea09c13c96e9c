"""The order's note where a system keeps none with the document: a line in the document's history, one per text."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.facts import Invoice
from schemas.projection import digest
from streams.order.plan.desk import Desk
from streams.order.plan.documents import CAPABILITIES
from streams.order.plan.want import Want, write_key


def notes(desk: Desk) -> Iterator[Want]:
    """Yield the note as it is agreed now; a text that was written before is not written again."""
    text, document = desk.derived.order.note, desk.document
    if not text or document is None or desk.ended or desk.voiding or not _apart(desk):
        return
    name = digest({"note": text})
    yield Want(
        write=write_key(desk.name, "note", name),
        connection=desk.name,
        capability="add_note",
        kind="append",
        canonical=f"note {name}+{desk.derived.giver.object.key}",
        entity=f"document:{desk.state.key}",
        facts=Invoice(currency=desk.derived.order.currency),
        links={"invoice": document.id},
        text=text,
    )


def _apart(desk: Desk) -> bool:
    """Tell whether the system has notes, but none in the document itself."""
    capability = CAPABILITIES.get(desk.target.document)
    if capability is None or "note" not in desk.target.fields or not desk.can("add_note"):
        return False
    shown = desk.platform.shown(capability, desk.connection.options)
    return shown is not None and "note" not in shown
