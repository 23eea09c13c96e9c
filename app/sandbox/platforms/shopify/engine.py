"""Executes GraphQL for real: parse, validate against the schema, price, run, answer in the vendor's form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from math import ceil, log2
from typing import Any, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    build_schema,
    execute_sync,
    get_named_type,
    get_operation_ast,
    get_variable_values,
    parse,
    validate,
)
from graphql.execution.values import VariableValues

from app.sandbox.platforms.shopify.mutations import MUTATIONS
from app.sandbox.platforms.shopify.plan import Planner, Run, Step, Unplanned
from app.sandbox.platforms.shopify.shop import Refused, Shop
from app.sandbox.platforms.shopify.types import TYPES, type_name

SCHEMA = build_schema(files("app.sandbox.platforms.shopify").joinpath("schema.graphql").read_text("utf-8"))
MUTATION_COST = 10
SINGLE_LIMIT = 1000
UNDERSTOOD = 512
"""Requests that are kept as parsed."""
FREE = frozenset(("MoneyBag", "MoneyV2", "PageInfo"))
Resolver = Callable[..., Any]
Fragments = Mapping[str, FragmentDefinitionNode]
Info = GraphQLResolveInfo[Any]
_SURPRISES = (Unplanned, GraphQLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Asked(NamedTuple):
    """One request, understood: its operation's first field tells the log what was asked."""

    document: DocumentNode | None
    errors: list[dict[str, Any]]
    name: str
    mutating: bool
    cost: int
    key: str


class NeedsKey(GraphQLError):
    """A mutation that must carry @idempotent does not."""


