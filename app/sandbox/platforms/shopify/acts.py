"""People's acts in the shop, and what its books hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from app.sandbox.base import Verb
from app.sandbox.platforms.shopify import parts
from app.sandbox.platforms.shopify.drafts import Drafts
from app.sandbox.platforms.shopify.mutations import moment
from app.sandbox.platforms.shopify.records import ZERO, Line, Order, Transaction
from app.sandbox.platforms.shopify.rest import at, money
from app.sandbox.platforms.shopify.shop import Refused, Shop

Asked = dict[str, Any]
_FINANCIAL = {
    "pending": "open",
    "authorized": "open",
    "voided": "void",
    "paid": "paid",
    "partially_paid": "partially_paid",
    "partially_refunded": "partially_refunded",
    "refunded": "refunded",
}
_SHIPPED = {"partial": "partially_fulfilled", "fulfilled": "fulfilled"}


def amount(value: object) -> Decimal:
    """Return an amount of an act's body."""
    return Decimal(str(value or 0))


class Acts:
    """What a customer or a clerk does; answers name the ids of what was made."""

    def __init__(self, shop: Shop, drafts: Drafts) -> None:
        self.shop, self.drafts = shop, drafts

    def verbs(self) -> dict[str, Verb]:
        """Return the acts by name."""
        names = (
            "create_order pay_order authorize_order split_order fulfil_order deliver_order refund_order "
            "cancel_order edit_order hold_order release_order close_order delete_order tamper "
            "create_draft edit_draft send_draft complete_draft delete_draft"
        )
        return {name: getattr(self, name) for name in names.split()}

    def _order(self, asked: Asked) -> Order:
        return self.shop.order(int(asked["id"]))

    def _lines(self, asked: Asked) -> list[Line]:
        return [
            self.shop.line(
                str(one.get("sku") or ""),
                str(one.get("title") or one.get("sku")),
                int(one["quantity"]),
                amount(one["price"]),
                tax_rate=amount(one.get("tax_rate")),
                discount=amount(one.get("discount")),
            )
            for one in asked["lines"] or [{"title": "Custom item", "quantity": 1, "price": "0"}]
        ]

    def create_order(self, asked: Asked) -> Asked:
        """Place an order, as a customer does."""
        order = self.shop.create(
            self._lines(asked),
            name=str(asked.get("reference") or ""),
            processed_at=moment(asked.get("placed_at")),
            buyer=(asked["buyer_currency"], amount(asked["buyer_rate"])) if asked.get("buyer_currency") else None,
            test=bool(asked.get("test")),
            due_at=moment(asked.get("due_at")),
            **self._bought(asked),
        )
        return {"id": str(order.id), "number": order.name, "total": money(order.total())}

    def _bought(self, asked: Asked) -> dict[str, Any]:
        """Return what an order and a draft have in common but their lines."""
        first, _, last = str(asked.get("name") or "").partition(" ")
        email = str(asked.get("email") or "")
        shipping = asked.get("shipping") or 0
        price, rate = (shipping["price"], shipping.get("tax_rate")) if isinstance(shipping, dict) else (shipping, 0)
        return {
            "email": email,
            "customer": self.shop.customer(email, (first, last)) if email else None,
            "currency": asked.get("currency") or "",
            "included": bool(asked.get("prices_include_tax")),
            "shipping": amount(price),
            "shipping_rate": amount(rate),
            "note": asked.get("note") or "",
            "po_number": asked.get("po_number") or "",
        }

    def create_draft(self, asked: Asked) -> Asked:
        """Type a draft order, as a clerk does."""
        draft = self.drafts.create(self._lines(asked), **self._bought(asked))
        return {"id": str(draft.id), "number": draft.name, "total": money(draft.like.total())}

    def edit_draft(self, asked: Asked) -> Asked:
        """Change a draft."""
        draft = self.drafts.get(str(asked["id"]))
        fields = {key: asked[key] for key in ("note", "email", "po_number") if key in asked}
        self.drafts.edit(draft, self._lines(asked) if "lines" in asked else None, **fields)
        return {"id": str(draft.id), "total": money(draft.like.total())}

    def send_draft(self, asked: Asked) -> Asked:
        """Mail a draft's invoice."""
        self.drafts.send(self.drafts.get(str(asked["id"])))
        return {"id": str(asked["id"])}

    def complete_draft(self, asked: Asked) -> Asked:
        """Make an order of a draft; `paid` says that its money is here."""
        order = self.drafts.complete(self.drafts.get(str(asked["id"])))
        if asked.get("paid"):
            self.shop.pay_manually(order, None, "manual", None)
        return {"id": str(order.id), "number": order.name, "total": money(order.total())}

    def delete_draft(self, asked: Asked) -> Asked:
        """Delete a draft."""
        self.drafts.delete(self.drafts.get(str(asked["id"])))
        return {"id": str(asked["id"])}

    def pay_order(self, asked: Asked) -> Asked:
        """Pay, as the customer does; without an amount all that is outstanding."""
        order = self._order(asked)
        wanted = amount(asked["amount"]) if "amount" in asked else order.outstanding
        gateway, reference = asked.get("gateway") or "shopify_payments", str(asked.get("reference") or "")
        rounding = amount(asked.get("rounding"))
        done = self.shop.pay(order, wanted, gateway, moment(asked.get("at")), reference=reference, rounding=rounding)
        return {"id": str(done.id), "amount": money(done.amount)}

    def authorize_order(self, asked: Asked) -> Asked:
        """Authorise the customer's card."""
        order = self._order(asked)
        wanted, gateway = amount(asked.get("amount") or order.outstanding), asked.get("gateway") or "shopify_payments"
        return {"id": str(self.shop.pay(order, wanted, gateway, kind="authorization").id)}

    def fulfil_order(self, asked: Asked) -> Asked:
        """Send a parcel, as the warehouse does; without lines all that is left."""
        order = self._order(asked)
        if order.holds:
            raise Refused("Fulfillment order is on hold", ("fulfillment",))
        wanted = [(self._line(order, one), int(one["quantity"])) for one in asked.get("lines") or []]
        picked = parts.picked(order, wanted) if wanted else parts.left(order)
        tracking = [str(asked["tracking"])] if asked.get("tracking") else []
        parcel = self.shop.fulfil(order, picked, asked.get("carrier") or "", tracking, [])
        return {"id": str(parcel.id)}

    def split_order(self, asked: Asked) -> Asked:
        """Have some lines shipped in a part of their own, perhaps from another location."""
        order = self._order(asked)
        wanted = [(self._line(order, one), int(one["quantity"])) for one in asked["lines"]]
        return {"id": str(self.shop.split(order, wanted, int(asked.get("location") or parts.HOME)).id)}

    def _line(self, order: Order, wanted: Mapping[str, Any]) -> Line:
        for line in order.lines:
            if str(line.id) == str(wanted.get("id")) or (wanted.get("sku") and line.sku == wanted["sku"]):
                return line
        raise Refused("Line item does not exist", ("lines",))

    def deliver_order(self, asked: Asked) -> Asked:
        """Deliver every parcel that is under way, as the carrier does."""
        order = self._order(asked)
        under_way = [one for one in order.parcels if one.status == "success" and not one.delivered_at]
        for parcel in under_way:
            self.shop.happen(order, parcel, "delivered", moment(asked.get("at")))
        return {"delivered": len(under_way)}

    def refund_order(self, asked: Asked) -> Asked:
        """Give money back, for lines or just so."""
        order = self._order(asked)
        lines = [
            (self._line(order, one), int(one["quantity"]), one.get("restock") or "no_restock")
            for one in asked.get("lines") or []
        ]
        money_back = list(_parents(order, amount(asked.get("amount"))))
        refund = self.shop.refund(order, money_back, lines, note=asked.get("note") or "", at=moment(asked.get("at")))
        return {"id": str(refund.id), "amount": money(refund.money)}

    def cancel_order(self, asked: Asked) -> Asked:
        """Somebody cancels."""
        order = self._order(asked)
        self.shop.cancel(order, str(asked.get("reason") or "other"))
        return {"id": str(order.id)}

    def edit_order(self, asked: Asked) -> Asked:
        """Change an order."""
        order = self._order(asked)
        fields = {key: asked[key] for key in ("note", "email", "po_number") if key in asked}
        self.shop.edit(order, self._lines(asked) if "lines" in asked else None, **fields)
        return {"id": str(order.id), "total": money(order.current_total())}

    def hold_order(self, asked: Asked) -> Asked:
        """Hold the shipping."""
        hold = self.shop.hold(self._part(asked), asked.get("reason") or "OTHER", asked.get("note") or "", "")
        return {"id": str(hold.id)}

    def _part(self, asked: Asked) -> parts.FulfillmentOrder:
        return parts.FulfillmentOrder(self._order(asked))

    def release_order(self, asked: Asked) -> Asked:
        """Let the shipping go on."""
        self.shop.release(self._part(asked), [])
        return {"id": str(asked["id"])}

    def close_order(self, asked: Asked) -> Asked:
        """Archive an order."""
        order = self._order(asked)
        self.shop.edit(order, closed_at=self.shop.clock().replace(microsecond=0))
        return {"id": str(order.id)}

    def delete_order(self, asked: Asked) -> Asked:
        """Delete an order."""
        self.shop.delete(self._order(asked))
        return {"id": str(asked["id"])}

    def tamper(self, asked: Asked) -> Asked:
        """Change one cent of, remove or double an order's payment, else an order, silently."""
        orders = sorted(self.shop.orders.values(), key=lambda one: one.id)
        order = next((one for one in orders if one.transactions), orders[0])
        order.version += 1
        if asked["how"] == "remove":
            if order.transactions:
                order.transactions.pop()
            else:
                del self.shop.orders[order.id]
        elif asked["how"] == "double":
            self._double(order)
        elif order.transactions:
            order.transactions[-1].amount += Decimal("0.01")
        else:
            order.lines[0].price += Decimal("0.01")
        return {"id": str(order.id)}

    def _double(self, order: Order) -> None:
        if order.transactions:
            last, id_ = order.transactions[-1], self.shop.new_id()
            self.shop.own(order, id_)
            order.transactions.append(
                Transaction(id_, last.kind, last.amount, last.gateway, last.processed_at, last.created_at)
            )
            return
        copy = self.shop.create(order.lines, name=order.name, currency=order.currency)
        copy.source_identifier = order.source_identifier
        self.shop.index(copy)


