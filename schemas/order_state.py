"""Where an order stands: derived, never stored as truth; published on `order-states`."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from schemas.facts import Currency, Financial, Fulfilment, LifeCycle
from schemas.findings import Finding
from schemas.money import ZERO
from schemas.state import Conflict


class Shown(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One object of the order as its system last showed it."""

    connection: str
    account: str
    type: str
    id: str
    kind: str
    """order, invoice, payment, credit or shipment."""
    status: str = ""
    amount: Decimal | None = None
    ours: bool = False
    """Written by o2c."""
    write: str = ""
    """Key of our write, for a decision about it."""
    generation: int = 0


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A write that is not confirmed."""

    connection: str
    capability: str
    outcome: str = ""
    reason: str = ""
    write: str = ""
    digest: str = ""
    """Of what was refused for good, for a decision about it."""


class PublicOrder(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state of one order, compacted under its key. Amounts are in `currency`."""

    key: str
    tenant: str
    flow: str = ""
    number: str = ""
    life_cycle: LifeCycle = "open"
    financial: Financial = "none"
    fulfilment: Fulfilment = "none"
    overdue: bool = False
    headline: str = ""
    currency: Currency = "XXX"
    payable_amount: Decimal = ZERO
    invoiced_amount: Decimal = ZERO
    paid_amount: Decimal = ZERO
    credited_amount: Decimal = ZERO
    refunded_amount: Decimal = ZERO
    amount_due: Decimal = ZERO
    tracking_numbers: tuple[str, ...] = ()
    shown: tuple[Shown, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    findings: tuple[Finding, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    """The newest values that lost against another one; each can be given back."""
    alias_of: str = ""
    """This order proved to be one with another: all is said there."""
