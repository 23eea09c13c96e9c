"""A simulated QuickBooks at work, with the vendor's library as its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from intuitlib.client import AuthClient
from quickbooks import QuickBooks

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox

T = TypeVar("T")
ACCOUNT = "310687"
LINES = [{"sku": "A-1", "title": "thing", "quantity": 2, "price": "10.00", "tax_rate": "19"}]
TOKEN = {"Authorization": "Bearer sandbox-access-token"}


class Shop:
    """A sandbox with clients for it; the library is synchronous and runs in a thread."""

    def __init__(self, sandbox: QuickbooksOnlineSandbox, url: str) -> None:
        self.sandbox, self.url = sandbox, url

    def auth(self, refresh_token: str | None = "sandbox-refresh-token", access_token: str | None = None) -> AuthClient:
        discovery = f"{self.url}/.well-known/openid_sandbox_configuration"
        return AuthClient(
            "sandbox-client",
            "sandbox-secret",
            "http://localhost/callback",
            discovery,
            access_token=access_token,
            refresh_token=refresh_token,
        )

    def client(self) -> QuickBooks:
        class Local(QuickBooks):
            api_url_v3 = f"{self.url}/v3"

        return Local(
            auth_client=self.auth(), refresh_token="sandbox-refresh-token", company_id=ACCOUNT, minorversion=75
        )

    async def run(self, work: Callable[[QuickBooks], T]) -> T:
        return await asyncio.to_thread(lambda: work(self.client()))

    async def act(self, verb: str, **asked: Any) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/act/{verb}", json=asked) as reply,
        ):
            assert reply.status == 200, await reply.text()
            found: dict[str, Any] = await reply.json()
            return found

    async def post(self, path: str, body: Any, **params: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.url}/v3/company/{ACCOUNT}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, params=params, headers=TOKEN) as reply,
        ):
            return reply.status, await reply.json()


@asynccontextmanager
async def opened() -> AsyncIterator[Shop]:
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, quota_scale=100)
    yield Shop(sandbox, await sandbox.start())
    await sandbox.stop()
