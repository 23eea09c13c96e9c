"""What people do in QuickBooks's sandbox, what it tells of that, and what its books show then."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from tests.sandbox.quickbooks import ACCOUNT, LINES, Shop, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib speak to a server on the loopback address."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


async def received(shop: Shop, work: Callable[[], Any], count: int) -> list[tuple[str, bytes]]:
    """Return the signatures and bodies of the requests that told *count* changes."""
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        got.put_nowait((request.headers["intuit-signature"], await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shop.sandbox.hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/", "verifier")
    try:
        await work()
        told: list[tuple[str, bytes]] = []
        while sum(len(changes(body)) for _, body in told) < count:
            told.append(await asyncio.wait_for(got.get(), 60))
        return told
    finally:
        await runner.cleanup()


def changes(body: bytes) -> list[dict[str, Any]]:
    """Return what one request tells, in either form."""
    told = json.loads(body)
    if isinstance(told, list):
        return told
    (notice,) = told["eventNotifications"]
    assert notice["realmId"] == ACCOUNT
    return list(notice["dataChangeEvent"]["entities"])


def genuine(signature: str, body: bytes) -> bool:
    return signature == base64.b64encode(hmac.new(b"verifier", body, hashlib.sha256).digest()).decode()


async def test_typed_invoice_tells_in_the_legacy_form(shop: Shop) -> None:
    async def work() -> None:
        made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES, reference="1001")
        assert made["total"] == "23.8"

    told = await received(shop, work, 2)
    assert all(genuine(*each) for each in told)
    client = await shop.run(lambda client: client)
    assert all(client.validate_webhook_signature(body.decode(), signature, "verifier") for signature, body in told)
    entities = [entity for _, body in told for entity in changes(body)]
    assert [(one["name"], one["operation"]) for one in entities] == [("Customer", "Create"), ("Invoice", "Create")]


async def test_cloud_events_come_as_an_array(shop: Shop) -> None:
    await shop.act("webhooks", form="cloudevents")

    async def work() -> None:
        made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
        await shop.act("void_invoice", id=made["id"])

    told = await received(shop, work, 3)
    assert all(genuine(*each) for each in told)
    types = [event["type"] for _, body in told for event in changes(body)]
    assert types == ["qbo.customer.created.v1", "qbo.invoice.created.v1", "qbo.invoice.voided.v1"]


async def test_merge_moves_documents_and_names_the_deleted_id(shop: Shop) -> None:
    one = await shop.act("type_invoice", customer="John Smith", currency="USD", lines=LINES)
    two = await shop.act("type_invoice", customer="Jon Smith", currency="USD", lines=LINES)
    old, new = (shop.sandbox.company.store.get("Invoice", made["id"])["CustomerRef"]["value"] for made in (one, two))
    told = await received(shop, lambda: shop.act("merge_customers", id=old, into=new), 2)
    entity = [one for _, body in told for one in changes(body)][-1]
    assert (entity["operation"], entity["id"], entity["deletedId"]) == ("Merge", new, old)
    assert shop.sandbox.company.store.get("Invoice", one["id"])["CustomerRef"]["value"] == new


async def test_books_show_what_is_paid_credited_and_due(shop: Shop) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="EUR", lines=LINES)
    await shop.act("type_payment", invoice_id=made["id"], amount="10.00", reference="pi_1")
    await shop.act("type_credit", invoice_id=made["id"], amount="3.80")
    books = {row["kind"]: row for row in shop.sandbox.books()}
    invoice = books["invoice"]
    assert (invoice["total"], invoice["paid"], invoice["credited"], invoice["due"]) == (
        "23.80",
        "10.00",
        "3.80",
        "10.00",
    )
    assert (books["payment"]["amount"], books["payment"]["order_ref"], invoice["status"]) == (
        "10.00",
        "pi_1",
        "partially_paid",
    )
    assert (books["credit"]["total"], books["credit"]["invoice_id"]) == ("3.80", made["id"])
    assert len([row for row in shop.sandbox.books() if row["kind"] == "payment"]) == 1


@pytest.mark.parametrize("how", ["cent", "remove", "double"])
async def test_tampering_is_silent(shop: Shop, how: str) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
    await shop.act("type_payment", invoice_id=made["id"], amount="1")
    before, emitted = shop.sandbox.books(), shop.sandbox.hooks.counts["emitted"]
    await shop.act("tamper", how=how)
    assert shop.sandbox.books() != before
    assert shop.sandbox.hooks.counts["emitted"] == emitted
