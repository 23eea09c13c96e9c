"""Inputs of Shopify's mutations, built from facts; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from app.core.errors import RejectedError, UnsupportedError
from schemas.commands import Command
from schemas.facts import Credit, Facts, Line, Order, Party, Payment, Shipment
from schemas.money import ZERO, rounded, text
from schemas.platforms.shopify import facts, graph, wire
from sinks.base import Written

F = TypeVar("F", bound=Facts)


def body(query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return a GraphQL request."""
    return {"query": query, "variables": dict(variables)}


def wanted(command: Command, kind: type[F]) -> F:
    """Return the facts of *command*, which must be a *kind*."""
    if not isinstance(command.facts, kind):
        raise RejectedError(f"Shopify: {command.capability} needs a {kind.__name__.lower()}.")
    return command.facts


def key(command: Command, kind: str) -> str:
    """Return the metafield key of a write: its mark's second part."""
    return f"{kind}_{command.mark.rsplit(':', 1)[-1]}"


def said(command: Command) -> Written:
    """Return what a note leaves behind: no facts, since the order itself is no mirror of it."""
    id_ = command.links.get("order") or command.bound_id
    return Written(type="metafield", id=f"{id_}:{key(command, 'note')}", mark=command.mark)


def email(party: Party | None) -> str:
    """Return the buyer's e-mail address, or nothing."""
    return party.email if party else ""


def customer(node: Mapping[str, Any]) -> Written:
    """Return a customer that was read or written."""
    record = msgspec.convert(graph.customer(node), wire.Customer, strict=False)
    native = facts.native(record.updated_at)
    return Written(type="customer", id=wire.text(record.id), facts=facts.customer(record), native=native)


def new_order(command: Command, order: Order) -> dict[str, Any]:
    """Return the input of a new order; its lines must add up to what is payable, to the minor unit."""
    total = sum((line.net_amount + line.tax_amount for line in order.lines), ZERO)
    if order.payable_amount is not None and total != order.payable_amount:
        raise RejectedError(f"Shopify: the lines add up to {total}, the order says {order.payable_amount}.")
    if any(line.net_amount < 0 for line in order.lines):
        raise UnsupportedError("Shopify: an order with a line below zero is typed by a person.")
    goods = [line for line in order.lines if line.kind != "shipping"]
    named = {
        "name": order.number,
        "note": order.note,
        "poNumber": order.po_number,
        "email": email(order.customer),
        "processedAt": order.placed_at.isoformat() if order.placed_at else "",
    }
    return {
        **{key: value for key, value in named.items() if value},
        "currency": order.currency,
        "sourceIdentifier": command.mark,
        "financialStatus": "PENDING",
        "taxesIncluded": False,
        "lineItems": [_new_line(line, order.currency) for line in goods],
        "shippingLines": [
            {"title": line.name or "Shipping", "priceSet": _bag(line.net_amount, order.currency), **_taxed(line, order)}
            for line in order.lines
            if line.kind == "shipping"
        ],
        **({"customer": {"toUpsert": _upsert(order.customer)}} if order.customer and order.customer.email else {}),
    }


def _new_line(line: Line, currency: str) -> dict[str, Any]:
    """Return a line item; when the price of one piece has no exact cents, the line is sold as one piece."""
    each = line.net_amount / line.quantity if line.quantity else line.net_amount
    whole = line.quantity == line.quantity.to_integral_value() and line.quantity > 0 and rounded(each, currency) == each
    title = (line.name or line.sku or "Item") + ("" if whole else f" ({line.quantity} x)")
    order = Order(currency=currency)
    return {
        "title": title,
        "quantity": int(line.quantity) if whole else 1,
        "priceSet": _bag(each if whole else line.net_amount, currency),
        "requiresShipping": line.kind == "goods",
        "taxable": bool(line.tax_amount),
        **({"sku": line.sku} if line.sku else {}),
        **_taxed(line, order),
    }


def _taxed(line: Line, order: Order) -> dict[str, Any]:
    if not line.tax_amount:
        return {}
    rate = (line.tax_rate or ZERO) / 100
    if rounded(line.net_amount * rate, order.currency) != line.tax_amount:  # a ledger's own tax may fit no rate
        rate = line.tax_amount / (line.net_amount or Decimal(1))
    tax = {"title": "Tax", "rate": f"{rate:.6f}", "priceSet": _bag(line.tax_amount, order.currency)}
    return {"taxLines": [tax]}


