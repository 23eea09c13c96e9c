"""What becomes of money and goods at a CRM and a ledger, for tests of what is wanted of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from schemas.commands import Pair
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment
from schemas.flow import Target
from schemas.platform import Effect
from schemas.state import Observation
from streams.order.plan.desk import Desk
from streams.order.plan.want import Want
from streams.order.plan.wants import wants
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS, SHOP
from tests.unit.streams.order.states import look, record, ref

BOOKS = Target(connection="books", document="invoice")
CRM = Target(connection="crm", order=True)
OWN = Target(connection="shop")
BILL = ref("books", "invoice", "1")
DAY = date(2026, 3, 1)
DEAL = ref("crm", "order", "d1")
MADE = record("books|document", BILL, base={"payable_amount": Pair("24.00", "24.00")})
DEALT = record("crm|order", DEAL)
CAN = dict(PLATFORMS["crmm"].capabilities)


def of(known: Desk, *capabilities: str) -> list[Want]:
    """Return the wants of those capabilities, without the looks that they come from."""
    found = [want for want in wants(known) if want.capability in capabilities]
    return [msgspec.structs.replace(want, source=None) for want in found]


def paid(amount: str = "24.00", **changes: Any) -> Payment:
    return Payment(**{"amount": Decimal(amount), "currency": "EUR", "paid_at": NOW, **changes})


def payment(system: str = "pay", id_: str = "1", facts: Payment | None = None, **changes: Any) -> Observation:
    return look(facts or paid(), system, id_, **changes)


def credit(document: Any = "credit_note", system: str = "shop", id_: str = "c", **changes: Any) -> Observation:
    facts = Credit(document=document, amount=Decimal(5), currency="EUR", number="7", reason="Broken")
    return look(facts, system, id_, **changes)


def invoice(**changes: Any) -> Observation:
    return look(Invoice(currency="EUR", payable_amount=Decimal(24), **changes), "books")


def sold(**changes: Any) -> Order:
    facts = Order(
        number="SO-1",
        headline="open",
        currency="EUR",
        payable_amount=Decimal(24),
        placed_at=NOW,
        customer=Party(name="Ada", email="ada@example.com"),
        lines=(Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4)),),
    )
    return msgspec.structs.replace(facts, **changes)


FAILED = payment(facts=paid(status="reversed"))
BROKEN = Credit(amount=Decimal(5), tax_amount=Decimal("0.83"), currency="EUR", reason="Broken")


def credited(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "books|credit|shop@s/credit/c",
        "connection": "books",
        "capability": "issue_credit",
        "kind": "append",
        "canonical": f"shop@s/credit/c+{SHOP.key}",
        "entity": f"document:{KEY}",
        "facts": BROKEN,
        "after": ("books|document",),
        "links": {"invoice": "1"},
    }
    return Want(**{**values, **changes})


SETS = {"capabilities": {**CAN, "set_status": Effect.RECORDS}, "stages": {"open": "s-open", "paid": "s-paid"}}


def deal(**changes: Any) -> Observation:
    return look(Order(**{"currency": "EUR", "headline": "draft", "stage": "s-draft", **changes}), "crm", "d1")
