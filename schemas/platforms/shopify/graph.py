"""Admin GraphQL: the reads, and how their nodes become the REST-shaped records of `wire`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from schemas.platforms.shopify import wire

Node = Mapping[str, Any]

MONEY = "{ shopMoney { amount currencyCode } }"
ADDRESS = "{ name company address1 address2 city province zip countryCodeV2 phone }"
CUSTOMER_FIELDS = """{
  id firstName lastName updatedAt defaultEmailAddress { emailAddress } defaultPhoneNumber { phoneNumber }
}"""
TAX = f"{{ rate priceSet {MONEY} }}"
NEXT = "pageInfo { hasNextPage endCursor }"
LINE = f"""{{
  id sku title name quantity currentQuantity originalUnitPriceSet {MONEY} taxLines {TAX}
  discountAllocations {{ allocatedAmountSet {MONEY} }}
}}"""
SHIPPING = f"""{{
  id title originalPriceSet {MONEY} taxLines {TAX} discountAllocations {{ allocatedAmountSet {MONEY} }}
}}"""
METAFIELD = "{ namespace key value }"
TRANSACTION = """{
  id kind status gateway manualPaymentGateway processedAt createdAt test authorizationCode paymentId
  amountSet { shopMoney { amount currencyCode } presentmentMoney { amount } } parentTransaction { id }
}"""
REFUND_LINE = f"""{{
  quantity restockType subtotalSet {MONEY} totalTaxSet {MONEY} lineItem {{ id sku title name taxLines {TAX} }}
}}"""
REFUND_SHIPPING = f"{{ subtotalAmountSet {MONEY} taxAmountSet {MONEY} }}"
REFUND = f"""{{
  id createdAt processedAt note
  refundLineItems(first: 20) {{ nodes {REFUND_LINE} {NEXT} }}
  refundShippingLines(first: 2) {{ nodes {REFUND_SHIPPING} {NEXT} }}
  transactions(first: 5) {{ nodes {TRANSACTION} {NEXT} }}
}}"""
PARCEL_LINE = "{ quantity lineItem { id } }"
TRACKING = "{ company number url }"
TRANSACTIONS_SHOWN, REFUNDS_SHOWN, PARCELS_SHOWN, TRACKING_SHOWN = 25, 10, 10, 5
"""How many a read shows at first of what has no cursor; `pages` reads the rest."""
FULFILLMENT = f"""{{
  id status displayStatus createdAt updatedAt trackingInfo(first: {TRACKING_SHOWN}) {TRACKING}
  fulfillmentLineItems(first: 20) {{ nodes {PARCEL_LINE} {NEXT} }}
}}"""
ORDER = f"""fragment order on Order {{
  id name test currencyCode presentmentCurrencyCode email phone note poNumber sourceIdentifier sourceName
  taxesIncluded createdAt processedAt updatedAt cancelledAt displayFinancialStatus displayFulfillmentStatus
  totalPriceSet {MONEY} totalTaxSet {MONEY} currentTotalPriceSet {MONEY} currentTotalTaxSet {MONEY}
  totalOutstandingSet {MONEY} totalTipReceivedSet {MONEY} originalTotalDutiesSet {MONEY}
  customer {CUSTOMER_FIELDS} billingAddress {ADDRESS} shippingAddress {ADDRESS}
  lineItems(first: 50) {{ nodes {LINE} {NEXT} }}
  shippingLines(first: 2) {{ nodes {SHIPPING} {NEXT} }}
  transactions(first: {TRANSACTIONS_SHOWN}) {TRANSACTION}
  refunds(first: {REFUNDS_SHOWN}) {REFUND}
  fulfillments(first: {PARCELS_SHOWN}) {FULFILLMENT}
  metafields(first: 25, namespace: "o2c") {{ nodes {METAFIELD} {NEXT} }}
}}"""
TERMS = "paymentTerms { overdue paymentSchedules(first: 10) { nodes { dueAt } } }"
"""Asked for only where the connection says so: without the scope read_payment_terms the whole reply is refused."""
READ = f"query read($id: ID!) {{ order(id: $id) {{ ...order }} }}\n{ORDER}"
READ_MANY = f"query readMany($ids: [ID!]!) {{ nodes(ids: $ids) {{ ...order }} }}\n{ORDER}"
FIND = f"""query find($q: String!) {{ orders(first: 2, query: $q) {{ nodes {{ ...order }} }} }}\n{ORDER}"""
SWEEP = f"""query sweep($after: String, $q: String!, $by: OrderSortKeys = UPDATED_AT) {{
  orders(first: 10, after: $after, sortKey: $by, query: $q) {{
    nodes {{ ...order }} {NEXT}
  }}
}}\n{ORDER}"""
PARENT = """query parent($id: ID!) {
  node(id: $id) {
    ... on OrderTransaction { order { id } }
    ... on Refund { refundOrder: order { id } }
    ... on Fulfillment { parcelOrder: order { id } }
    ... on FulfillmentOrder { heldOrder: order { id } }
  }
}"""
CUSTOMER = f"query customer($id: ID!) {{ customer(id: $id) {CUSTOMER_FIELDS} }}"
CUSTOMER_BY_EMAIL = f"""query customerByEmail($email: String!) {{
  customerByIdentifier(identifier: {{ emailAddress: $email }}) {CUSTOMER_FIELDS}
}}"""
CUSTOMERS = f"""query customers($after: String, $q: String!, $by: CustomerSortKeys = UPDATED_AT) {{
  customers(first: 100, after: $after, sortKey: $by, query: $q) {{
    nodes {CUSTOMER_FIELDS} {NEXT}
  }}
}}"""
RATES = """query rates {
  orders(first: 20, sortKey: CREATED_AT, reverse: true) { nodes {
    lineItems(first: 5) { nodes { taxLines { rate } } }
    shippingLines(first: 2) { nodes { taxLines { rate } } }
  } }
}"""
SCOPES = "query scopes { currentAppInstallation { accessScopes { handle } } }"
SHOP = "query shop { shop { id name myshopifyDomain currencyCode ianaTimezone } }"

_NOT_CARRIER = frozenset(("FULFILLED", "MARKED_AS_FULFILLED", "SUBMITTED", "CANCELED", "LABEL_VOIDED"))


def gid(type_: str, id_: str) -> str:
    """Return the global id of a REST id."""
    return f"gid://shopify/{type_}/{id_}"


def with_terms(query: str) -> str:
    """Return *query* with the payment terms of its orders."""
    head = "fragment order on Order {"
    return query.replace(head, f"{head}\n  {TERMS}")


def rates(orders: Iterable[Node]) -> tuple[Decimal, ...]:
    """Return the taxes in percent that lines of *orders* carry, the highest first; those of one line add up."""
    lines = [line for one in orders for part in ("lineItems", "shippingLines") for line in one[part]["nodes"]]
    found = {sum((Decimal(str(tax["rate"] or 0)) for tax in line["taxLines"]), Decimal()) * 100 for line in lines}
    return tuple(sorted((Decimal(f"{rate.normalize():f}") for rate in found), reverse=True))


def order(node: Node, *, holds: bool = False) -> wire.Order:
    """Return the record that a webhook of the same state carries, plus transactions."""
    transactions = [_transaction(one) for one in node.get("transactions") or ()]
    parcels = [_fulfillment(one) for one in node.get("fulfillments") or ()]
    record = {
        "id": wire.text(node["id"]),
        "name": node.get("name") or "",
        "test": bool(node.get("test")),
        "currency": node.get("currencyCode") or "XXX",
        "presentment_currency": node.get("presentmentCurrencyCode"),
        "email": node.get("email"),
        "phone": node.get("phone"),
        "note": node.get("note"),
        "po_number": node.get("poNumber"),
        "source_identifier": node.get("sourceIdentifier"),
        "source_name": node.get("sourceName"),
        "financial_status": (node.get("displayFinancialStatus") or "pending").lower(),
        "fulfillment_status": _fulfilment(str(node.get("displayFulfillmentStatus")), parcels, holds=holds),
        "taxes_included": bool(node.get("taxesIncluded")),
        "created_at": node.get("createdAt"),
        "processed_at": node.get("processedAt"),
        "updated_at": node.get("updatedAt"),
        "cancelled_at": node.get("cancelledAt"),
        "total_price": _amount(node, "totalPriceSet"),
        "total_tax": _amount(node, "totalTaxSet"),
        "current_total_price": _amount(node, "currentTotalPriceSet"),
        "current_total_tax": _amount(node, "currentTotalTaxSet"),
        "total_outstanding": _amount(node, "totalOutstandingSet"),
        "total_tip_received": _amount(node, "totalTipReceivedSet"),
        "original_total_duties_set": {"shop_money": {"amount": _amount(node, "originalTotalDutiesSet")}},
        "due": [{"due_at": one.get("dueAt")} for one in _nodes(node.get("paymentTerms") or {}, "paymentSchedules")],
        "overdue": bool((node.get("paymentTerms") or {}).get("overdue")),
        "customer": customer(node["customer"]) if node.get("customer") else None,
        "billing_address": _address(node.get("billingAddress")),
        "shipping_address": _address(node.get("shippingAddress")),
        "line_items": [_line(one) for one in _nodes(node, "lineItems")],
        "shipping_lines": [_shipping(one) for one in _nodes(node, "shippingLines")],
        "fulfillments": parcels,
        "refunds": [_refund(one) for one in node.get("refunds") or ()],
        "transactions": transactions,
        "metafields": [dict(one) for one in _nodes(node, "metafields")],
    }
    return msgspec.convert(record, wire.Order, strict=False)


def customer(node: Node) -> dict[str, Any]:
    """Return a customer's record."""
    return {
        "id": wire.text(node["id"]),
        "email": (node.get("defaultEmailAddress") or {}).get("emailAddress"),
        "first_name": node.get("firstName"),
        "last_name": node.get("lastName"),
        "phone": (node.get("defaultPhoneNumber") or {}).get("phoneNumber"),
        "updated_at": node.get("updatedAt"),
    }


