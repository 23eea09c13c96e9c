"""The gateway over HTTP, on the loopback address, with a publisher that remembers or fails."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka.errors import KafkaTimeoutError

from app.config.model import ResolvedConnection
from app.core.metrics import new_metrics
from app.gateway import server
from app.gateway.addresses import addresses
from app.gateway.server import Gateway
from app.roles.status_page import add_status_routes, serve
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from streams.sources.platforms.stripe import StripeSource

pytestmark = pytest.mark.sandbox
NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Memory:
    def __init__(self) -> None:
        self.events: list[ChangeEvent] = []
        self.kept: list[tuple[bytes, bytes, dict[str, bytes]]] = []
        self.down = False
        self.tries = 0
        self.hangs = False
        self.let_go = asyncio.Event()

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        await self._acknowledge()
        self.kept.append((key, body, dict(headers)))

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        await self._acknowledge()
        self.events += events

    async def _acknowledge(self) -> None:
        self.tries += 1
        if self.hangs:
            await self.let_go.wait()
        if self.down:
            raise KafkaTimeoutError

    async def answers(self) -> bool:
        return not self.down


def _gateway(memory: Memory) -> Gateway:
    resolved = ResolvedConnection(
        connection=Connection(name="pay", tenant="acme", platform="stripe", account="acct_1"),
        secrets={"webhook_secret": "whsec_x"},
        allow_private=True,
        sweep_seconds=1,
        quota_share=1,
    )
    return Gateway(
        addresses([resolved], {"stripe": StripeSource}),
        memory,
        new_metrics(),
        public_url="https://hooks.example.com",
        api_keys={"key-1": ""},
        clock=lambda: NOW,
    )


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, Memory]]:
    memory = Memory()
    gateway = _gateway(memory)
    app = gateway.app()
    add_status_routes(app, gateway.metrics, live=dict, ready=gateway.wrong)
    runner, port = await serve(app, "127.0.0.1", 0, before=gateway.before)
    yield f"http://127.0.0.1:{port}", memory
    await runner.cleanup()


def _headers(body: bytes) -> dict[str, str]:
    stamp = str(int(NOW.timestamp()))
    digest = hmac.new(b"whsec_x", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={digest}"}


BODY = json.dumps(
    {
        "id": "evt_1",
        "object": "event",
        "type": "x",
        "data": {"object": {"object": "payout", "id": "po_1", "currency": "eur"}},
    }
).encode()


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    async with ClientSession() as session, session.post(url, data=BytesIO(body), headers=headers) as reply:
        return reply.status


@pytest.mark.parametrize("path", ["/hooks/acme/pay", "/hooks/stripe/default"])
@pytest.mark.parametrize("more", ["", "?by=somebody"])
async def test_a_signed_hook_is_kept_as_it_came_before_it_is_acknowledged(
    served: tuple[str, Memory], path: str, more: str
) -> None:
    assert await _post(served[0] + path + more, BODY, _headers(BODY)) == 200
    assert served[1].kept == [(path.removeprefix("/hooks/").encode(), BODY, {})]


async def test_a_sender_that_waits_to_be_told_to_go_on_is_told(served: tuple[str, Memory]) -> None:
    url, headers = served[0] + "/hooks/acme/pay", _headers(BODY)
    async with ClientSession() as session, session.post(url, data=BODY, headers=headers, expect100=True) as reply:
        assert reply.status == 200
    assert len(served[1].kept) == 1


async def test_where_the_senders_trace_began_is_kept_and_what_proves_him_is_not(served: tuple[str, Memory]) -> None:
    trace = {"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "X-Other": "x"}
    assert await _post(served[0] + "/hooks/acme/pay", BODY, {**_headers(BODY), **trace}) == 200
    ((_, _, headers),) = served[1].kept
    assert headers == {"traceparent": trace["traceparent"].encode()}


async def test_an_unknown_address_is_404_and_a_wrong_signature_400(served: tuple[str, Memory]) -> None:
    assert await _post(served[0] + "/hooks/acme/none", BODY, _headers(BODY)) == 404
    assert await _post(served[0] + "/hooks/acme/pay", BODY, _headers(BODY + b" ")) == 400
    assert served[1].kept == []


async def test_while_kafka_is_down_the_answer_is_503_and_not_ready(served: tuple[str, Memory]) -> None:
    served[1].down = True
    assert await _post(served[0] + "/hooks/acme/pay", BODY, _headers(BODY)) == 503
    async with ClientSession() as session:
        assert (await session.get(served[0] + "/health/ready")).status == 503
        served[1].down = False
        assert await _post(served[0] + "/hooks/acme/pay", BODY, _headers(BODY)) == 200
        assert (await session.get(served[0] + "/health/ready")).status == 200


async def test_without_any_delivery_readiness_follows_kafka() -> None:
    memory = Memory()
    gateway = _gateway(memory)
    memory.down = True
    await gateway.ask()
    assert gateway.wrong() == {"kafka": "Kafka does not answer."}
    memory.down = False
    await gateway.ask()
    assert gateway.wrong() == {}


async def test_what_kafka_does_not_acknowledge_soon_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_SOON", 0.05)
    memory = Memory()
    gateway = _gateway(memory)
    runner, port = await serve(gateway.app(), "127.0.0.1", 0, before=gateway.before)
    memory.hangs = True
    assert await _post(f"http://127.0.0.1:{port}/hooks/acme/pay", BODY, _headers(BODY)) == 503
    await runner.cleanup()


async def test_who_comes_while_too_many_wait_is_sent_away_at_once_until_they_are_answered(
    served: tuple[str, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MOST", 2)
    url, memory = served[0] + "/hooks/acme/pay", served[1]
    bearer = {"Authorization": "Bearer key-1", "Content-Type": "application/cloudevents+json"}
    memory.hangs = True
    held = [asyncio.create_task(_post(url, BODY, _headers(BODY))) for _ in range(2)]
    while memory.tries < 2:  # noqa: ASYNC110 - the gateway makes them
        await asyncio.sleep(0.01)
    async with ClientSession() as session:
        for path, body, headers in ((url, BODY, _headers(BODY)), (served[0] + "/events", _structured(), bearer)):
            async with session.post(path, data=body, headers=headers) as reply:
                assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
                assert "Too many deliveries wait" in await reply.text()
        page = await (await session.get(served[0] + "/metrics")).text()
    assert 'o2c_hooks_total{outcome="overloaded",platform="stripe"} 1.0' in page
    assert memory.tries == 2, "nothing more was handed over"
    memory.hangs = False
    memory.let_go.set()
    assert await asyncio.gather(*held) == [200, 200]
    assert await _post(url, BODY, _headers(BODY)) == 200
    assert await _post(served[0] + "/events", _structured(), bearer) == 202


async def test_nothing_is_tried_while_kafka_is_surely_away() -> None:
    memory = Memory()
    gateway = _gateway(memory)
    runner, port = await serve(gateway.app(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/hooks/acme/pay"
    memory.down = True
    await gateway.ask()
    assert await _post(url, BODY, _headers(BODY)) == 503
    await gateway.ask()
    assert await _post(url, BODY, _headers(BODY)) == 503
    memory.down = False
    await gateway.ask()
    assert await _post(url, BODY, _headers(BODY)) == 200
    assert memory.tries == 2
    await runner.cleanup()


async def test_too_large_a_body_is_413(served: tuple[str, Memory]) -> None:
    body = b" " * (StripeSource.platform.body_limit + 1)
    assert await _post(served[0] + "/hooks/acme/pay", body, _headers(body)) == 413


async def test_signed_rubbish_is_kept_like_everything_that_is_signed(served: tuple[str, Memory]) -> None:
    assert await _post(served[0] + "/hooks/acme/pay", b"rubbish", _headers(b"rubbish")) == 200
    assert [body for _, body, _ in served[1].kept] == [b"rubbish"]
    async with ClientSession() as session:
        page = await (await session.get(served[0] + "/metrics")).text()
    assert 'o2c_hooks_total{outcome="accepted",platform="stripe"} 1.0' in page
    assert 'o2c_hooks_total{outcome="unavailable",platform="stripe"} 0.0' in page


def _structured(**changes: Any) -> bytes:
    data = {
        "tenant": "acme",
        "object": {"connection": "erp", "account": "1", "type": "order", "id": "7"},
        "facts": {"type": "order", "currency": "EUR", "payable_amount": "12.50"},
    }
    event = {"specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/acme/erp/1", "id": "e-1", "data": data}
    return json.dumps({**event, **changes}).encode()


async def test_foreign_events_need_a_key_and_the_published_shape(served: tuple[str, Memory]) -> None:
    url, kind = served[0] + "/events", {"Content-Type": "application/cloudevents+json"}
    assert await _post(url, _structured(), kind) == 401
    bearer = {**kind, "Authorization": "Bearer key-1"}
    assert await _post(url, _structured(type="o2c.invoice.changed.v1"), bearer) == 400
    assert await _post(url, _structured(), bearer) == 202
    assert [(event.object.id, event.event_id) for event in served[1].events] == [("7", "e-1")]
