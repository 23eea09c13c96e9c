"""Webhooks of platforms that tell several events in one request: gathered, signed as a whole, faults as ever."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from app.sandbox.base import Sandbox
from app.sandbox.faults import Faults, Injector
from app.sandbox.hooks import GATHERED, Hooks
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.xero import XeroSandbox

pytestmark = pytest.mark.sandbox
LINES = [{"sku": "A-1", "title": "thing", "quantity": 2, "price": "10.00", "tax_rate": "0"}]
ORDER = {"email": "ada@example.com", "currency": "USD", "lines": LINES}


class Receiver:
    """An address that keeps what it takes; the first *refusals* requests are answered 503."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.requests: list[tuple[Mapping[str, str], bytes]] = []
        self.refused: list[bytes] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(self.refused) < self.refusals:
            self.refused.append(body)
            return web.Response(status=503)
        self.requests.append((request.headers, body))
        return web.Response()

    @property
    def events(self) -> list[Any]:
        return [event for _, body in self.requests for event in json.loads(body)]


@asynccontextmanager
async def receiving(refusals: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(refusals)
    app = web.Application()
    app.router.add_post("/in", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/in"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def joined(events: Sequence[int]) -> bytes:
    return json.dumps(list(events)).encode()


async def told(count: int, receiver: Receiver, **faults: float) -> Hooks:
    """Push the numbers below *count* and return when all are away."""
    injector = Injector(Faults(**faults), Random(3))
    hooks = Hooks(lambda body, *_: {"X-Length": str(len(body))}, injector, lambda: datetime.now(UTC))
    await hooks.start()
    hooks.add(receiver.url, "s")
    for number in range(count):
        hooks.push(number, join=joined)
    await empty(hooks)
    await hooks.stop()
    return hooks


async def empty(hooks: Hooks) -> None:
    async with asyncio.timeout(60):
        while hooks.pending:  # noqa: ASYNC110 - the other side is a socket
            await asyncio.sleep(0.02)


async def test_an_address_gets_exactly_what_is_kept_for_it() -> None:
    async with receiving() as receiver:
        hooks = Hooks(lambda *_: {}, Injector(Faults(), Random(3)), lambda: datetime.now(UTC))
        await hooks.start()
        for number, topics in enumerate((frozenset("a"), frozenset("b"), frozenset[str](), None)):
            hooks.keep(receiver.url, "s", topics)
            for topic in "ab":
                hooks.push(f'["{number}{topic}"]'.encode(), topic=topic)
            await empty(hooks)
        await hooks.stop()
    assert [json.loads(body) for _, body in receiver.requests] == [["0a"], ["1b"], ["2a"], ["2b"]]


async def test_what_waits_leaves_in_full_requests_in_order_and_signed_as_a_whole() -> None:
    async with receiving() as receiver:
        hooks = await told(2 * GATHERED + 50, receiver)
    assert receiver.events == list(range(2 * GATHERED + 50))
    assert [len(json.loads(body)) for _, body in receiver.requests] == [GATHERED, GATHERED, 50]
    assert all(headers["X-Length"] == str(len(body)) for headers, body in receiver.requests)
    assert hooks.counts["emitted"] == hooks.counts["delivered"] == 2 * GATHERED + 50


async def test_a_refused_request_comes_again_with_the_same_bytes() -> None:
    async with receiving(refusals=2) as receiver:
        hooks = await told(3, receiver)
    assert receiver.refused == [joined([0, 1, 2])] * 2
    assert receiver.events == [0, 1, 2]
    assert (hooks.counts["refused"], hooks.counts["delivered"]) == (2, 3)


async def test_losing_and_doubling_strike_single_events() -> None:
    async with receiving() as receiver:
        await told(90, receiver, webhook_lost=0.3)
        lost = sorted(set(range(90)) - set(receiver.events))
        assert 10 < len(lost) < 50
        receiver.requests.clear()
        await told(90, receiver, webhook_duplicated=0.3)
        assert set(receiver.events) == set(range(90))
        assert 10 < len(receiver.events) - 90 < 50


async def test_a_late_event_comes_in_a_request_after_those_that_were_told_after_it() -> None:
    async with receiving() as receiver:
        await told(60, receiver, webhook_reordered=0.3, webhook_duplicated=0.3)
    assert set(receiver.events) == set(range(60))
    assert len(receiver.requests) > 1
    assert receiver.events != sorted(receiver.events)


async def running(sandbox: Sandbox, receiver: Receiver, act: str, asked: Mapping[str, Any], times: int) -> None:
    url = await sandbox.start()
    sandbox.hooks.add(receiver.url, "secret")
    async with aiohttp.ClientSession() as client:
        for number in range(times):
            body = {**asked, "customer": f"C {number}", "email": f"c{number}@example.com"}
            async with client.post(f"{url}/_sandbox/act/{act}", json=body) as reply:
                assert reply.status == 200, await reply.text()
    await empty(sandbox.hooks)
    await sandbox.stop()


def xero_events(body: bytes) -> int:
    told = json.loads(body)
    assert told["lastEventSequence"] - told["firstEventSequence"] + 1 == len(told["events"])
    return len(told["events"])


def quickbooks_events(body: bytes) -> int:
    (notice,) = json.loads(body)["eventNotifications"]
    return len(notice["dataChangeEvent"]["entities"])


@pytest.mark.parametrize(
    ("kind", "act", "header", "count"),
    [
        (XeroSandbox, "type_invoice", "x-xero-signature", xero_events),
        (QuickbooksOnlineSandbox, "type_invoice", "intuit-signature", quickbooks_events),
        (HubspotSandbox, "create_deal", "", lambda body: len(json.loads(body))),
    ],
)
async def test_a_platform_of_many_events_tells_them_all_in_few_requests(
    kind: type[Sandbox], act: str, header: str, count: Callable[[bytes], int]
) -> None:
    sandbox = kind()
    async with receiving() as receiver:
        await running(sandbox, receiver, act, {**ORDER, "name": "D"}, 40)
    assert sum(count(body) for _, body in receiver.requests) == sandbox.hooks.counts["emitted"] >= 80
    assert len(receiver.requests) * 2 < sandbox.hooks.counts["emitted"]
    for headers, body in receiver.requests if header else ():
        assert headers[header] == base64.b64encode(hmac.new(b"secret", body, hashlib.sha256).digest()).decode()


async def test_a_platform_of_single_events_sends_each_by_itself() -> None:
    sandbox = ShopifySandbox()
    async with receiving() as receiver:
        await running(sandbox, receiver, "create_order", ORDER, 5)
    topics = [headers["X-Shopify-Topic"] for headers, _ in receiver.requests]
    assert topics.count("orders/create") == 5
    assert len(receiver.requests) == sandbox.hooks.counts["emitted"]
