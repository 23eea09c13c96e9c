"""Shopify: guarded by reading first; a write without a mark field is announced in a metafield of its order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any
from uuid import uuid5

import msgspec

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
    UnsupportedError,
)
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.events import Anchor
from schemas.facts import Credit, Customer, Order, Payment, Shipment
from schemas.money import text
from schemas.platforms.shopify import NAMESPACE, PATH, PLATFORM, facts, graph, wire, writes
from schemas.platforms.shopify.facts import Claim
from schemas.platforms.shopify.replies import meaning
from schemas.refs import NAMESPACE as UUIDS
from schemas.refs import ObjectRef, find_mark
from sinks.base import Sink, Written
from sinks.platforms.shopify import inputs

_FIXED = frozenset(("currency", "payable_amount", "lines", "number"))
_REASONS = frozenset(("CUSTOMER", "DECLINED", "FRAUD", "INVENTORY", "OTHER", "STAFF"))
_GONE = {402: "the shop is frozen", 404: "there is no such shop", 423: "the shop is locked"}
_READ_COST = 260
_JOB_POLLS = 5


class ShopifySink(Sink):
    """Orders carry our mark in sourceIdentifier, refunds in their note, payments and parcels through a claim."""

    platform = PLATFORM

    # ------------------------------------------------------------------------------------------- orders

    def upsert_order(self, command: Command) -> Talk[Written]:
        """Create an order without receipts or stock changes; of a bound one change note, e-mail, order number."""
        order = inputs.wanted(command, Order)
        if command.bound_id:
            return (yield from self._update(command, order))
        found = yield from self._by_mark(command.mark)
        if found is not None:
            return self._written(found)
        email = order.customer.email if order.customer else ""
        data = yield from self._write(
            "create",
            writes.ORDER_CREATE,
            {"order": inputs.new_order(command, order)},
            lock=f"customer:{email}" if email else "",
            shared=False,
        )
        return self._written(graph.order(data["orderCreate"]["order"]))

    def _update(self, command: Command, order: Order) -> Talk[Written]:
        if fixed := _FIXED & set(command.changes):
            raise UnsupportedError(f"Shopify: {', '.join(sorted(fixed))} of an order is changed by a person.")
        wanted = {"note": order.note, "poNumber": order.po_number, "email": inputs.email(order.customer)}
        names = {"note": "note", "poNumber": "po_number", "email": "email"}
        changed = {field: value for field, value in wanted.items() if names[field] in command.changes}
        variables = {"input": {"id": graph.gid("Order", command.bound_id), **changed}}
        data = yield from self._write("update", writes.ORDER_UPDATE, variables)
        return self._written(graph.order(data["orderUpdate"]["order"]))

    def set_status(self, command: Command) -> Talk[Written]:
        """Cancel (no money moves, nobody is mailed), hold, release, archive or reopen."""
        id_ = graph.gid("Order", command.bound_id or command.links["order"])
        before = yield from self._read(id_)
        if command.status == "cancelled":
            if before.cancelled_at is None:
                yield from self._cancel(id_, command.text)
        elif command.status in {"on_hold", "open"}:
            yield from self._hold(id_, command)
        elif command.status == "closed":
            yield from self._write("close", writes.CLOSE, {"id": id_})
        else:
            raise UnsupportedError(f"Shopify has no way to set an order to {command.status}.")
        return self._written((yield from self._read(id_)))

    def _cancel(self, id_: str, reason: str) -> Talk[None]:
        word = reason.upper() if reason.upper() in _REASONS else "OTHER"
        note = reason if reason and word == "OTHER" else None
        data = yield from self._write("cancel", writes.CANCEL, {"id": id_, "reason": word, "staffNote": note})
        job = data["orderCancel"]["job"]
        for _ in range(_JOB_POLLS):
            if job is None or job["done"]:
                return
            job = (yield from self._ask(writes.JOB, {"id": job["id"]}))["job"]

    def _hold(self, id_: str, command: Command) -> Talk[None]:
        """Hold every open part with the order's key as external id; release removes only those holds."""
        external = f"{NAMESPACE}:{command.order}"
        for part in (yield from self._parts(id_)):
            held = part["status"] == "ON_HOLD"
            if command.status == "on_hold" and part["status"] in {"OPEN", "IN_PROGRESS", "SCHEDULED"}:
                hold = {"reason": "OTHER", "reasonNotes": command.text or "on hold", "externalId": external}
                yield from self._write(f"hold {part['id']}", writes.HOLD, {"id": part["id"], "hold": hold})
            elif command.status == "open" and held:
                variables = {"id": part["id"], "externalId": external}
                yield from self._write(f"release {part['id']}", writes.RELEASE, variables)

    def add_note(self, command: Command) -> Talk[Written]:
        """Keep a note in a metafield of its own: setting it again is harmless, the customer's note stays as it is."""
        id_ = graph.gid("Order", command.bound_id or command.links["order"])
        yield from self._metafield(id_, "note", command, command.text, "multi_line_text_field")
        return inputs.said(command)

    def request_payment(self, command: Command) -> Talk[Written]:
        """Mail the customer a link to pay (contacts the customer)."""
        id_ = graph.gid("Order", command.bound_id or command.links["order"])
        yield from self._write("send", writes.INVOICE_SEND, {"id": id_})
        return inputs.said(command)

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Make or change the customer with this e-mail, in one call that the vendor makes an upsert."""
        party = inputs.wanted(command, Customer).party
        if not party.email:
            raise RejectedError("Shopify needs an e-mail address to find a customer by.")
        first, _, last = party.name.partition(" ")
        named = {"email": party.email, "firstName": first, "lastName": last, "phone": party.phone}
        variables = {"email": party.email, "input": {key: value for key, value in named.items() if value}}
        data = yield from self._write(
            "customer", writes.CUSTOMER_SET, variables, lock=f"customer:{party.email.lower()}"
        )
        return inputs.customer(data["customerSet"]["customer"])

    # ------------------------------------------------------------------------------------------ payments

    def record_payment(self, command: Command) -> Talk[Written]:
        """Record money that came some other way: a claim names amount and second, then the payment is made so."""
        payment, id_ = inputs.wanted(command, Payment), graph.gid("Order", command.links["order"])
        order = yield from self._read(id_)
        if (done := self._payment(order, command.mark)) is not None:
            return done
        key = inputs.key(command, "payment")
        claim = facts.claims(order, "payment").get(key)
        if claim is None:
            at = inputs.free_second(order, payment, self.connection.time_zone)
            claim = Claim(mark=command.mark, amount=payment.amount, at=at)
            yield from self._claim(id_, "payment", command, claim)
        variables = {
            "id": id_,
            "method": self.connection.options.get("payment_method") or None,
            "at": claim.at.astimezone(UTC).isoformat() if claim.at else None,
            # Only Shopify Plus takes an amount; all that is owed needs none.
            "amount": None
            if payment.amount == order.total_outstanding
            else {"amount": text(payment.amount, payment.currency), "currencyCode": payment.currency},
        }
        data = yield from self._write("payment", writes.PAYMENT, variables)
        made = graph.order(data["orderCreateManualPayment"]["order"])
        found = self._payment(made, command.mark)
        if found is None:
            raise UncertainError("Shopify accepted a payment that its answer does not show.")
        return found

    def _payment(self, order: wire.Order, mark: str) -> Written | None:
        for one in order.transactions or ():
            if mark and facts.payment_mark(order, one) == find_mark(mark):
                found = facts.payment(one, order.currency, self.connection.time_zone)
                return Written(
                    type="transaction",
                    id=wire.text(one.id),
                    facts=found,
                    mark=mark,
                    native=facts.settled((one,)),
                    anchors=self._part_of(order),
                )
        return None

    def _part_of(self, order: wire.Order) -> tuple[Anchor, ...]:
        account = self.connection.account
        return (Anchor("order", ObjectRef(self.connection.name, account, "order", wire.text(order.id))),)

    # ------------------------------------------------------------------------------------------- credits

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Credit lines without moving money; an amount that no lines explain is a task for a person."""
        credit, id_ = inputs.wanted(command, Credit), graph.gid("Order", command.links["order"])
        order = yield from self._read(id_)
        if (done := self._credit(order, command.mark)) is not None:
            return done
        lines, shipping = inputs.credited_lines(order, credit)
        return (yield from self._refund(command, id_, {"refundLineItems": lines, **shipping}))

    def record_refund(self, command: Command) -> Talk[Written]:
        """Give money back on the payments it came from, newest first (moves money where a processor holds it)."""
        credit, id_ = inputs.wanted(command, Credit), graph.gid("Order", command.links["order"])
        order = yield from self._read(id_)
        if (done := self._credit(order, command.mark)) is not None:
            return done
        money = list(inputs.shares(order, credit.amount, command.links.get("payment", "")))
        transactions = [
            {
                "orderId": id_,
                "parentId": graph.gid("OrderTransaction", wire.text(parent.id)),
                "gateway": parent.gateway or "manual",
                "kind": "REFUND",
                "amount": text(amount, order.currency),
            }
            for parent, amount in money
        ]
        return (yield from self._refund(command, id_, {"currency": order.currency, "transactions": transactions}))

    def _refund(self, command: Command, id_: str, parts: Mapping[str, Any]) -> Talk[Written]:
        credit = inputs.wanted(command, Credit)
        note = f"{credit.reason} {command.mark}".strip()
        variables = {
            "input": {"orderId": id_, "note": note, "notify": False, **parts},
            "key": str(uuid5(UUIDS, f"{command.id}|refund")),
        }
        data = yield from self._write("refund", writes.REFUND, variables)
        found = self._credit(graph.order(data["refundCreate"]["order"]), command.mark)
        if found is None:
            raise UncertainError("Shopify accepted a refund that its answer does not show.")
        return found

    def _credit(self, order: wire.Order, mark: str) -> Written | None:
        for one in order.refunds:
            if mark and find_mark(one.note) == find_mark(mark):
                zone = self.connection.time_zone
                found = facts.credit(one, order.currency, zone, included=order.taxes_included)
                return Written(
                    type="refund",
                    id=wire.text(one.id),
                    facts=found,
                    mark=mark,
                    native=facts.settled(one.transactions),
                    anchors=self._part_of(order),
                )
        return None

    # ----------------------------------------------------------------------------------------- shipments

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Fulfil without mailing the customer; of a bound parcel change tracking or say that it arrived."""
        shipment, id_ = inputs.wanted(command, Shipment), graph.gid("Order", command.links["order"])
        order = yield from self._read(id_)
        parcel = self._parcel(order, command)
        if parcel is None and not command.bound_id:
            yield from self._fulfil(id_, order, command, shipment)
            parcel = self._parcel((yield from self._read(id_)), command)
        elif parcel is not None and command.bound_id and {"carrier", "tracking"} & set(command.changes):
            variables = {"id": graph.gid("Fulfillment", parcel.id), "tracking": inputs.tracking(shipment)}
            yield from self._write("track", writes.TRACK, variables)
        if parcel is None:
            raise ConflictError("Shopify no longer shows the parcel.")
        yield from self._arrive(parcel, shipment)
        done = self._parcel((yield from self._read(id_)), command)
        return done or parcel

    def _fulfil(self, id_: str, order: wire.Order, command: Command, shipment: Shipment) -> Talk[None]:
        parts = inputs.parts_to_ship((yield from self._parts(id_)), shipment)
        claim = Claim(mark=command.mark, tracking=inputs.number(shipment), place=len(order.fulfillments))
        if inputs.key(command, "shipment") not in facts.claims(order, "shipment"):
            yield from self._claim(id_, "shipment", command, claim)
        asked = {
            "notifyCustomer": False,
            "lineItemsByFulfillmentOrder": parts,
            "trackingInfo": inputs.tracking(shipment),
        }
        yield from self._write("fulfil", writes.FULFIL, {"fulfillment": asked})

    def _arrive(self, parcel: Written, shipment: Shipment) -> Talk[None]:
        shown, id_ = parcel.facts, graph.gid("Fulfillment", parcel.id)
        if not isinstance(shown, Shipment) or shown.status == shipment.status:
            return
        if shipment.status == "delivered":
            at = {"happenedAt": shipment.delivered_at.isoformat()} if shipment.delivered_at else {}
            event = {"fulfillmentId": id_, "status": "DELIVERED", **at}
            yield from self._write("delivered", writes.EVENT, {"event": event})
        elif shipment.status == "cancelled":
            yield from self._write("unfulfil", writes.UNFULFIL, {"id": id_})

    def _parcel(self, order: wire.Order, command: Command) -> Written | None:
        for one in order.fulfillments:
            bound = bool(command.bound_id) and wire.text(one.id) == command.bound_id
            mark = facts.shipment_mark(order, one)
            if bound or (command.mark and mark == find_mark(command.mark)):
                return Written(
                    type="fulfillment",
                    id=wire.text(one.id),
                    facts=facts.shipment(one),
                    mark=mark,
                    native=facts.native(one.updated_at),
                    anchors=self._part_of(order),
                )
        return None

    def _parts(self, id_: str) -> Talk[list[dict[str, Any]]]:
        order = (yield from self._ask(writes.FULFILLMENT_ORDERS, {"id": id_}, cost=120))["order"]
        nodes: list[dict[str, Any]] = order["fulfillmentOrders"]["nodes"] if order else []
        return nodes

    # ------------------------------------------------------------------------------------ asking afterwards

    def probe(self, command: Command) -> Talk[Written | None]:
        """Look for the mark: orders by search, everything else on its order, which a read by id shows at once."""
        if command.capability == "upsert_order":
            found = yield from self._by_mark(command.mark)
            return None if found is None else self._written(found)
        if command.capability == "upsert_customer":
            node = yield from self._ask(
                graph.CUSTOMER_BY_EMAIL, {"email": inputs.wanted(command, Customer).party.email}
            )
            customer = node["customerByIdentifier"]
            return inputs.customer(customer) if customer else None
        id_ = command.links.get("order") or command.bound_id
        return (yield from self._on_order(command, graph.gid("Order", id_))) if id_ else None

    def _on_order(self, command: Command, id_: str) -> Talk[Written | None]:
        order = yield from self._read(id_)
        if command.capability == "record_payment":
            return self._payment(order, command.mark)
        if command.capability in {"issue_credit", "record_refund"}:
            return self._credit(order, command.mark)
        if command.capability == "record_shipment":
            return self._parcel(order, command)
        if command.capability == "add_note":
            there = any(one.key == inputs.key(command, "note") for one in order.metafields or ())
            return inputs.said(command) if there else None
        return None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read what a set is about to change."""
        order_id = command.links.get("order") or command.bound_id
        data = yield from self._ask(graph.READ, {"id": graph.gid("Order", order_id)}, cost=_READ_COST)
        if data["order"] is None:
            return None
        order = graph.order(data["order"])
        return self._parcel(order, command) if command.capability == "record_shipment" else self._written(order)

    # ------------------------------------------------------------------------------------------- requests

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Look at the status, then inside: Shopify answers most refusals with 200."""
        if response.status in _GONE:
            return AuthError(f"Shopify answered {response.status}: {_GONE[response.status]}.")
        if (error := from_status("Shopify", response, mutating=mutating)) is not None:
            return error
        try:
            found = meaning(response.json())
        except DecodeError:
            found = meaning(None)
        message = f"Shopify answered {response.status}: {found.code}."
        unsure: Callable[[str], O2CError] = UncertainError if mutating else RetryableError
        errors: dict[str, Callable[[str], O2CError]] = {
            "throttled": lambda text_: RateLimited(text_, found.wait),
            "denied": UncertainError if mutating and found.done else AuthError,
            "broken": unsure,
            "duplicate": DuplicateError,
            "conflict": ConflictError,
            "later": RetryableError,
            "refused": UncertainError if mutating and found.done else RejectedError,
        }
        return None if found.verdict == "ok" else errors[found.verdict](message)

    def _ask(self, query: str, variables: Mapping[str, Any], cost: int = 10) -> Talk[dict[str, Any]]:
        return (yield from self._send(Request(method="POST", path=PATH, json=inputs.body(query, variables), cost=cost)))

    def _write(
        self, step: str, query: str, variables: Mapping[str, Any], lock: str = "", *, shared: bool = True
    ) -> Talk[dict[str, Any]]:
        request = Request(
            method="POST",
            path=PATH,
            json=inputs.body(query, variables),
            mutates=True,
            step=step,
            lock=lock,
            shared=shared,
            cost=10,
        )
        return (yield from self._send(request))

    def _send(self, request: Request) -> Talk[dict[str, Any]]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        data: dict[str, Any] = reply.json()["data"]
        return data

    def _read(self, id_: str) -> Talk[wire.Order]:
        node = (yield from self._ask(graph.READ, {"id": id_}, cost=_READ_COST))["order"]
        if node is None:
            raise RejectedError("Shopify has no such order any more.")
        return graph.order(node)

    def _by_mark(self, mark: str) -> Talk[wire.Order | None]:
        data = yield from self._ask(graph.FIND, {"q": f"source_identifier:'{mark}'"}, cost=400)
        found = [graph.order(node) for node in data["orders"]["nodes"]]
        return next((one for one in found if find_mark(one.source_identifier) == find_mark(mark)), None)

    def _written(self, order: wire.Order) -> Written:
        mark = find_mark(order.source_identifier)
        native = facts.native(order.updated_at)
        return Written(type="order", id=wire.text(order.id), facts=facts.order(order), mark=mark, native=native)

    def _claim(self, id_: str, kind: str, command: Command, claim: Claim) -> Talk[None]:
        yield from self._metafield(id_, kind, command, msgspec.json.encode(claim).decode(), "json")

    def _metafield(self, id_: str, kind: str, command: Command, value: str, type_: str) -> Talk[None]:
        one = {"ownerId": id_, "namespace": NAMESPACE, "key": inputs.key(command, kind), "type": type_, "value": value}
        yield from self._write(f"{kind} claim", writes.METAFIELDS, {"metafields": [one]})
