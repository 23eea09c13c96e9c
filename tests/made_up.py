"""Records of one made-up order as the topics carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from app.console.records import Entry
from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command, Result
from schemas.decisions import Decision
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Facts, Invoice, Order, Payment
from schemas.findings import Finding
from schemas.links import Parked
from schemas.order_state import PublicOrder, Shown, Waiting
from schemas.refs import ObjectRef, order_key
from schemas.state import Conflict
from sinks.delivery.row import Row

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEAL = ObjectRef("shop", "s", "order", "501")
INVOICE = ObjectRef("books", "b", "invoice", "inv-77")
PAYMENT = ObjectRef("books", "b", "payment", "pay-9")
KEY = order_key("acme", DEAL)
COMMAND = "c" * 32
ENCODE = msgspec.json.Encoder().encode


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def entry(topic: str, key: str, value: Any, minutes: float = 0) -> Entry:
    body = None if value is None else value if isinstance(value, bytes) else ENCODE(value)
    return Entry(topic, key.encode(), body, (), int(at(minutes).timestamp() * 1000))


def event(ref: ObjectRef, facts: Facts | None, minutes: float = 0, **changes: Any) -> Entry:
    values = {"tenant": "acme", "version": Version(read=True, epoch=1, seq=int(minutes) + 1), "told_at": at(minutes)}
    found = ChangeEvent(object=ref, facts=facts, origin="read", **{**values, **changes})
    key, headers, value = encode(found, type(facts).__name__.lower() if facts is not None else "payment")
    return Entry(topics.CRM_CHANGES, key, value, headers, int(at(minutes).timestamp() * 1000))


def public(key: str = KEY, **changes: Any) -> PublicOrder:
    values: dict[str, Any] = {
        "key": key,
        "tenant": "acme",
        "flow": "web",
        "number": "SO-1001",
        "headline": "invoiced",
        "currency": "EUR",
        "payable_amount": Decimal("24.00"),
        "amount_due": Decimal("24.00"),
        "tracking_numbers": ("1Z999",),
        "shown": (
            Shown(connection="shop", account="s", type="order", id="501", kind="order", status="open"),
            Shown(
                connection="books",
                account="b",
                type="invoice",
                id="inv-77",
                kind="invoice",
                status="invoiced",
                amount=Decimal("24.00"),
                ours=True,
                write="books|invoice",
            ),
        ),
    }
    return PublicOrder(**{**values, **changes})


def state(order: PublicOrder, minutes: float = 5) -> Entry:
    return entry(topics.ORDER_STATES, order.key, order, minutes)


def parked(ref: ObjectRef = PAYMENT, tenant: str = "acme", order: str = "") -> Entry:
    anchors = () if order else ("number/acme/so-1001",)
    return entry(topics.PARKED, ref.key, Parked(object=ref, tenant=tenant, anchors=anchors, since=at(1), order=order))


def parked_look() -> Entry:
    anchors = (Anchor("number", ObjectRef("", "", "order", "SO-1001")),)
    return event(PAYMENT, Payment(amount=Decimal(24), currency="EUR", reference="bank-5"), 1, anchors=anchors)


def history() -> list[Entry]:
    """Return an order that was seen, invoiced, and whose payment was refused."""
    command = Command(
        id=COMMAND,
        kind="create",
        tenant="acme",
        connection="books",
        account="b",
        capability="upsert_invoice",
        order=KEY,
        entity="e",
        write="books|invoice",
        canonical=KEY,
        facts=Invoice(),
    )
    result = Result(
        command=COMMAND,
        order=KEY,
        write="books|invoice",
        tenant="acme",
        connection="books",
        account="b",
        capability="upsert_invoice",
        outcome="confirmed",
        bound=INVOICE,
        events=(
            ChangeEvent(
                tenant="acme",
                object=INVOICE,
                facts=Invoice(number="INV-0042", payable_amount=Decimal(24)),
                origin="write",
            ),
        ),
    )
    row = Row(
        command=COMMAND, step="invoice", epoch=1, method="POST", path="/invoices", state="confirmed", status=200,
        at=at(3).timestamp(),
    )  # fmt: skip
    order = public(
        waiting=(
            Waiting(
                connection="books",
                capability="record_payment",
                outcome="rejected",
                reason="The account is closed.",
                write="books|pay",
                digest="d",
            ),
        ),
        findings=(Finding("rejected", "block", "A write was refused.", next_step="Mend it."),),
        conflicts=(Conflict(field="note", kept="a", lost="b"),),
    )
    decision = Decision(id="d1", tenant="acme", order=KEY, kind="retry", by="ann", at=at(9))
    return [
        event(DEAL, Order(number="SO-1001", payable_amount=Decimal(24), currency="EUR"), 1),
        entry(topics.COMMANDS, "books", command, 2),
        entry(topics.JOURNAL, f"books|{COMMAND}/invoice", row, 3),
        entry(topics.RESULTS, KEY, result, 4),
        entry(topics.DECISIONS, KEY, decision, 9),
        state(order),
    ]
