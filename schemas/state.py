"""What is stored about one order: observations, write records and agreed values. Nothing derived."""

from __future__ import annotations

import msgspec

from schemas.commands import Capability, Outcome, Pair
from schemas.events import Anchor, Presence, Version
from schemas.facts import Facts, Instant
from schemas.refs import ObjectRef

FORMAT = 2
"""The highest that this version knows: who reads a higher one stops rather than rewrite it."""
PLAIN, TAKEN_BACK = 1, 2
"""The formats of a state: without and with writes that a person had undone, which an older worker would write again."""
NEVER: tuple[int, int] = (0, 0)
"""One object for "no look yet": a default is left out of the JSON only when it is this very object."""


class Observation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The newest look at one object. Three maxima, so that merging is commutative, associative and idempotent."""

    object: ObjectRef
    version: Version = Version()
    presence: Presence = "present"
    facts: Facts | None = None
    mirror_of: str | None = None
    anchors: tuple[Anchor, ...] = ()
    changed_at: Instant | None = None
    digest: str = ""
    """Of the content; breaks ties of equal versions and shows that the object must be read again."""
    last_read: tuple[int, int] = NEVER
    """Greatest (epoch, seq) of a read that found the object."""
    gone: tuple[int, int] = NEVER
    """Greatest (epoch, seq) of a read that did not find it: deleted while greater than `last_read`."""
    share: str | None = None
    """Part of the amount that belongs to this order; None = all, "0" = moved away."""
    share_version: int = 0


class WriteRecord(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that we write to one system."""

    key: str
    connection: str
    account: str
    capability: Capability
    canonical: str
    id: str = ""
    """Id of the last command asked for."""
    generation: int = 0
    digest: str = ""
    """Of what was asked for last."""
    asked: tuple[str, ...] = ()
    """Names of the fields asked for last: until the answer, what they show is no edit."""
    policy: str = ""
    asked_at: Instant | None = None
    trace: str = ""
    """Of the last command asked for."""
    told_at: Instant | None = None
    """When o2c was told of the oldest change that the last command answers."""
    source: str = ""
    """The connection where what was asked for last had been typed."""
    outcome: Outcome | None = None
    """None: asked for, no result yet."""
    bound: ObjectRef | None = None
    base: dict[str, Pair] = {}
    reverted: tuple[str, ...] = ()
    """Digests of the last three desired values that the system reverted."""
    stopped: str = ""
    """Digest that is not planned again until it changes or a person says retry."""
    reason: str = ""
    outage: int = 0
    stale: dict[str, str] = {}
    """What the system showed instead of the base; asked again once an observation shows the same."""
    order: str = ""
    """The order that asked first, where another one was merged into this: its mark is in the document."""
    look: tuple[int, int] = NEVER
    """(epoch, seq) of the look that ended the last write: an older observation shows the time before it."""
    older: dict[str, tuple[int, int]] = {}
    """Fields of the base that the last write did not touch -> the look that ended the write of theirs."""
    result: tuple[int, int] = NEVER
    """(owner epoch, journal offset) of the newest result."""
    made_at: Instant | None = None
    """When it was first heard that what was asked for is there; None for what an older version heard of."""
    undone_at: Instant | None = None
    """When a person had it undone: nothing of it is wanted any more but its end."""
    past: tuple[str, ...] = ()
    """What earlier generations made: never taken for a document that a person made."""


class Agreed(msgspec.Struct, frozen=True, omit_defaults=True):
    """The agreed value of one shared field and the object it came from."""

    value: str
    source: str
    seen: dict[str, str] = {}
    """Per object: the value it showed when the agreement was made."""


class Conflict(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A field that two people edited: what was kept, what lost, and where each was typed."""

    field: str
    kept: str
    lost: str
    kept_by: str = ""
    """Key of the object that showed the value; "" for a person's decision."""
    lost_by: str = ""
    at: Instant | None = None
    """When the losing value was typed, where its system says that, else when the conflict was found."""


def _format() -> int:
    return PLAIN


class OrderState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """All that is known about one order."""

    key: str
    tenant: str
    format: int = msgspec.field(default_factory=_format)
    """Always stored, unlike a default: an older worker must see that it may not rewrite this."""
    objects: dict[str, Observation] = {}
    writes: dict[str, WriteRecord] = {}
    agreed: dict[str, Agreed] = {}
    alias_of: str = ""
    """Set when two orders proved to be one and this one was frozen: whatever comes is forwarded to that order."""
    aliases: tuple[str, ...] = ()
    """Orders that were merged into this one."""
    elected: bool = False
    """Several orders were merged in a circle and this one survives: it is never frozen again."""
    held: bool = False
    """Orders with documents became one: nothing is planned until a person says so."""
    conflicts: tuple[Conflict, ...] = ()
    """The newest conflicts, oldest first."""
    decisions: tuple[str, ...] = ()
    """What people decided last, as ids of decisions."""
    expired_at: Instant | None = None
    """When the order became a stub for the last time; what it holds since then was read again."""
    asleep: bool = False
    """A stub that nothing happened to since it became one."""
    said_of: dict[str, bool] = {}
    """Documents that people made -> whether a person said that they bill this order."""
    alike: dict[str, str] = {}
    """Orders that look like this one -> their numbers: a person looks whether one was placed twice."""
    disputed: tuple[str, ...] = ()
    """Documents that name the order and of which a person must say whether they bill it."""
    shown: str = ""
    """Digest of what was published of the order last: the same again is no news."""
    due_at: Instant | None = None
    """When this order wants to be looked at again without an event."""


class Handover(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """All that a frozen order knew, on its way to the order that it is one with."""

    order: str
    state: OrderState
    path: tuple[str, ...] = ()
    """The frozen orders that it came through, its own first."""
    absorbed: tuple[str, ...] = ()
    """Orders that one of those had taken over before it was frozen itself."""

    @property
    def format(self) -> int:
        """Return the format of the state that is handed over."""
        return self.state.format
