"""A made-up company: a shop gives the orders, a CRM and two ledgers follow, a processor takes money."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.commands import Capability
from schemas.connection import Connection
from schemas.flow import Facts, Flow, Target
from schemas.platform import Auth, Consistency, Effect, Limits, Platform
from streams.order.world import World

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
TENANT = "acme"
HEADS = (("shop", "order"), ("crm", "order"), ("books", "invoice"), ("second", "invoice"))
"""What an order is in each system that keeps its fields."""
_ORDER = frozenset(("currency", "payable_amount", "note", "lines", "number", "status", "email"))
_INVOICE = frozenset(("currency", "payable_amount", "note", "lines", "issue_date", "email", "due_date"))
_WORDS = (
    "open", "closed", "cancelled", "paid", "partially_paid", "invoiced", "fulfilled", "delivered", "refunded", "partially_refunded",
    "partially_fulfilled", "draft", "overpaid",
)  # fmt: skip


def platform(slug: str, capabilities: tuple[Capability, ...]) -> Platform:
    """Return a platform that stores every field and knows every word."""
    return Platform(
        slug=slug,
        title=slug.title(),
        side="both",
        base_url="https://example.com",
        docs="https://example.com",
        auth=Auth(),
        limits=Limits(),
        consistency=Consistency(),
        objects={kind: kind for kind in ("order", "invoice", "payment", "credit", "shipment")},
        statuses={f"{kind}:{word}": word for kind in ("order", "invoice") for word in _WORDS},
        stages={word: word for word in _WORDS},
        capabilities=dict.fromkeys(capabilities, Effect.RECORDS),
        shows={"upsert_order": _ORDER, "upsert_invoice": _INVOICE, "upsert_sales_receipt": _INVOICE},
    )


_LEDGER: tuple[Capability, ...] = (
    "upsert_invoice",
    "record_payment",
    "reverse_payment",
    "issue_credit",
    "void_invoice",
    "apply_credit",
)
PLATFORMS = {
    "shopp": platform("shopp", ("upsert_order", "record_payment")),
    "crmm": platform("crmm", ("upsert_order", "set_status")),
    "ledgerr": platform("ledgerr", _LEDGER),
    "processor": msgspec.structs.replace(
        platform("processor", ()),
        objects={"payment": "payment", "credit": "credit", "dispute": "credit"},
        holds=frozenset(("dispute",)),
    ),
    "tilll": platform("tilll", ("upsert_sales_receipt", "record_payment", "issue_credit", "record_refund")),
}
CONNECTIONS = {
    name: Connection(name=name, tenant=TENANT, platform=slug, account=name[0])
    for name, slug in (
        ("shop", "shopp"), ("crm", "crmm"), ("books", "ledgerr"), ("second", "ledgerr"), ("pay", "processor"),
        ("till", "tilll"),
    )
}  # fmt: skip


def flow(**changes: Any) -> Flow:
    """Return the flow: shop orders become deals and invoices in both ledgers."""
    values: dict[str, Any] = {
        "name": "main",
        "tenant": TENANT,
        "key_giver": "shop",
        "mode": "live",
        "targets": (
            Target(connection="shop"),
            Target(connection="crm", order=True),
            Target(connection="books", document="invoice"),
            Target(connection="second", document="invoice"),
        ),
    }
    return Flow(**{**values, **changes})


def world(**changes: Any) -> World:
    """Return the world with one flow; *changes* go to the flow."""
    facts = Facts(connections=CONNECTIONS, flows=(flow(**changes),))
    return World(facts=facts, platforms=PLATFORMS)


def with_facts(known: World, **changes: Any) -> World:
    """Return *known* with other broadcast facts."""
    return msgspec.structs.replace(known, facts=msgspec.structs.replace(known.facts, **changes))


def with_fixed(known: World, ledger: str) -> World:
    """Return *known* with a ledger whose invoices keep what they bill."""
    connection = known.facts.connections[ledger]
    fixed = msgspec.structs.replace(PLATFORMS[connection.platform], slug="fixed", fixed_amounts=True)
    there = {**known.facts.connections, ledger: msgspec.structs.replace(connection, platform="fixed")}
    return World(
        facts=msgspec.structs.replace(known.facts, connections=there), platforms={**known.platforms, "fixed": fixed}
    )
