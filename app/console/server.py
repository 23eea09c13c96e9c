"""The HTTP API: keys, roles and tenants checked once, then one short answer per route."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Literal

import msgspec
import structlog
from aiohttp import web

from app.config.model import ApiKeyConfig
from app.console.answers import conflict_list, order_view, parked_list, parked_view
from app.console.model import Model
from app.console.refused import Refused
from app.console.routes import DOCUMENT, ROLES, ROUTES, Route, openapi
from app.console.telling import Teller, one_order, one_parked
from app.console.views import Link, Orders, Problem
from app.core.metrics import Metrics
from schemas.links import Say
from schemas.order_state import PublicOrder

log = structlog.get_logger(__name__)
_ENCODE = msgspec.json.Encoder().encode
_LARGEST_BODY = 64 * 1024
_LARGEST_PAGE = 1_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Asking(msgspec.Struct, frozen=True):
    """One request after its key was checked."""

    tenant: str
    by: str
    """Name of the key."""
    request: web.Request

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    def query(self, name: str) -> str:
        """Return a query parameter, "" when it is not there."""
        return self.request.query.get(name, "")

    def page(self) -> tuple[str, int]:
        """Return where the page begins and how long it may be."""
        limit = self.query("limit") or "100"
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= _LARGEST_PAGE:
            raise Refused(400, f"limit is {limit!r}.", f"Write a number from 1 to {_LARGEST_PAGE}.")
        return self.query("after"), int(limit)


class Api:
    """Answers for every tenant that has a key; the keys are compared in constant time."""

    def __init__(
        self,
        model: Model,
        teller: Teller,
        keys: Sequence[ApiKeyConfig],
        metrics: Metrics,
        made: Callable[[], bool] = lambda: True,
    ) -> None:
        """*made* tells whether the model holds all that there is: before that nothing is answered."""
        self._model, self._teller, self._metrics, self._made = model, teller, metrics, made
        self._keys = {_digest(key.key.get_secret_value()): key for key in keys}
        self._answers: dict[str, Callable[[Asking], Awaitable[msgspec.Struct]]] = {
            "findOrders": self._find,
            "getOrder": self._order,
            "syncOrder": self._sync,
            "listConflicts": self._conflicts,
            "revertConflict": self._revert,
            "listParked": self._list,
            "getParked": self._parked,
            "linkParked": self._link,
            "releaseParked": self._release,
            "dismissParked": self._dismiss,
        }

    def app(self) -> web.Application:
        """Return the application; what it does not know is a problem as well."""
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_problems])
        app.router.add_get(DOCUMENT, self._document)
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._handler(route))
        return app

    async def _document(self, _: web.Request) -> web.Response:
        return web.json_response(openapi())

    def _handler(self, route: Route) -> Handler:
        answer = self._answers[route.name]

        async def handle(request: web.Request) -> web.Response:
            began = time.perf_counter()
            key = self._allowed(request, route)
            if not self._made():
                raise Refused(503, "The console is still reading what there is.", "Try again in a minute.")
            reply = await answer(Asking(key.tenant, key.name, request))
            self._metrics.console.observe(time.perf_counter() - began)
            if route.method == "POST":
                log.info("console.told", route=route.name, tenant=key.tenant, by=key.name, **request.match_info)
            return _json(200 if route.method == "GET" else 202, reply)

        return handle

    def _allowed(self, request: web.Request, route: Route) -> ApiKeyConfig:
        scheme, _, word = request.headers.get("Authorization", "").partition(" ")
        digest = _digest(word.strip())
        found = [key for known, key in self._keys.items() if hmac.compare_digest(known, digest)]
        if scheme.lower() != "bearer" or not found:
            raise Refused(401, "There is no such API key.", "Send `Authorization: Bearer KEY` with one of [console].")
        if ROLES.index(found[0].role) < ROLES.index(route.role):
            raise Refused(403, f"The key {found[0].name} is a {found[0].role}'s.", f"Use a key of role {route.role}.")
        return found[0]

    # -- answers ------------------------------------------------------------------------------------------------------

    async def _find(self, asking: Asking) -> Orders:
        if not (id_ := asking.query("id").strip()):
            raise Refused(400, "The parameter id is missing.", "Ask for /api/orders?id=SO-1001.")
        return Orders(orders=tuple(self._model.find(asking.tenant, id_)))

    def _known(self, asking: Asking) -> PublicOrder:
        order = self._model.order(asking.tenant, asking.part("key"))
        if order is None:
            raise Refused(404, f"There is no order {asking.part('key')}.", "Find its key by /api/orders?id=ID.")
        return order

    async def _order(self, asking: Asking) -> msgspec.Struct:
        return order_view(self._model, self._known(asking))

    async def _sync(self, asking: Asking) -> msgspec.Struct:
        return await self._teller.decide(self._known(asking), "sync", "", asking.by)

    async def _conflicts(self, asking: Asking) -> msgspec.Struct:
        return conflict_list(self._model, asking.tenant, *asking.page())

    async def _revert(self, asking: Asking) -> msgspec.Struct:
        return await self._teller.decide(self._known(asking), "revert", asking.part("field"), asking.by)

    async def _list(self, asking: Asking) -> msgspec.Struct:
        return parked_list(self._model, asking.tenant, *asking.page())

    async def _parked(self, asking: Asking) -> msgspec.Struct:
        object_ = one_parked(self._model, asking.tenant, asking.part("id"))
        found = self._model.parked_as(asking.tenant, object_)
        if not found:
            raise Refused(404, f"{object_} is not parked any more.", "See `o2c parked list`.")
        return parked_view(self._model, found[0])

    async def _link(self, asking: Asking) -> msgspec.Struct:
        try:
            body = msgspec.json.decode(await asking.request.read(), type=Link)
        except msgspec.MsgspecError as error:
            raise Refused(400, f"The body is not as it should be ({error}).", 'Send {"order": "SO-1001"}.') from error
        object_ = one_parked(self._model, asking.tenant, asking.part("id"))
        order = one_order(self._model, asking.tenant, body.order)
        return await self._say(asking, object_, "link", order.alias_of or order.key)

    async def _release(self, asking: Asking) -> msgspec.Struct:
        return await self._say(asking, one_parked(self._model, asking.tenant, asking.part("id")), "release")

    async def _dismiss(self, asking: Asking) -> msgspec.Struct:
        return await self._say(asking, one_parked(self._model, asking.tenant, asking.part("id")), "dismiss")

    async def _say(
        self, asking: Asking, object_: str, word: Literal["link", "dismiss", "release"], order: str = ""
    ) -> msgspec.Struct:
        say = Say(key=object_, word=word, order=order, at=datetime.now(UTC), by=asking.by)
        return await self._teller.say(say)


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
