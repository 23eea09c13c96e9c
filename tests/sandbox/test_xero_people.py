"""What people do in the simulated Xero, and what it tells of every change."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from schemas.connection import Connection
from streams.sources.base import Hook
from streams.sources.platforms.xero import XeroSource
from tests.sandbox.xero import AUTH, TENANT, Running, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with opened() as found:
        yield found


async def test_every_change_is_told_thinly_and_signed_and_the_handshake_is_checked(running: Running) -> None:
    source = XeroSource(Connection(name="books", tenant="acme", platform="xero", account=TENANT))
    received: list[bytes] = []
    told_all = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        one = Hook(headers={"x-xero-signature": request.headers["x-xero-signature"]}, body=body)
        if not source.verify(one, ["webhook-key"], running.clock()):
            return web.Response(status=401)
        received.append(body)
        if b"CREDITNOTE" in body:
            told_all.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.sandbox.hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", "webhook-key")
    try:
        assert await running.act("intent_to_receive") == {"active": True, "answers": 4}
        made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
        await running.act("type_payment", invoice_id=made["id"], amount="40", date="2026-05-01")
        await running.act("type_credit", email="ada@example.com", customer="Ada", amount="5")
        await asyncio.wait_for(told_all.wait(), 60)
    finally:
        await runner.cleanup()
    told = [json.loads(body)["events"] for body in received]
    seen = [(event["eventCategory"], event["eventType"]) for events in told for event in events]
    assert seen == [("CONTACT", "CREATE"), ("INVOICE", "CREATE"), ("INVOICE", "UPDATE"), ("CREDITNOTE", "CREATE")]
    assert b'"firstEventSequence": 1,' in received[2]
    hints = [hint for body in received for hint in source.hints(Hook(body=body))]
    assert [hint.object.type for hint in hints] == ["contact", "invoice", "invoice", "credit_note"]


async def test_people_edit_void_merge_and_tamper_and_the_books_show_it(running: Running) -> None:
    line = [{"title": "Mug", "price": "40", "tax_rate": "20"}]
    made = await running.act("type_invoice", customer="Ada", email="ada@example.com", reference="SO-1", lines=line)
    other = await running.act("type_invoice", customer="Bo", lines=line)
    await running.act("edit_invoice", id=made["id"], po_number="PO-7", due_date="2026-06-30")
    await running.act("void_invoice", id=other["id"])
    await running.act("type_bill", customer="Supplier", lines=line)
    ids = {row["Name"]: row["ContactID"] for row in running.sandbox.books_of.contacts.values()}
    await running.act("merge_contact", id=ids["Ada"], into=ids["Bo"])
    await running.act("rename_contact", id=ids["Bo"], name="Bo & Ada")
    rows = {row["id"]: row for row in running.sandbox.books()}
    assert (rows[made["id"]]["total"], rows[made["id"]]["mark"], rows[made["id"]]["status"]) == (
        "48.00",
        "PO-7",
        "invoiced",
    )
    assert rows[other["id"]]["status"] == "void"
    assert len([row for row in rows.values() if row["kind"] == "invoice"]) == 2
    await running.act("tamper", how="cent")
    assert Decimal({row["id"]: row for row in running.sandbox.books()}[made["id"]]["total"]) == Decimal("48.01")
    await running.act("tamper", how="double")
    await running.act("tamper", how="remove")
    assert len([row for row in running.sandbox.books() if row["kind"] == "invoice"]) == 2


async def test_an_invoice_removed_behind_everybodys_back_takes_what_settled_it_with_it(running: Running) -> None:
    line = [{"title": "Mug", "price": "40", "tax_rate": "20"}]
    made = await running.act("type_invoice", customer="Ada", lines=line)
    await running.act("type_payment", invoice_id=made["id"], amount="8", date="2026-06-02", reference="bank 1")
    await running.act("type_credit", invoice_id=made["id"], amount="10")
    await running.act("tamper", how="remove")
    rows = running.sandbox.books()
    assert [row["kind"] for row in rows if row["kind"] != "customer"] == ["credit"]
    assert next(row for row in rows if row["kind"] == "credit")["invoice_id"] == ""
    assert (await running.call("GET", "/Payments"))[1]["Payments"] == []
    assert (await running.call("GET", "/CreditNotes"))[1]["CreditNotes"][0]["Allocations"] == []


async def test_a_user_who_takes_the_permission_back_stops_everything_until_it_is_given_again(running: Running) -> None:
    await running.act("disconnect")
    assert (await running.call("GET", "/Organisation"))[0] == 401
    refused = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh"}
    basic = "Basic " + base64.b64encode(b"sandbox-client:sandbox-secret").decode()
    async with aiohttp.ClientSession(headers={"Authorization": basic}) as session:

        async def token(form: dict[str, str]) -> tuple[int, dict[str, Any]]:
            async with session.post(f"{running.url}/connect/token", data=form) as reply:
                return reply.status, await reply.json()

        assert (await token(refused)) == (400, {"error": "invalid_grant"})
        given = await running.act("reconnect")
        status, pair = await token({**refused, **given})
        assert (status, pair["expires_in"]) == (200, 1800)
        status, alone = await token({"grant_type": "client_credentials"})
        assert (status, "refresh_token" in alone) == (200, False)
        custom = {"Authorization": f"Bearer {alone['access_token']}"}
        for tenant, status in (("", 200), (TENANT, 200), ("another", 403)):
            assert (await running.call("GET", "/Organisation", **custom, **{"xero-tenant-id": tenant}))[0] == status
        assert (await running.call("GET", "/Organisation", **{"xero-tenant-id": ""}))[0] == 403
        assert (await token({"grant_type": "authorization_code", "code": "sandbox-code"}))[0] == 200
        assert (await token({"grant_type": "password"}))[1] == {"error": "unsupported_grant_type"}
    async with aiohttp.ClientSession() as session:
        for header in ("", "Basic !!!", "Bearer x"):
            async with session.post(
                f"{running.url}/connect/token", data=refused, headers={"Authorization": header}
            ) as reply:
                assert await reply.json() == {"error": "invalid_client"}
        async with session.delete(f"{running.url}/connections/{TENANT}", headers=AUTH) as reply:
            assert reply.status == 204
    assert (await running.call("GET", "/Organisation"))[0] == 401
