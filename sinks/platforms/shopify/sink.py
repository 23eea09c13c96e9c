"""Shopify: guarded by reading first; a write without a mark field is announced in a metafield of its order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from uuid import uuid5

from app.core.errors import ConflictError, RejectedError, UncertainError, UnsupportedError
from app.core.talk import Talk
from schemas.commands import Command
from schemas.facts import Credit, Customer, Order, Payment, Shipment
from schemas.platforms.shopify import NAMESPACE, facts, graph, wire, writes
from schemas.platforms.shopify.facts import Claim
from schemas.refs import NAMESPACE as UUIDS
from sinks.base import Written
from sinks.platforms.shopify import inputs, shipping
from sinks.platforms.shopify.probing import Probing

_FIXED = frozenset(("currency", "payable_amount", "lines", "number"))
_REASONS = frozenset(("CUSTOMER", "DECLINED", "FRAUD", "INVENTORY", "OTHER", "STAFF"))
_JOB_POLLS = 5


class ShopifySink(Probing):
    """Orders carry our mark in sourceIdentifier, refunds in their note, payments and parcels through a claim."""

    # ------------------------------------------------------------------------------------------- orders

    def upsert_order(self, command: Command) -> Talk[Written]:
        """Create an order without receipts or stock changes; of a bound one change note, e-mail, order number."""
        order = inputs.wanted(command, Order)
        if command.bound_id:
            return (yield from self._update(command, order))
        found = yield from self.by_mark(command.mark)
        if found is not None:
            return self.written(found)
        email = order.customer.email if order.customer else ""
        data = yield from self.change(
            "create",
            writes.ORDER_CREATE,
            {"order": inputs.new_order(command, order)},
            lock=f"customer:{email}" if email else "",
            shared=False,
        )
        return self.written((yield from self.whole(data["orderCreate"]["order"])))

    def _update(self, command: Command, order: Order) -> Talk[Written]:
        if fixed := _FIXED & set(command.changes):
            raise UnsupportedError(f"Shopify: {', '.join(sorted(fixed))} of an order is changed by a person.")
        wanted = {"note": order.note, "poNumber": order.po_number, "email": inputs.email(order.customer)}
        names = {"note": "note", "poNumber": "po_number", "email": "email"}
        changed = {field: value for field, value in wanted.items() if names[field] in command.changes}
        variables = {"input": {"id": graph.gid("Order", command.bound_id), **changed}}
        data = yield from self.change("update", writes.ORDER_UPDATE, variables)
        return self.written((yield from self.whole(data["orderUpdate"]["order"])))

    def set_status(self, command: Command) -> Talk[Written]:
        """Cancel (no money moves, nobody is mailed), hold, release, archive or reopen."""
        id_ = graph.gid("Order", command.bound_id or command.links["order"])
        before = yield from self.order(id_)
        if command.status == "cancelled":
            if before.cancelled_at is None:
                yield from self._cancel(id_, command.text)
        elif command.status in {"on_hold", "open"}:
            yield from self._hold(id_, command)
        elif command.status == "closed":
            yield from self.change("close", writes.CLOSE, {"id": id_})
        else:
            raise UnsupportedError(f"Shopify has no way to set an order to {command.status}.")
        return self.written((yield from self.order(id_)))

    def _cancel(self, id_: str, reason: str) -> Talk[None]:
        word = reason.upper() if reason.upper() in _REASONS else "OTHER"
        note = reason if reason and word == "OTHER" else None
        data = yield from self.change("cancel", writes.CANCEL, {"id": id_, "reason": word, "staffNote": note})
        job = data["orderCancel"]["job"]
        for _ in range(_JOB_POLLS):
            if job is None or job["done"]:
                return
            job = (yield from self.ask(writes.JOB, {"id": job["id"]}))["job"]

    def _hold(self, id_: str, command: Command) -> Talk[None]:
        """Hold every open part with the order's key as external id; release removes only those holds."""
        external = f"{NAMESPACE}:{command.order}"
        for part in (yield from self.parts(id_)):
            held = part["status"] == "ON_HOLD"
            if command.status == "on_hold" and part["status"] in {"OPEN", "IN_PROGRESS", "SCHEDULED"}:
                hold = {"reason": "OTHER", "reasonNotes": command.text or "on hold", "externalId": external}
                yield from self.change(f"hold {part['id']}", writes.HOLD, {"id": part["id"], "hold": hold})
            elif command.status == "open" and held:
                variables = {"id": part["id"], "externalId": external}
                yield from self.change(f"release {part['id']}", writes.RELEASE, variables)

    def add_note(self, command: Command) -> Talk[Written]:
        """Keep a note in a metafield of its own: setting it again is harmless, the customer's note stays as it is."""
        id_ = graph.gid("Order", command.bound_id or command.links["order"])
        yield from self.metafield(id_, "note", command, command.text, "multi_line_text_field")
        return inputs.said(command)

    def upsert_customer(self, command: Command) -> Talk[Written]:
        """Make or change the customer with this e-mail, in one call that the vendor makes an upsert."""
        party = inputs.wanted(command, Customer).party
        if not party.email:
            raise RejectedError("Shopify needs an e-mail address to find a customer by.")
        first, _, last = party.name.partition(" ")
        named = {"email": party.email, "firstName": first, "lastName": last, "phone": party.phone}
        variables = {"email": party.email, "input": {key: value for key, value in named.items() if value}}
        data = yield from self.change(
            "customer", writes.CUSTOMER_SET, variables, lock=f"customer:{party.email.lower()}"
        )
        return inputs.customer(data["customerSet"]["customer"])

    # ------------------------------------------------------------------------------------------ payments

    def record_payment(self, command: Command) -> Talk[Written]:
        """Record money that came some other way: a claim names amount and second, then the payment is made so."""
        payment, id_ = inputs.wanted(command, Payment), graph.gid("Order", command.links["order"])
        order = yield from self.order(id_)
        if (done := self.payment(order, command.mark)) is not None:
            return done
        amount = inputs.paid(order, payment)
        key = inputs.key(command, "payment")
        claim = facts.claims(order, "payment").get(key)
        if claim is None:
            at = inputs.free_second(order, payment, self.connection.time_zone)
            claim = Claim(mark=command.mark, amount=payment.amount, at=at)
            yield from self.claim(id_, "payment", command, claim)
        variables = {
            "id": id_,
            "method": self.connection.options.get("payment_method") or None,
            "at": claim.at.astimezone(UTC).isoformat() if claim.at else None,
            "amount": amount,
        }
        data = yield from self.change("payment", writes.PAYMENT, variables)
        made = yield from self.whole(data["orderCreateManualPayment"]["order"])
        found = self.payment(made, command.mark)
        if found is None:
            raise UncertainError("Shopify accepted a payment that its answer does not show.")
        return found

    # ------------------------------------------------------------------------------------------- credits

    def issue_credit(self, command: Command) -> Talk[Written]:
        """Credit lines without moving money; an amount that no lines explain is a task for a person."""
        credit, id_ = inputs.wanted(command, Credit), graph.gid("Order", command.links["order"])
        order = yield from self.order(id_)
        if (done := self.credit(order, command.mark)) is not None:
            return done
        lines, shipping = inputs.credited_lines(order, credit)
        return (
            yield from self._refund(command, id_, {**inputs.refunded_in(order), "refundLineItems": lines, **shipping})
        )

    def record_refund(self, command: Command) -> Talk[Written]:
        """Give money back on the payments it came from, newest first (moves money where a processor holds it)."""
        credit, id_ = inputs.wanted(command, Credit), graph.gid("Order", command.links["order"])
        order = yield from self.order(id_)
        if (done := self.credit(order, command.mark)) is not None:
            return done
        money = list(inputs.shares(order, credit.amount, command.links.get("payment", "")))
        transactions = [
            {
                "orderId": id_,
                "parentId": graph.gid("OrderTransaction", wire.text(parent.id)),
                "gateway": parent.gateway or "manual",
                "kind": "REFUND",
                "amount": inputs.to_buyer(order, parent, amount),
            }
            for parent, amount in money
        ]
        return (yield from self._refund(command, id_, {**inputs.refunded_in(order), "transactions": transactions}))

    def _refund(self, command: Command, id_: str, parts: Mapping[str, Any]) -> Talk[Written]:
        credit = inputs.wanted(command, Credit)
        note = f"{credit.reason} {command.mark}".strip()
        variables = {
            "input": {"orderId": id_, "note": note, "notify": False, **parts},
            "key": str(uuid5(UUIDS, f"{command.id}|refund")),
        }
        data = yield from self.change("refund", writes.REFUND, variables)
        found = self.credit((yield from self.whole(data["refundCreate"]["order"])), command.mark)
        if found is None:
            raise UncertainError("Shopify accepted a refund that its answer does not show.")
        return found

    # ----------------------------------------------------------------------------------------- shipments

    def record_shipment(self, command: Command) -> Talk[Written]:
        """Fulfil without mailing the customer; of a bound parcel change tracking or say that it arrived."""
        shipment, id_ = inputs.wanted(command, Shipment), graph.gid("Order", command.links["order"])
        order = yield from self.order(id_)
        parcel = self.parcel(order, command)
        if parcel is None and not command.bound_id:
            yield from self._fulfil(id_, order, command, shipment)
            parcel = self.parcel((yield from self.order(id_)), command)
        elif parcel is not None and command.bound_id and {"carrier", "tracking"} & set(command.changes):
            variables = {"id": graph.gid("Fulfillment", parcel.id), "tracking": inputs.tracking(shipment)}
            yield from self.change("track", writes.TRACK, variables)
        if parcel is None:
            raise ConflictError("Shopify no longer shows the parcel.")
        yield from self._arrive(parcel, shipment)
        done = self.parcel((yield from self.order(id_)), command)
        return done or parcel

    def _fulfil(self, id_: str, order: wire.Order, command: Command, shipment: Shipment) -> Talk[None]:
        parts = shipping.to_ship((yield from self.parts(id_)), order, shipment)
        claim = Claim(mark=command.mark, tracking=inputs.number(shipment), place=len(order.fulfillments))
        if inputs.key(command, "shipment") not in facts.claims(order, "shipment"):
            yield from self.claim(id_, "shipment", command, claim)
        asked = {
            "notifyCustomer": False,
            "lineItemsByFulfillmentOrder": parts,
            "trackingInfo": inputs.tracking(shipment),
        }
        yield from self.change("fulfil", writes.FULFIL, {"fulfillment": asked})

    def _arrive(self, parcel: Written, shipment: Shipment) -> Talk[None]:
        shown, id_ = parcel.facts, graph.gid("Fulfillment", parcel.id)
        if not isinstance(shown, Shipment) or shown.status == shipment.status:
            return
        if shipment.status == "delivered":
            at = {"happenedAt": shipment.delivered_at.isoformat()} if shipment.delivered_at else {}
            event = {"fulfillmentId": id_, "status": "DELIVERED", **at}
            yield from self.change("delivered", writes.EVENT, {"event": event})
        elif shipment.status == "cancelled":
            yield from self.change("unfulfil", writes.UNFULFIL, {"id": id_})
