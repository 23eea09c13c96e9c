"""What is older than the start of its system: read and linked, and written nowhere until somebody asks for it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.connection import Connection
from schemas.facts import Credit, Invoice, Order, Payment, Shipment
from schemas.flow import NOT_BEGUN
from schemas.state import Observation
from streams.order.derive import Derived
from streams.order.plan.desk import Desk
from streams.order.plan.want import Want
from streams.order.world import World

EVER = datetime.min.replace(tzinfo=UTC)
"""Before whatever any system tells."""
_OF_ORDER = frozenset(("upsert_order", "upsert_invoice", "upsert_sales_receipt", "request_payment"))


def too_old(desk: Desk, want: Want, world: World) -> bool:
    """Tell whether *want* comes of something older than the start, and nobody asked for a backfill.

    What was asked for before is kept in step, whatever its age; so is all that hangs on a document of ours.
    """
    if desk.record(want.write) is not None:
        return False
    if want.capability in {"reverse_payment", "void_credit"} or (want.source is None and _ours(desk)):
        return False
    return is_old(want.source or desk.derived.giver, world) and not _asked_for(desk, want, world)


def is_old(look: Observation, world: World) -> bool:
    """Tell whether an object is older than the start of its connection; what tells no age is, where a start counts."""
    start = world.facts.starts.get(look.object.connection)
    if start is None:
        return False
    moment = age(look, world.connection(look.object.connection))
    return moment is None or moment < start


def backfilled(derived: Derived, world: World) -> bool:
    """Tell whether the order is older than the start and is written because somebody asked for it."""
    since = world.facts.backfills.get(derived.flow.name)
    return since is not None and is_old(derived.giver, world) and _reaches(since, derived.giver, world)


def age(look: Observation, connection: Connection | None) -> datetime | None:
    """Return when the thing happened that *look* shows, as its system says."""
    facts = look.facts
    if isinstance(facts, Order) and facts.placed_at is not None:
        return facts.placed_at
    if isinstance(facts, Payment) and facts.paid_at is not None:
        return facts.paid_at
    if isinstance(facts, Shipment) and facts.shipped_at is not None:
        return facts.shipped_at
    day = (
        facts.date if isinstance(facts, Payment | Credit) else facts.issue_date if isinstance(facts, Invoice) else None
    )
    if day is None or connection is None:
        return look.changed_at
    # A day counts to its end: what happened on the day of the start is new.
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(connection.time_zone))


def _asked_for(desk: Desk, want: Want, world: World) -> bool:
    since = world.facts.backfills.get(desk.derived.flow.name)
    return since is not None and _reaches(since, want.source or desk.derived.giver, world)


def _reaches(since: datetime, look: Observation, world: World) -> bool:
    if world.facts.starts.get(look.object.connection) == NOT_BEGUN:
        return False
    moment = age(look, world.connection(look.object.connection))
    return since <= (moment or EVER)


def _ours(desk: Desk) -> bool:
    """Tell whether we made the order or a document of it here."""
    return any(record.bound is not None and record.capability in _OF_ORDER for record in desk.records)
