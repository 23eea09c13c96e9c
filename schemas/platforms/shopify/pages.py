"""Admin GraphQL: what did not fit on the first page of a read, and how it is read on.

A connection has a cursor. An order's refunds, fulfilments and transactions, and a fulfilment's tracking, are plain
lists that `first` cuts off: a full one is asked for once more, by its ids where its entries are large.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

from schemas.errors import DecodeError
from schemas.platforms.shopify import drafts, graph, writes
from schemas.platforms.shopify.graph import NEXT, Node

MOST = 250
"""The largest list or page that may be asked for (Shopify's limits)."""
COST = 140
"""No question here costs more points."""
Found = dict[str, Any]
Ask = Callable[[str, Mapping[str, Any], int], Generator[Any, Any, Found]]
"""Reads a query with its variables and about what it costs; a source and a sink each have their own."""


class Cut(NamedTuple):
    """A list that is cut off after so many, and the query of its entries by id, so many at once."""

    after: int
    query: str
    batch: int


def _more(owner: str, name: str, fields: str, where: str = "") -> str:
    return f"""query more($id: ID!, $after: String!) {{
  {owner}(id: $id) {{ {name}(first: 50, after: $after{where}) {{ nodes {fields} {NEXT} }} }}
}}"""


def _by_id(kind: str, fields: str) -> str:
    return f"query byId($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on {kind} {fields} }} }}"


LINES = _more("order", "lineItems", graph.LINE)
SHIPPING = _more("order", "shippingLines", graph.SHIPPING)
METAFIELDS = _more("order", "metafields", graph.METAFIELD, ', namespace: "o2c"')
REFUND_LINES = _more("refund", "refundLineItems", graph.REFUND_LINE)
REFUND_SHIPPING = _more("refund", "refundShippingLines", graph.REFUND_SHIPPING)
REFUND_MONEY = _more("refund", "transactions", graph.TRANSACTION)
PARCEL_LINES = _more("fulfillment", "fulfillmentLineItems", graph.PARCEL_LINE)
DRAFT_LINES = _more("draftOrder", "lineItems", drafts.LINE)
TRACKING = f"query tracking($id: ID!) {{ fulfillment(id: $id) {{ trackingInfo(first: {MOST}) {graph.TRACKING} }} }}"
PARTS = _more("order", "fulfillmentOrders", writes.PART)
PART_LINES = _more("fulfillmentOrder", "lineItems", writes.PART_LINE)
IDS = f"""query ids($id: ID!) {{
  order(id: $id) {{
    transactions(first: {MOST}) {{ id }} refunds(first: {MOST}) {{ id }} fulfillments(first: {MOST}) {{ id }}
  }}
}}"""
UNCUT = """query uncut($id: ID!) {
  order(id: $id) {
    transactions { id } refunds { id } fulfillments { id } transactionsCount { count } fulfillmentsCount { count }
  }
}"""
"""Without `first` a list is not cut; whether Shopify shows more than MOST so was not seen, and is looked at."""
TRANSACTIONS = _by_id("OrderTransaction", graph.TRANSACTION)
REFUNDS = _by_id("Refund", graph.REFUND)
PARCELS = _by_id("Fulfillment", graph.FULFILLMENT)

_ORDER = {"lineItems": LINES, "shippingLines": SHIPPING, "metafields": METAFIELDS}
_REFUND = {"refundLineItems": REFUND_LINES, "refundShippingLines": REFUND_SHIPPING, "transactions": REFUND_MONEY}
_PARCEL = {"fulfillmentLineItems": PARCEL_LINES}
_LISTS = {
    "transactions": Cut(graph.TRANSACTIONS_SHOWN, TRANSACTIONS, 50),
    "refunds": Cut(graph.REFUNDS_SHOWN, REFUNDS, 10),
    "fulfillments": Cut(graph.PARCELS_SHOWN, PARCELS, 10),
}


def whole(node: Node, ask: Ask) -> Generator[Any, Any, Found]:
    """Return an order's node with all its parts."""
    order = yield from _paged(node, _ORDER, ask)
    full = {name: cut for name, cut in _LISTS.items() if len(order.get(name) or ()) >= cut.after}
    ids = (yield from ask(IDS, {"id": node["id"]}, COST))["order"] or {} if full else {}
    if any(len(ids.get(name, ())) >= MOST for name in full):
        ids = _proven((yield from ask(UNCUT, {"id": node["id"]}, COST))["order"] or {})
    for name in full.keys() & ids.keys():
        order[name] = yield from _listed(order[name], [one["id"] for one in ids[name]], full[name], ask)
    order["refunds"] = yield from _each(order.get("refunds"), _REFUND, ask)
    order["fulfillments"] = yield from _each(order.get("fulfillments"), _PARCEL, ask)
    for parcel in order["fulfillments"]:
        if len(parcel.get("trackingInfo") or ()) >= graph.TRACKING_SHOWN:
            shown = (yield from ask(TRACKING, {"id": parcel["id"]}, COST))["fulfillment"] or parcel
            parcel["trackingInfo"] = shown["trackingInfo"]
    return order


def draft(node: Node, ask: Ask) -> Generator[Any, Any, Found]:
    """Return a draft's node with all its lines."""
    return (yield from _paged(node, {"lineItems": DRAFT_LINES}, ask))


def parts(node: Node, ask: Ask) -> Generator[Any, Any, list[Found]]:
    """Return all fulfilment orders of an order's node, each with all its lines."""
    order = yield from _paged(node, {"fulfillmentOrders": PARTS}, ask)
    return (yield from _each(order["fulfillmentOrders"]["nodes"], {"lineItems": PART_LINES}, ask))


def _each(nodes: list[Node] | None, pages: Mapping[str, str], ask: Ask) -> Generator[Any, Any, list[Found]]:
    found: list[Found] = []
    for node in nodes or ():
        found += [(yield from _paged(node, pages, ask))]
    return found


def _paged(node: Node, pages: Mapping[str, str], ask: Ask) -> Generator[Any, Any, Found]:
    """Return *node* with its connections read to their ends; of one that is gone meanwhile, what was there."""
    found = dict(node)
    for name, query in pages.items():
        page = node.get(name) or {}
        nodes = list(page.get("nodes") or ())
        while (page.get("pageInfo") or {}).get("hasNextPage"):
            (owner,) = (
                yield from ask(query, {"id": node["id"], "after": page["pageInfo"]["endCursor"]}, COST)
            ).values()
            page = (owner or {}).get(name) or {}
            nodes += page.get("nodes") or ()
        found[name] = {"nodes": nodes}
    return found


def _proven(ids: Found) -> Found:
    """Return *ids* of whole lists; DecodeError where one may be cut: a full one, or one of fewer than are counted."""
    for name in ids.keys() & _LISTS.keys():
        shown, counted = len(ids[name]), (ids.get(f"{name}Count") or {}).get("count", 0)
        if (shown and shown % MOST == 0) or shown < counted:
            raise DecodeError(f"Shopify: an order of which no more than {shown} {name} are shown cannot be read whole.")
    return ids


def _listed(known: list[Node], ids: list[str], cut: Cut, ask: Ask) -> Generator[Any, Any, list[Node]]:
    """Return the nodes with *ids*; those that are not *known* yet are read."""
    found = {one["id"]: one for one in known}
    missing = [id_ for id_ in ids if id_ not in found]
    for start in range(0, len(missing), cut.batch):
        nodes = (yield from ask(cut.query, {"ids": missing[start : start + cut.batch]}, COST))["nodes"]
        found |= {one["id"]: one for one in nodes if one}
    return [found[id_] for id_ in ids if id_ in found]
