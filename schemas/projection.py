"""Facts as flat text fields: what wanted, shown and acknowledged states are compared by.

Text is canonical: equal facts give equal text, whatever the source's number format was. A field that a system does
not show is left out, so that silence is never taken for an empty value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType

from schemas.facts import Credit, Facts, Invoice, Line, Order, Payment, Shipment
from schemas.money import text

Fields = Mapping[str, str]
_NOTHING: Fields = MappingProxyType({})
_FIELDS = "fields"
"""Where facts keep their fields: in their dictionary, which is no part of their value."""
_REMEMBERED = 500
_DIGESTS: dict[int, tuple[tuple[Line, ...], str, str]] = {}


def project(facts: Facts | None) -> Mapping[str, str]:
    """Return the comparable fields of *facts*; empty for customers, payouts and deleted objects.

    Facts never change, so they keep their fields once somebody asked for them.
    """
    if facts is None:
        return _NOTHING
    fields: Fields | None = facts.__dict__.get(_FIELDS)
    if fields is None:
        translate = _PROJECTIONS.get(type(facts))
        fields = facts.__dict__[_FIELDS] = _NOTHING if translate is None else MappingProxyType(translate(facts))
    return fields


def digest(fields: Mapping[str, str]) -> str:
    """Return a short digest of *fields* that does not depend on their order (16 hex digits)."""
    joined = "\x1f".join(f"{name}\x1e{fields[name]}" for name in sorted(fields))
    return hashlib.blake2b(joined.encode(), digest_size=8).hexdigest()


def lines_digest(lines: tuple[Line, ...], currency: str) -> str:
    """Return a digest of what was sold: article, quantity and gross amount of each line, in any order.

    An order and its documents share their lines, of which the digest is remembered like the fields of facts.
    """
    known = _DIGESTS.get(id(lines))
    if known is not None and known[0] is lines and known[1] == currency:
        return known[2]
    if len(_DIGESTS) >= _REMEMBERED:
        _DIGESTS.clear()
    found = _digest_of(lines, currency)
    _DIGESTS[id(lines)] = (lines, currency, found)
    return found


def _digest_of(lines: Iterable[Line], currency: str) -> str:
    rows = sorted(
        f"{line.sku or line.name}|{line.quantity.normalize():f}|{text(line.net_amount + line.tax_amount, currency)}"
        for line in lines
    )
    return hashlib.blake2b("\n".join(rows).encode(), digest_size=8).hexdigest()


def _order(order: Order) -> Fields:
    fields = {
        "number": order.number,
        "currency": order.currency,
        "note": order.note,
        "po_number": order.po_number,
        "status": order.headline or order.status,
        "email": order.customer.email if order.customer else "",
    }
    due = {"due_date": order.due_date.isoformat()} if order.due_date else {}
    return {
        **fields,
        **due,
        **_amount("payable_amount", order.payable_amount, order.currency),
        **_lines(order.lines, order.currency),
    }


def _invoice(invoice: Invoice) -> Fields:
    fields = {
        "currency": invoice.currency,
        "payable_amount": text(invoice.payable_amount, invoice.currency),
        "note": invoice.note,
        "po_number": invoice.po_number,
        "email": invoice.customer.email if invoice.customer else "",
        "issue_date": invoice.issue_date.isoformat() if invoice.issue_date else "",
        "due_date": invoice.due_date.isoformat() if invoice.due_date else "",
    }
    return {**fields, **_lines(invoice.lines, invoice.currency)}


def _payment(payment: Payment) -> Fields:
    return {
        "amount": text(payment.amount, payment.currency),
        "currency": payment.currency,
        "date": payment.date.isoformat() if payment.date else "",
        "reference": payment.reference,
    }


def _credit(credit: Credit) -> Fields:
    fields = {
        "amount": text(credit.amount, credit.currency),
        "currency": credit.currency,
        "date": credit.date.isoformat() if credit.date else "",
        "reference": credit.reference,
    }
    return {**fields, **_lines(credit.lines, credit.currency)}


def _shipment(shipment: Shipment) -> Fields:
    return {
        "carrier": shipment.carrier,
        "tracking": ",".join(sorted(shipment.tracking_numbers)),
        "status": shipment.status,
    }


def _amount(name: str, amount: Decimal | None, currency: str) -> Fields:
    return {} if amount is None else {name: text(amount, currency)}


def _lines(lines: tuple[Line, ...], currency: str) -> Fields:
    return {"lines": lines_digest(lines, currency)} if lines else {}


_PROJECTIONS: Mapping[type, Callable[..., Fields]] = {
    Order: _order,
    Invoice: _invoice,
    Payment: _payment,
    Credit: _credit,
    Shipment: _shipment,
}
