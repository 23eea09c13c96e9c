"""The HTTP API: keys, roles and tenants checked once, then one short answer per route."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import msgspec
import structlog
from aiohttp import web

from app.config.model import ApiKeyConfig, Settings
from app.console.asking import ANSWERS, LOOKS, Asking
from app.console.refused import Refused
from app.console.routes import DOCUMENT, ROLES, ROUTES, Route, openapi
from app.console.standings import Standings
from app.console.store import Store
from app.console.telling import Message, Teller
from app.console.views import Problem
from app.core.metrics import Metrics

log = structlog.get_logger(__name__)
_ENCODE = msgspec.json.Encoder().encode
_LARGEST_BODY = 64 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Answers for every tenant that has a key; the keys are compared in constant time."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        teller: Teller,
        metrics: Metrics,
        made: Callable[[], bool] = lambda: True,
    ) -> None:
        """*made* tells whether the store holds all that there is: before that nothing is answered."""
        self._settings, self._store, self._teller, self._metrics, self._made = settings, store, teller, metrics, made
        self._keys = {_digest(key.key.get_secret_value()): key for key in settings.console.api_keys}
        self._standings = Standings(settings)
        self._reading = ThreadPoolExecutor(1, "console-reading")

    def app(self) -> web.Application:
        """Return the application; what it does not know is a problem as well."""
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_problems])
        app.router.add_get(DOCUMENT, self._document)
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._handler(route))
        app.on_cleanup.append(self._end)
        return app

    async def _end(self, _: web.Application) -> None:
        await self._standings.stop()
        self._reading.shutdown()

    async def _document(self, _: web.Request) -> web.Response:
        return web.json_response(openapi())

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            began = time.perf_counter()
            key = self._allowed(request, route)
            if not self._made():
                raise Refused(503, "The console is still reading what there is.", "Try again in a minute.")
            reply = await self._answer(route, await self._asking(route, key, request))
            if isinstance(reply, Message):
                reply = await self._teller.tell(reply)
                log.info("console.told", route=route.name, tenant=key.tenant, by=key.name, **request.match_info)
            self._metrics.console.observe(time.perf_counter() - began)
            return _json(200 if route.method == "GET" else 202, reply)

        return handle

    async def _asking(self, route: Route, key: ApiKeyConfig, request: web.Request) -> Asking:
        body = None if route.body is None else _body(await request.read(), route.body)
        tenant = self._store.tenant(key.tenant)
        return Asking(tenant, key.name, request.match_info, request.query, body, self._settings, self._standings)

    async def _answer(self, route: Route, asking: Asking) -> msgspec.Struct:
        if route.name in LOOKS:
            return await LOOKS[route.name](asking)
        return await asyncio.get_running_loop().run_in_executor(self._reading, ANSWERS[route.name], asking)

    def _allowed(self, request: web.Request, route: Route) -> ApiKeyConfig:
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        digest = _digest(word.strip())
        found = [key for known, key in self._keys.items() if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Refused(401, "There is no such API key.", "Send `Authorization: Bearer KEY` with one of [console].")
        if ROLES.index(found[0].role) < ROLES.index(route.role):
            raise Refused(403, f"The key {found[0].name} is a {found[0].role}'s.", f"Use a key of role {route.role}.")
        return found[0]


def _body(content: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise Refused(
            400, f"The body is not as it should be ({error}).", f"See {kind.__name__} in {DOCUMENT}."
        ) from error


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def _json(status: int, value: msgspec.Struct) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(status=status, body=_ENCODE(value), content_type="application/json", headers=headers)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever is refused with one sentence and the next step."""
    try:
        return await handler(request)
    except Refused as refused:
        return _json(refused.status, Problem(error=refused.error, next_step=refused.next_step))
    except web.HTTPException as error:
        if not request.path.startswith("/api/"):
            raise
        what = f"{request.method} {request.path} is not answered ({error.reason})."
        return _json(error.status, Problem(error=what, next_step=f"See {DOCUMENT}."))
    except Exception as error:
        log.exception("console.failed", path=request.path)
        what = f"The console failed ({type(error).__name__})."
        return _json(500, Problem(error=what, next_step="Look into its log."))
