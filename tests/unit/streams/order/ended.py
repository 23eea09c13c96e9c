"""Writes into the ledger that were undone at `NOW`, and what the ledger shows of them, for tests of their end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from schemas.facts import Credit, Invoice, Order, Payment
from schemas.flow import Target
from schemas.platform import Effect
from schemas.refs import ObjectRef
from schemas.state import Observation, WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.undo import ends, findings
from tests.unit.streams.order.sample import NOW
from tests.unit.streams.order.states import desk, look, mark, record, ref

DAY = date(2026, 3, 1)
SOURCE = ref("shop", "payment", "p1").key
BILL, PAID, NOTE, BACK = (ref("books", kind, "1") for kind in ("invoice", "payment", "credit", "refund"))
ALL = {
    "capabilities": dict.fromkeys(
        ("upsert_invoice", "upsert_sales_receipt", "record_payment", "reverse_payment", "issue_credit", "record_refund",
         "reverse_refund", "void_invoice", "apply_credit", "set_status", "record_shipment", "upsert_order"),
        Effect.RECORDS,
    )
}  # fmt: skip


def undone(key: str, bound: ObjectRef, **changes: Any) -> WriteRecord:
    return record(key, bound, **{"undone_at": NOW, "made_at": NOW, "outcome": "confirmed", **changes})


def bill(**changes: Any) -> Observation:
    facts = {"currency": "EUR", "payable_amount": Decimal(24), "issue_date": DAY, **changes}
    return look(Invoice(**facts), "books", mirror_of=mark(), last_read=(1, 5))


def paid(seen: dict[str, Any] | None = None, **changes: Any) -> Observation:
    facts = {"amount": Decimal(24), "currency": "EUR", "date": DAY, **changes}
    return look(Payment(**facts), "books", **{"mirror_of": mark(), "last_read": (1, 4), **(seen or {})})


def noted(**changes: Any) -> Observation:
    facts = {"amount": Decimal(10), "currency": "EUR", "date": DAY, **changes}
    return look(Credit(**facts), "books", mirror_of=mark(), last_read=(1, 6))


def given_back(**changes: Any) -> Observation:
    facts = Credit(document="refund", amount=Decimal(10), currency="EUR", date=DAY, **changes)
    return look(facts, "books", object=BACK, mirror_of=mark())


DOCUMENT = undone("books|document", BILL)
MONEY = undone(f"books|payment|{SOURCE}", PAID, capability="record_payment", look=(1, 4))
CREDITED = undone("books|credit|shop@s/credit/c1", NOTE, capability="issue_credit")
REFUNDED = undone("books|refund|shop@s/credit/c1", BACK, capability="record_refund")


def at(*parts: Any, can: dict[str, Any] | None = None, closed: date | None = None, **more: Any) -> Desk:
    return msgspec.structs.replace(desk(*parts, platform={**ALL, **(can or {})}, **more), closed=closed)


COPY = undone("crm|order", ref("crm", "order", "1"), capability="upsert_order")
CRM = Target(connection="crm", order=True)
CANCELS = {**ALL, "stages": {"cancelled": "closedlost"}}


def copied(**changes: Any) -> Observation:
    return look(Order(number="SO-1", currency="EUR", **{"stage": "won", **changes}), "crm", mirror_of=mark())


def without(*names: str) -> dict[str, Any]:
    return {"capabilities": {name: how for name, how in ALL["capabilities"].items() if name not in names}}


def told(known: Desk) -> list[tuple[str, str, str]]:
    """Return what ends it: capability, what must be done first, and why."""
    return [(want.capability, ",".join(one.split("|")[1] for one in want.after), want.text) for want in ends(known)]


def left(known: Desk) -> list[str]:
    return [one.message for one in findings(known) if one.code == "undo_left"]