@lru_cache(maxsize=UNDERSTOOD)
def understood(query: str, operation: str | None) -> Asked:
    """Return a query parsed, validated and priced; its first variables are not needed for that."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return Asked(None, [error.formatted], "invalid", mutating=False, cost=0, key="")  # type: ignore[list-item]  # a TypedDict
    errors = validate(SCHEMA, document)
    found = get_operation_ast(document, operation)
    if errors or found is None:
        shown: list[dict[str, Any]] = [dict(error.formatted) for error in errors]
        return Asked(None, shown or [{"message": "No operation provided."}], "invalid", mutating=False, cost=0, key="")
    mutating = found.operation is OperationType.MUTATION
    root = SCHEMA.mutation_type if mutating else SCHEMA.query_type
    fields = [node for node in found.selection_set.selections if isinstance(node, FieldNode)]
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    cost = MUTATION_COST * len(fields) if mutating else _price(found.selection_set, root, fragments)
    names = "+".join(node.name.value for node in fields)
    return Asked(document, [], names, mutating=mutating, cost=cost, key=_literal_key(found))


def _price(selection: SelectionSetNode, parent: Any, fragments: Fragments) -> int:  # noqa: ANN401 - any GraphQL type
    """Scalars and money are free, an object costs 1, a list grows with the logarithm of its size."""
    total = 0
    for node in selection.selections:
        if isinstance(node, FragmentSpreadNode):
            fragment = fragments[node.name.value]
            kind = SCHEMA.type_map[fragment.type_condition.name.value]
            total += _price(fragment.selection_set, kind, fragments)
        elif isinstance(node, InlineFragmentNode):
            name = node.type_condition.name.value if node.type_condition else parent.name
            total += _price(node.selection_set, SCHEMA.type_map[name], fragments)
        elif isinstance(node, FieldNode) and node.selection_set is not None:
            total += _field_price(node, node.selection_set, parent, fragments)
    return total


def _field_price(node: FieldNode, selection: SelectionSetNode, parent: Any, fragments: Fragments) -> int:  # noqa: ANN401
    field = parent.fields[node.name.value]
    kind = get_named_type(field.type)
    if kind.name in FREE:
        return 0
    size = next((_int(arg.value) for arg in node.arguments or () if arg.name.value in {"first", "ids"}), 0)
    inner = _price(selection, kind, fragments)
    return ceil((inner + 1) * log2(size + 1)) + 1 if size else inner + 1


def _int(value: Any) -> int:  # noqa: ANN401 - any value node
    text = getattr(value, "value", "10")
    return int(text) if isinstance(text, str) and text.isdigit() else 10


def _literal_key(operation: OperationDefinitionNode) -> str:
    for node in operation.selection_set.selections:
        for directive in getattr(node, "directives", None) or ():
            if directive.name.value == "idempotent":
                return str(getattr(directive.arguments[0].value, "value", "variable"))
    return ""


class Engine:
    """Runs understood requests on one shop; keeps the answers of idempotent mutations."""

    def __init__(self, shop: Shop, queries: Mapping[str, Resolver], own: Mapping[str, Resolver]) -> None:
        """Take the query fields and, as *own*, the mutations that need more than the shop's records."""
        self.shop, self._queries, self._own = shop, queries, own
        self._answers: dict[str, tuple[str, Any]] = {}
        self.idempotency_off: Callable[[], bool] = lambda: False
        self.resolved = 0
        self._planner = Planner(SCHEMA)
        self._plans: dict[int, tuple[OperationDefinitionNode, list[Step]]] = {}
        self._done: dict[str, Any] = {}

    def run(self, asked: Asked, variables: Mapping[str, Any] | None, operation: str | None) -> dict[str, Any]:
        """Execute and return data (orders in it as JSON already) and errors."""
        if asked.document is None:
            return {"errors": asked.errors}
        self._done.clear()
        given = dict(variables or {})
        try:
            return {"data": self._planned(asked.document, given, operation)}
        except _SURPRISES:
            return self._executed(asked.document, given, operation)

    def _planned(self, document: DocumentNode, variables: dict[str, Any], operation: str | None) -> dict[str, Any]:
        asked = cast("OperationDefinitionNode", get_operation_ast(document, operation))
        coerced = get_variable_values(SCHEMA, asked.variable_definitions or (), variables)
        if isinstance(coerced, list):
            raise Unplanned
        run, shown = Run(coerced), dict[str, Any]()
        for step in self._plan(document, asked):
            arguments = dict(step.given(run))
            if asked.operation is OperationType.MUTATION:
                found = self._once(step.key, step.node, step.field.type, coerced, arguments)
            else:
                found = self._queries[step.node.name.value](**arguments)
            shown[step.key] = step.complete(found, run)
        self.resolved = run.objects
        return shown

    def _plan(self, document: DocumentNode, asked: OperationDefinitionNode) -> list[Step]:
        known = self._plans.get(id(asked))
        if known is None or known[0] is not asked:
            fragments = {
                node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
            }
            if len(self._plans) > UNDERSTOOD:
                self._plans.clear()
            known = self._plans[id(asked)] = asked, self._planner.plan(asked, fragments)
        return known[1]

    def _executed(self, document: DocumentNode, variables: dict[str, Any], operation: str | None) -> dict[str, Any]:
        """Let graphql-core answer, which words and places every error; a mutation that was done is not done again."""
        self.resolved = 0
        done = execute_sync(
            SCHEMA,
            document,
            variable_values=variables,
            operation_name=operation,
            field_resolver=self._resolve,
            type_resolver=lambda value, _info, _type: type_name(value),
        )
        answer: dict[str, Any] = {"data": done.data}
        if done.errors:
            answer["errors"] = [dict(error.formatted) for error in done.errors]
        return answer

    def _resolve(self, source: Any, info: Info, **args: Any) -> Any:  # noqa: ANN401 - any field
        name, parent = info.field_name, info.parent_type.name
        if parent == "Mutation":
            key = str(info.path.key)
            return self._once(key, info.field_nodes[0], info.return_type, info.variable_values, args)
        if parent == "QueryRoot":
            return self._queries[name](**args)
        self.resolved += info.field_nodes[0].selection_set is not None
        special = TYPES.get(parent, {}).get(name)
        if special is not None:
            return special(source, **args)
        return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)

    def _once(self, place: str, node: FieldNode, kind: Any, variables: VariableValues, args: dict[str, Any]) -> Any:  # noqa: ANN401 - a payload
        """Perform the mutation at *place* of the request, or say again what came of it."""
        if place not in self._done:
            try:
                self._done[place] = self._mutate(node, kind, variables, args)
            except _SURPRISES as error:
                self._done[place] = error
        found = self._done[place]
        if isinstance(found, Exception):
            raise found
        return found

    def _mutate(self, node: FieldNode, kind: Any, variables: VariableValues, args: dict[str, Any]) -> Any:  # noqa: ANN401 - a payload
        name, key = node.name.value, _key(node, variables)
        if name == "refundCreate" and not key:
            raise NeedsKey("The @idempotent directive is required for this mutation but was not provided.")
        fingerprint = sha256(json.dumps(args, sort_keys=True, default=str).encode()).hexdigest() if key else ""
        if key and not self.idempotency_off() and key in self._answers:
            known, answer = self._answers[key]
            if known != fingerprint:
                raise GraphQLError("The idempotency key was used with other parameters.")
            return answer
        answer = self._perform(name, kind, args)
        if key:
            self._answers[key] = (fingerprint, answer)
        return answer

    def _perform(self, name: str, kind: Any, args: dict[str, Any]) -> Any:  # noqa: ANN401 - a payload
        try:
            return self._own[name](**args) if name in self._own else MUTATIONS[name](self.shop, args)
        except Refused as refusal:
            return _refused(kind, refusal)


def _key(node: FieldNode, variables: VariableValues) -> str:
    for directive in node.directives or ():
        if directive.name.value == "idempotent" and directive.arguments:
            value: Any = directive.arguments[0].value
            return str(value.value if hasattr(value, "value") else variables.coerced[value.name.value])
    return ""


def _refused(kind: Any, refusal: Refused) -> dict[str, Any]:  # noqa: ANN401 - a GraphQL type
    """Return the mutation's payload with nothing but the refusal, its code only where the type knows it."""
    payload = cast("GraphQLObjectType", get_named_type(kind))
    place = "orderCancelUserErrors" if "orderCancelUserErrors" in payload.fields else "userErrors"
    error_type = cast("GraphQLObjectType", get_named_type(payload.fields[place].type))
    code = error_type.fields.get("code")
    words = get_named_type(code.type) if code else None
    known = refusal.code if isinstance(words, GraphQLEnumType) and refusal.code in words.values else None
    if known is None and isinstance(words, GraphQLEnumType) and f"ORDER_{refusal.code}" in words.values:
        known = f"ORDER_{refusal.code}"
    error = {"field": list(refusal.field) or None, "message": str(refusal), "code": known}
    return {"userErrors": [], "orderCancelUserErrors": [], place: [error]}


__all__ = ["SCHEMA", "SINGLE_LIMIT", "Asked", "Engine", "understood"]
