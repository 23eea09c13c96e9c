"""The history of a sandbox: every document as it was after each change, the last one as the books show it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from app.sandbox.base import Sandbox
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.stripe import StripeSandbox
from app.sandbox.platforms.xero import XeroSandbox

pytestmark = pytest.mark.sandbox
LINES = [{"sku": "A-1", "title": "thing", "quantity": 2, "price": "10.00", "tax_rate": "0"}]
INVOICE = {"customer": "Ada", "email": "ada@example.com", "currency": "USD", "lines": LINES}


async def rows(client: aiohttp.ClientSession, url: str, what: str) -> list[dict[str, Any]]:
    async with client.get(f"{url}/_sandbox/{what}") as reply:
        return [json.loads(line) for line in (await reply.text()).splitlines()]


@pytest.mark.parametrize("kind", [XeroSandbox, QuickbooksOnlineSandbox])
async def test_it_ends_with_what_the_books_show(kind: type[Sandbox]) -> None:
    sandbox = kind()
    url = await sandbox.start()
    async with aiohttp.ClientSession() as client:

        async def act(verb: str, **asked: Any) -> dict[str, Any]:
            async with client.post(f"{url}/_sandbox/act/{verb}", json=asked) as reply:
                assert reply.status == 200, await reply.text()
                found: dict[str, Any] = await reply.json()
                return found

        made = await act("type_invoice", **INVOICE)
        await act("type_payment", invoice_id=made["id"], amount="7.00")
        await act("type_credit", **INVOICE, invoice_id=made["id"])
        history, books = await rows(client, url, "history"), await rows(client, url, "books")
    await sandbox.stop()
    last = {(row["kind"], row["id"]): {k: v for k, v in row.items() if k != "at"} for row in history}
    documents = {(row["kind"], row["id"]): row for row in books}
    assert {key: last[key] for key in documents} == documents
    dues = [row["due"] for row in history if row["kind"] == "invoice"]
    assert (dues[0], dues[-1]) == ("20.00", "0.00")


ORDER = {"reference": "S-1", "currency": "EUR", "lines": LINES, "name": "Ada Example", "email": "ada@example.com"}
DEAL = {"name": "D-1", "amount": "20.00", "currency": "EUR", "stage": "appointmentscheduled", "lines": LINES}
STORIES: list[tuple[type[Sandbox], list[tuple[str, dict[str, Any]]], str, list[str]]] = [
    (ShopifySandbox, [("create_order", ORDER), ("pay_order", {"amount": "20.00"})], "order", ["open", "paid"]),
    (HubspotSandbox, [("create_deal", DEAL), ("set_stage", {"stage": "closedwon"})], "order", ["draft", "open"]),
    (
        StripeSandbox,
        [("type_invoice", {**INVOICE, "finalize": True}), ("pay_invoice", {"amount": "20.00"})],
        "invoice",
        ["invoiced", "paid"],
    ),
]


@pytest.mark.parametrize(("kind", "acts", "what", "statuses"), STORIES)
async def test_every_state_of_an_order_is_told(
    kind: type[Sandbox], acts: list[tuple[str, dict[str, Any]]], what: str, statuses: list[str]
) -> None:
    sandbox = kind()
    url, id_ = await sandbox.start(), ""
    async with aiohttp.ClientSession() as client:
        for verb, asked in acts:
            body = {**asked, "id": id_} if id_ else asked
            async with client.post(f"{url}/_sandbox/act/{verb}", json=body) as reply:
                assert reply.status == 200, await reply.text()
                id_ = id_ or (await reply.json())["id"]
        history, books = await rows(client, url, "history"), await rows(client, url, "books")
    await sandbox.stop()
    told = [row for row in history if (row["kind"], row["id"]) == (what, id_)]
    seen = list(dict.fromkeys(row["status"] for row in told))
    assert seen[-2:] == statuses
    last = {name: value for name, value in told[-1].items() if name != "at"}
    assert last == next(row for row in books if (row["kind"], row["id"]) == (what, id_))
