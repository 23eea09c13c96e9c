"""Xero's webhooks: thin events, with the vendor's uneven spaces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from random import Random

from app.sandbox.platforms.xero.render import Row

Numbered = tuple[int, Row]
"""An event and its place in the app's sequence."""
_RESOURCES = {
    "INVOICE": ("Invoices", "InvoiceID"),
    "CREDITNOTE": ("CreditNotes", "CreditNoteID"),
    "CONTACT": ("Contacts", "ContactID"),
}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def event(tenant: str, category: str, kind: str, row: Row, status: str, now: datetime) -> Row:
    """Return what one change tells: where to look, not what changed."""
    path, id_field = _RESOURCES[category]
    told: Row = {
        "resourceUrl": f"https://api.xero.com/api.xro/2.0/{path}/{row[id_field]}",
        "resourceId": row[id_field],
        "tenantId": tenant,
        "tenantType": "ORGANISATION",
        "eventCategory": category,
        "eventType": kind,
        "eventDateUtc": now.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    }
    return {**told, "data": {"Type": row["Type"], "Status": status}} if category == "CREDITNOTE" else told


def delivery(events: Sequence[Numbered], random: Random) -> bytes:
    """Return the bytes of a delivery, spaced so that a receiver must not normalise them before it checks.

    *events* come with their numbers; a number that no delivery names was lost on the way.
    """
    entropy = "".join(random.choices(_LETTERS, k=20))
    numbers = [number for number, _ in events] or [0]
    text = json.dumps([event for _, event in events], separators=(",", ":"))
    first, last = min(numbers), max(numbers)
    return (
        f'{{"events":{text},"firstEventSequence": {first},"lastEventSequence": {last}, "entropy": "{entropy}"}}'
    ).encode()
