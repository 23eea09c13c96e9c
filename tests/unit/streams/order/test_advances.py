"""Money of an order that is never billed: on the customer's account, unless all of it went back before."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Credit, Payment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.state import Observation, WriteRecord
from streams.order.plan.unapplied import came_and_went, findings
from streams.order.plan.wants import wants
from tests.unit.streams.order.states import desk, look, record, ref

PAID = look(Payment(amount=Decimal(10), currency="EUR"), id_="p")
ADVANCE = record(f"books|payment|{PAID.object.key}", ref("books", "payment", "1"), outcome="confirmed")


def back(amount: str) -> Observation:
    return look(Credit(document="refund", amount=Decimal(amount), currency="EUR"), id_="r")


def _capabilities(*parts: Observation | WriteRecord) -> list[str]:
    never_billed: dict[str, Any] = {"facts": {"status": "cancelled"}, "platform": {"advance_payments": True}}
    return [want.capability for want in wants(desk(*parts, **never_billed))]


@pytest.mark.parametrize(
    ("parts", "written"),
    [
        ((PAID,), True),
        ((PAID, back("9.99")), True),
        ((PAID, back("10")), False),
        ((PAID, back("10"), ADVANCE), True),
    ],
)
def test_money_that_came_and_went_is_not_written_unless_it_was_before(parts: Any, *, written: bool) -> None:
    assert ("record_payment" in _capabilities(*parts)) is written


def test_nothing_came_where_nothing_was_paid() -> None:
    assert not came_and_went(desk(back("10")))


def test_a_refund_of_money_on_the_customers_account_is_told() -> None:
    message = "4 was paid back, books has it on the customer's account."
    told = Finding("advance_returned", "warn", message, "books@b/payment/1", "record the refund there")
    assert list(findings(desk(PAID, ADVANCE, back("4")))) == [told]
    assert list(findings(desk(PAID, ADVANCE))) == []
    assert list(findings(desk(PAID, back("4")))) == []
    billed = record("books|document", ref("books", "invoice", "1"))
    assert list(findings(desk(PAID, ADVANCE, back("4"), billed))) == []


def test_money_told_to_a_system_without_documents_is_no_advance() -> None:
    deal = Target(connection="crm", order=True)
    told = record(f"crm|payment|{PAID.object.key}", ref("crm", "payment", "1"), outcome="confirmed")
    assert list(findings(desk(PAID, told, back("4"), target=deal))) == []
