"""A small world for tests of the core: a shop, a CRM and a ledger with made-up platforms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from schemas.commands import Command, Pair, Result
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Line, Order, Party, Payment
from schemas.flow import Facts, Flow, Target
from schemas.platform import Auth, Consistency, Effect, Limits, Platform
from schemas.projection import project
from schemas.refs import ObjectRef, order_key
from schemas.state import OrderState
from streams.order.step import Seen
from streams.order.world import World

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHOP = ObjectRef("shop", "s", "order", "1")
KEY = order_key("acme", SHOP)
FIELDS = frozenset(("currency", "payable_amount", "note", "lines", "number", "status"))


def _platform(slug: str, **changes: Any) -> Platform:
    values: dict[str, Any] = {
        "slug": slug,
        "title": slug.title(),
        "side": "both",
        "base_url": "https://example.com",
        "docs": "https://example.com",
        "auth": Auth(),
        "limits": Limits(),
        "consistency": Consistency(),
        "objects": {kind: kind for kind in ("order", "invoice", "payment", "credit", "shipment")},
        "statuses": {"order:open": "open", "invoice:open": "invoiced"},
        "capabilities": {
            "upsert_order": Effect.RECORDS,
            "upsert_invoice": Effect.RECORDS,
            "record_payment": Effect.RECORDS,
            "reverse_payment": Effect.RECORDS,
            "issue_credit": Effect.RECORDS,
            "record_refund": Effect.MOVES_MONEY,
            "record_shipment": Effect.RECORDS,
        },
        "shows": {"upsert_order": FIELDS, "upsert_invoice": FIELDS},
    }
    return Platform(**{**values, **changes})


PLATFORMS = {name: _platform(name) for name in ("shopp", "crmm", "ledgerr")}
CONNECTIONS = {
    name: Connection(name=name, tenant="acme", platform=platform, account=name[0])
    for name, platform in (("shop", "shopp"), ("crm", "crmm"), ("books", "ledgerr"))
}
FLOW = Flow(
    name="main", tenant="acme", key_giver="shop", mode="live",
    targets=(
        Target(connection="shop"),
        Target(connection="crm", order=True),
        Target(connection="books", document="invoice"),
    ),
)  # fmt: skip
WORLD = World(facts=Facts(connections=CONNECTIONS, flows=(FLOW,)), platforms=PLATFORMS)
EMPTY = OrderState(key=KEY, tenant="acme")


def order(native: int = 1, **changes: Any) -> Seen:
    """Return a look at the shop's order of 24.00 EUR."""
    values: dict[str, Any] = {
        "number": "SO-1",
        "currency": "EUR",
        "payable_amount": Decimal(24),
        "placed_at": NOW,
        "customer": Party(name="Ada", email="ada@example.com"),
        "lines": (Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4)),),
    }
    facts = Order(**{**values, **changes})
    return Seen(ChangeEvent(tenant="acme", object=SHOP, facts=facts, version=Version(native), changed_at=NOW))


def payment(amount: str = "24.00", id_: str = "p1", system: str = "shop", **changes: Any) -> Seen:
    """Return a look at a payment in *system*."""
    ref = ObjectRef(system, system[0], "payment", id_)
    facts = Payment(amount=Decimal(amount), currency="EUR", paid_at=NOW, **changes)
    anchors = (Anchor("order", SHOP),)
    return Seen(ChangeEvent(tenant="acme", object=ref, facts=facts, version=Version(1), anchors=anchors))


def confirmed(command: Command, id_: str, offset: int) -> tuple[Result, Seen]:
    """Return the result of a create and the look that the system shows of it."""
    kinds = {"upsert_order": "order", "upsert_invoice": "invoice", "record_payment": "payment"}
    kind = kinds.get(command.capability, "credit" if "credit" in command.capability else "shipment")
    ref = ObjectRef(command.connection, command.account, kind, id_)
    made = {name: Pair(value, value) for name, value in project(command.facts).items() if name in command.fields}
    result = Result(
        command=command.id, order=command.order, write=command.write, tenant="acme", connection=command.connection,
        account=command.account, capability=command.capability, outcome="confirmed", digest=command.digest, bound=ref,
        made=made, look=(1, offset), epoch=1, offset=offset,
    )  # fmt: skip
    event = ChangeEvent(
        tenant="acme", object=ref, facts=command.facts, mirror_of=command.mark, origin="write", order=command.order,
        version=Version(read=True, epoch=1, seq=offset),
    )  # fmt: skip
    return result, Seen(event)
