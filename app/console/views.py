"""What the console tells: the models of its HTTP API, which the command line prints as well."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from schemas.facts import Instant
from schemas.order_state import PublicOrder
from schemas.state import Conflict


class _View(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Base of all views: immutable, defaults left out of the JSON."""


class Problem(_View, frozen=True, kw_only=True):
    """Why a request was refused, and what to do."""

    error: str
    next_step: str


class Hop(_View, frozen=True, kw_only=True):
    """One thing that happened to the order."""

    at: Instant
    what: Literal["seen", "shown", "asked", "sent", "answered", "decided"]
    """seen: a system showed an object; shown: the order's state changed; asked: a write was planned; sent: its request
    left; answered: what came of it; decided: a person said something."""
    system: str = ""
    """The connection."""
    object: str = ""
    text: str = ""
    trace: str = ""


class Sent(_View, frozen=True, kw_only=True):
    """One request of a write to its platform, as the journal keeps it."""

    id: str
    """The idempotency key that went with it."""
    method: str
    path: str
    state: str
    """intent (under way), uncertain, confirmed, not_done or settled."""
    at: Instant | None = None
    status: int = 0
    attempt: int = 0


class Write(_View, frozen=True, kw_only=True):
    """One command to a system: what was asked, sent and answered."""

    command: str
    write: str
    connection: str
    capability: str
    generation: int = 0
    asked_at: Instant | None = None
    requests: tuple[Sent, ...] = ()
    outcome: str = ""
    """Empty while there is no answer."""
    reason: str = ""
    answered_at: Instant | None = None
    object: str = ""
    """What the platform made, as connection@account/type/id."""
    trace: str = ""


class Shown(_View, frozen=True, kw_only=True):
    """One object of the order as its system showed it last."""

    type: str
    id: str
    kind: str
    number: str = ""
    status: str = ""
    amount: Decimal | None = None
    ours: bool = False
    write: str = ""
    seen_at: Instant | None = None
    changed_at: Instant | None = None
    """When it was changed, by the system's own clock."""


class SystemView(_View, frozen=True, kw_only=True):
    """What one system showed last."""

    connection: str
    account: str
    paused: bool = False
    objects: tuple[Shown, ...] = ()


class Stop(_View, frozen=True, kw_only=True):
    """Why something of the order does not go on, and the next step."""

    why: str
    next_step: str
    connection: str = ""
    write: str = ""


class OrderView(_View, frozen=True, kw_only=True):
    """All that is known about one order."""

    order: PublicOrder
    systems: tuple[SystemView, ...] = ()
    writes: tuple[Write, ...] = ()
    stopped: tuple[Stop, ...] = ()
    hops: tuple[Hop, ...] = ()


class Orders(_View, frozen=True, kw_only=True):
    """The orders that an id leads to."""

    orders: tuple[PublicOrder, ...]


class Candidate(_View, frozen=True, kw_only=True):
    """An order that a parked object may belong to."""

    order: str
    number: str
    headline: str
    amount: Decimal | None = None
    """What the order is over."""
    amount_due: Decimal
    currency: str
    why: str


class ParkedView(_View, frozen=True, kw_only=True):
    """An object that no order was found for, or a document of which nobody can tell whether it bills its order."""

    id: str
    object: str
    """connection@account/type/id."""
    connection: str
    type: str
    number: str = ""
    status: str = ""
    amount: Decimal | None = None
    currency: str = ""
    since: Instant | None = None
    anchors: tuple[str, ...] = ()
    """What it names as its order."""
    order: str = ""
    """Key of the order that it is linked to already; `link` to that one says that it bills it, `dismiss` that not."""
    candidates: tuple[Candidate, ...] = ()


class ParkedList(_View, frozen=True, kw_only=True):
    """One page of what waits for a person."""

    parked: tuple[ParkedView, ...]
    after: str = ""
    """Ask with it for the next page; empty on the last."""


class ConflictView(_View, frozen=True, kw_only=True):
    """A value that lost against another one."""

    order: str
    number: str
    conflict: Conflict


class ConflictList(_View, frozen=True, kw_only=True):
    """One page of conflicts."""

    conflicts: tuple[ConflictView, ...]
    after: str = ""


class ConnectionView(_View, frozen=True, kw_only=True):
    """How one connection stands; what nobody knows is left out."""

    connection: str
    platform: str
    state: Literal["well", "paused", "stopped", "unknown"]
    why: str = ""
    """Why it is not well."""
    paused: bool = False
    account: str | None = None
    """The configured one."""
    connected_account: str | None = None
    """Whose the stored tokens are."""
    credential: Literal["stored", "configured", "missing", "unreadable"]
    access_expires_at: Instant | None = None
    """Renewed by itself."""
    connect_again_by: Instant | None = None
    quota_left: int | None = None
    complete_up_to: Instant | None = None
    """Everything that changed before was seen."""
    waiting: int
    """Writes that are not done."""


class ConnectionList(_View, frozen=True, kw_only=True):
    """Every connection of the tenant."""

    connections: tuple[ConnectionView, ...]
    seen_at: Instant
    """When they were looked at; asked again after some seconds, a newer look is there."""


class FlowView(_View, frozen=True, kw_only=True):
    """What one flow may do."""

    flow: str
    mode: Literal["live", "shadow", "stopped"]
    """live: writes; shadow: plans and shows; stopped: neither."""
    configured: Literal["live", "shadow"]
    """The configuration's mode: it counts until people say another."""
    key_giver: str
    targets: tuple[str, ...]


class FlowList(_View, frozen=True, kw_only=True):
    """Every flow of the tenant."""

    flows: tuple[FlowView, ...]


class Link(_View, frozen=True, kw_only=True):
    """Whose a parked object is."""

    order: str
    """Any id of the order."""


class About(_View, frozen=True, kw_only=True):
    """Which write is meant."""

    write: str = ""
    """As the order shows it; may be left out where it is clear."""


class Into(_View, frozen=True, kw_only=True):
    """With which order another one is one."""

    into: str
    """Any id of the order that stays."""


class Told(_View, frozen=True, kw_only=True):
    """What was told to the workers."""

    told: str
    subject: str
    """The order's key, the object, the connection or the flow."""
    order: str = ""
