"""From a record of a topic to rows of the read model; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b

import msgspec

from app.console.views import Hop, Sent
from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.events import ChangeEvent
from schemas.facts import Credit, Customer, Instant, Invoice, Order, Payment, Payout, Shipment
from schemas.refs import find_mark
from sinks.delivery.journal import Row, idempotency_key


class Entry(msgspec.Struct, frozen=True):
    """One record; *topic* without prefix, *timestamp* in milliseconds."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0

    @property
    def at(self) -> datetime:
        """Return when Kafka got it."""
        return datetime.fromtimestamp(max(self.timestamp, 0) / 1000, UTC)


class Look(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The newest look at one object, short: no names, addresses or lines."""

    type: str
    id: str
    connection: str
    number: str = ""
    status: str = ""
    amount: Decimal | None = None
    currency: str = ""
    seen_at: Instant | None = None
    changed_at: Instant | None = None
    numbers: tuple[str, ...] = ()
    """Order numbers that it names."""


class Asked(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A command, short."""

    command: str
    write: str
    connection: str
    capability: str
    generation: int = 0
    trace: str = ""


class Answered(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A result, short."""

    command: str
    write: str
    connection: str
    capability: str
    generation: int = 0
    outcome: str
    reason: str = ""
    object: str = ""
    trace: str = ""


def version_of(event: ChangeEvent) -> str:
    """Return text that sorts as the versions of looks at one object do."""
    version = event.version
    return f"{version.native:020d}{version.read:d}{version.epoch:012d}{version.seq:015d}"


def look(event: ChangeEvent, at: datetime) -> Look:
    """Return what *event*, which was told *at*, shows in short."""
    facts = event.facts
    status = "deleted" if event.presence == "deleted" else str(getattr(facts, "status", ""))
    return Look(
        type=event.object.type,
        id=event.object.id,
        connection=event.object.connection,
        number=_number(event),
        status=status,
        amount=_amount(event),
        currency=str(getattr(facts, "currency", "")),
        seen_at=at,
        changed_at=event.changed_at,
        numbers=tuple(anchor.ref.id for anchor in event.anchors if anchor.kind == "number"),
    )


def _number(event: ChangeEvent) -> str:
    facts = event.facts
    if isinstance(facts, (Order, Invoice, Credit)):
        return facts.number
    return facts.reference if isinstance(facts, (Payment, Payout)) and not find_mark(facts.reference) else ""


def _amount(event: ChangeEvent) -> Decimal | None:
    facts = event.facts
    if isinstance(facts, (Order, Invoice)):
        return facts.payable_amount
    return facts.amount if isinstance(facts, (Payment, Credit, Payout)) else None


def names(event: ChangeEvent) -> set[str]:
    """Return the words under which people look for the object, beside its id."""
    facts = event.facts
    found = {_number(event)}
    if isinstance(facts, Shipment):
        found |= set(facts.tracking_numbers)
    if isinstance(facts, (Invoice, Credit)) and not find_mark(facts.reference):
        found.add(facts.reference)
    return found - {""} if not isinstance(facts, Customer) else set()


def seen(event: ChangeEvent, at: datetime) -> Hop:
    """Return the hop of a look."""
    shown = look(event, at)
    amount = "" if shown.amount is None else f"{shown.amount:f} {shown.currency}"
    words = (f"{shown.type} {shown.number or shown.id}", shown.status, amount, f"by {event.origin}")
    return Hop(
        at=at,
        what="seen",
        system=shown.connection,
        object=event.object.key,
        text=", ".join(word for word in words if word),
        trace=event.trace,
    )


def asked(command: Command) -> Asked:
    """Return *command* in short."""
    return Asked(
        command=command.id,
        write=command.write,
        connection=command.connection,
        capability=command.capability,
        generation=command.generation,
        trace=command.trace,
    )


def answered(result: Result) -> Answered:
    """Return *result* in short."""
    return Answered(
        command=result.command,
        write=result.write,
        connection=result.connection,
        capability=result.capability,
        generation=result.generation,
        outcome=result.outcome,
        reason=result.reason,
        object="" if result.bound is None else result.bound.key,
        trace=result.trace,
    )


def decided(decision: Decision, at: datetime) -> Hop:
    """Return the hop of a decision."""
    about = decision.write or decision.into or decision.field
    text = f"{decision.by or 'somebody'} said {decision.kind} {about}".rstrip()
    return Hop(at=decision.at or at, what="decided", text=text)


def sent(row: Row) -> tuple[Iterable[str], Sent] | None:
    """Return the commands that a journal row is about and the request; None for a row without one."""
    if not row.method:
        return None
    request = Sent(
        id=idempotency_key(row.command, row.step, row.attempt),
        method=row.method,
        path=row.path,
        state=row.state,
        at=datetime.fromtimestamp(row.at, UTC) if row.at else None,
        status=row.status,
        attempt=row.attempt,
    )
    return row.members or (row.command,), request


def short_id(key: str) -> str:
    """Return a word without slashes that stands for an object."""
    return blake2b(key.encode(), digest_size=8).hexdigest()


def plain(amount: Decimal) -> str:
    """Return one text per amount, whatever its trailing zeros."""
    return f"{amount.normalize():f}"
