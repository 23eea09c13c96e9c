"""Shopify, simulated: Admin GraphQL 2026-07, the legacy order endpoints, signed webhooks and people's acts."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from hmac import new as hmac_of
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, cast
from uuid import UUID

from aiohttp import web
from graphql import GraphQLError

from app.sandbox.base import Bucket, Operation, Sandbox, dumps
from app.sandbox.platforms.shopify.acts import Acts, books, head
from app.sandbox.platforms.shopify.drafts import Draft, Drafts
from app.sandbox.platforms.shopify.engine import SINGLE_LIMIT, Engine, understood
from app.sandbox.platforms.shopify.graph import (
    Of,
    after_key,
    at,
    least,
    matches,
    number,
    page,
    searched,
    since,
    texts,
)
from app.sandbox.platforms.shopify.legacy import Legacy
from app.sandbox.platforms.shopify.rest import gid
from app.sandbox.platforms.shopify.shop import INDEXED, Shop
from app.sandbox.platforms.shopify.subscriptions import VERSION, Subscriptions
from app.sandbox.platforms.shopify.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from app.sandbox.platforms.shopify.records import Customer, Order

RESTORE = 100
_DAY = 86_400


class ShopifySandbox(Sandbox):
    """One shop; its account is its myshopify.com domain."""

    slug: ClassVar[str] = "shopify"
    token_paths: ClassVar[tuple[str, ...]] = ("/admin/oauth/",)
    token: ClassVar[str] = "shpat_sandbox"
    client_secret: ClassVar[str] = "shpss_sandbox"
    scopes: tuple[str, ...] = ("write_orders", "write_customers", "write_fulfillments", "read_draft_orders")
    """What the merchant granted the app, as it asks; a query is answered all the same."""
    deepest = 25_000
    """Records after which a walk ends, however many are left."""
    whole_days = False
    """Customers are searched by the day of their change, as the schema says of their updated_at."""

    def __init__(self, account: str = "example.myshopify.com", **knobs: Any) -> None:  # noqa: ANN401 - see Sandbox
        super().__init__(account, **knobs)
        first = 5_000_000_000_000 + int(sha256(account.encode()).hexdigest()[:6], 16) * 1000
        self.shop = Shop(account, self.clock, self._tell, first)
        self.shop.wants = self.hooks.wanted
        self.shop.changed = lambda order: self.remember(head(order))
        self.points = Bucket(20 * RESTORE * self.quota_scale, RESTORE * self.quota_scale, self.clock)
        self.calls = Bucket(40 * self.quota_scale, 2 * self.quota_scale, self.clock)
        self.tokens = Tokens(account, self.client_secret, self.clock, self.random)
        self.subscriptions = Subscriptions(self.shop.new_id, self.clock, self._serve)
        self.drafts = Drafts(self.shop, self._tell)
        self.verbs = {
            **Acts(self.shop, self.drafts).verbs(),
            "fall_silent": self.subscriptions.fall_silent,
            "consent": self.tokens.consent.act,
            "uninstall": self.tokens.uninstall,
            "keep_used": self.tokens.keep_used,
        }
        own: dict[str, Any] = {**self.subscriptions.mutations(), "bulkOperationRunQuery": self._bulk}
        self.engine = Engine(self.shop, self._queries(), own)
        self.engine.idempotency_off = lambda: self.injector.happens("idempotency_off")

    # ----------------------------------------------------------------------------------------- the sandbox

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's routes: one for GraphQL, two for tokens, the legacy ones."""
        return [
            web.get("/admin/oauth/authorize", self.tokens.consent.page),
            web.post("/admin/api/{version}/graphql.json", self._graphql),
            web.post("/admin/oauth/access_token", self._token),
            *Legacy(self).routes(),
        ]

    def books(self) -> list[dict[str, Any]]:
        """Return every order, payment, refund and parcel."""
        return books(self.shop)

    def sign(self, body: bytes, url: str, secret: str, now: datetime) -> Mapping[str, str]:  # noqa: ARG002
        """Return base64 of HMAC-SHA256 over the raw body."""
        return {"X-Shopify-Hmac-Sha256": b64encode(hmac_of(secret.encode(), body, sha256).digest()).decode()}

    def operation(self, request: web.Request, body: bytes) -> Operation:
        """Return the GraphQL operation's field; a POST of a query changes nothing."""
        if not request.path.endswith("/graphql.json"):
            return super().operation(request, body)
        asked = _body(body)
        found = understood(str(asked.get("query") or ""), asked.get("operationName"))
        return Operation(found.name, found.mutating, _key(found.key, asked))

    def throttled(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Return the 429 that guards the whole platform."""
        answer = {"errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume service."}
        return _json(answer, 429, {"Retry-After": "2.0"})

    def unauthorized(self, request: web.Request) -> web.Response:  # noqa: ARG002
        """Return the reply to a token that is unknown or expired."""
        message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
        return _json({"errors": message}, 401)

    def known_token(self, request: web.Request) -> bool:
        """Tell whether the access token is good."""
        token = request.headers.get("X-Shopify-Access-Token", "")
        return token == self.token or self.tokens.good(token)

    def _tell(self, topic: str, body: Mapping[str, Any]) -> None:
        if not self.hooks.wanted(topic):
            return
        now = self.clock()
        headers = {
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": self.account,
            "X-Shopify-API-Version": VERSION,
            "X-Shopify-Webhook-Id": str(UUID(int=self.random.getrandbits(128), version=4)),
            "X-Shopify-Event-Id": str(UUID(int=self.random.getrandbits(128), version=4)),
            "X-Shopify-Triggered-At": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        order = body.get("order_id") or body.get("id") or ""
        self.emit(dumps(body), topic=topic, headers=headers, key=str(order))

    def _serve(self, uri: str, topics: frozenset[str]) -> None:
        """Send an address what is subscribed to for it, signed as an app's subscriptions are."""
        self.hooks.keep(uri, self.client_secret, topics or None)

    # ---------------------------------------------------------------------------------------------- tokens

    async def _token(self, request: web.Request) -> web.Response:
        status, answer = self.tokens.grant(await request.post())
        return _json(answer, status)

    # --------------------------------------------------------------------------------------------- GraphQL

    async def _graphql(self, request: web.Request) -> web.Response:
        if not self.known_token(request):
            return self.unauthorized(request)
        asked = _body(await request.read())
        operation = asked.get("operationName")
        found = understood(str(asked.get("query") or ""), operation)
        if found.document is None:
            return _json({"errors": found.errors})
        if found.cost > SINGLE_LIMIT:
            message = f"Query cost is {found.cost}, which exceeds the single query max cost limit (1000)."
            return _json({"errors": [{"message": message, "extensions": {"code": "MAX_COST_EXCEEDED"}}]})
        if not self.points.take(found.cost).allowed:
            self.counters["429"] += 1
            return _json(
                {
                    "errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}],
                    "extensions": {"cost": self._cost(found.cost, None)},
                }
            )
        answer = self.engine.run(found, asked.get("variables"), operation)
        actual = found.cost if found.mutating else min(found.cost, 1 + self.engine.resolved // 4)
        self.points.give_back(found.cost - actual)
        return _json({**answer, "extensions": {"cost": self._cost(found.cost, actual)}})

    def _cost(self, requested: int, actual: int | None) -> dict[str, Any]:
        status = {
            "maximumAvailable": self.points.capacity,
            "currentlyAvailable": int(self.points.points),
            "restoreRate": self.points.per_second,
        }
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}

    def _queries(self) -> dict[str, Any]:
        shop = self.shop
        return {
            "shop": self._shop,
            "currentAppInstallation": self._installation,
            "order": lambda id: shop.orders.get(number(id)),  # noqa: A006 - the vendor's name
            "orders": self._orders,
            "orderByIdentifier": self._by_identifier,
            "customer": lambda id: shop.customers.get(number(id)),  # noqa: A006
            "customerByIdentifier": lambda identifier: self._customer(**identifier),
            "customers": self._customers,
            "draftOrder": lambda id: self.drafts.held.get(number(id)),  # noqa: A006
            "draftOrders": self._drafts,
            "fulfillmentOrder": lambda id: shop.part(number(id)),  # noqa: A006
            "job": lambda id: {"id": id, "done": True},  # noqa: A006 - jobs of this shop are quick
            "node": lambda id: self._node(id),  # noqa: A006, PLW0108
            "nodes": lambda ids: [self._node(one) for one in ids],
            "fulfillment": lambda id: self._node(id),  # noqa: A006, PLW0108
            "refund": lambda id: self._node(id),  # noqa: A006, PLW0108
            "webhookSubscriptions": lambda **args: page(self.subscriptions.rows(), **args),
            "bulkOperation": lambda id: {"id": id, "status": "COMPLETED", "type": "QUERY", "query": ""},  # noqa: A006
        }

    def _installation(self) -> dict[str, Any]:
        return {"id": gid("AppInstallation", 1), "accessScopes": [{"handle": one} for one in self.scopes]}

    def _shop(self) -> dict[str, Any]:
        return {
            "id": gid("Shop", 1),
            "name": self.account.split(".")[0],
            "myshopifyDomain": self.account,
            "currencyCode": self.shop.currency,
            "ianaTimezone": "Europe/Berlin",
            "email": f"owner@{self.account}",
            "taxesIncluded": False,
        }

    def _orders(self, query: str | None = None, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - sorting and paging
        sort_key, reverse = asked.pop("sortKey", "PROCESSED_AT"), asked.pop("reverse", False)
        if sort_key == "UPDATED_AT" and not reverse:
            return self._changed_orders(query, **asked)
        if sort_key == "ID" and not reverse:
            rows = (order for order in self.shop.past(least(query) - 1) if self._found(order, query))
            return page(list(islice(rows, (asked.get("first") or 50) + 1)), asked.get("first"))
        return self._placed_orders(query, reverse=reverse, **asked)

    def _placed_orders(
        self,
        query: str | None,
        *,
        reverse: bool,
        first: int | None = None,
        after: str | None = None,
        **_: Any,  # noqa: ANN401 - other arguments
    ) -> dict[str, Any]:
        """Return one page by processed_at; a search for a text looks only at the orders that hold it."""
        fields = {"tag", *INDEXED}
        held = [self.shop.having(name, value) for name, value in texts(query) if name in fields]
        if held:
            found = [order for order in min(held, key=len) if self._found(order, query)]
            found.sort(key=lambda order: (order.processed_at, order.id), reverse=reverse)
            return page(found, first, after)
        past = after_key(after)
        walked = self.shop.by_time(int(past) if past.isdigit() else 0, reverse=reverse)
        rows = list(islice((order for order in walked if self._found(order, query)), min(first or 50, 250) + 1))
        return page(rows, first, previous=bool(after))

    def _found(self, order: Order, query: str | None) -> bool:
        return self.visible(order.changed_at) and matches(query, searched(order))

    def _changed_orders(self, query: str | None, first: int = 50, after: str | None = None) -> dict[str, Any]:
        """Return one page by updated_at without looking at the orders before it."""
        walked = self.shop.changed_since(since(query), _past(after))
        return self._walked((order for order in walked if self._found(order, query)), first, after)

    def _walked(self, rows: Iterator[Any], first: int | None, after: str | None) -> dict[str, Any]:
        """Return one page of a walk by updated_at, which Shopify ends after so many records."""
        before, most = int(after_key(after).rpartition(" ")[2] or 0), min(first or 50, 250)
        found = list(islice(rows, most + 1))
        if before + min(most, len(found)) > self.deepest:
            raise GraphQLError(f"Pagination is limited to {self.deepest} objects.")
        places = {one.id: before + position for position, one in enumerate(found, 1)}
        return page(found, most, previous=bool(after), key=lambda one: f"{_second(one)} {one.id} {places[one.id]}")

    def _drafts(
        self,
        query: str | None = None,
        first: int | None = None,
        after: str | None = None,
        *,
        reverse: bool = False,
        **asked: Any,  # noqa: ANN401 - sorting
    ) -> dict[str, Any]:
        walked = self.drafts.walk(query, _past(after), self.visible)
        if reverse or asked.get("sortKey") == "ID":
            return page(reversed(list(walked)) if reverse else sorted(walked, key=lambda one: one.id), first)
        return self._walked(walked, first, after)

    def _customers(self, query: str | None = None, first: int | None = None, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - paging
        after = asked.get("after")
        mails = [value for name, value in texts(query) if name == "email"]
        known = self.shop.by_email.get(mails[0].lower()) if mails and not after else None
        if by_id := asked.get("sortKey") == "ID":
            walked: Iterable[Customer] = (self.shop.customers[id_] for id_ in sorted(self.shop.customers))
        else:
            begin = since(query) - (since(query) % _DAY if self.whole_days else 0)
            walked = ([known] if known else []) if mails else self.shop.customers_since(begin, _past(after))
        seen = (one for one in walked if self.visible(one.updated_at) and matches(query, self._searched(one)))
        return page(list(islice(seen, (first or 50) + 1)), first) if by_id else self._walked(seen, first, after)

    def _searched(self, one: Customer) -> dict[str, Any]:
        shown = one.updated_at.replace(hour=23, minute=59, second=59) if self.whole_days else one.updated_at
        return {"email": one.email, "id": str(one.id), "updated_at": shown}

    def _by_identifier(self, identifier: Mapping[str, Any]) -> Any:  # noqa: ANN401 - an order or nothing
        if identifier.get("id"):
            return self.shop.orders.get(number(identifier["id"]))
        custom = identifier["customId"]
        key = (custom.get("namespace") or "custom", custom["key"])
        held = self.shop.having("metafield {}.{}".format(*key), custom["value"])
        values = ((order, order.metafields.get(key)) for order in held)
        return next((order for order, found in values if found and found[2] == custom["value"]), None)

    def _customer(self, **identifier: str) -> Any:  # noqa: ANN401 - a customer or nothing
        if email := identifier.get("emailAddress"):
            return self.shop.by_email.get(email.lower())
        return self.shop.customers.get(number(identifier.get("id", "")))

    def _node(self, id_: str) -> Any:  # noqa: ANN401 - any record
        type_, wanted = id_.split("/")[-2], number(id_)
        if type_ in {"Order", "Customer"}:
            records: Mapping[int, Any] = self.shop.orders if type_ == "Order" else self.shop.customers
            return records.get(wanted)
        if type_ == "FulfillmentOrder":
            return self.shop.part(wanted)
        places = {"Fulfillment": "parcels", "Refund": "refunds", "OrderTransaction": "transactions"}
        order = self.shop.owner(wanted)
        if order is None or order.id not in self.shop.orders:
            return None
        parts: list[Any] = getattr(order, places.get(type_, ""), [])
        return next((Of(order, part) for part in parts if part.id == wanted), None)

    def _bulk(self, query: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401 - groupObjects
        operation = {
            "id": gid("BulkOperation", self.shop.new_id()),
            "status": "CREATED",
            "type": "QUERY",
            "query": query,
            "createdAt": at(self.clock()),
            "objectCount": "0",
            "rootObjectCount": "0",
        }
        return {"bulkOperation": operation, "userErrors": []}


def _second(one: Customer | Draft | Order) -> int:
    return int(one.updated_at.timestamp())


def _past(after: str | None) -> tuple[int, int]:
    """Return second and id of the last record that a walk by updated_at showed."""
    second, id_, _ = (after_key(after) or "-1 0 0").split()
    return int(second), int(id_)


def _body(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _key(literal: str, asked: Mapping[str, Any]) -> str:
    if literal != "variable":
        return literal
    variables = asked.get("variables") or {}
    return str(variables.get("key") or literal)


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    more = {"X-Shopify-API-Version": VERSION, **(headers or {})}
    return web.Response(body=dumps(value), status=status, content_type="application/json", headers=more)
