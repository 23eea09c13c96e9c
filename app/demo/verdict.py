"""Compare what every sandbox really holds with what was played, to the cent.

Knows only the history and the systems' books over HTTP: it imports nothing of the pipeline, so that it cannot share
its mistakes. The order key is computed here a second time, from the published rule.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f3c9c1e-0f5b-5d0a-9a53-0b9e4c1d7a10")
_MARK = re.compile(r"o2c1:([0-9a-f]{32}):[0-9a-f]{12}")
_DOCUMENTS = {"invoice", "sales_receipt"}
_ENDED = {"void", "cancelled"}
Book = Mapping[str, Any]


@dataclass
class Wanted:
    """What a history says about one order."""

    order: str
    total: Decimal
    paid: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    cancelled: bool = False
    shipped: bool = False
    delivered: bool = False


@dataclass
class Held:
    """What one system holds about one order."""

    documents: list[Book] = field(default_factory=list)
    payments: list[Book] = field(default_factory=list)
    credits: list[Book] = field(default_factory=list)
    refunds: list[Book] = field(default_factory=list)
    orders: list[Book] = field(default_factory=list)


def wanted(rows: Iterable[Any]) -> dict[str, Wanted]:
    """Return order -> what its history adds up to."""
    found: dict[str, Wanted] = {}
    for row in rows:
        if row.type in {"order.created", "deal.won"}:
            found[row.order] = Wanted(row.order, Decimal(row.data.get("total") or 0))
        elif (order := found.get(row.order)) is not None:
            _add(order, row.type, row.data)
    return found


def _add(order: Wanted, type_: str, data: Mapping[str, Any]) -> None:
    if type_ in {"payment.recorded", "deal.paid", "deal.charged", "order.paid_in_ledger"}:
        order.paid += Decimal(str(data["amount"]))
    elif type_ == "order.refunded":
        order.refunded += Decimal(str(data["amount"]))
    elif type_ in {"order.canceled", "order.unavailable"}:
        order.cancelled = True
    elif type_ == "order.shipped":
        order.shipped = True
    elif type_ == "order.delivered":
        order.delivered = True


def order_key(tenant: str, connection: str, account: str, type_: str, id_: str) -> str:
    """Return the published order key of a key-giver's object."""
    return uuid5(_NAMESPACE, f"order|{tenant}|{connection}@{account}/{type_}/{id_}").hex


def held(books: Iterable[Book]) -> dict[str, Held]:
    """Return order key -> documents, by the mark in each document or in the document it belongs to."""
    rows = list(books)
    by_document = {row["id"]: key for row in rows if row["kind"] in _DOCUMENTS and (key := _key(row))}
    found: defaultdict[str, Held] = defaultdict(Held)
    for row in rows:
        key = by_document.get(str(row.get("invoice_id") or "")) or _key(row)
        if key is not None:
            _place(found[key], row)
    return found


def _key(row: Book) -> str | None:
    match = _MARK.search(str(row.get("mark") or "")) or _MARK.search(str(row.get("order_ref") or ""))
    return match[1] if match else None


def _place(into: Held, row: Book) -> None:
    kind = row["kind"]
    if kind in _DOCUMENTS:
        into.documents.append(row)
    elif kind == "payment":
        into.payments.append(row)
    elif kind == "credit":
        into.credits.append(row)
    elif kind == "refund":
        into.refunds.append(row)
    elif kind == "order":
        into.orders.append(row)


def differences(system: str, keys: Mapping[str, str], want: Mapping[str, Wanted], books: Iterable[Book]) -> list[str]:
    """Return one sentence per disagreement between ledger *system* and the history; empty = to the cent.

    *keys* is order -> order key. Foreign documents (without a mark of a known order) are none of our business, but a
    mark that belongs to no order of the history is reported.
    """
    rows = list(books)
    there = held(rows)
    found = [text for order, key in keys.items() for text in _order(system, want[order], there.get(key, Held()))]
    known = set(keys.values())
    strangers = sorted(key for key in there if key not in known)
    found += [f"{system}: holds documents of order key {key}, which nobody played." for key in strangers]
    return found


def _order(system: str, want: Wanted, have: Held) -> list[str]:
    live = [row for row in have.documents if row.get("status") not in _ENDED]
    expected = 0 if want.cancelled or want.total == 0 else 1
    found = []
    if want.cancelled:
        owed = _total(live, "total") - _total(have.credits, "total")
        if owed != 0:
            found.append(f"{system}: order {want.order} was cancelled, {owed} is still billed.")
    elif len(live) != expected:
        found.append(f"{system}: order {want.order} has {len(live)} documents instead of {expected}.")
    elif expected and _total(live, "total") != want.total:
        found.append(f"{system}: order {want.order} is billed {_total(live, 'total')} instead of {want.total}.")
    paid = _total([row for row in have.payments if row.get("status") not in _ENDED], "amount")
    if paid != want.paid:
        found.append(f"{system}: order {want.order} shows {paid} paid instead of {want.paid}.")
    credited = _total([row for row in have.credits if row.get("status") not in _ENDED], "total")
    if expected and credited != want.refunded:
        found.append(f"{system}: order {want.order} shows {credited} credited instead of {want.refunded}.")
    return found


def copies(system: str, keys: Mapping[str, str], want: Mapping[str, Wanted], books: Iterable[Book]) -> list[str]:
    """Return the orders that *system* does not hold exactly once, or with another amount."""
    there = held(books)
    found = []
    for order, key in keys.items():
        rows = there.get(key, Held()).orders
        expected = Decimal(0) if want[order].cancelled and not rows else want[order].total
        if len(rows) > 1 or (not rows and expected):
            found.append(f"{system}: order {order} is held {len(rows)} times instead of once.")
        elif rows and not want[order].cancelled and _total(rows, "total") != expected:
            found.append(f"{system}: order {order} is held with {_total(rows, 'total')} instead of {expected}.")
    return found


def paid(system: str, ids: Mapping[str, str], want: Mapping[str, Wanted], books: Iterable[Book]) -> list[str]:
    """Return the orders whose own system (the shop) shows another sum as paid than the history."""
    rows = {str(row["id"]).rpartition("/")[2]: row for row in books if row["kind"] == "order"}
    found = []
    for order, id_ in ids.items():
        shown = Decimal(str(rows[id_.rpartition("/")[2]].get("paid") or 0)) if id_.rpartition("/")[2] in rows else None
        if not want[order].cancelled and shown != want[order].paid:
            found.append(f"{system}: order {order} shows {shown} paid instead of {want[order].paid}.")
    return found


def _total(rows: Iterable[Book], name: str) -> Decimal:
    other = "total" if name == "amount" else "amount"
    return sum((Decimal(str(row.get(name) or row.get(other) or 0)) for row in rows), Decimal(0))
