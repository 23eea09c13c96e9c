"""The HTTP side of the gateway."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog
from aiohttp import web
from aiokafka.errors import KafkaError
from prometheus_client import Counter

from app.core.errors import DecodeError
from app.core.metrics import Metrics
from app.gateway.addresses import Address, Addresses
from app.gateway.intake import turned_away
from app.gateway.patience import Patience
from app.gateway.signed import PREFIX, is_signed
from app.roles.status_page import Handler
from schemas.cloudevents import decode_http
from schemas.events import ChangeEvent, Hint, Version
from schemas.trace import HEADER, accepted, new_trace, trace_id
from streams.sources.base import Hook, Reply

log = structlog.get_logger(__name__)
_LARGEST_EVENT = 1_048_576
_LARGEST_HOOK = 8 * 1_048_576
_RETRY = {"Retry-After": "5"}
_OUTCOMES = ("accepted", "handshake", "overloaded", "refused", "too_large", "unavailable")
_PAUSE = 2.0
_SURE = 2
"""Questions in vain after which deliveries are refused without a try."""
_SOON = 4.0
"""Seconds; Shopify waits five, then counts the delivery as failed and removes the subscription after eight of them."""
_MOST = 1_000
"""Deliveries that may wait for Kafka at once: down to 250 acknowledged a second each is answered within `_SOON`."""
_SLOWEST = 15.0
"""Seconds that a body may take: a sender that gives a byte now and then must not hold a connection."""
_DOUBT = 10.0
"""Seconds for which a refused acknowledgement counts although Kafka answers: a write is what we need."""


class Publisher(Protocol):
    """Writes to Kafka and returns only after every record was acknowledged; raises KafkaError."""

    async def keep(self, key: bytes, body: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        """Publish a delivery as it came, in the order of those of its *key*."""

    async def publish(self, events: Sequence[ChangeEvent], hints: Sequence[Hint]) -> None:
        """Publish change events and hints."""

    async def answers(self) -> bool:
        """Tell whether Kafka is there now."""


class Gateway:
    """Receives webhooks and foreign events."""

    def __init__(
        self,
        addresses: Addresses,
        publisher: Publisher,
        metrics: Metrics,
        *,
        public_url: str,
        api_keys: Mapping[str, str] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Serve *addresses*; *public_url* is what platforms call, since some signatures cover it.

        Each of *api_keys* comes with the tenant that its service may tell of, "" for all.
        """
        self._publisher = publisher
        self.metrics = metrics
        self._public_url = public_url.rstrip("/")
        self._hooks = dict[tuple[str, str], Counter]()
        self.take(addresses, api_keys or {})
        self._clock = clock
        self._failed_at = -math.inf
        self._unanswered = 0
        self._waiting = Patience(_SOON)

    def take(self, addresses: Addresses, api_keys: Mapping[str, str]) -> None:
        """Serve *addresses* and know *api_keys* from the next request on: secrets change while deliveries come."""
        self._addresses, self._api_keys = addresses, dict(api_keys)
        self._plain = {f"/hooks/{owner}/{name}": address for (owner, name), address in addresses.items()}
        slugs = {address.platform.slug for address in addresses.values()}
        # At 0: an alert sees no increase in what begins with its first count.
        self._hooks |= {named: self.metrics.hooks.labels(*named) for named in itertools.product(slugs, _OUTCOMES)}

    def wrong(self) -> dict[str, str]:
        """Return why the gateway is not ready: Kafka does not answer, or did not acknowledge a moment ago."""
        if self._unanswered:
            return {"kafka": "Kafka does not answer."}
        if time.monotonic() - self._failed_at < _DOUBT:
            return {"kafka": "The last delivery was not acknowledged by Kafka."}
        return {}

    async def ask(self) -> None:
        """Ask whether Kafka is there: without a delivery nothing else would tell."""
        self._unanswered = 0 if await self._publisher.answers() else self._unanswered + 1

    async def watch(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            await self.ask()
            await asyncio.sleep(_PAUSE)

    def app(self) -> web.Application:
        """Return the web application (no health routes: the role adds them)."""
        app = web.Application(client_max_size=_LARGEST_HOOK)
        app.router.add_route("POST", "/hooks/{owner}/{name}", self._hook)
        app.router.add_route("HEAD", "/hooks/{owner}/{name}", self._head)
        app.router.add_post("/events", self._events)
        return app

    async def _head(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self._address(request) else 404)

    def _address(self, request: web.Request) -> Address | None:
        return self._addresses.get((request.match_info["owner"], request.match_info["name"]))

    def before(self, app: Handler) -> Handler:
        """Return what serves deliveries by one look-up, and leaves to *app* whatever is not as plain as they are."""

        async def first(request: web.Request) -> web.StreamResponse:
            address = self._plain.get(request.raw_path)
            if address is None or request.method != "POST" or "Expect" in request.headers:
                return await app(request)
            return await self._delivery(request, address)

        return first

    async def _hook(self, request: web.Request) -> web.Response:
        address = self._address(request)
        return web.Response(status=404) if address is None else await self._delivery(request, address)

    async def _delivery(self, request: web.Request, address: Address) -> web.Response:
        body = await _body(request, address.platform.body_limit)
        if body is None:
            return self._counted(address, "too_large", web.Response(status=413))
        if len(self._waiting) >= _MOST:  # the body is there: who gives his slowly is not counted and keeps nobody out
            return self._counted(address, "overloaded", _overloaded())
        told = {name: _text(request.headers[name]) for name in address.read if name in request.headers}
        hook = Hook(method=request.method, url=self._public_url + request.path_qs, headers=told, body=body)
        if (away := turned_away(address, hook, self._clock())) is not None:
            log.info("hook", platform=address.platform.slug, outcome=away.outcome)
            return self._counted(address, away.outcome, _answer(away.reply))
        kept = [(name, told[name].encode()) for name in address.kept if name in told]
        refusal = await self._acknowledged(self._publisher.keep(address.key, body, kept))
        return self._counted(address, "accepted" if refusal is None else "unavailable", refusal or web.Response())

    def _counted(self, address: Address, outcome: str, answer: web.Response) -> web.Response:
        self._hooks[address.platform.slug, outcome].inc()
        return answer

    async def _acknowledged(self, publishing: Coroutine[None, None, None]) -> web.Response | None:
        """Return None once Kafka acknowledged, else the refusal: soon enough for senders, at once when nobody is there.

        What was refused late may still arrive; it is sent again anyway, and a second one changes nothing.
        """
        if self._unanswered >= _SURE:
            publishing.close()
            return self._refusal("silent")
        began = time.perf_counter()
        try:
            await self._waiting.wait(publishing)
        except (KafkaError, TimeoutError) as error:
            self._failed_at = time.monotonic()
            return self._refusal(type(error).__name__)
        self.metrics.ack.observe(time.perf_counter() - began)
        self._failed_at = -math.inf
        return None

    def _refusal(self, why: str) -> web.Response:
        log.warning("kafka.unacknowledged", error=why)
        return web.json_response({"error": "Kafka did not acknowledge; send it again."}, status=503, headers=_RETRY)

    async def _events(self, request: web.Request) -> web.Response:
        headers = _headers(request)
        tenant = self._bearer(headers.get("authorization", ""))
        if tenant is None and "webhook-signature" not in headers:
            return self._stranger()
        body = await _body(request, _LARGEST_EVENT)
        if body is None:
            return web.json_response({"error": f"The body is larger than {_LARGEST_EVENT} bytes."}, status=413)
        if tenant is None:
            tenant = self._signer(headers, body)
        if tenant is None:
            return self._stranger()
        if len(self._waiting) >= _MOST:
            return _overloaded()
        try:
            events = decode_http(headers, body)
        except DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        if tenant and {event.tenant for event in events} - {tenant}:
            return web.json_response({"error": f"This key may tell of the tenant {tenant} alone."}, status=403)
        now, trace = self._clock(), accepted(request.headers.get(HEADER, "")) or new_trace()
        events = [_as_told(event, trace, now) for event in events]
        answer = await self._acknowledged(self._publisher.publish(events, ()))
        for event in events:
            log.info("event", acknowledged=answer is None, trace_id=trace_id(event.trace))
        return answer or web.json_response({"accepted": len(events)}, status=202)

    def _stranger(self) -> web.Response:
        error = (
            "Send one of gateway.api_keys as a bearer token, or sign as Standard Webhooks says with one of whsec_..."
        )
        return web.json_response({"error": error}, status=401)

    def _bearer(self, header: str) -> str | None:
        """Return the tenant that the sender of a bearer token may tell of, "" for all; None for a stranger."""
        scheme, _, given = header.partition(" ")
        sent = given.strip().encode()
        known = [(key, tenant) for key, tenant in self._api_keys.items() if not key.startswith(PREFIX)]
        found = [tenant for key, tenant in known if hmac.compare_digest(sent, key.encode())]
        return found[0] if scheme.lower() == "bearer" and found else None

    def _signer(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Return the same for who signed *body*."""
        known = [(key, tenant) for key, tenant in self._api_keys.items() if key.startswith(PREFIX)]
        found = [tenant for key, tenant in known if is_signed(headers, body, [key], self._clock())]
        return found[0] if found else None


def _overloaded() -> web.Response:
    """Refuse without a line in the log: who is overloaded has no time for one each; the counter tells."""
    error = "Too many deliveries wait for Kafka; send it again."
    return web.json_response({"error": error}, status=503, headers=_RETRY)


def _headers(request: web.Request) -> dict[str, str]:
    """Return the headers by lower-case name, other bytes than ASCII escaped: no comparison stumbles over them."""
    return {name.lower(): _text(value) for name, value in request.headers.items()}


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("ascii", "backslashreplace").decode()


def _answer(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=dict(reply.headers), body=reply.body or None)


def _as_told(event: ChangeEvent, trace: str, now: datetime) -> ChangeEvent:
    """Return *event* as another service may tell it: what only o2c finds out is not theirs to say."""
    version = Version(native=event.version.native)
    told = {"trace": event.trace or trace, "told_at": now, "origin": "foreign", "order": "", "version": version}
    return msgspec.structs.replace(event, **told)


async def _body(request: web.Request, limit: int) -> bytes | None:
    """Return the raw bytes, or None as soon as they are more than *limit*.

    A compressed body is refused unread: no platform sends one, and signatures cover what was sent.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPBadRequest(text="Send the body without Content-Encoding.")
    if request.content_length is not None and request.content_length > limit:
        return None
    if request.content.is_eof():  # it came with its head, as small ones do: nothing is waited for
        whole = request.content.read_nowait()
        return whole if len(whole) <= limit else None
    body = bytearray()
    try:
        async with asyncio.timeout(_SLOWEST):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit:
                    return None
    except TimeoutError:
        raise web.HTTPRequestTimeout(headers={"Connection": "close"}) from None
    return bytes(body)
