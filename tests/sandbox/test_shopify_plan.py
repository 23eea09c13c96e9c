"""The shop's compiled GraphQL answers as graphql-core does, before and after every change of what it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.shopify.engine import understood
from schemas.platforms.shopify import graph, writes

pytestmark = pytest.mark.sandbox
LINES = [
    {"sku": "MUG", "title": "Blue mug", "quantity": 3, "price": "19.99", "tax_rate": "20", "discount": "1.00"},
    {"sku": "CUP", "title": "Cup", "quantity": 1, "price": "5", "tax_rate": "0"},
]
WIDE = """query wide($id: ID!, $first: Int = 1) {
  one: order(id: $id) { id again: id lineItems(first: $first) { nodes { id sku } pageInfo { hasNextPage } } }
  one: order(id: $id) { name customer { displayName } }
  node(id: $id) { id ... on Order { tags: note transactions { id parentTransaction { id amountSet { shopMoney { amount } } } } } }
  orders(first: 5) { nodes { fulfillmentOrders(first: 1) { nodes { id status supportedActions { action } } } } }
  shop { name }
}"""
TYPENAME = "query named($id: ID!) { order(id: $id) { __typename id } }"
SKIPPED = "query skipped($id: ID!) { order(id: $id) { id name @skip(if: true) } }"


@pytest.fixture
def shop() -> ShopifySandbox:
    return ShopifySandbox()


def gid(order: str) -> str:
    return graph.gid("Order", order)


def answers(shop: ShopifySandbox, query: str, variables: dict[str, Any]) -> tuple[Any, Any]:
    """Return what the shop answers, and what graphql-core does, with the objects that each has shown."""
    asked = understood(query, None)
    assert asked.errors == []
    assert asked.document is not None
    ours = json.loads(dumps(shop.engine.run(asked, variables, None))), shop.engine.resolved
    theirs = json.loads(dumps(shop.engine._executed(asked.document, variables, None))), shop.engine.resolved
    return ours, theirs


def agree(shop: ShopifySandbox, order: str) -> Any:
    """Hold every read to graphql-core; return the order."""
    asked = [
        (graph.READ, {"id": gid(order)}),
        (graph.READ_MANY, {"ids": [gid(order), gid("1")]}),
        (graph.FIND, {"q": "name:R1"}),
        (graph.SWEEP, {"q": "updated_at:>='2020-01-01T00:00:00Z'", "after": None}),
        (graph.CUSTOMERS, {"q": "", "after": None}),
        (graph.CUSTOMER_BY_EMAIL, {"email": "ada@example.com"}),
        (graph.SHOP, {}),
        (graph.PARENT, {"id": graph.gid("FulfillmentOrder", order)}),
        (writes.FULFILLMENT_ORDERS, {"id": gid(order)}),
        (WIDE, {"id": gid(order)}),
        (TYPENAME, {"id": gid(order)}),
        (SKIPPED, {"id": gid(order)}),
    ]
    for query, variables in asked:
        ours, theirs = answers(shop, query, variables)
        assert ours == theirs, query
        assert "errors" not in ours[0]
    return answers(shop, graph.READ, {"id": gid(order)})[0][0]["data"]["order"]


def test_every_read_is_answered_as_graphql_core_does_after_every_change(shop: ShopifySandbox) -> None:
    act = shop.verbs
    made = act["create_order"](
        {"lines": LINES, "email": "ada@example.com", "name": "Ada E", "reference": "R1", "shipping": "4.90"}
    )
    seen = [agree(shop, made["id"])]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("pay_order", {"amount": "30.00", "gateway": "card", "reference": "p1"}),
        ("edit_order", {"note": "gift", "po_number": "PO 1"}),
        ("hold_order", {"note": "wait"}),
        ("release_order", {}),
        ("fulfil_order", {"tracking": "1Z", "carrier": "UPS", "lines": [{"sku": "MUG", "quantity": 1}]}),
        ("deliver_order", {}),
        ("refund_order", {"lines": [{"sku": "MUG", "quantity": 1}], "amount": "5.00"}),
        ("tamper", {"how": "cent"}),
        ("tamper", {"how": "double"}),
        ("cancel_order", {}),
    ]
    for verb, asked in steps:
        act[verb]({"id": made["id"], **asked})
        seen.append(agree(shop, made["id"]))
        assert seen[-1] != seen[-2] or verb == "hold_order", verb
    shop.shop.customer("ada@example.com", ("Eda", "F"))
    assert agree(shop, made["id"])["customer"]["firstName"] == "Eda"


def test_a_mutation_is_done_once_whoever_words_the_answer(shop: ShopifySandbox) -> None:
    made = shop.verbs["create_order"]({"lines": LINES, "email": "ada@example.com"})
    named = writes.PAYMENT.replace("order { ...order }", "__typename order { ...order }")
    for query, paid in ((writes.PAYMENT, 1), (named, 2)):
        variables = {
            "id": gid(made["id"]),
            "amount": {"amount": "2.00", "currencyCode": "EUR"},
            "method": "Bank Deposit",
            "at": None,
        }
        answer = json.loads(dumps(shop.engine.run(understood(query, None), variables, None)))
        payload = answer["data"]["orderCreateManualPayment"]
        assert payload["userErrors"] == []
        assert len(payload["order"]["transactions"]) == paid


def test_errors_are_worded_by_graphql_core(shop: ShopifySandbox) -> None:
    for query, variables in ((graph.READ, {}), (graph.READ, {"id": None}), (writes.REFUND, {"input": {}, "key": "k"})):
        ours, theirs = answers(shop, query, variables)
        assert ours == theirs
        assert ours[0]["errors"]


def test_a_refund_without_its_key_is_refused_and_not_made(shop: ShopifySandbox) -> None:
    made = shop.verbs["create_order"]({"lines": LINES})
    paid = shop.verbs["pay_order"]({"id": made["id"]})
    query = "mutation r($input: RefundInput!) { refundCreate(input: $input) { refund { id } userErrors { message } } }"
    back = {
        "orderId": gid(made["id"]),
        "transactions": [
            {
                "orderId": gid(made["id"]),
                "parentId": graph.gid("OrderTransaction", paid["id"]),
                "amount": "1.00",
                "kind": "REFUND",
                "gateway": "shopify_payments",
            }
        ],
    }
    answer = shop.engine.run(understood(query, None), {"input": back}, None)
    assert "@idempotent" in answer["errors"][0]["message"]
    assert shop.shop.order(int(made["id"])).refunds == []
