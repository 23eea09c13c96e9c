"""How drafts are read: an open one by itself, a completed one with the order that it is now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from app.core.talk import Talk
from schemas.events import MERGED_INTO, ChangeEvent, Hint
from schemas.facts import Order
from schemas.platforms.shopify import drafts, graph
from streams.sources.platforms.shopify import reading

TOPICS = ("DRAFT_ORDERS_CREATE", "DRAFT_ORDERS_UPDATE", "DRAFT_ORDERS_DELETE")
"""What a connection that reads drafts subscribes to as well; each needs the scope read_draft_orders."""
COST = 120
Parse = Callable[[str, Any], list[ChangeEvent]]


def read(hint: Hint, parse: Parse, order_query: str) -> Talk[list[ChangeEvent]]:
    """Read a draft; of a completed one its order as well, which waits until the draft has handed over to it."""
    node = (yield from reading.ask(drafts.READ, {"id": drafts.gid(hint.object.id)}, cost=COST))["draftOrder"]
    if node is None:
        return [_gone(hint)]
    told = parse("order", (yield from reading.whole(node)))
    if became := drafts.order_of(node):
        order = (yield from reading.ask(order_query, {"id": graph.gid("Order", became)}, cost=260))["order"]
        shown = parse("order", (yield from reading.whole(order))) if order else []
        told += [_from_draft(event, hint.object.id) for event in shown]
    return told


def joined(events: list[ChangeEvent], order: str) -> Talk[list[ChangeEvent]]:
    """Return the events of an order with the draft that it was, where that is among those that changed last."""
    latest = (yield from reading.ask(drafts.LATEST, {}, cost=COST))["draftOrders"]["nodes"]
    found = next((drafts.id_of(node["id"]) for node in latest if drafts.order_of(node) == order), "")
    return [_from_draft(event, found) for event in events] if found else events


def _from_draft(event: ChangeEvent, draft: str) -> ChangeEvent:
    if not isinstance(event.facts, Order):
        return event
    return msgspec.structs.replace(event, facts=msgspec.structs.replace(event.facts, merged_from=(draft,)))


def _gone(hint: Hint) -> ChangeEvent:
    """Return that a draft is gone; where it is known what it had become, the hint says so."""
    gone = reading.gone(hint)
    if not hint.reason.startswith(MERGED_INTO):
        return gone
    became = Order(status="draft", merged_into=hint.reason.removeprefix(MERGED_INTO))
    return msgspec.structs.replace(gone, facts=became)
