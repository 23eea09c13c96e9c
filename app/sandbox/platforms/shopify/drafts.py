"""Draft orders: what a clerk types, sends and completes; a completed one is an order of the shop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from app.sandbox.platforms.shopify import rest
from app.sandbox.platforms.shopify.fields import LINE, Fields, address, shipping
from app.sandbox.platforms.shopify.graph import at, bag, matches, number, page, parts, since
from app.sandbox.platforms.shopify.index import Changes
from app.sandbox.platforms.shopify.records import Order
from app.sandbox.platforms.shopify.shop import Refused

if TYPE_CHECKING:
    from app.sandbox.platforms.shopify.records import Line
    from app.sandbox.platforms.shopify.shop import Shop

SOURCE = "shopify_draft_order"
_COPIED = ("currency", "customer", "email", "included", "shipping", "shipping_rate", "note", "po_number")


@dataclass(slots=True)
class Draft:
    """One draft: `like` is the order that it would be."""

    id: int
    name: str
    like: Order
    updated_at: datetime
    changed_at: datetime
    status: str = "OPEN"
    sent_at: datetime | None = None
    completed_at: datetime | None = None
    order: Order | None = None


class Drafts:
    """The drafts of a shop."""

    def __init__(self, shop: Shop, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._shop, self._tell = shop, tell
        self.held: dict[int, Draft] = {}
        self._changes, self._numbers = Changes(), count(1)

    def get(self, id_: str) -> Draft:
        """Return a draft; a missing one is refused."""
        if number(id_) not in self.held:
            raise Refused("Draft order does not exist", ("id",))
        return self.held[number(id_)]

    def create(self, lines: list[Line], **fields: Any) -> Draft:  # noqa: ANN401 - any field of an order
        """Type a draft."""
        now = self._shop.clock()
        second, id_ = now.replace(microsecond=0), self._shop.new_id()
        times = {"created_at": second, "processed_at": second, "updated_at": second, "changed_at": now}
        fields["currency"] = fields.get("currency") or self._shop.currency
        like = Order(id=id_, number=0, name=f"#D{next(self._numbers)}", lines=lines, **{**fields, **times})
        draft = self.held[id_] = Draft(id_, like.name, like, second, now)
        self._changed(draft, "create")
        return draft

    def edit(self, draft: Draft, lines: list[Line] | None, **fields: Any) -> None:  # noqa: ANN401 - any field of an order
        """Change an open draft."""
        self._open(draft)
        for name, value in fields.items():
            setattr(draft.like, name, value)
        draft.like.lines = draft.like.lines if lines is None else lines
        self._changed(draft, "update")

    def send(self, draft: Draft) -> None:
        """Mail the draft's invoice."""
        self._open(draft)
        draft.status, draft.sent_at = "INVOICE_SENT", self._shop.clock().replace(microsecond=0)
        self._changed(draft, "update")

    def complete(self, draft: Draft) -> Order:
        """Make the order; a draft is completed once."""
        self._open(draft)
        lines = [replace(line, id=self._shop.new_id()) for line in draft.like.lines]
        fields = {name: getattr(draft.like, name) for name in _COPIED}
        draft.order = self._shop.create(lines, source_name=SOURCE, **fields)
        draft.status, draft.completed_at = "COMPLETED", self._shop.clock().replace(microsecond=0)
        self._changed(draft, "update")
        return draft.order

    def delete(self, draft: Draft) -> None:
        """Delete a draft; the order that it became stays."""
        del self.held[draft.id]
        self._tell("draft_orders/delete", {"id": draft.id})

    def _open(self, draft: Draft) -> None:
        if draft.order is not None:
            raise Refused("This order has already been paid", ("id",))

    def _changed(self, draft: Draft, what: str) -> None:
        draft.changed_at = self._shop.clock()
        draft.updated_at = draft.changed_at.replace(microsecond=0)
        self._changes.note(int(draft.updated_at.timestamp()), draft.id)
        self._tell(f"draft_orders/{what}", _body(draft))

    def walk(self, query: str | None, after: tuple[int, int], visible: Callable[[datetime], bool]) -> Iterator[Draft]:
        """Yield the drafts that a search by updated_at finds, oldest change first."""
        for second, id_ in self._changes.since(since(query), after):
            draft = self.held.get(id_)
            if draft is None or int(draft.updated_at.timestamp()) != second or not visible(draft.changed_at):
                continue
            searched = {"updated_at": draft.updated_at, "id": str(draft.id), "status": draft.status.lower()}
            if matches(query, searched):
                yield draft


def _body(draft: Draft) -> dict[str, Any]:
    """Return what its topics carry: here no more of it than says what happened."""
    return {
        "id": draft.id,
        "admin_graphql_api_id": rest.gid("DraftOrder", draft.id),
        "name": draft.name,
        "status": draft.status.lower(),
        "order_id": draft.order.id if draft.order else None,
        "invoice_sent_at": rest.at(draft.sent_at),
        "completed_at": rest.at(draft.completed_at),
        "created_at": rest.at(draft.like.created_at),
        "updated_at": rest.at(draft.updated_at),
    }


DRAFT: Fields = {
    "id": lambda d: rest.gid("DraftOrder", d.id),
    "legacyResourceId": lambda d: str(d.id),
    "currencyCode": lambda d: d.like.currency,
    "presentmentCurrencyCode": lambda d: d.like.presentment,
    "email": lambda d: d.like.email or None,
    "phone": lambda _: None,
    "note2": lambda d: d.like.note or None,
    "poNumber": lambda d: d.like.po_number or None,
    "taxesIncluded": lambda d: d.like.included,
    "createdAt": lambda d: at(d.like.created_at),
    "updatedAt": lambda d: at(d.updated_at),
    "completedAt": lambda d: at(d.completed_at),
    "invoiceSentAt": lambda d: at(d.sent_at),
    "customer": lambda d: d.like.customer,
    "billingAddress": lambda d: address(d.like),
    "shippingAddress": lambda d: address(d.like),
    "totalPriceSet": lambda d: bag(d.like.total(), d.like.currency),
    "totalTaxSet": lambda d: bag(d.like.tax(current=False), d.like.currency),
    "lineItems": lambda d, **args: page(parts(d.like, d.like.lines), **args),
    "shippingLine": lambda d: next(iter(shipping(d.like)), None),
}
DRAFT_LINE: Fields = {**LINE, "id": lambda of: rest.gid("DraftOrderLineItem", of.id)}
