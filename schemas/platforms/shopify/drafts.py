"""Draft orders: what a person types, and perhaps mails, before it becomes an order; read by GraphQL alone.

https://shopify.dev/docs/api/admin-graphql/2026-07/objects/DraftOrder (scope read_draft_orders). A draft is an object of
the type of the order that it becomes, since orders are merged within one type: its id begins with PREFIX.
"""

from __future__ import annotations

import msgspec

from schemas import facts as canonical
from schemas.money import ZERO
from schemas.platforms.shopify import facts, graph, wire
from schemas.platforms.shopify.graph import NEXT, Node

PREFIX = "draft-"
SOURCE = "shopify_draft_order"
"""The source_name of an order that was a draft (https://shopify.dev/docs/api/admin-rest/latest/resources/order)."""
_FRESH_SECONDS = 120

LINE = f"""{{
  id sku title name quantity originalUnitPriceSet {graph.MONEY} totalDiscountSet {graph.MONEY} taxLines {graph.TAX}
}}"""
DRAFT = f"""fragment draft on DraftOrder {{
  id name status currencyCode presentmentCurrencyCode email phone note2 poNumber taxesIncluded createdAt updatedAt
  totalPriceSet {graph.MONEY} totalTaxSet {graph.MONEY} order {{ id }}
  customer {graph.CUSTOMER_FIELDS} billingAddress {graph.ADDRESS} shippingAddress {graph.ADDRESS}
  lineItems(first: 50) {{ nodes {LINE} {NEXT} }} shippingLine {graph.SHIPPING}
}}"""
READ = f"query draft($id: ID!) {{ draftOrder(id: $id) {{ ...draft }} }}\n{DRAFT}"
LATEST = """query latestDrafts {
  draftOrders(first: 50, sortKey: UPDATED_AT, reverse: true) { nodes { id order { id } } }
}"""
SWEEP = f"""query drafts($after: String, $q: String!, $by: DraftOrderSortKeys = UPDATED_AT) {{
  draftOrders(first: 25, after: $after, sortKey: $by, query: $q) {{ nodes {{ ...draft }} {NEXT} }}
}}\n{DRAFT}"""


def is_draft(id_: str) -> bool:
    """Tell whether an id of ours or a global id is a draft's."""
    return id_.startswith(PREFIX) or "/DraftOrder/" in id_


def id_of(gid: str) -> str:
    """Return our id of a draft."""
    return f"{PREFIX}{wire.text(gid)}"


def gid(id_: str) -> str:
    """Return the global id of a draft of ours."""
    return graph.gid("DraftOrder", id_.removeprefix(PREFIX))


def order_of(node: Node) -> str:
    """Return the id of the order that a draft became, "" while it is a draft."""
    return wire.text((node.get("order") or {}).get("id"))


def order(node: Node, zone: str) -> canonical.Order:
    """Return a draft as an order that nobody bills; of a completed one only which order it is now."""
    stage = str(node.get("status") or "OPEN").lower()
    if became := order_of(node):
        return canonical.Order(number=node["name"], status="draft", stage=stage, merged_into=became)
    shown = facts.order(_record(node), zone)
    lines = (*shown.lines, *_discount(shown))
    return msgspec.structs.replace(shown, status="draft", stage=stage, financial="none", lines=lines)


def just_ordered(record: wire.Order) -> bool:
    """Tell whether a record is of an order that was a draft a moment ago: its draft may not have handed over yet."""
    age = facts.native(record.updated_at) - facts.native(record.created_at)
    return record.source_name == SOURCE and age < _FRESH_SECONDS


def _record(node: Node) -> wire.Order:
    """Return the record of a draft as if it were an order's."""
    lines = [
        {**one, "discountAllocations": [{"allocatedAmountSet": one.get("totalDiscountSet")}]}
        for one in node["lineItems"]["nodes"]
    ]
    shipping = {"nodes": [node["shippingLine"]] if node.get("shippingLine") else []}
    return graph.order({**node, "note": node.get("note2"), "lineItems": {"nodes": lines}, "shippingLines": shipping})


def _discount(order_: canonical.Order) -> list[canonical.Line]:
    """Return the discount on the whole draft, which no line shows: what its lines are over its total."""
    worth = sum((line.net_amount + line.tax_amount for line in order_.lines), ZERO)
    off = (order_.payable_amount or ZERO) - worth
    found = canonical.Line(kind="discount", name="Discount", unit_price=off, net_amount=off, tax_rate=ZERO)
    return [found] if off < 0 else []
