"""What people do in the linked systems, and how long it takes until everybody shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.e2e.running import Row, Running

LINES = [{"sku": "MUG", "title": "Mug", "quantity": 2, "price": "10.00", "tax_rate": "20"}]
TOTAL = "24.00"
BUYER = {"name": "Ada Example", "email": "ada@example.com"}
LEDGERS = ("books", "qbo", "pay")
HEAD = {"shop": "order", "crm": "order", "books": "invoice", "qbo": "invoice", "pay": "invoice"}
"""What an order is in each system."""


async def order_in_shop(company: Running, **more: Any) -> tuple[str, str]:
    """Place an order in the shop, wait until all five systems hold it; return its key and its id there."""
    number = company.name("SO")
    made = await company.act("shop", "create_order", reference=number, currency="EUR", lines=LINES, **BUYER, **more)
    key = company.key("shop", "order", made["id"])
    await linked(company, key)
    return key, made["id"]


async def deal_in_crm(company: Running, stage: str = "closedwon") -> tuple[str, str]:
    """Make a deal in the CRM; return its key and its id there."""
    number, name = company.name("D"), BUYER["name"]
    deal = {"name": number, "reference": number, "amount": TOTAL, "currency": "EUR", "stage": stage, "lines": LINES}
    made = await company.act("crm", "create_deal", **deal, email=BUYER["email"], contact_name=name)
    return company.key("crm", "deals", made["id"]), made["id"]


async def linked(company: Running, key: str, systems: Iterable[str] = HEAD) -> None:
    """Wait until every one of *systems* holds the order once, with its total, and nothing more is written."""
    for system in systems:
        await company.until(lambda system=system: head(company, system, key), f"{system} holds {key}")
    await company.silent(2)
    totals = {system: head(company, system, key)["total"] for system in systems}
    assert set(totals.values()) == {TOTAL}, totals


def head(company: Running, system: str, key: str) -> Row:
    """Return the one order or document that *system* holds of an order."""
    return company.one(system, key, HEAD[system])


async def money_everywhere(company: Running, key: str, amount: str, systems: Iterable[str] = HEAD) -> None:
    """Wait until every one of *systems* shows one payment of *amount*, and the ledgers and the shop their head paid."""

    def shown(system: str) -> bool:
        paid = [row for row in company.of(system, key, "payment") if row.get("status") != "void"]
        assert [row["amount"] for row in paid] == [amount], f"{system} shows {paid}"
        if system != "crm":  # a deal has no word for paid: it keeps the payment beside it
            row = head(company, system, key)
            assert (row["paid"], row["due"], row["status"]) == (amount, "0.00", "paid"), f"{system} shows {row}"
        return True

    for system in systems:
        await company.until(lambda system=system: shown(system), f"{system} shows {amount} paid on {key}")
