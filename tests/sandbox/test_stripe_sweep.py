"""The real reader sweeps the simulated Stripe, and is restarted again and again before a pass is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
import msgspec
import pytest
import stripe

from app.connectors.reading import Cursor, Reader
from app.core.talk import Request, Response
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.connection import Connection
from schemas.events import ChangeEvent
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import send

pytestmark = pytest.mark.sandbox
AUTH = {"Authorization": "Bearer sk_test_made_up"}
SOURCE = StripeSource(Connection(name="pay", tenant="acme", platform="stripe", account="acct_sandbox"))


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[StripeSandbox, str]]:
    running = StripeSandbox(quota_scale=100)
    url = await running.start()
    yield running, url
    await running.stop()


class Process:
    """An owner of the connection over what earlier ones left; it is killed amid its *calls*-th call."""

    def __init__(self, url: str, session: aiohttp.ClientSession, left: dict[str, bytes], calls: int) -> None:
        self.told = set[str]()
        self._url, self._session, self._left, self._calls = url, session, left, calls
        cursors = {name: msgspec.json.decode(row, type=Cursor) for name, row in left.items()}
        self.reader = Reader(
            SOURCE, self._send, self._publish, epoch=1, number=lambda: 1, keep_cursor=self._keep, cursors=cursors,
            failed=lambda _error: None,
        )  # fmt: skip

    async def _send(self, request: Request) -> Response:
        self._calls -= 1
        if self._calls == 0:
            raise asyncio.CancelledError
        return await send(self._session, self._url, request, AUTH)

    async def _publish(self, event: ChangeEvent) -> None:
        self.told.add(event.object.id)

    async def _keep(self, name: str, cursor: Cursor) -> None:
        self._left[name] = msgspec.json.encode(cursor)


async def test_a_connector_that_never_lives_as_long_as_a_pass_reads_everything(
    sandbox: tuple[StripeSandbox, str],
) -> None:
    running, url = sandbox
    paid = {running.acts.charge({"amount": Decimal(1), "currency": "EUR"})["id"] for _ in range(450)}
    left, told, died = dict[str, bytes](), set[str](), 0
    async with aiohttp.ClientSession() as session:
        while died < 20:
            process = Process(url, session, left, calls=360)
            try:
                await process.reader.sweep("events")
            except asyncio.CancelledError:
                died += 1
                told |= process.told
            else:
                told |= process.told
                break
    assert told == paid
    assert 0 < died < 20
    mark = msgspec.json.decode(left["events"], type=Cursor).complete_up_to
    assert mark is not None
    assert mark <= datetime.now(UTC)


async def test_lists_of_events_take_the_four_bounds_of_the_vendor(sandbox: tuple[StripeSandbox, str]) -> None:
    running, url = sandbox
    now = running.clock()
    for second in range(3):
        running.events.add("ping", {}, datetime.fromtimestamp(int(now.timestamp()) + second, UTC))
    base = int(now.timestamp())

    def listed(**created: int) -> list[int]:
        client = stripe.StripeClient(
            "sk_test_made_up", base_addresses={"api": url}, http_client=stripe.RequestsClient()
        )
        return [event.created - base for event in client.v1.events.list({"created": created}).data]  # type: ignore[typeddict-item]

    bounds = [
        {"gte": base + 1},
        {"gt": base + 1},
        {"lt": base + 1},
        {"lte": base + 1},
        {"gte": base + 1, "lt": base + 2},
    ]
    found = [await asyncio.to_thread(lambda bound=bound: listed(**bound)) for bound in bounds]
    assert found == [[2, 1], [2], [0], [1, 0], [1]]
