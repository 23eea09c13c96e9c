"""What can happen in the sandbox shop, by whoever does it: a customer, a clerk or an app."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any

from app.sandbox.platforms.shopify import parts, rest
from app.sandbox.platforms.shopify.index import Changes, Holders
from app.sandbox.platforms.shopify.records import (
    ZERO,
    Customer,
    Hold,
    Line,
    Order,
    Parcel,
    Refund,
    RefundLine,
    Share,
    Split,
    Transaction,
    cents,
)

INDEXED = ("name", "email", "source_identifier", "po_number")
Listener = Callable[[str, Mapping[str, Any]], None]


class Refused(ValueError):
    """A userError: the field's path, the vendor's sentence and perhaps a code."""

    def __init__(self, message: str, field: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(message)
        self.field, self.code = field, code


class Shop:
    """The shop's records; every change tells *listener* the webhook topic and its REST-shaped body."""

    def __init__(self, domain: str, clock: Callable[[], datetime], listener: Listener, first_id: int) -> None:
        self.domain, self.clock, self._tell = domain, clock, listener
        self.currency = "EUR"
        self.orders: dict[int, Order] = {}
        self.customers: dict[int, Customer] = {}
        self.by_email: dict[str, Customer] = {}
        self.gone: list[int] = []
        self.holders = Holders()
        self.placed, self.customer_changes, self._changes = Changes(), Changes(), Changes()
        self._order_ids: list[int] = []
        self._owners: dict[int, Order] = {}
        self.wants: Callable[[str], bool] = lambda _: True
        """Tells whether anybody listens to a topic; what nobody hears is not put into words."""
        self.changed: Callable[[Order], None] = lambda _: None
        """Hears of every order that changed."""
        self._ids, self._numbers = count(first_id), count(1001)

    def changed_since(self, since: int, after: tuple[int, int]) -> Iterator[Order]:
        """Yield the orders updated at or after *since* and past *after*, oldest change first."""
        for at, id_ in self._changes.since(since, after):
            order = self.orders.get(id_)
            if order is not None and int(order.updated_at.timestamp()) == at:
                yield order

    def customers_since(self, since: int, after: tuple[int, int]) -> Iterator[Customer]:
        """Yield the customers updated at or after *since* and past *after*, oldest change first."""
        for at, id_ in self.customer_changes.since(since, after):
            found = self.customers.get(id_)
            if found is not None and int(found.updated_at.timestamp()) == at:
                yield found

    def by_time(self, after: int, *, reverse: bool) -> Iterator[Order]:
        """Yield the orders by the time they were processed, past the order *after* (0 for all)."""
        last = self.orders.get(after)
        if after and last is None:
            return
        entries = self.placed.walk(_placed(last) if last is not None else None, reverse=reverse)
        yield from (order for _, id_ in entries if (order := self.orders.get(id_)) is not None)

    def past(self, id_: int) -> Iterator[Order]:
        """Yield the orders with greater ids, the smallest first."""
        ids = self._order_ids
        places = range(bisect_right(ids, id_), len(ids))
        return (order for place in places if (order := self.orders.get(ids[place])) is not None)

    def having(self, name: str, value: str) -> list[Order]:
        """Return the orders that hold, or held, *value* in an indexed field."""
        return [order for id_ in self.holders.having(name, value) if (order := self.orders.get(id_)) is not None]

    def owner(self, part: int) -> Order | None:
        """Return the order of a transaction, refund or parcel."""
        return self._owners.get(part)

    def part(self, id_: int) -> parts.FulfillmentOrder | None:
        """Return a fulfilment order."""
        order = self.orders.get(id_) or self._owners.get(id_)
        found = parts.fulfillment_orders(order) if order is not None and order.id in self.orders else []
        return next((one for one in found if one.id == id_), None)

    def own(self, order: Order, part: int) -> None:
        """Remember whose a transaction, refund or parcel is."""
        self._owners[part] = order

    def new_id(self) -> int:
        """Return an id that nothing has."""
        return next(self._ids)

    def order(self, id_: int) -> Order:
        """Return an order; a missing one is refused in the vendor's words."""
        if id_ not in self.orders:
            raise Refused("Order does not exist", ("id",), "NOT_FOUND")
        return self.orders[id_]

    def _changed(self, order: Order, *topics: str) -> None:
        order.version += 1
        order.changed_at = self.clock()
        order.updated_at = order.changed_at.replace(microsecond=0)
        self._changes.note(int(order.updated_at.timestamp()), order.id)
        self.index(order)
        self.changed(order)
        heard = [topic for topic in topics if self.wants(topic)]
        body = rest.order(order) if heard else {}
        for topic in heard:
            self._tell(topic, body)

    def index(self, order: Order) -> None:
        """Make an order findable by what searches and apps ask for."""
        for name in INDEXED:
            self.holders.note(name, getattr(order, name), order.id)
        for tag in order.tags:
            self.holders.note("tag", tag, order.id)
        for (space, key), (_, _, value) in order.metafields.items():
            self.holders.note(f"metafield {space}.{key}", value, order.id)

    def customer(self, email: str, name: tuple[str, str] = ("", ""), **changes: str) -> Customer:
        """Return the customer with *email*, made or changed."""
        now = self.clock().replace(microsecond=0)
        found = self.by_email.get(email.lower())
        is_new = found is None
        if found is None:
            found = Customer(self.new_id(), email, *name, created_at=now, updated_at=now)
            self.customers[found.id] = self.by_email[email.lower()] = found
        wanted = {"first": name[0], "last": name[1], **changes}
        changed = {key: value for key, value in wanted.items() if value and getattr(found, key) != value}
        for key, value in changed.items():
            setattr(found, key, value)
        if is_new or changed:
            found.version += 1
            self.customer_changes.note(int(now.timestamp()), found.id)
            found.updated_at = now
            self._tell("customers/create" if is_new else "customers/update", rest.customer(found))
        return found

    def line(self, sku: str, title: str, quantity: int, price: Decimal, **more: Any) -> Line:  # noqa: ANN401
        """Return a new line."""
        if quantity < 1:
            raise Refused("Quantity must be greater than 0", ("order", "lineItems"), "INVALID")
        return Line(self.new_id(), sku, title, quantity, price, current=quantity, **more)

    def create(self, lines: list[Line], **fields: Any) -> Order:  # noqa: ANN401 - any field of an order
        """Place an order."""
        if not lines:
            raise Refused("Line items must have at least one line item", ("order", "lineItems"), "INVALID")
        now = self.clock()
        second, number = now.replace(microsecond=0), next(self._numbers)
        email = fields.pop("email", "") or ""
        customer = fields.pop("customer", None) or (self.customer(email) if email else None)
        order = Order(
            id=self.new_id(),
            number=number,
            name=fields.pop("name", "") or f"#{number}",
            currency=fields.pop("currency", "") or self.currency,
            customer=customer,
            email=email,
            lines=lines,
            created_at=second,
            processed_at=fields.pop("processed_at", None) or second,
            updated_at=second,
            changed_at=now,
            **fields,
        )
        self.orders[order.id] = order
        self._order_ids.append(order.id)
        self.placed.note(*_placed(order))
        self._changed(order, "orders/create")
        return order

    def pay(self, order: Order, amount: Decimal, gateway: str, at: datetime | None = None, **more: Any) -> Transaction:  # noqa: ANN401 - fields of a transaction
        """Take money (kind "sale") or the right to it (kind "authorization")."""
        if amount <= 0:
            raise Refused("Amount must be positive.", ("amount",), "AMOUNT_NOT_POSITIVE")
        now = self.clock().replace(microsecond=0)
        kind = more.pop("kind", "sale")
        paid = Transaction(self.new_id(), kind, cents(amount, order.currency), gateway, at or now, now, **more)
        order.transactions.append(paid)
        self.own(order, paid.id)
        self._tell("order_transactions/create", rest.transaction(order, paid))
        settled = kind != "authorization" and order.financial == "paid"
        self._changed(order, "orders/updated", *(["orders/paid"] if settled else []))
        return paid

    def pay_manually(self, order: Order, amount: Decimal | None, method: str, at: datetime | None) -> Transaction:
        """Record money that came some other way."""
        if order.cancelled_at is not None or order.outstanding <= 0:
            raise Refused("Order cannot be marked as paid", ("id",), "ORDER_IS_NOT_PAYABLE")
        amount = order.outstanding if amount is None else amount
        if amount > order.outstanding:
            raise Refused("Amount exceeds the remaining balance.", ("amount",), "AMOUNT_EXCEEDS_BALANCE")
        return self.pay(order, amount, method or "manual", at, manual=True)

    def capture(self, order: Order, parent: Transaction, amount: Decimal) -> Transaction:
        """Take money that was authorised."""
        if amount > order.authorized:
            raise Refused("Amount exceeds the authorised amount", ("amount",))
        return self.pay(order, amount, parent.gateway, kind="capture", parent=parent)

    def refund(
        self,
        order: Order,
        money: Iterable[tuple[Transaction, Decimal]] = (),
        lines: Iterable[tuple[Line, int, str]] = (),
        shipping: Decimal = ZERO,
        note: str = "",
        at: datetime | None = None,
    ) -> Refund:
        """Give back lines, shipping and money; each part alone is allowed, nothing at all is not."""
        money, lines = list(money), list(lines)
        self._refundable(order, money, lines, shipping)
        now, before = self.clock().replace(microsecond=0), order.current_total()
        refund = Refund(self.new_id(), note, now, at or now, shipping=shipping)
        for line, quantity, restock in lines:
            value, tax = line.value(quantity, order.currency), order.line_tax(line, quantity)
            refund.lines.append(RefundLine(self.new_id(), line, quantity, restock, value, tax))
            line.current -= quantity
        for parent, amount in money:
            back = Transaction(
                self.new_id(), "refund", amount, parent.gateway, at or now, now, parent=parent, manual=parent.manual
            )
            refund.transactions.append(back)
            order.transactions.append(back)
            self.own(order, back.id)
        order.refunds.append(refund)
        self.own(order, refund.id)
        if refund.money:
            order.adjustment += refund.money - (before - order.current_total())
        for back in refund.transactions:
            self._tell("order_transactions/create", rest.transaction(order, back))
        self._tell("refunds/create", rest.refund(order, refund))
        self._changed(order, "orders/updated")
        return refund

    def _refundable(
        self,
        order: Order,
        money: list[tuple[Transaction, Decimal]],
        lines: list[tuple[Line, int, str]],
        shipping: Decimal,
    ) -> None:
        if not money and not lines and not shipping:
            raise Refused("Refund must have at least one line item, shipping or transaction", ("base",))
        for position, (line, quantity, _) in enumerate(lines):
            if line not in order.lines:
                raise Refused(
                    "Line item must belong to the order which is being refunded",
                    ("refundLineItems", str(position), "lineItemId"),
                )
            if quantity > line.current:
                raise Refused(
                    "Quantity cannot refund more items than were purchased",
                    ("refundLineItems", str(position), "quantity"),
                )
        if sum((amount for _, amount in money), ZERO) > order.received - order.refunded:
            raise Refused("Refund amount cannot be greater than the available amount", ("transactions",))

    def fulfil(
        self, order: Order, picked: list[tuple[Share, int]], company: str, numbers: list[str], urls: list[str]
    ) -> Parcel:
        """Ship what was *picked* of the order's parts."""
        if not picked or order.cancelled_at is not None:
            raise Refused("The fulfillment order is not in a fulfillable state.", ("fulfillment",))
        asked: Counter[int] = Counter()
        for one, quantity in picked:
            asked[one.id] += quantity
        if any(quantity < 1 or asked[one.id] > one.left for one, quantity in picked):
            raise Refused("Invalid fulfillment order line item quantity requested.", ("fulfillment",))
        now = self.clock().replace(microsecond=0)
        name = f"{order.name}.{len(order.parcels) + 1}"
        parcel = Parcel(self.new_id(), name, [], company, numbers, urls, created_at=now, updated_at=now)
        for line in order.lines:
            shipped = sum(quantity for one, quantity in picked if one.line is line)
            line.fulfilled += shipped
            parcel.lines += [(line, shipped)] if shipped else []
        for one, quantity in picked:
            one.left -= quantity
        order.parcels.append(parcel)
        self.own(order, parcel.id)
        self._tell("fulfillments/create", rest.parcel(order, parcel))
        whole = order.fulfilment == "fulfilled"
        self._changed(order, "orders/updated", "orders/fulfilled" if whole else "orders/partially_fulfilled")
        return parcel

    def track(self, order: Order, parcel: Parcel, company: str, numbers: list[str], urls: list[str]) -> Parcel:
        """Change a parcel's tracking."""
        parcel.company, parcel.numbers, parcel.urls = company, numbers, urls
        return self._parcel_changed(order, parcel)

    def happen(self, order: Order, parcel: Parcel, status: str, at: datetime | None = None) -> int:
        """Note what the carrier says about a parcel."""
        event = (self.new_id(), status, at or self.clock().replace(microsecond=0))
        parcel.events.append(event)
        parcel.shipment_status = status
        if status == "delivered":
            parcel.delivered_at = event[2]
        self._tell("fulfillment_events/create", rest.event(order, parcel, event))
        self._parcel_changed(order, parcel)
        return event[0]

    def unfulfil(self, order: Order, parcel: Parcel) -> Parcel:
        """Cancel a parcel."""
        if parcel.status == "success":
            for line, quantity in parcel.lines:
                line.fulfilled -= quantity
        parcel.status = "cancelled"
        return self._parcel_changed(order, parcel)

    def _parcel_changed(self, order: Order, parcel: Parcel) -> Parcel:
        parcel.updated_at = self.clock().replace(microsecond=0)
        self._tell("fulfillments/update", rest.parcel(order, parcel))
        self._changed(order, "orders/updated")
        return parcel

    def split(self, order: Order, wanted: Iterable[tuple[Line, int]], location: int) -> Split:
        """Have lines of an order shipped in a fulfilment order of their own."""
        shares = [Share(self.new_id(), line, quantity, quantity) for line, quantity in wanted]
        order.splits.append(Split(self.new_id(), location, shares))
        self.own(order, order.splits[-1].id)
        self._changed(order, "orders/updated")
        return order.splits[-1]

    def hold(self, part: parts.FulfillmentOrder, reason: str, notes: str, external_id: str) -> Hold:
        """Stop the shipping of a part of an order."""
        order = part.order
        if external_id and any(hold.external_id == external_id for hold in part.holds):
            raise Refused("External ID has already been taken", ("externalId",), "TAKEN")
        hold = Hold(self.new_id(), reason, notes, external_id, part.id)
        order.holds.append(hold)
        self._tell("fulfillment_orders/placed_on_hold", rest.fulfillment_order(part.id, held=True))
        self._changed(order, "orders/updated")
        return hold

    def release(self, part: parts.FulfillmentOrder, ids: Iterable[int], external_id: str = "") -> None:
        """Let a part be shipped again; no ids and no external id release everything."""
        order, ids = part.order, set(ids)
        order.holds = [
            hold
            for hold in order.holds
            if hold.part != part.id or (ids and hold.id not in ids) or (external_id and hold.external_id != external_id)
        ]
        self._tell("fulfillment_orders/hold_released", rest.fulfillment_order(part.id, held=bool(part.holds)))
        self._changed(order, "orders/updated")

    def cancel(self, order: Order, reason: str) -> None:
        """Cancel an order; the money stays where it is."""
        if order.cancelled_at is not None:
            raise Refused("Cannot cancel an order that has already been canceled", ("orderId",), "INVALID")
        order.cancelled_at = self.clock().replace(microsecond=0)
        order.cancel_reason = reason.lower()
        self._changed(order, "orders/cancelled", "orders/updated")

    def edit(self, order: Order, lines: list[Line] | None = None, **fields: Any) -> None:  # noqa: ANN401 - any field
        """Change fields of an order, or replace its lines (bought quantities stay what they were)."""
        for key, value in fields.items():
            setattr(order, key, value)
        if lines is not None:
            for line in order.lines:
                line.current = 0
            order.lines = [*[line for line in order.lines if line.fulfilled], *lines]
            self._tell("orders/edited", {"order_edit": {"id": self.new_id(), "order_id": order.id}})
        self._changed(order, "orders/updated")

    def delete(self, order: Order) -> None:
        """Delete an order as the admin does."""
        del self.orders[order.id]
        self.gone.append(order.id)
        self._tell("orders/delete", {"id": order.id})


def _placed(order: Order) -> tuple[int, int]:
    return int(order.processed_at.timestamp() * 1_000_000), order.id
