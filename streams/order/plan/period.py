"""Closed periods are read ahead and obeyed: no document is sent into a month that the ledger has closed."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from schemas.facts import Credit, Facts, Invoice, Payment
from schemas.findings import Finding
from streams.order.plan.desk import Desk
from streams.order.world import World


def in_open_period(facts: Facts, desk: Desk) -> Facts | None:
    """Return *facts* with a book date that is open, or None when the flow wants them held."""
    closed, day = desk.closed, _day(facts)
    if closed is None or day is None or day > closed:
        return facts
    if desk.derived.flow.closed_period != "next_open_day":
        return None
    first = closed + timedelta(days=1)
    if isinstance(facts, Invoice):
        note = f"{facts.note}\nOriginal date {day.isoformat()}".strip()
        due = max(facts.due_date or first, first)
        return msgspec.structs.replace(facts, issue_date=first, due_date=due, note=note)
    if isinstance(facts, (Payment, Credit)):
        return msgspec.structs.replace(facts, date=first)
    return facts


def held(desk: Desk, facts: Facts) -> Finding:
    """Return the finding for a document that waits for a period to be opened."""
    message = f"A document of {_day(facts)} waits: {desk.name} is closed up to {desk.closed}."
    return Finding("closed_period", "warn", message, desk.name, "move the lock date, or set closed_period")


def unseen(desk: Desk) -> Finding:
    """Return the finding for a document that waits until its system said what it keeps closed."""
    message = f"A document waits: nobody has looked at the account of {desk.name} yet."
    return Finding("unseen_account", "warn", message, desk.name, "run the connectors; `o2c check` says what keeps them")


def closed_up_to(connection: str, world: World) -> date | None:
    """Return the last day that the ledger has closed."""
    text = world.facts.lock_dates.get(connection, "")
    return date.fromisoformat(text[:10]) if text else None


def _day(facts: Facts) -> date | None:
    if isinstance(facts, Invoice):
        return facts.issue_date
    return facts.date if isinstance(facts, (Payment, Credit)) else None
