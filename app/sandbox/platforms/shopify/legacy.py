"""The REST endpoints that older clients still call: orders, their transactions, refunds and fulfilments, the shop."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from aiohttp import web

from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import rest
from app.sandbox.platforms.shopify.mutations import moment
from app.sandbox.platforms.shopify.records import ZERO, Order
from app.sandbox.platforms.shopify.shop import Refused

if TYPE_CHECKING:
    from app.sandbox.platforms.shopify.server import ShopifySandbox

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Legacy:
    """REST Admin over the same shop; a bucket of 40 calls refilled at 2 a second."""

    def __init__(self, sandbox: ShopifySandbox) -> None:
        self.sandbox, self.shop = sandbox, sandbox.shop

    def routes(self) -> list[web.RouteDef]:
        """Return the legacy routes, behind token and quota."""
        base, one = "/admin/api/{version}", "/admin/api/{version}/orders/{id:[0-9]+}"
        table: list[tuple[str, str, Handler]] = [
            ("GET", f"{base}/shop.json", self._shop),
            ("GET", f"{base}/orders.json", self._list),
            ("POST", f"{base}/orders.json", self._create),
            ("GET", f"{base}/orders/count.json", self._count),
            ("GET", f"{one}.json", self._read),
            ("PUT", f"{one}.json", self._update),
            ("DELETE", f"{one}.json", self._delete),
            ("POST", f"{one}/cancel.json", self._cancel),
            ("POST", f"{one}/close.json", self._close),
            ("POST", f"{one}/open.json", self._open),
            ("GET", f"{one}/transactions.json", self._transactions),
            ("POST", f"{one}/transactions.json", self._transact),
            ("GET", f"{one}/refunds.json", self._refunds),
            ("POST", f"{one}/refunds.json", self._refund),
            ("GET", f"{one}/fulfillments.json", self._fulfillments),
        ]
        return [web.route(method, path, self._guarded(handler)) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.Response:
            if not self.sandbox.known_token(request):
                return self.sandbox.unauthorized(request)
            taken = self.sandbox.calls.take()
            if not taken.allowed:
                return self.sandbox.throttled(request)
            try:
                reply = await handler(request)
            except Refused as refusal:
                missing = str(refusal) == "Order does not exist"
                errors: Any = "Not Found" if missing else {(refusal.field or ("base",))[-1]: [str(refusal)]}
                reply = _json({"errors": errors}, 404 if missing else 422)
            reply.headers["X-Shopify-Shop-Api-Call-Limit"] = f"{int(taken.limit - taken.left)}/{int(taken.limit)}"
            return reply

        return guarded

    def _order(self, request: web.Request) -> Order:
        return self.shop.order(int(request.match_info["id"]))

    async def _asked(self, request: web.Request, name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(await request.read() or b"{}", parse_float=Decimal)
        found: dict[str, Any] = body.get(name, body)
        return found

    async def _shop(self, _: web.Request) -> web.Response:
        domain = self.sandbox.account
        return _json({"shop": {"id": 1, "name": domain, "myshopify_domain": domain, "currency": self.shop.currency}})

    async def _list(self, request: web.Request) -> web.Response:
        since, after = moment(request.query.get("updated_at_min")), int(request.query.get("since_id", 0))
        ids = self.shop.past(after)
        if since is not None:
            changed = self.shop.changed_since(math.ceil(since.timestamp()), (-1, 0))
            ids = iter(sorted((order for order in changed if order.id > after), key=lambda order: order.id))
        found = (
            order
            for order in ids
            if self.sandbox.visible(order.changed_at)
            and (request.query.get("status", "open") == "any" or not (order.cancelled_at or order.closed_at))
        )
        rows = list(islice(found, int(request.query.get("limit", 50))))
        return _json({"orders": [rest.order(order) for order in rows]})

    async def _count(self, _: web.Request) -> web.Response:
        return _json({"count": len(self.shop.orders)})

    async def _read(self, request: web.Request) -> web.Response:
        return _json({"order": rest.order(self._order(request))})

    async def _create(self, request: web.Request) -> web.Response:
        asked = await self._asked(request, "order")
        lines = [
            self.shop.line(
                one.get("sku") or "", one.get("title") or "", int(one["quantity"]), Decimal(str(one["price"]))
            )
            for one in asked.get("line_items") or []
        ]
        order = self.shop.create(
            lines,
            email=asked.get("email") or "",
            currency=asked.get("currency") or "",
            note=asked.get("note") or "",
            source_identifier=asked.get("source_identifier") or "",
        )
        return _json({"order": rest.order(order)}, 201)

    async def _update(self, request: web.Request) -> web.Response:
        order, asked = self._order(request), await self._asked(request, "order")
        fields: dict[str, Any] = {key: asked[key] or "" for key in ("note", "email", "po_number") if key in asked}
        if "tags" in asked:
            fields["tags"] = [tag.strip() for tag in asked["tags"].split(",") if tag.strip()]
        self.shop.edit(order, **fields)
        return _json({"order": rest.order(order)})

    async def _delete(self, request: web.Request) -> web.Response:
        self.shop.delete(self._order(request))
        return _json({})

    async def _cancel(self, request: web.Request) -> web.Response:
        order, asked = self._order(request), await self._asked(request, "order")
        self.shop.cancel(order, asked.get("reason") or "other")
        return _json({"order": rest.order(order)})

    async def _close(self, request: web.Request) -> web.Response:
        order = self._order(request)
        self.shop.edit(order, closed_at=self.shop.clock().replace(microsecond=0))
        return _json({"order": rest.order(order)})

    async def _open(self, request: web.Request) -> web.Response:
        order = self._order(request)
        self.shop.edit(order, closed_at=None)
        return _json({"order": rest.order(order)})

    async def _transactions(self, request: web.Request) -> web.Response:
        order = self._order(request)
        return _json({"transactions": [rest.transaction(order, one) for one in order.transactions]})

    async def _transact(self, request: web.Request) -> web.Response:
        order, asked = self._order(request), await self._asked(request, "transaction")
        amount = Decimal(str(asked.get("amount") or order.outstanding))
        if asked.get("kind") == "capture":
            parent = next((one for one in order.transactions if one.kind == "authorization"), None)
            if parent is None:
                raise Refused("No authorization to capture", ("base",))
            done = self.shop.capture(order, parent, amount)
        else:
            done = self.shop.pay(order, amount, asked.get("gateway") or "manual", kind=asked.get("kind") or "sale")
        return _json({"transaction": rest.transaction(order, done)}, 201)

    async def _refunds(self, request: web.Request) -> web.Response:
        order = self._order(request)
        return _json({"refunds": [rest.refund(order, one) for one in order.refunds]})

    async def _refund(self, request: web.Request) -> web.Response:
        order, asked = self._order(request), await self._asked(request, "refund")
        by_id, payments = {line.id: line for line in order.lines}, {one.id: one for one in order.transactions}
        lines = [
            (by_id[int(one["line_item_id"])], int(one["quantity"]), one.get("restock_type") or "no_restock")
            for one in asked.get("refund_line_items") or []
        ]
        money = [
            (payments[int(one["parent_id"])], Decimal(str(one["amount"]))) for one in asked.get("transactions") or []
        ]
        refund = self.shop.refund(order, money, lines, ZERO, asked.get("note") or "")
        return _json({"refund": rest.refund(order, refund)}, 201)

    async def _fulfillments(self, request: web.Request) -> web.Response:
        order = self._order(request)
        return _json({"fulfillments": [rest.parcel(order, one) for one in order.parcels]})


def _json(value: object, status: int = 200) -> web.Response:
    headers = {"X-Shopify-API-Version": "2026-07"}
    return web.Response(body=dumps(value), status=status, content_type="application/json", headers=headers)
