"""Every operation and subscription against the schema that Shopify publishes."""

import gzip
import json
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    build_client_schema,
    coerce_input_value,
    parse,
    validate,
)

from app.sandbox.platforms.shopify.engine import SINGLE_LIMIT, understood
from schemas.connection import Connection
from schemas.platforms.shopify import drafts, graph, pages, webhooks, writes
from schemas.platforms.shopify.webhooks import TOPICS, asked
from streams.sources.platforms.shopify import ShopifySource
from tests.platforms.shopify.plain import DOMAIN, hook_of

_GROUPS = ("ORDER_TRANSACTIONS", "FULFILLMENT_ORDERS", "FULFILLMENT_EVENTS", "DRAFT_ORDERS")
SOURCE = ShopifySource(
    Connection(name="shop", tenant="acme", platform="shopify", account=DOMAIN, options={"drafts": "yes"})
)


def test_every_topic_we_subscribe_to_is_published_and_understood(published: GraphQLSchema) -> None:
    topics = published.type_map["WebhookSubscriptionTopic"]
    assert isinstance(topics, GraphQLEnumType)
    assert set(TOPICS) < set(SOURCE.topics()) <= set(topics.values)
    for word in set(SOURCE.topics()) - {"APP_UNINSTALLED"}:
        group = next((head for head in _GROUPS if word.startswith(head)), word.split("_")[0])
        topic = f"{group.lower()}/{word.removeprefix(group)[1:].lower()}"
        body = {"id": 100, "order_id": 100, "order_edit": {"order_id": 100}, "fulfillment_order": {"id": 100}}
        if not topic.startswith("fulfillment_orders/"):
            del body["fulfillment_order"]
        hook = hook_of(topic, body)
        assert SOURCE.hints(hook) or SOURCE.to_events(hook), topic


def test_every_subscription_asks_for_our_claims_and_fits_the_published_input(published: GraphQLSchema) -> None:
    shape = published.type_map["WebhookSubscriptionInput"]
    assert isinstance(shape, GraphQLInputObjectType)
    assert coerce_input_value(asked("https://hooks.example.com/shopify"), shape)["metafieldNamespaces"] == ["o2c"]


@pytest.fixture(scope="module")
def published(shared: Path) -> GraphQLSchema:
    with gzip.open(shared / "specs/shopify/admin-graphql-2026-07.introspection.json.gz") as file:
        data = json.load(file)
    # The vendor deprecates fields of interfaces, which the library would refuse.
    return build_client_schema(data.get("data", data), assume_valid=True)


QUERIES = {
    f"{module.__name__.rsplit('.', 1)[-1]}.{name}": text
    for module in (drafts, graph, pages, writes, webhooks)
    for name, text in vars(module).items()
    if name.isupper() and isinstance(text, str) and text.startswith(("query", "mutation"))
}


@pytest.mark.parametrize("name", QUERIES)
def test_every_outgoing_operation_is_valid(name: str, published: GraphQLSchema) -> None:
    assert [error.message for error in validate(published, parse(QUERIES[name]))] == []


@pytest.mark.parametrize("name", [name for name, text in QUERIES.items() if graph.ORDER in text])
def test_every_operation_is_valid_with_payment_terms_too(name: str, published: GraphQLSchema) -> None:
    asked = graph.with_terms(QUERIES[name])
    assert graph.TERMS in asked
    assert [error.message for error in validate(published, parse(asked))] == []
    known = understood(asked, None)
    assert known.errors == []
    assert known.cost < SINGLE_LIMIT


def test_nothing_mails_a_customer_unless_that_is_its_purpose() -> None:
    for name, text in QUERIES.items():
        assert "notifyCustomer: true" not in text, name
        assert "sendReceipt: true" not in text, name
    assert "notifyCustomer: false" in writes.CANCEL
    assert "originalPaymentMethodsRefund: false" in writes.CANCEL
    assert "sendReceipt: false" in writes.ORDER_CREATE