def _bag(amount: Decimal, currency: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": text(amount, currency), "currencyCode": currency}}


def _upsert(party: Party) -> dict[str, str]:
    first, _, last = party.name.partition(" ")
    named = {"email": party.email, "firstName": first, "lastName": last}
    return {key: value for key, value in named.items() if value}


def credited_lines(order: wire.Order, credit: Credit) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the lines (and shipping) of a credit: its own, or all that is left when it is for everything.

    Shopify credits a line at its price alone. UnsupportedError when no lines are named, or when they are worth
    something else than is to be credited, as after a reduction of the price or a refund of money alone.
    """
    left = {wire.text(line.id): line.current_quantity or 0 for line in order.line_items}
    if credit.amount == order.current_total_price and facts.all_in_lines(order):
        lines = [_refund_line(id_, quantity) for id_, quantity in left.items() if quantity]
        return lines, {"shipping": {"fullRefund": True}} if order.shipping_lines else {}
    pieces = _credited(order, credit)
    if not pieces or any(quantity > left[id_] for id_, quantity in pieces.items()):
        raise UnsupportedError("Shopify: a credit that names no lines of the order is entered by a person.")
    sold = {wire.text(line.id): line for line in order.line_items}
    worth = sum((facts.worth(sold[id_], quantity, order) for id_, quantity in pieces.items()), ZERO)
    if worth != credit.amount:
        message = f"Shopify: a credit of {credit.amount:f} for lines worth {worth:f} is entered by a person."
        raise UnsupportedError(message)
    return [_refund_line(id_, quantity) for id_, quantity in pieces.items()], {}


def _credited(order: wire.Order, credit: Credit) -> Counter[str]:
    """Return the pieces of each line of the order; none when the credit is for anything else as well."""
    ids = {wire.text(line.id) for line in order.line_items}
    by_sku = {line.sku: wire.text(line.id) for line in order.line_items if line.sku}
    found: Counter[str] = Counter()
    for line in credit.lines:
        id_ = line.id if line.id in ids else by_sku.get(line.sku, "")
        if not id_ or line.quantity != line.quantity.to_integral_value() or line.quantity <= 0:
            return Counter()
        found[id_] += int(line.quantity)
    return found


def _refund_line(id_: str, quantity: int) -> dict[str, Any]:
    return {"lineItemId": graph.gid("LineItem", id_), "quantity": quantity, "restockType": "NO_RESTOCK"}


def free_second(order: wire.Order, payment: Payment, zone: str) -> datetime:
    """Return the payment's time, moved by seconds until amount and second name it alone.

    A bare day begins at midnight and moves on within the day; an instant moves back, since the future is refused.
    """
    moment, step = payment.paid_at or order.created_at or datetime.fromtimestamp(0, UTC), timedelta(seconds=-1)
    if payment.date is not None and (payment.paid_at is None or facts.day(payment.paid_at, zone) != payment.date):
        moment, step = datetime.combine(payment.date, time(), ZoneInfo(zone)), timedelta(seconds=1)
    moment = moment.astimezone(UTC).replace(microsecond=0)
    taken = {(one.amount, one.processed_at) for one in order.transactions or ()}
    taken |= {(one.amount, one.at) for one in facts.claims(order, "payment").values()}
    while (payment.amount, moment) in taken:
        moment += step
    return moment


def paid(order: wire.Order, payment: Payment) -> dict[str, str] | None:
    """Return the amount of a payment: none for all that is owed, since only Shopify Plus takes one.

    UnsupportedError for a part of what is owed in another currency than the shop's (CURRENCY_MISMATCH otherwise).
    """
    if payment.amount == order.total_outstanding:
        return None
    if order.presentment_currency not in {None, order.currency}:
        raise UnsupportedError(
            f"Shopify: a part of what is owed in {order.presentment_currency} is entered by a person."
        )
    return {"amount": text(payment.amount, payment.currency), "currencyCode": payment.currency}


def shares(order: wire.Order, wanted: Decimal, first: str) -> Iterable[tuple[wire.Transaction, Decimal]]:
    """Yield how much goes back on which payment: the named one first, then the newest."""
    paid = [one for one in order.transactions or () if one.kind in {"sale", "capture"} and one.status == "success"]
    back = [one for one in order.transactions or () if one.kind == "refund" and one.status in {"success", "pending"}]
    paid.sort(key=lambda one: (wire.text(one.id) == first, wire.text(one.id)), reverse=True)
    for one in paid:
        gone = sum((each.amount for each in back if wire.text(each.parent_id) == wire.text(one.id)), ZERO)
        share = min(wanted, one.amount - gone)
        if share > 0:
            yield one, share
            wanted -= share
    if wanted > 0:
        raise RejectedError(f"Shopify: {wanted} more than was paid cannot be refunded.")


def refunded_in(order: wire.Order) -> dict[str, str]:
    """Return the currency of a refund: the buyer's, "required where the currency and presentment currency differ"."""
    return {"currency": order.presentment_currency or order.currency}


def to_buyer(order: wire.Order, payment: wire.Transaction, amount: Decimal) -> str:
    """Return a share of a payment in the buyer's currency.

    UnsupportedError for a part of a payment in another currency than the shop's: only Shopify knows at which rate.
    """
    currency = order.presentment_currency or order.currency
    if currency == order.currency:
        return text(amount, currency)
    if amount != payment.amount or payment.presentment_amount is None:
        raise UnsupportedError(f"Shopify: a part of a payment in {currency} is given back by a person.")
    return text(payment.presentment_amount, currency)


def number(shipment: Shipment) -> str:
    """Return the tracking number that stands for the parcel."""
    return shipment.tracking_numbers[0] if shipment.tracking_numbers else ""


def tracking(shipment: Shipment) -> dict[str, Any]:
    """Return the tracking of a parcel."""
    named = {"company": shipment.carrier, "url": shipment.tracking_url}
    numbers = {"numbers": list(shipment.tracking_numbers)} if shipment.tracking_numbers else {}
    return {**{key: value for key, value in named.items() if value}, **numbers}
