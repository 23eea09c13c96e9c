"""Replies of the sandbox use the names, nesting and enumerations of the vendor's XSDs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox, Settings
from tests.platforms.quickbooks_online.xsd import Schema

LINES = [{"sku": "A-1", "title": "thing", "quantity": 2, "price": "10.00", "tax_rate": "19"}]
NOW = datetime(2026, 5, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def schema(shared: Path) -> Schema:
    return Schema(shared / "specs" / "quickbooks-online")


@pytest.fixture(params=["US", "GB"])
def sandbox(request: pytest.FixtureRequest) -> QuickbooksOnlineSandbox:
    made = QuickbooksOnlineSandbox("310687", clock=lambda: NOW, settings=Settings(country=request.param))
    act: Any = made.verbs
    invoice = act["type_invoice"](
        {
            "customer": "Acme",
            "email": "a@example.com",
            "currency": "USD",
            "lines": LINES,
            "reference": "1001",
            "note": "hi",
        }
    )
    act["type_payment"]({"invoice_id": invoice["id"], "amount": "5", "reference": "pi_1"})
    act["type_credit"](
        {"invoice_id": invoice["id"], "amount": "3"} | ({"lines": LINES} if request.param == "GB" else {})
    )
    act["type_sales_receipt"]({"customer": "Acme", "currency": "USD", "lines": LINES})
    act["type_estimate"]({"customer": "Acme", "currency": "USD", "lines": LINES, "status": "Accepted"})
    act["type_refund"]({"customer": "Acme", "currency": "USD", "lines": LINES})
    return made


def complaints(schema: Schema, name: str, record: Any) -> list[str]:
    return list(schema.complaints(name, json.loads(json.dumps(record, default=float), parse_float=Decimal)))


@pytest.mark.parametrize(
    "entity",
    [
        "Invoice",
        "Payment",
        "CreditMemo",
        "SalesReceipt",
        "RefundReceipt",
        "Estimate",
        "Customer",
        "Item",
        "Account",
        "TaxCode",
    ],
)
def test_records_are_those_of_the_xsd(schema: Schema, sandbox: QuickbooksOnlineSandbox, entity: str) -> None:
    rows = list(sandbox.company.store.listed(entity))
    assert rows
    assert [text for row in rows for text in complaints(schema, entity, row)] == []


def test_company_and_preferences_are_those_of_the_xsd(schema: Schema, sandbox: QuickbooksOnlineSandbox) -> None:
    sandbox.verbs["set_lock_date"]({"date": "2026-04-30"})
    assert complaints(schema, "CompanyInfo", sandbox.company.info()) == []
    assert complaints(schema, "Preferences", sandbox.company.preferences()) == []


def test_recorded_replies_pass_the_same_check(schema: Schema, shared: Path) -> None:
    folder = shared / "samples" / "quickbooks-online"
    record = json.loads((folder / "invoice_get_response.json").read_bytes(), parse_float=Decimal)["Invoice"]
    assert list(schema.complaints("Invoice", record)) == []
    assert list(schema.complaints("Invoice", {**record, "DocNo": "1", "EmailStatus": "Sent"})) != []
