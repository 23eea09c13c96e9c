"""What a parcel takes of an order's fulfilment orders; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil
from typing import Any

from app.core.errors import ConflictError, UnsupportedError
from schemas.facts import Shipment
from schemas.platforms.shopify import wire

_READY = frozenset(("OPEN", "IN_PROGRESS"))
Part = dict[str, Any]
"""A fulfilment order as it is read."""
Picked = list[tuple[Part, dict[str, int]]]
"""Parts, and how much of each of their lines: its id there -> pieces."""


def to_ship(parts: Sequence[Part], order: wire.Order, shipment: Shipment) -> list[dict[str, Any]]:
    """Return what to fulfil: the lines that the parcel names, or all that is left where it names none of this order's.

    UnsupportedError when it names fewer pieces than are left, all by another system's names: nobody knows which.
    ConflictError when nothing is left of it; UnsupportedError when no location has all of it, since Shopify makes a
    fulfilment at one location ("All fulfillment orders must be assigned to a single location") and a parcel is one.
    """
    ready = [part for part in parts if part["status"] in _READY]
    wanted = _wanted(order, shipment)
    asked = _picked(ready, wanted)
    if not asked:
        raise ConflictError("Shopify: nothing of what the parcel holds is left to ship.")
    told = sum(ceil(line.quantity) for line in shipment.lines)
    if wanted is None and shipment.lines and told < _pieces(asked):
        raise UnsupportedError("Shopify: the parcel holds a part of the order by another system's names of its lines.")
    here = next((found for at in _places(ready) if _pieces(found := _picked(at, wanted)) == _pieces(asked)), None)
    if here is None:
        raise UnsupportedError("Shopify: a parcel out of several locations is entered by a person, one for each.")
    return [_asked(part, lines, named=wanted is not None) for part, lines in here]


def _wanted(order: wire.Order, shipment: Shipment) -> Counter[str] | None:
    """Return the pieces of each line of this order; None when a parcel of another system names none of them."""
    ours, found = {wire.text(line.id) for line in order.line_items}, Counter[str]()
    for line in shipment.lines:
        if line.line in ours:
            found[line.line] += ceil(line.quantity)  # 1.5 m of cloth are sold as one piece
    return found or None


def _picked(parts: Sequence[Part], wanted: Counter[str] | None) -> Picked:
    rest, found = Counter(wanted or {}), []
    for part in parts:
        lines: dict[str, int] = {}
        for one in part["lineItems"]["nodes"]:
            line, left = wire.text(one["lineItem"]["id"]), int(one["remainingQuantity"])
            pieces = left if wanted is None else min(rest[line], left)
            rest[line] -= pieces
            if pieces > 0:
                lines[one["id"]] = pieces
        if lines:
            found.append((part, lines))
    return found


def _places(parts: Sequence[Part]) -> list[list[Part]]:
    places: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        location = part["assignedLocation"]["location"] or {}  # none any more: it was deleted
        places[str(location.get("id"))].append(part)
    return list(places.values())


def _pieces(picked: Picked) -> int:
    return sum(sum(lines.values()) for _, lines in picked)


def _asked(part: Part, lines: dict[str, int], *, named: bool) -> dict[str, Any]:
    """Without its lines all that is left of a part is shipped."""
    some = [{"id": id_, "quantity": pieces} for id_, pieces in lines.items()]
    return {"fulfillmentOrderId": part["id"], **({"fulfillmentOrderLineItems": some} if named else {})}
