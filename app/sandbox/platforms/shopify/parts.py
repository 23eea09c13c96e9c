"""The fulfilment orders of an order: one with its number at the first location, and what somebody split off."""

from __future__ import annotations

from collections.abc import Iterable

from app.sandbox.platforms.shopify.records import Hold, Line, Order, Share, Split

HOME = 1
"""The location from which all is shipped that nobody gave to another."""


class FulfillmentOrder:
    """A part in which an order is shipped; without *split* whatever no split was given."""

    def __init__(self, order: Order, split: Split | None = None) -> None:
        self.order, self._split = order, split
        self.id = split.id if split is not None else order.id
        self.location = split.location if split is not None else HOME

    @property
    def shares(self) -> list[Share]:
        """Return how much of each line is in it."""
        return self._split.shares if self._split is not None else _rest(self.order)

    @property
    def holds(self) -> list[Hold]:
        """Return the reasons not to ship it yet."""
        return [hold for hold in self.order.holds if hold.part == self.id]

    @property
    def status(self) -> str:
        """Return the vendor's status."""
        if self.order.cancelled_at is not None:
            return "CANCELLED"
        if self.holds:
            return "ON_HOLD"
        if not any(one.left for one in self.shares):
            return "CLOSED"
        return "IN_PROGRESS" if self.order.parcels else "OPEN"


def fulfillment_orders(order: Order) -> list[FulfillmentOrder]:
    """Return the parts of an order, its own first."""
    return [FulfillmentOrder(order), *[FulfillmentOrder(order, one) for one in order.splits]]


def left(order: Order) -> list[tuple[Share, int]]:
    """Return all that is left to ship and not held."""
    parts = (part for part in fulfillment_orders(order) if not part.holds)
    return [(one, one.left) for part in parts for one in part.shares if one.left]


def picked(order: Order, wanted: Iterable[tuple[Line, int]]) -> list[tuple[Share, int]]:
    """Return which parts give what a parcel is to hold; what is too much is asked of the line's last part."""
    found = []
    for line, quantity in wanted:
        rest, shares = quantity, [one for part in fulfillment_orders(order) for one in part.shares if one.line is line]
        for one in shares:
            share = rest if one is shares[-1] else min(rest, one.left)
            if share:
                found.append((one, share))
            rest -= share
    return found


def _rest(order: Order) -> list[Share]:
    given: dict[int, tuple[int, int]] = {}
    for one in (share for split in order.splits for share in split.shares):
        quantity, waiting = given.get(one.line.id, (0, 0))
        given[one.line.id] = quantity + one.quantity, waiting + one.left
    return [
        Share(line.id, line, line.current - quantity, max(0, line.current - line.fulfilled - waiting))
        for line in order.lines
        for quantity, waiting in (given.get(line.id, (0, 0)),)
        if line.current > quantity
    ]
