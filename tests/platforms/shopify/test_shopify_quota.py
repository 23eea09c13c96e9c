"""Shopify's points: many reads at once through the connector's own way out, and none is throttled."""

import asyncio
import time

import pytest
from structlog.testing import capture_logs

from app.connectors.sending import Sending
from app.core.auth import Credential, Tokens
from app.core.http import HttpClient, new_session
from app.core.limits import Limiter
from app.sandbox.platforms.shopify import ShopifySandbox, server
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.platforms.shopify import PLATFORM, graph
from schemas.refs import ObjectRef
from streams.sources.platforms.shopify import ShopifySource, reading

pytestmark = pytest.mark.sandbox
DOMAIN = "example.myshopify.com"
CONNECTION = Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN)
SECRETS = {"client_id": "any", "client_secret": ShopifySandbox.client_secret}


async def _stored(tokens: Tokens) -> None:
    assert tokens.access


async def test_each_reply_is_looked_at_for_the_version_that_served(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = ShopifySandbox(DOMAIN)
    url = await sandbox.start()
    session = new_session(allow_private=True, timeout=PLATFORM.limits.timeout_seconds)
    http = HttpClient(session, url, allow_private=True, moved=True)
    credential = Credential(PLATFORM.auth, SECRETS, http, clock=time.time, store=_stored)
    sending = Sending(CONNECTION, PLATFORM, http, credential, Limiter(PLATFORM.limits, time.monotonic))
    with capture_logs() as logs:
        for served in ("2026-07", "2026-10", "2026-10", "2027-01", "2026-07"):
            monkeypatch.setattr(server, "VERSION", served)
            await sending(reading.request(graph.SHOP, {}))
    told = [(row["log_level"], row["served"]) for row in logs if row["event"] == "platform.other_version"]
    assert told == [("warning", "2026-10"), ("warning", "2027-01")]
    await session.close()
    await sandbox.stop()


async def test_reads_at_once_stay_within_the_points_and_get_a_token_first() -> None:
    sandbox = ShopifySandbox(DOMAIN)
    url = await sandbox.start()
    lines = [{"title": "Mug", "quantity": 1, "price": "5.00"}]
    ids = [sandbox.verbs["create_order"]({"lines": lines})["id"] for _ in range(40)]  # type: ignore[index]  # no coroutine
    session = new_session(allow_private=True, timeout=PLATFORM.limits.timeout_seconds)
    http = HttpClient(session, url, allow_private=True, moved=True)
    credential = Credential(PLATFORM.auth, SECRETS, http, clock=time.time, store=_stored)
    limiter = Limiter(PLATFORM.limits, time.monotonic)
    left: list[float] = []
    sending = Sending(CONNECTION, PLATFORM, http, credential, limiter)

    async def read(id_: str) -> list[ChangeEvent]:
        hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", id_))
        talk = ShopifySource(CONNECTION).read(hint)
        try:
            request = next(talk)
            while True:
                reply = await sending(request)
                left.append(limiter.left())
                request = talk.send(reply)
        except StopIteration as done:
            events: list[ChangeEvent] = done.value
            return events

    async with asyncio.timeout(30):
        found = await asyncio.gather(*(read(id_) for id_ in ids))
    assert [events[0].object.id for events in found] == ids
    assert sandbox.counters["429"] == 0
    assert min(left) < 1900
    await session.close()
    await sandbox.stop()