def _parents(order: Order, wanted: Decimal) -> Iterator[tuple[Transaction, Decimal]]:
    """Yield how much to give back on which payment, newest payment first."""
    for paid in reversed([one for one in order.transactions if one.kind in {"sale", "capture"}]):
        back = sum((one.amount for one in order.transactions if one.kind == "refund" and one.parent is paid), ZERO)
        share = min(wanted, paid.amount - back)
        if share > 0:
            yield paid, share
            wanted -= share
    if wanted > 0:
        raise Refused("Refund amount cannot be greater than the available amount", ("amount",))


def status(order: Order) -> str:
    """Return the one canonical word for an order."""
    if order.cancelled_at is not None:
        return "cancelled"
    parcels = [one for one in order.parcels if one.status == "success"]
    if order.fulfilment == "fulfilled" and parcels and all(one.delivered_at for one in parcels):
        return "delivered"
    return _SHIPPED.get(order.fulfilment) or _FINANCIAL[order.financial]


def books(shop: Shop) -> list[dict[str, Any]]:
    """Return what the shop really holds now."""
    return [row for order in shop.orders.values() for row in _rows(order)] + [
        {"kind": "customer", "id": str(one.id), "customer": one.email, "status": "open"}
        for one in shop.customers.values()
    ]


def head(order: Order) -> dict[str, Any]:
    """Return the row of an order alone."""
    return next(_rows(order))


