"""What a person decided about an order: a message on the topic `decisions`, keyed by the order."""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.facts import Instant

Kind = Literal["retry", "recreate", "merge", "resume", "revert", "sync", "adopt", "disown", "undo"]


class Named(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A write as it was shown to a person; one that moved on since is left alone."""

    write: str
    object: str
    """Key of what it made."""
    generation: int = 0


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One decision; delivered at least once, each `id` counts once.

    retry: plan refused writes afresh (`write`, or all of the order's). recreate: make a document that was deleted or
    voided once more, under the next generation (`write`, or all of the order's that was undone). merge: this order and
    `into` are one. resume: plan again although two orders with documents became this one. revert: give the lost value
    of a conflict about `field` back. adopt, disown: the document `object`, which a person made, bills this order or
    does not. sync: plan again now, and read every object of the order again. undo: take back what `writes` made, and
    make none of it again.
    """

    id: str
    tenant: str
    order: str
    kind: Kind
    write: str = ""
    """Key of the write record, as `order-states` shows it."""
    writes: tuple[Named, ...] = ()
    into: str = ""
    field: str = ""
    object: str = ""
    """adopt, disown: key of the document that a person made."""
    digest: str = ""
    """retry: what was refused when the person looked; a write that moved on since is left alone. Empty = whatever."""
    generation: int | None = None
    """recreate: the generation that the person saw; a later one is left alone."""
    by: str = ""
    at: Instant | None = None
    reason: str = ""
