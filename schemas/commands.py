"""What is asked of a system, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.events import ChangeEvent
from schemas.facts import Facts, Instant
from schemas.refs import ObjectRef

Capability = Literal[
    "upsert_order",
    "set_status",
    "upsert_invoice",
    "upsert_sales_receipt",
    "void_invoice",
    "request_payment",
    "record_payment",
    "reverse_payment",
    "issue_credit",
    "void_credit",
    "apply_credit",
    "record_refund",
    "reverse_refund",
    "record_shipment",
    "upsert_customer",
    "add_note",
]
Kind = Literal["create", "append", "set"]
Known = Literal["present", "absent", "unknown", "deleted"]
Outcome = Literal["confirmed", "uncertain", "stale", "rejected", "deferred", "superseded", "unsupported"]

LIVE_PAYMENT, LIVE, SWEEP, BACKFILL = 0, 1, 2, 3


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """One field of a write: what was sent and what the system made of it."""

    sent: str
    made: str


class Command(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One wanted write. Keyed by connection on the topic; at least once; its id makes the effect happen once."""

    id: str
    kind: Kind
    tenant: str
    connection: str
    account: str
    capability: Capability
    order: str
    """The order key."""
    entity: str
    """What is locked while this is written: one write at a time per entity of a connection."""
    write: str
    """The key of the write record in the order's state."""
    canonical: str
    generation: int = 0
    mark: str = ""
    presence: Known = "absent"
    """Only "absent" may be created without asking the platform first."""
    bound_id: str = ""
    """The platform's id of the object to change, once known."""
    facts: Facts
    """The whole desired projection; `changes` says which fields a set may touch."""
    changes: tuple[str, ...] = ()
    fields: dict[str, str] = {}
    """The desired fields as `streams.order.project` writes them: compared with the base and the re-read."""
    base: dict[str, Pair] = {}
    digest: str = ""
    policy: str = ""
    links: dict[str, str] = {}
    """Ids in the same system that the write needs: {"order": .., "invoice": .., "payment": ..}."""
    status: str = ""
    """For set_status: the canonical word to show. For record_shipment: how far the whole order has come with it."""
    text: str = ""
    """For add_note and void reasons."""
    priority: int = LIVE
    trace: str = ""
    told_at: Instant | None = None
    """When o2c was told of the oldest change that this write answers; None when only time passed."""
    flow: str = ""
    """The flow that wants it: it leaves only while that flow is live."""
    source: str = ""
    """The connection where what is written was typed, by which echoes of the write are counted."""


class Result(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What came of a command. Every command gets one. Results merge by (epoch, offset)."""

    command: str
    order: str
    write: str
    tenant: str
    connection: str
    account: str
    capability: Capability
    outcome: Outcome
    canonical: str = ""
    """The command's: whoever asked for it may have died before that was kept, and knows the write from here alone."""
    digest: str = ""
    generation: int = 0
    bound: ObjectRef | None = None
    made: dict[str, Pair] = {}
    """The new base, only from a write that ran to its end."""
    shown: dict[str, str] = {}
    """For "stale": what the system showed instead of the base."""
    reason: str = ""
    """Plain words: one sentence, no body, no token."""
    outage: int = 0
    look: tuple[int, int] = (0, 0)
    """(epoch, seq) of the look at the object that ended the write: older observations do not count against it."""
    epoch: int = 0
    offset: int = 0
    trace: str = ""
    told_at: Instant | None = None
    """The command's: the next step of a chain answers the same change."""
    source: str = ""
    """The command's."""
    events: tuple[ChangeEvent, ...] = ()
    """What the system showed after the write, or instead of it: looks like those on the topics of changes, told here
    only, so that who learns what was made of a value knows at once what was sent."""
