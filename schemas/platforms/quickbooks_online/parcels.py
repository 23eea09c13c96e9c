"""Tracking numbers on an invoice or a sales receipt: those that o2c wrote, and those that a person typed. Pure.

All parcels of a document share its one field. Which numbers are ours is said in the private note, written together with
the field: so what we wrote never comes back as a parcel of QuickBooks' own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time

from schemas.facts import Shipment
from schemas.platforms.quickbooks_online.wire import Form

PARCEL = "Parcel"
"""The type under which a document's typed numbers are known: QuickBooks has no object for them."""
CARRIERS = frozenset(("Invoice", "SalesReceipt"))
_OURS = "parcels: "


def numbers(field: str) -> list[str]:
    """Return the numbers in TrackingNum, in which commas or semicolons part them."""
    return [part.strip() for part in field.replace(";", ",").split(",") if part.strip()]


def ours(note: str) -> list[str]:
    """Return the numbers that the private note says are ours."""
    told = next((line for line in note.splitlines() if line.startswith(_OURS)), "")
    return numbers(told.removeprefix(_OURS))


def told(note: str, mine: Iterable[str]) -> str:
    """Return the private note that says *mine* are ours: behind its first line, the mark, where nothing is cut off."""
    lines = [line for line in note.splitlines() if not line.startswith(_OURS)]
    said = ", ".join(dict.fromkeys(mine))
    return "\n".join([*lines[:1], *([f"{_OURS}{said}"] if said else []), *lines[1:]])


def parcel_id(entity: str, id_: str) -> str:
    """Return the id under which the typed numbers of a document are known."""
    return f"{entity}:{id_}"


def document_of(id_: str) -> tuple[str, str]:
    """Return the type and id of the document that carries a parcel."""
    entity, _, document = id_.partition(":")
    return entity, document


def typed(entity: str, record: Form) -> Shipment | None:
    """Return the parcel that a person typed on a document, None where nobody did."""
    mine = ours(record.private_note)
    found = tuple(dict.fromkeys(one for one in numbers(record.tracking_num) if one not in mine))
    if entity not in CARRIERS or not found:
        return None
    day = datetime.fromisoformat(record.ship_date[:10]).date() if record.ship_date else None
    return Shipment(
        carrier=record.ship_method_ref.name or record.ship_method_ref.value,
        tracking_numbers=found,
        shipped_at=None if day is None else datetime.combine(day, time(12), UTC),
    )
