"""What all sandbox platforms share: a server, faults, webhooks out, books, a request log and a clock."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from aiohttp import web

from app.sandbox.faults import Faults, Injector
from app.sandbox.hooks import Hooks, Join
from app.sandbox.quota import Bucket, Taken, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ActError", "Bucket", "Faults", "Operation", "Sandbox", "Taken", "Window", "dumps"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Verb = Callable[[dict[str, Any]], Awaitable[dict[str, Any]] | dict[str, Any]]
LOGGED = 20_000
"""Vendor calls that the request log keeps; its counters know of all."""
REMEMBERED = 500_000
"""Lines of history that are kept; the oldest go first."""


class ActError(ValueError):
    """A person's act that the platform would not let them do."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a vendor call does: its name, and whether it changes anything."""

    name: str
    mutating: bool
    key: str = ""
    """The idempotency key it carries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One vendor call in the request log."""

    method: str
    path: str
    operation: str
    mutating: bool
    key: str
    status: int
    fault: str
    at: str


def real_time() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


def dumps(value: object) -> bytes:
    """Return *value* as compact JSON; Decimals become strings."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is no JSON value")


class Sandbox:
    """One account of a simulated platform; a platform adds routes, verbs, books and its signature."""

    slug: ClassVar[str] = ""
    token_paths: ClassVar[tuple[str, ...]] = ("/oauth", "/connect/token", "/identity")
    """Path beginnings of token endpoints: no expired token, no reset."""

    def __init__(
        self,
        account: str = "",
        *,
        seed: int = 0,
        clock: Callable[[], datetime] = real_time,
        quota_scale: float = 1.0,
        faults: Faults | None = None,
    ) -> None:
        self.account, self.clock, self.quota_scale = account, clock, quota_scale
        self.random = Random(seed)
        self.injector = Injector(faults or Faults(), Random(seed + 1))
        self.hooks = Hooks(self.sign, self.injector, clock)
        self.log: deque[Entry] = deque(maxlen=LOGGED)
        self.counters: Counter[str] = Counter(total=0, mutating=0)
        self.history: deque[bytes] = deque(maxlen=REMEMBERED)
        self._told = 0
        self._stand = 0
        self._books: tuple[tuple[int, date], bytes] | None = None
        self._writes_in_flight = 0
        self._unheard = 0
        self.verbs: dict[str, Verb] = {}
        self._runner: web.AppRunner | None = None
        self._late: set[asyncio.Task[web.StreamResponse]] = set()

    # -------------------------------------------------------------------------- what a platform answers

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's routes."""
        return []

    def books(self) -> list[dict[str, Any]]:
        """Return what the platform really holds now, one dict per document."""
        return []

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:  # noqa: ARG002
        """Return the vendor's signature headers of one webhook."""
        return {}

    def operation(self, request: web.Request, body: bytes) -> Operation:  # noqa: ARG002
        """Return what a vendor call does; a platform overrides it where the method does not tell."""
        mutating = request.method not in {"GET", "HEAD", "OPTIONS"}
        return Operation(f"{request.method} {request.path}", mutating, request.headers.get("Idempotency-Key", ""))

    def throttled(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Return the vendor's reply to one call too many."""
        return web.json_response({"error": "Too many requests"}, status=429, headers={"Retry-After": "1"})

    def broken(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Return the vendor's reply when it breaks."""
        return web.json_response({"error": "Internal error"}, status=503)

    def unauthorized(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Return the vendor's reply to an expired token."""
        return web.json_response({"error": "Unauthorized"}, status=401)

    # ------------------------------------------------------------------------------ what a platform uses

    @property
    def faults(self) -> Faults:
        """Return the knobs as they are now."""
        return self.injector.faults

    def emit(
        self,
        event: Any,  # noqa: ANN401 - bytes, or what *join* takes
        *,
        topic: str = "",
        headers: Mapping[str, str] | None = None,
        key: str = "",
        join: Join | None = None,
    ) -> None:
        """Send a webhook to everybody who asked for *topic*; webhooks of one *key* keep their order.

        A platform whose requests carry several events names the function that makes a body of them.
        """
        self.hooks.push(event, topic=topic, headers=headers, key=key, join=join)

    def remember(self, row: Mapping[str, Any]) -> None:
        """Add *row*, a document as the books show it after a change, to the history."""
        self.history.append(dumps({"at": self.clock(), **row}))
        self._told += 1

    def visible(self, changed_at: datetime) -> bool:
        """Return whether searches and lists already show a change made at *changed_at*."""
        seen = self.settled(changed_at)
        if not seen:
            self.injector.injected["visibility_lag_s"] += 1
        return seen

    def settled(self, changed_at: datetime) -> bool:
        """Return the same for who shows nothing, so that nothing was kept from anybody."""
        return (self.clock() - changed_at).total_seconds() >= self.faults.visibility_lag_s

    # ------------------------------------------------------------------------------------------ running

    def app(self) -> web.Application:
        """Return the server: the vendor's routes behind the faults, and the sandbox's own routes."""
        app = web.Application(middlewares=[self._middleware], client_max_size=16 * 2**20)
        app.add_routes(
            [
                web.get("/_sandbox/health", self._get_health),
                web.get("/_sandbox/faults", self._get_faults),
                web.post("/_sandbox/faults", self._post_faults),
                web.post("/_sandbox/strikes", self._post_strikes),
                web.get("/_sandbox/webhooks", self._get_webhooks),
                web.post("/_sandbox/webhooks", self._post_webhooks),
                web.post("/_sandbox/act/{verb}", self._post_act),
                web.get("/_sandbox/books", self._get_books),
                web.get("/_sandbox/history", self._get_remembered),
                web.get("/_sandbox/requests", self._get_requests),
                *self.routes(),
            ]
        )
        app.on_startup.append(lambda _: self.hooks.start())
        app.on_cleanup.append(lambda _: self._end())
        return app

    async def start(self, port: int = 0) -> str:
        """Serve on the loopback address and return the base URL."""
        self._runner = web.AppRunner(self.app(), shutdown_timeout=1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the server and drop what is on the way."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _end(self) -> None:
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self.hooks.stop()

    # ------------------------------------------------------------------------------------- vendor calls

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_sandbox/"):
            return await handler(request)
        operation = self.operation(request, await request.read())
        is_token = request.path.startswith(self.token_paths)
        fault = self._pick(operation, is_token=is_token)
        writes = operation.mutating and not is_token
        self._writes_in_flight += writes
        try:
            if self.faults.latency_s:
                await asyncio.sleep(self.faults.latency_s)
            reply, status = await self._answer(request, handler, fault)
        finally:
            self._writes_in_flight -= writes
            self._stand += operation.mutating
        self._unheard += writes and request.transport is None
        self._note(request, operation, status, fault)
        return reply

    def _pick(self, operation: Operation, *, is_token: bool) -> str:
        names = ["rate_429", "error_5xx", "html_200"]
        if not is_token:
            names.append("expired_token")
        if operation.mutating and not is_token:
            names += ["reset_before_commit", "slow_commit", "reset_after_commit", "error_5xx_after_commit"]
            names += ["late_reply", "expired_on_write"]
        return self.injector.first(*names)

    async def _answer(self, request: web.Request, handler: Handler, fault: str) -> tuple[web.StreamResponse, int]:
        before = {"rate_429": self.throttled, "error_5xx": self.broken}
        before |= dict.fromkeys(("expired_token", "expired_on_write"), self.unauthorized)
        if fault in before:
            reply: web.StreamResponse = before[fault](request)
            return reply, reply.status
        if fault == "html_200":
            return web.Response(text="<html><body>Just a moment...</body></html>", content_type="text/html"), 200
        if fault == "reset_before_commit":
            return self._reset(request), 0
        if fault == "slow_commit":
            task = asyncio.create_task(self._later(request, handler))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            return self._reset(request), 0
        reply = await _handled(handler, request)
        if fault == "reset_after_commit":
            return self._reset(request), 0
        if fault == "error_5xx_after_commit":
            reply = self.broken(request)
        if fault == "late_reply":
            await asyncio.sleep(self.faults.late_reply_s)
        return reply, reply.status

    async def _later(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        await asyncio.sleep(self.faults.slow_commit_s)
        try:
            return await _handled(handler, request)
        finally:
            self._stand += 1

    def _reset(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    def _note(self, request: web.Request, operation: Operation, status: int, fault: str) -> None:
        self.counters["total"] += 1
        self.counters["mutating"] += operation.mutating
        self.counters[str(status)] += 1
        self.log.append(
            Entry(
                request.method,
                request.path_qs,
                operation.name,
                operation.mutating,
                operation.key,
                status,
                fault,
                self.clock().isoformat(),
            )
        )

    # ------------------------------------------------------------------------------------ sandbox calls

    async def _get_health(self, _: web.Request) -> web.Response:
        return _json({"platform": self.slug, "account": self.account, "pid": os.getpid(), "at": self.clock()})

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _json(self.injector.as_dict())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            self.injector.faults = self.faults.changed(json.loads(await request.read()))
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json(self.injector.as_dict())

    async def _post_strikes(self, request: web.Request) -> web.Response:
        """Let faults strike the next so many times: `{"rate_429": 1}`."""
        asked: dict[str, int] = json.loads(await request.read())
        if unknown := set(asked) - set(self.injector.as_dict()["faults"]):
            return _json({"error": f"unknown fault: {', '.join(sorted(unknown))}"}, 400)
        self.injector.due.update(asked)
        return _json(self.injector.as_dict())

    async def _get_webhooks(self, _: web.Request) -> web.Response:
        targets = [{"url": target.url, "topics": sorted(target.topics)} for target in self.hooks.targets]
        return _json({"targets": targets, "pending": self.hooks.pending, "counts": dict(self.hooks.counts)})

    async def _post_webhooks(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        self.hooks.add(asked["url"], asked.get("secret", ""), frozenset(asked.get("topics", ())))
        return _json({"targets": len(self.hooks.targets)}, 201)

    async def _post_act(self, request: web.Request) -> web.Response:
        verb = self.verbs.get(request.match_info["verb"])
        if verb is None:
            return _json({"error": f"unknown verb; there are {', '.join(sorted(self.verbs))}"}, 404)
        try:
            asked = json.loads(await request.read() or b"{}", parse_float=Decimal)
            done = verb(asked)
            return _json(await done if isinstance(done, Awaitable) else done)
        except (KeyError, ValueError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)
        finally:
            self._stand += 1

    async def _get_books(self, _: web.Request) -> web.Response:
        """Answer with the books; who polls them while nothing is written costs nothing."""
        key = (self._stand, self.clock().date())
        if self._books is None or self._books[0] != key:
            rows = sorted(self.books(), key=lambda row: (row["kind"], str(row["id"])))
            self._books = key, b"".join(dumps(row) + b"\n" for row in rows)
        return web.Response(body=self._books[1], content_type="application/jsonl")

    async def _get_remembered(self, request: web.Request) -> web.Response:
        """Answer with the lines after the given number of lines; those that were dropped count."""
        after = int(request.query.get("after", 0)) - (self._told - len(self.history))
        lines = b"".join(line + b"\n" for line in islice(self.history, max(0, after), None))
        return web.Response(body=lines, content_type="application/jsonl")

    async def _get_requests(self, request: web.Request) -> web.Response:
        last = min(int(request.query.get("last", LOGGED)), len(self.log))
        rows = [asdict(entry) for entry in islice(self.log, len(self.log) - last, None)]
        counters = {**self.counters, "429": self.counters["429"]}
        waiting = {"in_flight": self._writes_in_flight, "unheard": self._unheard}
        return _json({"counters": counters, **waiting, "requests": rows})


async def _handled(handler: Handler, request: web.Request) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as raised:
        # A raised reply that is returned is deprecated: under `-W error` the connection would drop.
        return web.Response(status=raised.status, body=raised.body, headers=raised.headers)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=dumps(value), status=status, content_type="application/json")
