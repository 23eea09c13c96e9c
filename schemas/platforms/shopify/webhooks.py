"""Shopify's webhooks: one subscription per topic and address, made by the app in each shop."""

from __future__ import annotations

from schemas.platforms.shopify import NAMESPACE
from schemas.webhooks import Webhooks

TOPICS = (
    "ORDERS_CREATE",
    "ORDERS_UPDATED",
    "ORDERS_CANCELLED",
    "ORDERS_EDITED",
    "ORDERS_DELETE",
    "ORDER_TRANSACTIONS_CREATE",
    "REFUNDS_CREATE",
    "FULFILLMENTS_UPDATE",
    "FULFILLMENT_EVENTS_CREATE",
    "FULFILLMENT_ORDERS_PLACED_ON_HOLD",
    "FULFILLMENT_ORDERS_HOLD_RELEASED",
    "RETURNS_UPDATE",
    "DISPUTES_CREATE",
    "DISPUTES_UPDATE",
    "CUSTOMERS_CREATE",
    "CUSTOMERS_UPDATE",
    "CUSTOMERS_DELETE",
    "CUSTOMERS_MERGE",
    "APP_UNINSTALLED",
)
"""What a connection subscribes to."""
WEBHOOKS = Webhooks(
    topics=TOPICS,
    rights="the app needs to read orders, customers, fulfilments and returns (and draft orders, where they are read), "
    "and access to protected customer data",
    signed_with="client_secret",
    look_seconds=3_600.0,  # within four hours eight deliveries fail, and Shopify deletes the subscription
)
LIST = """query webhookSubscriptions($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    nodes { id topic uri format includeFields metafieldNamespaces } pageInfo { hasNextPage endCursor }
  }
}"""
CREATE = """mutation subscribe($topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {
    webhookSubscription { id topic uri metafieldNamespaces } userErrors { field message }
  }
}"""
UPDATE = """mutation resubscribe($id: ID!, $subscription: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $subscription) {
    webhookSubscription { id topic uri metafieldNamespaces } userErrors { field message }
  }
}"""
DELETE = """mutation unsubscribe($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}"""


def asked(uri: str) -> dict[str, object]:
    """Return the input of a subscription that sends whole bodies, our claims in each, to *uri*."""
    return {"uri": uri, "format": "JSON", "metafieldNamespaces": [NAMESPACE]}
