"""Admin GraphQL: the writes. Every argument that could mail a customer or move money is spelled out."""

from __future__ import annotations

from schemas.platforms.shopify.graph import CUSTOMER_FIELDS, NEXT, ORDER

_ERRORS = "userErrors { field message }"
_CODED = "userErrors { field message code }"

ORDER_CREATE = f"""mutation orderCreate($order: OrderCreateOrderInput!) {{
  orderCreate(order: $order, options: {{
    inventoryBehaviour: BYPASS, sendReceipt: false, sendFulfillmentReceipt: false
  }}) {{ order {{ ...order }} {_CODED} }}
}}
{ORDER}"""
ORDER_UPDATE = f"""mutation orderUpdate($input: OrderInput!) {{
  orderUpdate(input: $input) {{ order {{ ...order }} {_ERRORS} }}
}}
{ORDER}"""
CANCEL = """mutation orderCancel($id: ID!, $reason: OrderCancelReason!, $staffNote: String) {
  orderCancel(
    orderId: $id, reason: $reason, restock: false, notifyCustomer: false, staffNote: $staffNote,
    refundMethod: { originalPaymentMethodsRefund: false }
  ) { job { id done } orderCancelUserErrors { field message code } }
}"""
JOB = "query job($id: ID!) { job(id: $id) { id done } }"
CLOSE = f"""mutation orderClose($id: ID!) {{ orderClose(input: {{ id: $id }}) {{ order {{ id }} {_ERRORS} }} }}"""
OPEN = f"""mutation orderOpen($id: ID!) {{ orderOpen(input: {{ id: $id }}) {{ order {{ id }} {_ERRORS} }} }}"""
HOLD = f"""mutation fulfillmentOrderHold($id: ID!, $hold: FulfillmentOrderHoldInput!) {{
  fulfillmentOrderHold(id: $id, fulfillmentHold: $hold) {{ fulfillmentOrder {{ id status }} {_CODED} }}
}}"""
RELEASE = f"""mutation fulfillmentOrderReleaseHold($id: ID!, $externalId: String!) {{
  fulfillmentOrderReleaseHold(id: $id, externalId: $externalId) {{ fulfillmentOrder {{ id status }} {_CODED} }}
}}"""
PAYMENT = f"""mutation orderCreateManualPayment($id: ID!, $amount: MoneyInput, $method: String, $at: DateTime) {{
  orderCreateManualPayment(id: $id, amount: $amount, paymentMethodName: $method, processedAt: $at) {{
    order {{ ...order }} {_CODED}
  }}
}}
{ORDER}"""
REFUND = f"""mutation refundCreate($input: RefundInput!, $key: String!) {{
  refundCreate(input: $input) @idempotent(key: $key) {{ refund {{ id }} order {{ ...order }} {_ERRORS} }}
}}
{ORDER}"""
METAFIELDS = f"""mutation metafieldsSet($metafields: [MetafieldsSetInput!]!) {{
  metafieldsSet(metafields: $metafields) {{ metafields {{ id key }} {_CODED} }}
}}"""
PART_LINE = "{ id remainingQuantity lineItem { id sku } }"
PART = f"""{{
  id status fulfillmentHolds {{ id reasonNotes }} assignedLocation {{ location {{ id }} }}
  lineItems(first: 50) {{ nodes {PART_LINE} {NEXT} }}
}}"""
FULFILLMENT_ORDERS = f"""query fulfillmentOrders($id: ID!) {{
  order(id: $id) {{ id fulfillmentOrders(first: 10) {{ nodes {PART} {NEXT} }} }}
}}"""
FULFIL = f"""mutation fulfillmentCreate($fulfillment: FulfillmentInput!) {{
  fulfillmentCreate(fulfillment: $fulfillment) {{ fulfillment {{ id status }} {_ERRORS} }}
}}"""
TRACK = f"""mutation fulfillmentTrackingInfoUpdate($id: ID!, $tracking: FulfillmentTrackingInput!) {{
  fulfillmentTrackingInfoUpdate(fulfillmentId: $id, trackingInfoInput: $tracking, notifyCustomer: false) {{
    fulfillment {{ id status }} {_ERRORS}
  }}
}}"""
EVENT = f"""mutation fulfillmentEventCreate($event: FulfillmentEventInput!) {{
  fulfillmentEventCreate(fulfillmentEvent: $event) {{ fulfillmentEvent {{ id status }} {_ERRORS} }}
}}"""
UNFULFIL = f"""mutation fulfillmentCancel($id: ID!) {{
  fulfillmentCancel(id: $id) {{ fulfillment {{ id status }} {_ERRORS} }}
}}"""
CUSTOMER_SET = f"""mutation customerSet($email: String!, $input: CustomerSetInput!) {{
  customerSet(identifier: {{ email: $email }}, input: $input) {{ customer {CUSTOMER_FIELDS} {_CODED} }}
}}"""
