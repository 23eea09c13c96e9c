"""What the Shopify sandbox understands is a part of the published schema, and its replies fit it."""

import gzip
import json
from pathlib import Path

import pytest
from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLSchema,
    build_client_schema,
    execute_sync,
    parse,
    print_ast,
    validate,
)

from app.sandbox.base import dumps
from app.sandbox.platforms.shopify import ShopifySandbox
from app.sandbox.platforms.shopify.engine import SCHEMA, understood

LINES = [{"sku": "MUG", "title": "Blue mug", "quantity": 3, "price": "19.99", "tax_rate": "20"}]


@pytest.fixture(scope="module")
def published(shared: Path) -> GraphQLSchema:
    with gzip.open(shared / "specs/shopify/admin-graphql-2026-07.introspection.json.gz") as file:
        data = json.load(file)
    return build_client_schema(data.get("data", data), assume_valid=True)  # the vendor deprecates interface fields


def test_every_type_field_and_argument_is_published(published: GraphQLSchema) -> None:
    wrong = []
    for name, kind in SCHEMA.type_map.items():
        if name.startswith("__"):
            continue
        theirs = published.type_map.get(name)
        if isinstance(kind, GraphQLEnumType):
            wrong += [f"{name}.{value}" for value in kind.values if value not in theirs.values]
            continue
        for field_name, field in getattr(kind, "fields", {}).items():
            other = theirs.fields.get(field_name)
            if other is None or str(other.type) != str(field.type):
                wrong.append(f"{name}.{field_name}")
                continue
            if not isinstance(kind, GraphQLInputObjectType):
                wrong += [
                    f"{name}.{field_name}({arg_name})"
                    for arg_name, arg in field.args.items()
                    if arg_name not in other.args or str(other.args[arg_name].type) != str(arg.type)
                ]
    assert wrong == []


def test_the_documented_operations_are_understood(shared: Path, published: GraphQLSchema) -> None:
    text = (shared / "specs/shopify/operations.graphql").read_text()
    for definition in parse(text).definitions:
        alone = DocumentNode(definitions=(definition,))
        assert validate(published, alone) == []
        assert understood(print_ast(alone), None).errors == []


def test_replies_fit_the_published_schema(shared: Path, published: GraphQLSchema) -> None:
    """The sandbox's data, replayed as the root value of the real schema, completes without an error."""
    sandbox = ShopifySandbox()
    act = sandbox.verbs
    made = act["create_order"]({"lines": LINES, "email": "ada@example.com", "name": "Ada E", "shipping": "4.90"})
    act["pay_order"]({"id": made["id"], "gateway": "card"})
    act["fulfil_order"]({"id": made["id"], "tracking": "1Z"})
    act["refund_order"]({"id": made["id"], "lines": [{"sku": "MUG", "quantity": 1}], "amount": "23.99"})
    text = (shared / "specs/shopify/operations.graphql").read_text()
    polls = next(one for one in parse(text).definitions if "orders" in print_ast(one)[:80])
    asked = understood(print_ast(polls), None)
    answer = json.loads(dumps(sandbox.engine.run(asked, {"q": "updated_at:>='2020-01-01T00:00:00Z'"}, None)))
    assert "errors" not in answer
    again = execute_sync(published, asked.document, root_value=answer["data"], variable_values={"q": "x"})
    assert again.errors is None
    assert again.data == answer["data"]
    assert answer["data"]["orders"]["nodes"][0]["refunds"]
