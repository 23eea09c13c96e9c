"""A portal that keeps order objects, and books invoices and payments of its own, linked with all other systems."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.people import BUYER, LINES, TOTAL, order_in_shop
from tests.e2e.running import Running, running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]
OPTIONS = 'options = { "app_id" = "39522895", "order_object" = "orders", "commerce" = "yes" }'


def _commerce(text: str) -> str:
    """Return the configuration with HubSpot's order objects, invoices and payments."""
    before, mark, after = text.partition("[tenant.connections.crm]\n")
    section, rest = after.split("\n[", 1)
    own = re.sub(r"stages = .*\n", "", re.sub(r"options = .*", OPTIONS, section))
    return f"{before}{mark}{own}\n[{rest}"


async def test_order_objects_invoices_and_payments_of_hubspot_are_linked(kafka: str, tmp_path: Path) -> None:
    async with running(kafka, tmp_path, f"commerce-{uuid.uuid4().hex[:8]}-", adjusted=_commerce) as company:
        await _sold_in_the_shop(company)
        await _paid_in_hubspot(company)
        await _typed_in_hubspot(company)


async def _sold_in_the_shop(company: Running) -> None:
    """An order of the shop is an order object with its buyer; payment, parcel and stage follow."""
    key, id_ = await order_in_shop(company)
    order = company.one("crm", key, "order")
    assert (order["vendor_status"], order["customer"], order["total"]) == ("Open", BUYER["email"], TOTAL)
    await company.act("shop", "pay_order", id=id_)
    await company.until(lambda: company.one("crm", key, "payment")["amount"] == TOTAL, "HubSpot has the payment")
    await company.act("shop", "fulfil_order", id=id_, carrier="UPS", tracking="1Z999")
    await company.until(lambda: company.one("crm", key, "shipment")["tracking"] == "1Z999", "the number is there")
    await company.until(lambda: company.one("crm", key, "order")["vendor_status"] == "Shipped", "and the stage")
    await company.silent()
    assert company.findings(key) == []


async def _paid_in_hubspot(company: Running) -> None:
    """A person bills a copy of the shop's order in HubSpot, and types payment and parcel there: they are the order's."""
    key, _ = await order_in_shop(company)
    bill = {"order_id": company.one("crm", key, "order")["id"], "currency": "EUR", "lines": LINES}
    invoice = await company.act("crm", "type_invoice", email=BUYER["email"], **bill)
    paid = {"amount": TOTAL, "reference": "BANK 7", "date": "2026-11-20"}
    await company.act("crm", "type_payment", invoice_id=invoice["id"], **paid)
    for ledger in ("books", "qbo"):
        await company.until(lambda ledger=ledger: company.one(ledger, key, "payment")["amount"] == TOTAL, ledger)
    await company.silent()
    assert company.order(key).paid_amount == Decimal(TOTAL)
    assert company.one("crm", key, "invoice")["status"] == "paid"
    await company.act("crm", "ship_order", id=bill["order_id"], tracking="1Z7")
    await company.until(lambda: company.order(key).tracking_numbers == ("1Z7",), "the parcel is the order's")


async def _typed_in_hubspot(company: Running) -> None:
    """An order object that a person types is billed in the ledgers, and cancelled there with its stage."""
    asked = {
        "name": "H-1",
        "amount": TOTAL,
        "currency": "EUR",
        "stage": "Open",
        "email": BUYER["email"],
        "lines": LINES,
    }
    made = await company.act("crm", "create_order", **asked)
    key = company.key("crm", "orders", made["id"])
    for ledger in ("books", "qbo"):
        await company.until(lambda ledger=ledger: company.one(ledger, key, "invoice")["total"] == TOTAL, ledger)
    await company.act("crm", "set_stage", id=made["id"], stage="Cancelled")
    for ledger in ("books", "qbo"):
        await company.until(lambda ledger=ledger: company.one(ledger, key, "invoice")["status"] == "void", ledger)
    await company.silent()