def _nodes(node: Node, name: str) -> list[Node]:
    return list((node.get(name) or {}).get("nodes") or ())


def _amount(node: Node, name: str) -> str:
    return str(((node.get(name) or {}).get("shopMoney") or {}).get("amount") or "0")


def _fulfilment(word: str, parcels: list[dict[str, Any]], *, holds: bool) -> str | None:
    """Return REST's word; webhooks know neither holds nor progress, so without *holds* reads do not either."""
    plain = {"FULFILLED": "fulfilled", "PARTIALLY_FULFILLED": "partial", "RESTOCKED": "restocked"}
    if word in plain:
        return plain[word]
    if word == "ON_HOLD" and holds:
        return "on_hold"
    return "partial" if any(one["status"] == "success" for one in parcels) else None


def _address(node: Node | None) -> dict[str, Any] | None:
    return {**node, "country_code": node.get("countryCodeV2")} if node else None


def _taxes(node: Node) -> list[dict[str, Any]]:
    return [
        {"price": _amount(one, "priceSet"), "rate": str(one.get("rate") or 0)} for one in node.get("taxLines") or ()
    ]


def _discounts(node: Node) -> list[dict[str, Any]]:
    return [{"amount": _amount(one, "allocatedAmountSet")} for one in node.get("discountAllocations") or ()]


