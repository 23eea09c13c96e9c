"""Shopify: order webhooks carry the whole order; what they cannot show (who recorded a payment) is read."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Talk
from schemas.events import Anchor, ChangeEvent, Hint, Version
from schemas.facts import Customer, Facts, Party
from schemas.platforms.shopify import PLATFORM, VERSION, drafts, facts, graph, wire
from schemas.platforms.shopify.webhooks import WEBHOOKS
from schemas.platforms.shopify.wire import text
from schemas.refs import ObjectRef, find_mark
from streams.sources.base import Hook, Identity, Page, Setup, Source
from streams.sources.platforms.shopify import drafting, reading, scopes
from streams.sources.platforms.shopify.subscribing import ShopifySubscriber

_OVERLAP = timedelta(minutes=5)
_GID = {
    "transaction": "OrderTransaction",
    "refund": "Refund",
    "fulfillment": "Fulfillment",
    "fulfillment_order": "FulfillmentOrder",
}
_READ_COST, _SWEEP_COST, _RATES_COST = 260, 900, 260
_QUIET = ("shop", "app", "bulk_operations", "products", "customers/redact", "customers/data_request")
_WALKS = {"draftOrders": "order", "orders": "order", "customers": "customer"}
"""The connections of Admin GraphQL that are walked, and what each is of."""


class ShopifySource(Source):
    """An order event brings its refunds, parcels and, when read, its payments."""

    platform = PLATFORM
    webhooks = WEBHOOKS
    read_batch: ClassVar[Mapping[str, int]] = {"order": 5}
    _told: tuple[Hook, list[ChangeEvent]] | None = None
    """The delivery that was translated last, and what it showed."""

    def topics(self) -> tuple[str, ...]:
        """Return the topics of what this connection reads."""
        return (*self.webhooks.topics, *(drafting.TOPICS if self._drafts else ()))

    def subscriber(self) -> ShopifySubscriber:
        """Register by the Admin API."""
        return ShopifySubscriber()

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare the HMAC of the raw bytes; there is no time in it, and after a rotation both secrets are good."""
        del now
        given = hook.headers.get("x-shopify-hmac-sha256", "").encode()
        wanted = [b64encode(hmac.digest(one.encode(), hook.body, "sha256")) for one in secrets]
        return any([hmac.compare_digest(given, want) for want in wanted])  # noqa: C419 - constant time

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the shop's domain."""
        domain = hook.headers.get("x-shopify-shop-domain", "")
        return frozenset((domain,)) if domain else frozenset()

    # ------------------------------------------------------------------------------------------ webhooks

    def to_events(self, hook: Hook) -> list[ChangeEvent]:
        """Return what a delivery shows completely: orders, customers, and payments that cannot be ours."""
        if self._told is None or self._told[0] is not hook:  # its hints depend on its events
            self._told = (hook, self._events(hook))
        return list(self._told[1])

    def _events(self, hook: Hook) -> list[ChangeEvent]:
        topic, body = reading.topic_of(hook), reading.body_of(hook)
        if topic.startswith("orders/") and "line_items" in body and not self._reads_orders:
            record = reading.into(body, wire.Order)
            if self._drafts and drafts.just_ordered(record):
                return []  # a read tells which draft it was
            return [reading.stamped(one, hook) for one in self._order(record, origin="webhook")]
        if topic == "order_transactions/create":
            return [reading.stamped(one, hook) for one in self._foreign_payment(reading.into(body, wire.Transaction))]
        if topic in {"customers/create", "customers/update"}:
            return [
                reading.stamped(one, hook)
                for one in self._customer(reading.into(body, wire.Customer), origin="webhook")
            ]
        if topic == "customers/merge":
            return [reading.stamped(one, hook) for one in self._merged(body, hook)]
        return []

    def hints(self, hook: Hook) -> list[Hint]:
        """Return the order (or customer) that must be read to know what happened.

        A subscription without our metafields does not show whose parcels these are: a read will.
        """
        topic, body = reading.topic_of(hook), reading.body_of(hook)
        if topic.startswith(_QUIET) or body.get("test") is True:
            return []
        if topic.startswith("draft_orders/"):
            wanted = self._drafts and body.get("id")
            return [self._hint("order", drafts.id_of(text(body["id"])), topic)] if wanted else []
        markless = topic.startswith("orders/") and "metafields" not in body and bool(body.get("fulfillments"))
        if not markless and self.to_events(hook):
            return []
        if topic.startswith("customers/"):
            return [self._hint("customer", text(body["id"]), topic)] if body.get("id") else []
        held = body.get("fulfillment_order")
        if isinstance(held, dict):
            return [self._hint("fulfillment_order", text(held["id"]), topic)] if held.get("id") else []
        order = reading.order_id(topic, body)
        return [self._hint("order", order, topic)] if order else []

    @property
    def _reads_orders(self) -> bool:
        """Tell whether every changed order is read, since webhooks do not show all that is wanted."""
        return any(self.connection.options.get(option) == "yes" for option in ("holds", "payment_terms"))

    @property
    def _drafts(self) -> bool:
        return self.connection.options.get("drafts") == "yes"

    def _asking(self, query: str) -> str:
        return graph.with_terms(query) if self.connection.options.get("payment_terms") == "yes" else query

    def _foreign_payment(self, record: wire.Transaction) -> Iterator[ChangeEvent]:
        """Only a manual payment can be ours (the order's metafields tell); in another currency the read decides."""
        if record.manual_payment_gateway is not False or record.currency_exchange_adjustment is not None:
            return
        if record.kind in {"sale", "capture", "authorization"} and record.order_id and record.currency:
            order = wire.Order(id=record.order_id, currency=record.currency)
            yield from self._payment(record, order, origin="webhook")

    def _merged(self, body: Mapping[str, Any], hook: Hook) -> Iterator[ChangeEvent]:
        kept = text(body.get("admin_graphql_api_customer_kept_id"))
        gone = text(body.get("admin_graphql_api_customer_deleted_id"))
        if kept and gone:
            found = Customer(party=Party(id=gone), status="merged", merged_into=kept)
            at = reading.instant(hook.headers.get("x-shopify-triggered-at"))
            yield self._event("customer", gone, found, origin="webhook", native=facts.native(at), changed_at=at)

    def _hint(self, type_: str, id_: str, reason: str) -> Hint:
        return Hint(tenant=self.connection.tenant, object=self._ref(type_, id_), reason=reason)

    # -------------------------------------------------------------------------------------- translations

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a REST or GraphQL record, of a list or of a wrapped one ({"refund": {...}})."""
        if isinstance(record, list):
            return [event for one in record for event in self.parse(type_, one)]
        if not isinstance(record, dict):
            raise DecodeError("Shopify: the record is no object.")
        if len(record) == 1 and isinstance(inner := next(iter(record.values())), dict | list):
            return self.parse(type_, inner)
        if "nodes" in record:
            return self.parse(type_, record["nodes"])
        return list(self._parsed(type_, record))

    def _parsed(self, type_: str, record: dict[str, Any]) -> Iterator[ChangeEvent]:
        try:
            if type_ == "order" and drafts.is_draft(str(record.get("id", ""))):
                yield self._draft(record)
            elif type_ == "order":
                graphql = str(record.get("id", "")).startswith("gid:")
                yield from self._order(
                    self._node(record) if graphql else reading.into(record, wire.Order), origin="read"
                )
            elif type_ == "payment":
                one = reading.into(record, wire.Transaction)
                yield from self._payment(one, wire.Order(id=one.order_id or ""), origin="read")
            elif type_ == "credit":
                refund = reading.into(record, wire.Refund)
                yield from self._refund(refund, wire.Order(id=refund.order_id or ""), origin="read")
            elif type_ == "shipment":
                parcel = reading.into(record, wire.Fulfillment)
                order = wire.Order(id=parcel.order_id or "", fulfillments=(parcel,))
                yield from self._parcel(parcel, order, origin="read")
            elif type_ == "customer":
                graphql = str(record.get("id", "")).startswith("gid:")
                shape = graph.customer(record) if graphql else record
                yield from self._customer(reading.into(shape, wire.Customer), origin="read")
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise DecodeError(f"Shopify: a {type_} does not have the documented shape.") from error

    def _draft(self, node: Mapping[str, Any]) -> ChangeEvent:
        at = reading.instant(node.get("updatedAt"))
        found = drafts.order(node, self.connection.time_zone)
        id_ = drafts.id_of(node["id"])
        return self._event("order", id_, found, origin="read", native=facts.native(at), changed_at=at)

    def _node(self, node: Mapping[str, Any]) -> wire.Order:
        return graph.order(node, holds=self.connection.options.get("holds") == "yes")

    def _order(self, record: wire.Order, *, origin: Any) -> Iterator[ChangeEvent]:  # noqa: ANN401 - a literal
        """Return the order and its parts; test orders are dropped."""
        if record.test or not text(record.id):
            return
        yield self._event(
            "order",
            text(record.id),
            facts.order(record, self.connection.time_zone),
            origin=origin,
            native=facts.native(record.updated_at),
            changed_at=record.updated_at,
            mark=find_mark(record.source_identifier),
        )
        for refund in record.refunds:
            yield from self._refund(refund, record, origin=origin)
        for parcel in record.fulfillments:
            yield from self._parcel(parcel, record, origin=origin)
        for one in record.transactions or ():
            yield from self._payment(one, record, origin=origin)

    def _payment(self, one: wire.Transaction, order: wire.Order, *, origin: Any) -> Iterator[ChangeEvent]:  # noqa: ANN401
        found = facts.payment(one, order.currency, self.connection.time_zone)
        if found is not None:
            yield self._event(
                "transaction",
                text(one.id),
                found,
                origin=origin,
                native=facts.settled((one,)),
                changed_at=one.processed_at or one.created_at,
                order=text(one.order_id or order.id),
                mark=facts.payment_mark(order, one),
                copy=facts.is_copy(order),
            )

    def _refund(self, one: wire.Refund, order: wire.Order, *, origin: Any) -> Iterator[ChangeEvent]:  # noqa: ANN401
        found = facts.credit(one, order.currency, self.connection.time_zone, included=order.taxes_included)
        if found is not None:
            yield self._event(
                "refund",
                text(one.id),
                found,
                origin=origin,
                native=facts.settled(one.transactions),
                changed_at=one.processed_at or one.created_at,
                order=text(one.order_id or order.id),
                mark=find_mark(one.note),
                copy=facts.is_copy(order),
            )

    def _parcel(self, one: wire.Fulfillment, order: wire.Order, *, origin: Any) -> Iterator[ChangeEvent]:  # noqa: ANN401
        yield self._event(
            "fulfillment",
            text(one.id),
            facts.shipment(one),
            origin=origin,
            native=facts.native(one.updated_at),
            changed_at=one.updated_at or one.created_at,
            order=text(one.order_id or order.id),
            mark=facts.shipment_mark(order, one),
            copy=facts.is_copy(order),
        )

    def _customer(self, record: wire.Customer, *, origin: Any) -> Iterator[ChangeEvent]:  # noqa: ANN401 - a literal
        if text(record.id):
            yield self._event(
                "customer",
                text(record.id),
                facts.customer(record),
                origin=origin,
                native=facts.native(record.updated_at),
                changed_at=record.updated_at,
            )

    def _event(self, type_: str, id_: str, found: Facts, **more: Any) -> ChangeEvent:  # noqa: ANN401 - see below
        order = more.get("order") or ""
        return ChangeEvent(
            tenant=self.connection.tenant,
            object=self._ref(type_, id_),
            facts=found,
            version=Version(native=more["native"], read=more["origin"] == "read"),
            changed_at=facts.utc(more["changed_at"]),
            mirror_of=more.get("mark"),
            anchors=(Anchor("object" if more.get("copy") else "order", self._ref("order", order)),) if order else (),
            origin=more["origin"],
        )

    def _ref(self, type_: str, id_: str) -> ObjectRef:
        return ObjectRef(self.connection.name, self.connection.account, type_, id_)

    # --------------------------------------------------------------------------------------------- reads

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read an order whole, whatever part of it was hinted at; or a customer."""
        ref = hint.object
        if ref.type == "customer":
            node = (yield from reading.ask(graph.CUSTOMER, {"id": graph.gid("Customer", ref.id)}))["customer"]
            return self.parse("customer", dict(node)) if node else [reading.gone(hint)]
        if ref.type == "order" and drafts.is_draft(ref.id):
            return (yield from drafting.read(hint, self.parse, self._asking(graph.READ)))
        id_ = graph.gid("Order", ref.id)
        if ref.type != "order":
            id_ = yield from self._parent(ref)
            if not id_:
                return [reading.gone(hint)] if ref.type in PLATFORM.objects else []
        node = (yield from reading.ask(self._asking(graph.READ), {"id": id_}, cost=_READ_COST))["order"]
        if node is None:
            return [reading.gone(hint)]
        return (yield from self._told_by(node))

    def _told_by(self, node: Mapping[str, Any]) -> Talk[list[ChangeEvent]]:
        """Return what the node of an order or a draft tells; an order that was a draft a moment ago waits for that."""
        events = self.parse("order", (yield from reading.whole(node)))
        if self._drafts and not drafts.is_draft(node["id"]) and drafts.just_ordered(self._node(node)):
            return (yield from drafting.joined(events, text(node["id"])))
        return events

    def _parent(self, ref: ObjectRef) -> Talk[str]:
        data = yield from reading.ask(graph.PARENT, {"id": graph.gid(_GID[ref.type], ref.id)})
        return next((str(one["id"]) for one in (data["node"] or {}).values() if one), "")

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Read several orders in one query."""
        if any(hint.object.type != "order" or drafts.is_draft(hint.object.id) for hint in hints):
            return (yield from super().read_many(hints))
        ids = [graph.gid("Order", hint.object.id) for hint in hints]
        nodes = (yield from reading.ask(self._asking(graph.READ_MANY), {"ids": ids}, cost=_SWEEP_COST))["nodes"]
        events: list[ChangeEvent] = []
        for hint, node in zip(hints, nodes, strict=True):
            events += (yield from self._told_by(node)) if node else [reading.gone(hint)]
        return events

    def sweeps(self) -> tuple[str, ...]:
        """Return the walks: orders bring their payments, refunds and parcels along."""
        return tuple(name for name in _WALKS if name != "draftOrders" or self._drafts)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk by updated_at, oldest first: a row that moves while we walk moves ahead of us, never behind.

        Paged, not by bulk operations: those take no lines of refunds and parcels (docs/decisions/0014).
        """
        place = msgspec.json.decode(cursor, type=reading.Place) if cursor else reading.Place(since=self._since())
        started = place.started or now
        queries = {"orders": (self._asking(graph.SWEEP), _SWEEP_COST), "draftOrders": (drafts.SWEEP, _SWEEP_COST)}
        (query, cost), kind = queries.get(name, (graph.CUSTOMERS, 30)), _WALKS[name]
        page = (yield from reading.ask(query, place.asked(), cost=cost))[name]
        events: list[ChangeEvent] = []
        hints: list[Hint] = []
        for node in page["nodes"]:
            try:
                events += (yield from self._told_by(node)) if kind == "order" else self.parse(kind, dict(node))
            except DecodeError:  # read by itself it is put aside, and the walk goes on
                hints.append(self._hint(kind, self._id(node), ""))
        found = Page(
            events=tuple(msgspec.structs.replace(event, origin="sweep") for event in events), hints=tuple(hints)
        )
        if page["pageInfo"]["hasNextPage"]:
            return msgspec.structs.replace(found, cursor=place.behind(page, started).text(), more=True)
        lag = timedelta(seconds=PLATFORM.consistency.search_lag_seconds)
        done = reading.Place(since=started - _OVERLAP)
        return msgspec.structs.replace(found, cursor=done.text(), complete_up_to=started - lag)

    def _id(self, node: Mapping[str, Any]) -> str:
        return drafts.id_of(node["id"]) if drafts.is_draft(node["id"]) else text(node["id"])

    def _since(self) -> datetime:
        return reading.instant(self.connection.options.get("since")) or datetime(2000, 1, 1, tzinfo=UTC)

    def identify(self) -> Talk[Identity]:
        """Ask for the shop, and for scopes where options need more; a version other than ours means ours is retired."""
        reply = yield reading.request(graph.SHOP, {})
        shop = reading.data_of(reply)["shop"]
        served = reply.headers.get(PLATFORM.version_header, VERSION)
        drift = () if served == VERSION else (f"Shopify serves API version {served} instead of {VERSION}.",)
        lacking = yield from scopes.lacking(self.connection.options)
        return Identity(
            account=shop["myshopifyDomain"],
            name=shop["name"],
            home_currency=shop["currencyCode"],
            currencies=(shop["currencyCode"],),
            time_zone=shop["ianaTimezone"],
            missing=(*drift, *lacking),
        )

    def setup(self) -> Talk[Setup]:
        """Look at which taxes the shop's latest orders sold."""
        data = yield from reading.ask(graph.RATES, {}, cost=_RATES_COST)
        return Setup(rates=graph.rates(data["orders"]["nodes"]))
