"""SCENARIO 31 on the real pipeline: versions that tie, and a part that changes while its parent's time stands still.

Systems are swept when they start and never again: nothing but webhooks, and what is read because of them, can bring the truth.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from app.sandbox.base import Sandbox
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.hubspot.model import BY_NAME
from app.sandbox.platforms.hubspot.people import USER
from app.sandbox.platforms.xero import XeroSandbox
from tests.e2e.apart import NEVER
from tests.e2e.people import BUYER, LINES, deal_in_crm, head
from tests.e2e.running import Running, running
from tests.e2e.scenes import over

pytestmark = [
    pytest.mark.long,
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    pytest.mark.asyncio(loop_scope="module"),
]
Send = Callable[[], None]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Return a company of its own, whose systems were swept once."""
    folder = tmp_path_factory.mktemp("versions")
    async with running(kafka, folder, f"versions-{uuid.uuid4().hex[:8]}-", sweep=NEVER, settle=1.0) as there:
        await there.idle()
        yield there


@contextmanager
def kept(sandbox: Sandbox) -> Iterator[list[tuple[str, Send]]]:
    """Keep the webhooks of a sandbox back: their topics, and how each is sent."""
    held: list[tuple[str, Send]] = []
    push = sandbox.hooks.push

    def keep(event: Any, **how: Any) -> None:
        held.append((str(how.get("topic", "")), lambda: push(event, **how)))

    sandbox.hooks.push = keep  # type: ignore[method-assign]
    try:
        yield held
    finally:
        sandbox.hooks.push = push  # type: ignore[method-assign]


@pytest.mark.parametrize("first", ["invoice.finalized", "invoice.paid"])
@pytest.mark.parametrize("how", ["at once", "one after the other"])
async def test_31_finalized_and_paid_in_one_second_is_paid_in_either_order(
    company: Running, first: str, how: str
) -> None:
    pay = company.sandboxes["pay"]
    bill = {"currency": "EUR", "customer": BUYER["name"], "email": BUYER["email"], "lines": LINES}
    id_ = str((await company.act("pay", "bill_subscription", **bill))["id"])
    key = company.key("pay", "invoice", id_)
    await company.until(lambda: company.order(key).headline, "the draft is known")
    await over(company)
    with kept(pay) as held:
        await asyncio.sleep(1 - time.time() % 1)  # both at the beginning of a second of Stripe's clock
        for verb in ("finalize_invoice", "pay_invoice"):
            pay.verbs[verb]({"id": id_})
    told = sorted(held, key=lambda one: one[0] != first)
    assert {topic for topic, _ in held} >= {"invoice.finalized", "invoice.paid"}
    for _, send in (*told, *told[:1]):  # the first once more: webhooks come twice
        send()
        if how != "at once":
            await over(company)
    await company.until(lambda: status(company, key) == "paid", "the last state of the platform is ours")
    await over(company)
    assert status(company, key) == "paid"
    assert company.findings(key) == []


def status(company: Running, key: str) -> str:
    """Return what the order's bill in Stripe is said to be."""
    (bill,) = (one for one in company.order(key).shown if (one.connection, one.kind) == ("pay", "invoice"))
    return bill.status


async def test_31_a_line_that_is_edited_while_its_deals_time_stands_still_is_ours(company: Running) -> None:
    crm, books = company.sandboxes["crm"], company.sandboxes["books"]
    assert isinstance(crm, HubspotSandbox)
    assert isinstance(books, XeroSandbox)
    key, id_ = await deal_in_crm(company)
    portal = crm.portal
    deal = portal.records["deals"][id_]
    (line,) = (portal.records["line_items"][one] for one in portal.linked(deal, BY_NAME["line_items"]))
    before = deal.updated
    portal.update(line, {"quantity": "1", "price": "20.00"}, USER)
    assert deal.updated == before, "the deal shows no change"

    def billed() -> bool:
        (row,) = books.books_of.invoices[str(head(company, "books", key)["id"])]["LineItems"]
        return (float(row["Quantity"]), float(row["UnitAmount"])) == (1, 20)

    await company.until(billed, "the ledger bills what the line says")
    await over(company)
    assert head(company, "books", key)["total"] == "24.00"
