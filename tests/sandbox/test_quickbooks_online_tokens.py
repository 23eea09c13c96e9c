"""Who may call QuickBooks's sandbox, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from intuitlib.exceptions import AuthClientError
from quickbooks.exceptions import AuthorizationException, QuickbooksException
from quickbooks.objects import Customer

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from tests.sandbox.quickbooks import ACCOUNT, Shop, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib speak to a server on the loopback address."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


async def test_refresh_token_changes_and_a_wrong_one_is_an_invalid_grant(shop: Shop) -> None:
    def work() -> None:
        auth = shop.auth()
        auth.refresh()
        first = auth.refresh_token
        assert first != "sandbox-refresh-token"
        auth.refresh()
        assert auth.refresh_token != first
        with pytest.raises(AuthClientError) as refused:
            auth.refresh(refresh_token="sandbox-refresh-token")
        assert b"invalid_grant" in refused.value.content
        assert auth.get_bearer_token("sandbox-code", ACCOUNT) is None

    await asyncio.to_thread(work)


async def test_dead_token_is_401_and_strange_company_403(shop: Shop) -> None:
    client = await shop.run(lambda client: client)
    shop.sandbox.oauth.expire()
    with pytest.raises(AuthorizationException):
        await asyncio.to_thread(lambda: Customer.all(qb=client))
    other = await shop.run(lambda client: client)
    other.company_id = "999"
    with pytest.raises(QuickbooksException) as strange:
        await asyncio.to_thread(lambda: Customer.all(qb=other))
    assert strange.value.error_code == 3100


async def test_eleventh_call_in_a_second_is_3001() -> None:
    moment = datetime(2026, 5, 5, tzinfo=UTC)
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, clock=lambda: moment)
    url = await sandbox.start()
    try:
        shop, codes = Shop(sandbox, url), []
        for _ in range(11):
            status, body = await shop.post("/customer", {})
            codes.append((status, body["Fault"]["Error"][0]["code"]))
        assert codes == [(400, "2020")] * 10 + [(429, "3001")]
    finally:
        await sandbox.stop()
