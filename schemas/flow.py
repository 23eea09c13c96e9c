"""A flow: who is the authority for an order, which systems are written to, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from schemas.connection import Connection

Document = Literal["invoice", "sales_receipt", "payment_request", "none"]
Dated = Literal["order", "payment", "shipment"]
NOT_BEGUN = datetime.max.replace(tzinfo=UTC)
"""The start of a connection that no connector has started yet: all that it holds is older."""
_DEFAULT_FIELDS = ("note", "po_number", "email", "due_date")


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One system that is told about the orders of a flow."""

    connection: str
    order: bool = False
    """Keep an order or deal there (upsert_order)."""
    document: Document = "none"
    when: tuple[str, ...] = ("open",)
    """The document is made once the order has reached any of these canonical words or "stage:<connection>:<word>"."""
    dated: Dated = "order"
    """Whose day the document carries: the order's, or that of the payment or parcel by which it became due."""
    due_days: int = 0
    """Days from the document's date to its due date, where the order names none."""
    payments: bool = True
    """Record payments on the document (or on the order where the system keeps orders)."""
    credits: bool = True
    shipments: bool = True
    status: bool = True
    fields: tuple[str, ...] = _DEFAULT_FIELDS
    """Shared scalar fields that are kept in step with this system."""
    asks: Literal["old", "always", "never"] = "old"
    """Which creates look for an earlier document first: those of orders older than a day, all, or none.

    "never" is for a system that is known to hold nothing of these orders."""
    allow: tuple[str, ...] = ()
    """Capabilities that move money or contact the customer and are wanted here all the same."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """The rules for the orders of one key-giver. `version` is the digest of everything below."""

    name: str
    tenant: str
    key_giver: str
    """The connection whose order objects are the orders of this flow."""
    order_type: str = ""
    """The platform's object type that is the order; empty = its only one. A type of invoice makes each one an order."""
    targets: tuple[Target, ...] = ()
    payments_from: tuple[str, ...] = ()
    """Connections whose payments, credits and shipments count for the order; empty = every linked one."""
    ranking: Mapping[str, tuple[str, ...]] = {}
    """Shared field -> connections, strongest first; missing = key-giver first, then target order."""
    orphan: Literal["list", "create_order"] = "list"
    drift: Literal["repair", "report"] = "repair"
    mode: Literal["shadow", "live"] = "shadow"
    paid_edit: Literal["credit_and_new", "ask"] = "credit_and_new"
    closed_period: Literal["hold", "next_open_day", "ask"] = "next_open_day"
    rounding_cap: Decimal = Decimal("0.05")
    cancelled_invoice: Literal["void", "credit"] = "void"
    """What becomes of an unpaid invoice in an open period when its order is cancelled; any other one is credited."""
    expire_days: int = 400
    """How long after its last change an order of which nothing is open becomes a stub; 0 = never."""
    replan_seconds: int = 900
    """How long a command without a result is waited for before it is planned again."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Values that every worker reads whole, handed to the pure core as a value."""

    connections: Mapping[str, Connection] = {}
    flows: tuple[Flow, ...] = ()
    up: Mapping[str, tuple[int, int]] = {}
    """Connection -> (epoch, number) of the newest outage that is over."""
    lock_dates: Mapping[str, str] = {}
    """Connection -> last closed day, ISO 8601."""
    paused: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()
    """Connections whose account nobody has looked at yet: nothing is made there before it is known what is closed."""
    modes: Mapping[str, str] = {}
    """Flow -> mode set at run time (shadow, live, stopped); overrides Flow.mode."""
    starts: Mapping[str, datetime] = {}
    """Connection -> since when its objects are written elsewhere; older ones are only read. Missing = all are."""
    backfills: Mapping[str, datetime] = {}
    """Flow -> since when objects older than the start are written all the same, because somebody asked for it."""
    policy: str = ""
    """Digest of the configuration that made these values."""
