"""What a person does by hand in one system reaches all others that have the concept, and nothing more happens."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.people import (
    BUYER,
    HEAD,
    LEDGERS,
    LINES,
    TOTAL,
    deal_in_crm,
    head,
    linked,
    money_everywhere,
    order_in_shop,
)
from tests.e2e.running import Running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in ("qbo", "pay")]
INVOICE_TYPES = {"books": "invoice", "qbo": "Invoice", "pay": "invoice"}


async def void_everywhere(company: Running, key: str) -> None:
    """Wait until every ledger shows the order's one document void: nobody had paid it, so there is nothing to credit."""

    def shown(system: str) -> bool:
        assert head(company, system, key)["status"] == "void", f"{system} shows {head(company, system, key)}"
        return company.of(system, key, "credit") == []

    for system in LEDGERS:
        await company.until(lambda system=system: shown(system), f"{system} shows {key} void")


async def unchanged(company: Running, key: str) -> None:
    """Assert that silence follows and that the order has neither a finding nor a write that waits."""
    await company.silent(2)
    assert (company.findings(key), company.order(key).waiting) == ([], ())


async def test_an_order_cancelled_in_the_shop(company: Running) -> None:
    key, id_ = await order_in_shop(company)
    await company.act("shop", "cancel_order", id=id_, reason="customer")
    await company.until(lambda: head(company, "crm", key)["status"] == "cancelled", "the deal is lost")
    await void_everywhere(company, key)
    await unchanged(company, key)
    assert company.order(key).headline == "cancelled"


async def test_an_order_shipped_in_the_shop(company: Running) -> None:
    key, id_ = await order_in_shop(company)
    await company.act("shop", "fulfil_order", id=id_, carrier="UPS", tracking="1Z999")
    await company.until(lambda: "1Z999" in str(head(company, "crm", key).get("notes")), "the deal has a note")
    await company.until(lambda: company.one("books", key, "shipment")["tracking"] == "1Z999", "Xero's history")
    await company.until(lambda: head(company, "qbo", key)["tracking"] == "1Z999", "QuickBooks' invoice")
    stripe = company.sandboxes["pay"].ledger.get("invoice", head(company, "pay", key)["id"])  # type: ignore[attr-defined]
    await company.until(lambda: stripe["metadata"].get("tracking_number") == "1Z999", "Stripe's metadata")
    await unchanged(company, key)
    assert company.order(key).fulfilment == "fulfilled"


async def test_a_deal_won_and_lost_in_the_crm(company: Running) -> None:
    key, id_ = await deal_in_crm(company, "contractsent")
    await company.until(lambda: company.order(key).life_cycle == "draft", "the deal is read")
    await company.silent(2)
    assert not any(company.of(system, key, HEAD[system]) for system in ("shop", *LEDGERS)), "nothing is sold yet"
    await company.act("crm", "set_stage", id=id_, stage="closedwon")
    await linked(company, key)
    await company.act("crm", "set_stage", id=id_, stage="closedlost")
    await company.until(lambda: head(company, "shop", key)["status"] == "cancelled", "the shop's order is cancelled")
    await void_everywhere(company, key)
    await unchanged(company, key)


@pytest.mark.parametrize("ledger", ["books", "qbo"])
async def test_a_payment_typed_into_a_ledger(company: Running, ledger: str) -> None:
    key, _ = await order_in_shop(company)
    paid = {"amount": TOTAL, "reference": company.name("BANK")}
    await company.act(ledger, "type_payment", invoice_id=head(company, ledger, key)["id"], **paid)
    await money_everywhere(company, key, TOTAL)
    await unchanged(company, key)
    assert company.order(key).financial == "paid"


async def test_a_charge_and_a_refund_in_stripe(company: Running) -> None:
    key, _ = await order_in_shop(company)
    invoice, number = head(company, "pay", key)["id"], company.order(key).number
    charge = {"order_id": number, "invoice": invoice, "amount": TOTAL, "currency": "EUR", "email": BUYER["email"]}
    intent = await company.act("pay", "charge", **charge)
    await money_everywhere(company, key, TOTAL)
    await company.silent(2)
    await company.act("pay", "refund", payment_intent=intent["id"], amount="4.00")
    for system in ("books", "qbo"):
        await company.until(lambda system=system: _given_back(company, system, key) == ["4.00"], f"{system} refunds")
    await company.until(lambda: head(company, "shop", key)["credited"] == "4.00", "the shop shows the refund")
    await company.until(lambda: "4.00" in str(head(company, "crm", key).get("notes")), "the deal has a note")
    await unchanged(company, key)
    await money_everywhere(company, key, TOTAL, ("books", "qbo", "crm"))
    assert (company.order(key).financial, company.order(key).paid_amount) == ("partially_refunded", 24)


def _given_back(company: Running, system: str, key: str) -> list[str]:
    assert [row["total"] for row in company.of(system, key, "credit")] == ["4.00"]
    return [row["amount"] for row in company.of(system, key, "refund")]


@pytest.mark.parametrize("ledger", ["books", *OTHERS])
async def test_an_invoice_typed_into_a_ledger(company: Running, ledger: str) -> None:
    typed: dict[str, Any] = {"customer": BUYER["name"], "email": BUYER["email"], "currency": "EUR", "lines": LINES}
    made = await company.act(ledger, "type_invoice", **typed)
    key = company.key(ledger, INVOICE_TYPES[ledger], made["id"])
    await linked(company, key)
    await unchanged(company, key)


@pytest.mark.parametrize("ledger", ["books", *OTHERS])
async def test_an_invoice_voided_in_a_ledger(company: Running, ledger: str) -> None:
    key, _ = await order_in_shop(company)
    await company.act(ledger, "void_invoice", id=head(company, ledger, key)["id"])
    await company.until(lambda: _status(company, key, ledger) == "void", f"the order shows that {ledger} voided it")
    words = f"was voided in {ledger}."
    await company.until(lambda: words in str(head(company, "crm", key).get("notes")), "the deal has a note")
    await company.until(lambda: words in str(head(company, "shop", key)["marks"]), "the shop's order has a note")
    await company.silent(2)
    found = [finding for finding in company.order(key).findings if finding.code == "document_ended"]
    assert [finding.subject for finding in found] == [ledger]
    assert len(company.of(ledger, key, "invoice")) == 1, "it is not made anew"


def _status(company: Running, key: str, ledger: str) -> str:
    return next(one.status for one in company.order(key).shown if (one.connection, one.kind) == (ledger, "invoice"))
