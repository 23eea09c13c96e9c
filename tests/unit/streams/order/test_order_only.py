"""What hangs on the order itself, in a system that keeps no document of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Credit, Invoice, Payment
from schemas.flow import Target
from streams.order.plan.want import Want
from streams.order.plan.wants import wants
from tests.unit.streams.order.states import desk, look, record, ref

CRM = Target(connection="crm", order=True)
DEAL = record("crm|order", ref("crm", "order", "d1"))
PAID = look(Payment(amount=Decimal(24), currency="EUR"), "pay")


def of(capability: str, *parts: Any, **more: Any) -> list[Want]:
    return [want for want in wants(desk(DEAL, *parts, target=CRM, **more)) if want.capability == capability]


def test_a_sales_receipt_of_a_person_there_keeps_no_payment_off_the_order() -> None:
    receipt = look(Invoice(document="sales_receipt", currency="EUR", payable_amount=Decimal(24)), "crm", "r")
    assert [want.links for want in of("record_payment", PAID, receipt)] == [{"order": "d1"}]


@pytest.mark.parametrize("facts", [{"status": "cancelled"}, {"payable_amount": Decimal(0), "lines": ()}])
def test_money_that_no_document_bills_is_put_on_the_order_and_is_no_advance(facts: dict[str, Any]) -> None:
    (want,) = of("record_payment", PAID, facts=facts, platform={"advance_payments": True})
    assert (want.after, want.links) == (("crm|order",), {"order": "d1"})
    assert isinstance(want.facts, Payment)
    assert want.facts.customer is None


def test_a_credit_that_the_system_made_itself_does_not_hide_the_next() -> None:
    own, other = (look(Credit(amount=Decimal(5), currency="EUR"), system, "c") for system in ("crm", "pay"))
    assert [want.write for want in of("issue_credit", own, other)] == ["crm|credit|pay@p/credit/c"]
