"""Money that a bookkeeper typed before there was an invoice: swept, read, used on an invoice, paid out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from schemas.events import ChangeEvent
from schemas.facts import Credit, Invoice, Payment
from tests.platforms.xero.company import INVOICE, Company, opened

pytestmark = pytest.mark.sandbox
NOW = datetime(2026, 5, 2, tzinfo=UTC)
MUGS = {"email": "ada@example.com", "customer": "Ada Lovelace", "lines": [{"price": "10", "tax_rate": 20}]}


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        yield found


async def _swept(company: Company, name: str) -> list[ChangeEvent]:
    page = await company.talk(company.source.sweep(name, "", NOW))
    assert page.complete_up_to is not None
    return list(page.events)


def _typed(company: Company) -> str:
    made: dict[str, Any] = company.sandbox.verbs["type_prepayment"](MUGS)  # type: ignore[assignment]
    assert made["total"] == 12
    return str(made["id"])


async def test_a_prepayment_is_found_by_its_sweep_and_read_alike(company: Company) -> None:
    id_ = _typed(company)
    (swept,) = await _swept(company, "prepayments")
    (read,) = await company.read("prepayment", id_)
    assert (swept.object, swept.facts) == (read.object, read.facts)
    assert (swept.object.type, swept.object.id, swept.mirror_of, swept.anchors) == ("prepayment", id_, None, ())
    assert isinstance(swept.facts, Payment)
    assert (swept.facts.amount, swept.facts.unapplied_amount, swept.facts.status) == (12, 12, "succeeded")
    assert swept.facts.customer is not None
    assert await _swept(company, "overpayments") == []
    assert [(row["note"], row["amount"]) for row in company.books("payment")] == [("prepayment", "12.00")]


async def test_what_it_is_used_for_hangs_on_the_invoice(company: Company) -> None:
    invoice, id_ = await company.write("upsert_invoice", INVOICE), _typed(company)
    body = {"Allocations": [{"Invoice": {"InvoiceID": invoice.id}, "Amount": 5}]}
    await company.talk(company.sink.put(f"/Prepayments/{id_}/Allocations", body, "typed"))
    (event,) = await company.read("prepayment", id_)
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [(invoice.id, "5")]
    assert isinstance(event.facts, Payment)
    assert event.facts.unapplied_amount == 7
    shown = next(one.facts for one in await company.read("invoice", invoice.id) if one.object.type == "invoice")
    assert isinstance(shown, Invoice)
    assert (shown.paid_amount, shown.credited_amount, shown.status) == (5, 0, "partially_paid")


async def test_an_invoice_that_a_prepayment_covers_is_paid_and_one_that_a_credit_covers_is_not(
    company: Company,
) -> None:
    id_ = _typed(company)
    act = company.sandbox.verbs
    mugs = {**MUGS, "lines": [{"price": "10"}]}
    covered, credited = [str(act["type_invoice"](mugs)["id"]) for _ in range(2)]
    body = {"Allocations": [{"Invoice": {"InvoiceID": covered}, "Amount": 10}]}
    await company.talk(company.sink.put(f"/Prepayments/{id_}/Allocations", body, "typed"))
    act["type_credit"]({**mugs, "invoice_id": credited})
    for invoice, shown in ((covered, (10, 0, "paid")), (credited, (0, 10, "refunded"))):
        (seen,) = await company.read("invoice", invoice)
        assert isinstance(seen.facts, Invoice)
        assert (seen.facts.paid_amount, seen.facts.credited_amount, seen.facts.status) == shown


async def test_what_is_paid_out_of_it_is_a_refund(company: Company) -> None:
    id_ = _typed(company)
    body = {"Prepayment": {"PrepaymentID": id_}, "Account": {"Code": "090"}, "Amount": 12}
    await company.talk(company.sink.put("/Payments", {"Payments": [body]}, "typed"))
    (refund,) = await _swept(company, "payments")
    assert isinstance(refund.facts, Credit)
    assert (refund.object.type, refund.facts.document, refund.facts.amount) == ("refund", "refund", Decimal(12))
    assert [(part.type, part.id) for part in refund.facts.allocations] == [("prepayment", id_)]
    (event,) = await company.read("prepayment", id_)
    assert isinstance(event.facts, Payment)
    assert (event.facts.stage, event.facts.status, event.facts.unapplied_amount) == ("PAID", "succeeded", 0)
