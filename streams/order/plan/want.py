"""A want: one thing that a system should show, before it is compared with what is known."""

from __future__ import annotations

import msgspec

from schemas.commands import Capability, Kind
from schemas.facts import Facts
from schemas.refs import ObjectRef
from schemas.state import Observation


class Want(msgspec.Struct, frozen=True, kw_only=True):
    """What one target should show.

    `after` names write records that must be bound first: the first unmet step of a chain is emitted, the rest waits.
    """

    write: str
    """Key of the write record: stable for the life of the order."""
    connection: str
    capability: Capability
    kind: Kind
    canonical: str
    entity: str
    facts: Facts
    after: tuple[str, ...] = ()
    links: dict[str, str] = {}
    bound: ObjectRef | None = None
    """The object to change when it was never written by us (the key-giver's own order)."""
    shared: tuple[str, ...] = ()
    """Fields that are kept in step after the create; other fields are written once."""
    status: str = ""
    """For a set: the word to show, "" where what was asked for is not wanted any more and is let go."""
    text: str = ""
    source: Observation | None = None
    """The payment, credit or parcel that is told; None: the order itself."""


def write_key(connection: str, what: str, canonical: str = "") -> str:
    """Return the key of a write record."""
    return f"{connection}|{what}|{canonical}" if canonical else f"{connection}|{what}"
