"""A simulated Xero at work, the vendor's library as its client, and what they sell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
from xero_python.accounting import AccountingApi, Contact, Contacts, Invoice, Invoices, LineItem
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token

from app.sandbox.platforms.xero import XeroSandbox

TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
AUTH = {"Authorization": "Bearer sandbox-token", "xero-tenant-id": TENANT, "Accept": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Running:
    sandbox: XeroSandbox
    url: str
    clock: Clock

    async def act(self, verb: str, **asked: Any) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/act/{verb}", json=asked) as reply,
        ):
            assert reply.status == 200, await reply.text()
            return await reply.json()  # type: ignore[no-any-return]

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        sent = {**AUTH, **headers}
        url = self.url + "/api.xro/2.0" + path
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=sent) as reply:
            text = await reply.text()
            parsed = json.loads(text) if "json" in reply.content_type else text
            return reply.status, parsed, dict(reply.headers)


@asynccontextmanager
async def opened() -> AsyncIterator[Running]:
    clock = Clock()
    sandbox = XeroSandbox(TENANT, clock=clock, quota_scale=100)
    yield Running(sandbox, await sandbox.start(), clock)
    await sandbox.stop()


def client(url: str) -> tuple[AccountingApi, ApiClient]:
    configuration = Configuration(oauth2_token=OAuth2Token(client_id="sandbox-client", client_secret="sandbox-secret"))
    token = {"access_token": "sandbox-token", "expires_in": 1800, "token_type": "Bearer", "scope": ["offline_access"]}
    api = ApiClient(configuration, oauth2_token_getter=lambda: token, oauth2_token_saver=token.update)
    return AccountingApi(api, base_url=f"{url}/api.xro/2.0"), api


async def with_client(url: str, work: Callable[[AccountingApi], Any]) -> Any:
    def run() -> Any:
        accounting, api = client(url)
        try:
            return work(accounting)
        finally:
            api.rest_client.pool_manager.clear()

    return await asyncio.to_thread(run)


def sale(contact: Any, number: str | None = None, **more: Any) -> Invoice:
    line = LineItem(description="Mug", quantity=2, unit_amount=50, account_code="200", tax_type="OUTPUT")
    return Invoice(
        type="ACCREC",
        contact=Contact(contact_id=contact.contact_id),
        date=date(2026, 4, 24),
        due_date=date(2026, 5, 24),
        line_items=[line],
        invoice_number=number,
        status="AUTHORISED",
        **more,
    )


def bill(accounting: AccountingApi, **more: Any) -> tuple[Any, Any]:
    made = accounting.create_contacts(TENANT, Contacts(contacts=[Contact(name="Ada", email_address="ada@example.com")]))
    contact = made.contacts[0]
    return contact, accounting.create_invoices(TENANT, Invoices(invoices=[sale(contact, **more)])).invoices[0]
