"""From a record of a topic to what the read model keeps of it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b

import msgspec

from schemas.decisions import Decision
from schemas.events import ChangeEvent
from schemas.facts import Credit, Customer, Instant, Invoice, Order, Payment, Payout, Shipment
from schemas.money import text
from schemas.order_state import PublicOrder
from schemas.refs import ObjectRef, find_mark
from streams.order.link import plain_number


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


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a command is kept: as `schemas.commands.Command`, the rest of it is not even decoded."""

    id: str
    tenant: str
    order: str
    write: str
    connection: str
    capability: str
    generation: int = 0
    trace: str = ""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What of a result is kept: as `schemas.commands.Result`."""

    command: str
    tenant: str
    order: str
    write: str
    connection: str
    capability: str
    outcome: str
    generation: int = 0
    reason: str = ""
    bound: ObjectRef | None = None
    trace: str = ""
    events: tuple[ChangeEvent, ...] = ()


class Requested(msgspec.Struct, frozen=True, kw_only=True):
    """What of a row of the journal is kept: as `sinks.delivery.row.Row`, without bodies."""

    command: str
    step: str
    attempt: int = 0
    state: str = "intent"
    method: str = ""
    path: str = ""
    at: float = 0.0
    status: int = 0
    members: tuple[str, ...] = ()


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


def ids(order: PublicOrder) -> set[str]:
    """Return all that leads to *order*: its number, tracking numbers, and its objects by id and by whole name."""
    numbers = {order.number, plain_number(order.number)}
    objects = {object_key(one.connection, one.account, one.type, one.id) for one in order.shown}
    return {*numbers, *order.tracking_numbers, *objects, *(one.id for one in order.shown)} - {""}


def object_key(connection: str, account: str, kind: str, id_: str) -> str:
    """Return the whole name of an object."""
    return ObjectRef(connection, account, kind, id_).key


def seen(event: ChangeEvent, shown: Look) -> str:
    """Return the words of a look."""
    amount = "" if shown.amount is None else f"{text(shown.amount, shown.currency)} {shown.currency}"
    return _listed(f"{shown.type} {shown.number or shown.id}", shown.status, amount, f"by {event.origin}")


def stands(order: PublicOrder) -> str:
    """Return the words of where an order stands."""
    return _listed(*dict.fromkeys((order.headline, order.financial, order.fulfilment, order.life_cycle)))


def decided(decision: Decision) -> str:
    """Return the words of a decision."""
    about = decision.write or decision.into or decision.field
    return f"{decision.by or 'somebody'} said {decision.kind} {about}".rstrip()


def _listed(*words: str) -> str:
    return ", ".join(word for word in words if word not in {"", "none"})


def short_id(key: str) -> str:
    """Return a word without slashes that stands for an object."""
    return blake2b(key.encode(), digest_size=8).hexdigest()


def plain(amount: Decimal) -> str:
    """Return one text per amount, whatever its trailing zeros."""
    return f"{amount.normalize():f}"