def _line(node: Node) -> dict[str, Any]:
    return {
        "id": wire.text(node["id"]),
        "sku": node.get("sku"),
        "title": node.get("title"),
        "name": node.get("name"),
        "quantity": node.get("quantity") or 0,
        "current_quantity": node.get("currentQuantity"),
        "price": _amount(node, "originalUnitPriceSet"),
        "tax_lines": _taxes(node),
        "discount_allocations": _discounts(node),
    }


def _shipping(node: Node) -> dict[str, Any]:
    return {
        "id": wire.text(node.get("id")),
        "title": node.get("title"),
        "price": _amount(node, "originalPriceSet"),
        "tax_lines": _taxes(node),
        "discount_allocations": _discounts(node),
    }


def _transaction(node: Node) -> dict[str, Any]:
    parent = node.get("parentTransaction")
    return {
        "id": wire.text(node["id"]),
        "parent_id": wire.text(parent["id"]) if parent else None,
        "kind": str(node.get("kind")).lower(),
        "status": str(node.get("status")).lower(),
        "amount": _amount(node, "amountSet"),
        "currency": ((node.get("amountSet") or {}).get("shopMoney") or {}).get("currencyCode"),
        "presentment_amount": ((node.get("amountSet") or {}).get("presentmentMoney") or {}).get("amount"),
        "gateway": node.get("gateway"),
        "authorization": node.get("authorizationCode"),
        "payment_id": node.get("paymentId"),
        "processed_at": node.get("processedAt"),
        "created_at": node.get("createdAt"),
        "test": bool(node.get("test")),
        "manual_payment_gateway": node.get("manualPaymentGateway"),
    }


def _refund(node: Node) -> dict[str, Any]:
    return {
        "id": wire.text(node["id"]),
        "note": node.get("note"),
        "created_at": node.get("createdAt"),
        "processed_at": node.get("processedAt"),
        "refund_line_items": [_refund_line(one) for one in _nodes(node, "refundLineItems")],
        "order_adjustments": [
            {
                "kind": "shipping_refund",
                "amount": f"-{_amount(one, 'subtotalAmountSet')}",
                "tax_amount": f"-{_amount(one, 'taxAmountSet')}",
            }
            for one in _nodes(node, "refundShippingLines")
        ],
        "transactions": [_transaction(one) for one in _nodes(node, "transactions")],
    }


def _refund_line(node: Node) -> dict[str, Any]:
    return {
        "line_item_id": wire.text(node["lineItem"]["id"]),
        "quantity": node.get("quantity") or 0,
        "restock_type": str(node.get("restockType")).lower(),
        "subtotal": _amount(node, "subtotalSet"),
        "total_tax": _amount(node, "totalTaxSet"),
        "line_item": _line(node["lineItem"]),
    }


def _fulfillment(node: Node) -> dict[str, Any]:
    tracking: list[Node] = list(node.get("trackingInfo") or ())
    shown = node.get("displayStatus")
    return {
        "id": wire.text(node["id"]),
        "status": str(node.get("status")).lower(),
        "shipment_status": str(shown).lower() if shown and shown not in _NOT_CARRIER else None,
        "tracking_company": next((one["company"] for one in tracking if one.get("company")), None),
        "tracking_numbers": [one["number"] for one in tracking if one.get("number")],
        "tracking_url": next((one["url"] for one in tracking if one.get("url")), None),
        "created_at": node.get("createdAt"),
        "updated_at": node.get("updatedAt"),
        "line_items": [
            {"id": wire.text(one["lineItem"]["id"]), "quantity": one.get("quantity") or 0}
            for one in _nodes(node, "fulfillmentLineItems")
        ],
    }
