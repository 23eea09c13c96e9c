"""A plan as values: what one flow would write, what it would not and why; equal plans have equal digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from schemas.facts import Instant
from schemas.findings import Finding
from schemas.money import ZERO, text

Action = Literal["create", "change", "adopt", "undo"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One intended write, or one document that somebody made and that is bound to the order instead of a second one."""

    order: str
    number: str
    target: str
    document: str
    action: Action
    amount: str = ""
    currency: str = ""
    date: str = ""
    reason: str = ""
    existing: str = ""
    """Id in the target of what is changed or adopted."""
    asks_first: bool = False
    """The target is asked for an earlier document of ours before one is made."""
    follows: bool = False
    """Waits for an earlier row of the same order."""
    old: bool = False
    """Tells of what is older than the start of its connection: written by a backfill alone."""
    capability: str = ""
    write: str = ""
    content: str = ""
    """Digest of every field that is written."""

    @property
    def place(self) -> tuple[str, ...]:
        """Return what makes a row of another plan the same intention."""
        return self.order, self.write, self.capability, self.action

    @property
    def said(self) -> tuple[str, ...]:
        """Return what the row says is written."""
        return self.amount, self.currency, self.date, self.existing, self.content


class Total(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """Rows of one kind; `amount` is "" where a write carries none of its own."""

    target: str
    action: Action
    document: str
    currency: str
    old: bool = False
    count: int
    amount: str


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of an order; one that blocks stops all planning of it."""

    order: str
    number: str
    finding: Finding


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A value that lost against another one, both typed by people."""

    order: str
    number: str
    field: str
    kept: str
    kept_by: str
    lost: str
    lost_by: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What one flow would write by now."""

    flow: str
    tenant: str
    mode: str
    digest: str
    planned_at: Instant
    since: Instant
    """How far back a backfill with this plan reaches."""
    orders: int
    """Orders of the flow that were looked at."""
    unread: int
    """Orders of which something must be read again before they are planned."""
    rows: tuple[Row, ...]
    totals: tuple[Total, ...]
    findings: tuple[Trouble, ...]
    conflicts: tuple[Lost, ...]

    @property
    def live(self) -> tuple[Row, ...]:
        """Return what a live flow writes or adopts."""
        return tuple(row for row in self.rows if not row.old)

    @property
    def old(self) -> tuple[Row, ...]:
        """Return what only a backfill writes."""
        return tuple(row for row in self.rows if row.old)

    @property
    def writes(self) -> int:
        """Return how many rows a live flow writes."""
        return len(self.live) - self.adopted

    @property
    def written(self) -> int:
        """Return how many orders a live flow writes anything of."""
        return len({row.order for row in self.live if row.action != "adopt"})

    @property
    def adopted(self) -> int:
        """Return how many documents that people made are taken for the orders' own."""
        return sum(row.action == "adopt" for row in self.rows)

    @property
    def disputed(self) -> int:
        """Return of how many documents a person must say whether they bill their order."""
        return sum(one.finding.code == "ambiguous_document" for one in self.findings)

    @property
    def blocked(self) -> int:
        """Return how many orders are planned in no target."""
        return len({one.order for one in self.findings if one.finding.severity == "block"})


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """One intention that both plans have, and that says something else by now."""

    before: Row
    now: Row


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan adds to an earlier one, no longer has, and says otherwise."""

    added: tuple[Row, ...]
    removed: tuple[Row, ...]
    changed: tuple[Changed, ...]

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.added or self.removed or self.changed)


def digest_of(tenant: str, flow: str, rows: Iterable[Row]) -> str:
    """Return what names a plan (16 hex digits): equal for equal intentions, whenever and in what order they came."""
    lines = sorted("\x1f".join((*row.place, *row.said, "old" if row.old else "")) for row in rows)
    return hashlib.blake2b("\x1e".join((tenant, flow, *lines)).encode(), digest_size=8).hexdigest()


def totals_of(rows: Iterable[Row]) -> tuple[Total, ...]:
    """Return counts and amounts per target, kind of document and currency; a change adds no amount."""
    counts: dict[tuple[str, Action, str, str, bool], int] = {}
    amounts: dict[tuple[str, Action, str, str, bool], Decimal] = {}
    for row in rows:
        group = (row.target, row.action, row.document, row.currency if row.amount else "", row.old)
        counts[group] = counts.get(group, 0) + 1
        if row.amount:
            amounts[group] = amounts.get(group, ZERO) + Decimal(row.amount)
    return tuple(
        Total(
            target=group[0],
            action=group[1],
            document=group[2],
            currency=group[3],
            old=group[4],
            count=count,
            amount=text(amounts[group], group[3]) if group in amounts else "",
        )
        for group, count in sorted(counts.items())
    )


def differences(before: Sequence[Row], now: Sequence[Row]) -> Differences:
    """Return how the rows of a plan differ from those of an earlier one."""
    old, new = ({row.place: row for row in rows} for rows in (before, now))
    return Differences(
        added=tuple(row for place, row in new.items() if place not in old),
        removed=tuple(row for place, row in old.items() if place not in new),
        changed=tuple(
            Changed(before=old[place], now=row)
            for place, row in new.items()
            if place in old and old[place].said != row.said
        ),
    )
