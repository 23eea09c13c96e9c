"""What happened in a system: change events, hints, and the order between two looks at one object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from schemas.facts import Allocation, Facts, Instant
from schemas.refs import ObjectRef

TIE = "tie"
"""The reason of a hint at an object of which two different looks have one version."""
SYNC = "sync"
"""The reason of a hint that a person asked for."""
SWEPT = "swept"
"""The reason of a hint that a sweep gave after its first pass, where nobody had told of the object."""
RECHECK = "recheck"
"""Reason of a hint at what is read again by id, since nothing tells that it is gone."""
UNTOLD = "untold"
"""The reason of a hint that asks for no read: a sweep found a change of the object, and nobody had told of it."""
GAP = "gap"
"""The reason of a hint that asks for no read: deliveries were lost, so what they told has to be found by a sweep."""
ASKED_FOR = frozenset((TIE, "parent", "expired", SYNC))
"""Reasons of hints that the stream gives because it needs the look itself, also one that shows nothing new."""

Presence = Literal["present", "deleted"]


class Version(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """A total order of looks at one object, greatest is newest.

    `native` is the platform's own monotonic number (0 where it has none, so that only reads count), `read` beats a
    webhook of equal native version, (`epoch`, `seq`) number the reads of a connection's owner.
    """

    native: int = 0
    read: bool = False
    epoch: int = 0
    seq: int = 0


class Anchor(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """How the order of an object is found, in order of trust.

    kind "order": `ref` is the order object itself; "object": an object linked to an order (an invoice);
    "number": `ref.id` is an order number typed by people (`ref.connection` may be empty: any key-giver).
    """

    kind: Literal["order", "object", "number"]
    ref: ObjectRef
    share: str | None = None
    """The amount that goes to that anchor, as decimal text; None means all."""


def allocated(connection: str, account: str, parts: Iterable[Allocation]) -> tuple[Anchor, ...]:
    """Return the anchors of money: the documents of its own system that it went to, each with its amount."""
    return tuple(
        Anchor("object", ObjectRef(connection, account, part.type, part.id), f"{part.amount:f}") for part in parts
    )


class ChangeEvent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The newest complete look at one object (an observation on its way)."""

    tenant: str
    object: ObjectRef
    facts: Facts | None
    """None only when presence is "deleted"."""
    version: Version = Version()
    changed_at: Instant | None = None
    presence: Presence = "present"
    mirror_of: str | None = None
    """The mark found in the object: see `schemas.refs.find_mark`."""
    anchors: tuple[Anchor, ...] = ()
    event_id: str = ""
    """The platform's event id, or empty: the publisher then hashes the content."""
    origin: Literal["webhook", "read", "sweep", "write", "foreign"] = "foreign"
    order: str = ""
    """The order key once it is known."""
    trace: str = ""
    """W3C traceparent: one trace id over all hops."""
    told_at: Instant | None = None
    """When o2c was told of the change, by its own clock: receipt of the webhook, or start of the sweep that found it.

    Other services leave it out: the time stamp of their record counts.
    """


MERGED_INTO = "merged_into:"
"""Begins the reason of a hint at an object that was merged into another one; the id of that one follows."""


class Hint(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Something changed: go and read this object."""

    tenant: str
    object: ObjectRef
    reason: str = ""
    hinted_at: Instant | None = None
    priority: int = 1
    native: int = 0
    """The object's version as a search showed it, in the unit of `Version.native`; 0 = unknown."""
    trace: str = ""
    told_at: Instant | None = None
    """When o2c was told, by its own clock."""
