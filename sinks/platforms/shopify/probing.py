"""What Shopify shows of a command: its order, payment, refund or parcel, found by our mark."""

from __future__ import annotations

from app.core.talk import Talk
from schemas.commands import Command
from schemas.events import Anchor
from schemas.facts import Customer
from schemas.platforms.shopify import facts, graph, wire
from schemas.refs import ObjectRef, find_mark
from sinks.base import Written
from sinks.platforms.shopify import inputs
from sinks.platforms.shopify.asking import READ_COST, Asking


class Probing(Asking):
    """Asks afterwards whether an earlier try got through."""

    def probe(self, command: Command) -> Talk[Written | None]:
        """Look for the mark: orders by search, everything else on its order, which a read by id shows at once."""
        if command.capability == "upsert_order":
            found = yield from self.by_mark(command.mark)
            return None if found is None else self.written(found)
        if command.capability == "upsert_customer":
            node = yield from self.ask(graph.CUSTOMER_BY_EMAIL, {"email": inputs.wanted(command, Customer).party.email})
            customer = node["customerByIdentifier"]
            return inputs.customer(customer) if customer else None
        id_ = command.links.get("order") or command.bound_id
        return (yield from self._on_order(command, graph.gid("Order", id_))) if id_ else None

    def _on_order(self, command: Command, id_: str) -> Talk[Written | None]:
        order = yield from self.order(id_)
        if command.capability == "record_payment":
            return self.payment(order, command.mark)
        if command.capability in {"issue_credit", "record_refund"}:
            return self.credit(order, command.mark)
        if command.capability == "record_shipment":
            return self.parcel(order, command)
        if command.capability == "add_note":
            there = any(one.key == inputs.key(command, "note") for one in order.metafields or ())
            return inputs.said(command) if there else None
        return None

    def reread(self, command: Command) -> Talk[Written | None]:
        """Read what a set is about to change."""
        order_id = command.links.get("order") or command.bound_id
        data = yield from self.ask(graph.READ, {"id": graph.gid("Order", order_id)}, cost=READ_COST)
        if data["order"] is None:
            return None
        order = yield from self.whole(data["order"])
        return self.parcel(order, command) if command.capability == "record_shipment" else self.written(order)

    def written(self, order: wire.Order) -> Written:
        """Return an order as it is shown."""
        mark = find_mark(order.source_identifier)
        native = facts.native(order.updated_at)
        found = facts.order(order, self.connection.time_zone)
        return Written(type="order", id=wire.text(order.id), facts=found, mark=mark, native=native)

    def payment(self, order: wire.Order, mark: str) -> Written | None:
        """Return the payment of *order* that carries *mark*."""
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

    def credit(self, order: wire.Order, mark: str) -> Written | None:
        """Return the refund of *order* that carries *mark*."""
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

    def parcel(self, order: wire.Order, command: Command) -> Written | None:
        """Return the parcel of *order* that the command is bound to, or that carries its mark."""
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

    def _part_of(self, order: wire.Order) -> tuple[Anchor, ...]:
        whole = ObjectRef(self.connection.name, self.connection.account, "order", wire.text(order.id))
        return (Anchor("object" if facts.is_copy(order) else "order", whole),)