def _rows(order: Order) -> Iterator[dict[str, Any]]:
    common = {"order_id": str(order.id), "currency": order.currency}
    claims = {key: value for (space, key), (_, _, value) in order.metafields.items() if space == "o2c"}
    yield {
        "kind": "order",
        "id": str(order.id),
        "number": order.name,
        "mark": order.source_identifier,
        "currency": order.currency,
        "total": money(order.total()),
        "current_total": money(order.current_total()),
        "tax": money(order.tax(current=False)),
        "paid": money(order.received),
        "credited": money(order.refunded),
        "due": money(order.outstanding),
        "status": status(order),
        "vendor_status": f"{order.financial} {order.fulfilment or 'unfulfilled'}",
        "date": at(order.processed_at),
        "customer": order.email,
        "note": order.note,
        "po_number": order.po_number,
        "marks": claims,
    }
    for one in order.transactions:
        if one.kind in {"sale", "capture"}:
            yield {"kind": "payment", "id": str(one.id), **common, **_money(one), "mark": one.reference}
    for refund in order.refunds:
        yield {
            "kind": "refund",
            "id": str(refund.id),
            **common,
            "amount": money(refund.money),
            "credited": money(sum((line.subtotal + line.tax for line in refund.lines), ZERO)),
            "status": "refunded",
            "mark": refund.note,
            "date": at(refund.processed_at),
        }
    for parcel in order.parcels:
        words = {"cancelled": "cancelled"}
        yield {
            "kind": "shipment",
            "id": str(parcel.id),
            "order_id": str(order.id),
            "status": "delivered" if parcel.delivered_at else words.get(parcel.status, "fulfilled"),
            "vendor_status": parcel.shipment_status or parcel.status,
            "tracking": " ".join(parcel.numbers),
            "date": at(parcel.created_at),
        }


def _money(one: Transaction) -> dict[str, str | None]:
    words = {"success": "paid", "pending": "open"}
    return {"amount": money(one.amount), "status": words.get(one.status, "void"), "date": at(one.processed_at)}
