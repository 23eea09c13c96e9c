"""A Custom Connection: the app proves who it is by itself and reaches one organisation, which no call names."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
import pytest

from app.connectors.sending import Sending, conversed
from app.core.auth import Credential, Tokens
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.sandbox.platforms.xero import XeroSandbox
from schemas.platforms.xero import PLATFORM
from schemas.platforms.xero.headers import headers
from sinks.platforms.xero import XeroSink
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.company import CONNECTION, INVOICE, TENANT, command

ALONE = msgspec.structs.replace(CONNECTION, account="...", options={"grant": "client_credentials"})
SECRETS = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}


@pytest.mark.parametrize("options", [{}, {"grant": ""}, {"grant": "consent"}])
def test_without_the_option_a_person_consents(options: dict[str, str]) -> None:
    assert PLATFORM.proof(options) is PLATFORM.auth
    assert headers(msgspec.structs.replace(CONNECTION, options=options))["xero-tenant-id"] == TENANT
    assert headers(ALONE)["xero-tenant-id"] == ""


@dataclass
class Kept:
    tokens: list[Tokens] = field(default_factory=list)

    async def __call__(self, tokens: Tokens) -> None:
        self.tokens.append(tokens)


@pytest.mark.sandbox
async def test_the_app_reads_and_writes_for_itself_and_asks_again_when_its_token_ended() -> None:
    sandbox, kept = XeroSandbox(TENANT), Kept()
    url = await sandbox.start()
    try:
        async with new_session(allow_private=True, timeout=10) as session:
            http = HttpClient(session, f"{url}/api.xro/2.0", allow_private=True, moved=True)
            auth = PLATFORM.proof(ALONE.options)
            credential = Credential(auth, SECRETS, http, clock=time.time, store=kept)
            sending = Sending(ALONE, PLATFORM, http, credential, Limiter(PLATFORM.limits, time.monotonic))
            identity = await conversed(XeroSource(ALONE).identify(), sending)
            assert identity.account == TENANT
            sandbox.tokens.expire()
            written = await conversed(XeroSink(ALONE).write(command("upsert_invoice", INVOICE)), sending)
        assert written.id in sandbox.books_of.invoices
        assert [bool(one.refresh) for one in kept.tokens] == [False, False]
    finally:
        await sandbox.stop()
