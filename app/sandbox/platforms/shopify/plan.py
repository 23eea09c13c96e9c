"""Compiled GraphQL: an operation becomes nested closures once, so that a reply costs little more than its fields.

graphql-core parses, validates and coerces what comes in; it also takes over, from the beginning, whenever a compiled
operation meets something out of the ordinary (`Unplanned`), so that errors are worded and placed by it alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    is_abstract_type,
    is_leaf_type,
    print_ast,
)
from graphql.execution.values import VariableValues

from app.sandbox.platforms.shopify.records import Order
from app.sandbox.platforms.shopify.types import TYPES, type_name

KEPT = 20_000
"""Orders that one selection keeps as JSON; the oldest go first."""
_PLAIN: Mapping[str, type] = {"String": str, "ID": str, "Boolean": bool, "Int": int}
_STEERING = frozenset(("skip", "include"))
Complete = Callable[[Any, "Run"], Any]


class Unplanned(Exception):
    """Something that only graphql-core answers: a null where none may be, a type that is not known."""


class Run:
    """One execution: its variables, and how many objects it has shown."""

    __slots__ = ("objects", "variables")

    def __init__(self, variables: VariableValues) -> None:
        self.variables, self.objects = variables, 0


class Step(NamedTuple):
    """One field of a selection."""

    key: str
    field: GraphQLField
    node: FieldNode
    arguments: Mapping[str, Any] | None
    """None where variables are among them."""
    complete: Complete

    def given(self, run: Run) -> Mapping[str, Any]:
        """Return the arguments."""
        if self.arguments is None:
            return get_argument_values(self.field, self.node, run.variables)
        return self.arguments


class Selection:
    """What is asked of an object of one type."""

    def __init__(self, kind: GraphQLObjectType, steps: list[Step], *, constant: bool) -> None:
        self.steps, self.constant = steps, constant
        self._objects = sum(step.node.selection_set is not None for step in steps)
        special = TYPES.get(kind.name, {})
        self._reads = [(step.key, _reader(step, special), step.complete) for step in steps]
        self._orders: dict[int, tuple[tuple[int, int], orjson.Fragment, int]] = {}

    def show(self, source: Any, run: Run) -> Any:  # noqa: ANN401 - any record
        """Return the object; an order comes from memory until it changes."""
        if self.constant and type(source) is Order:
            return self._order(source, run)
        return self._shown(source, run)

    def _shown(self, source: Any, run: Run) -> dict[str, Any]:  # noqa: ANN401
        run.objects += self._objects
        return {key: complete(read(source, run), run) for key, read, complete in self._reads}

    def _order(self, order: Order, run: Run) -> orjson.Fragment:
        stand = (order.version, order.customer.version if order.customer else 0)
        known = self._orders.get(order.id)
        if known is None or known[0] != stand:
            before = run.objects
            encoded = orjson.Fragment(orjson.dumps(self._shown(order, run)))
            known = stand, encoded, run.objects - before
            run.objects = before
            self._orders.pop(order.id, None)
            self._orders[order.id] = known
            if len(self._orders) > KEPT:
                del self._orders[next(iter(self._orders))]
        run.objects += known[2]
        return known[1]


def _reader(step: Step, special: Mapping[str, Callable[..., Any]]) -> Callable[[Any, Run], Any]:
    name, resolve, arguments = step.node.name.value, special.get(step.node.name.value), step.arguments
    if resolve is None:
        return lambda source, _: source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
    if arguments is None:
        return lambda source, run: resolve(source, **step.given(run))
    if arguments:
        return lambda source, _: resolve(source, **arguments)
    return lambda source, _: resolve(source)


class Planner:
    """Compiles the operations of one schema; equal selections are one, and share what they keep."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._same: dict[tuple[str, ...], Selection] = {}

    def plan(self, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]) -> list[Step]:
        """Return the root fields, Unplanned where a directive decides what is shown."""
        root = self._schema.get_root_type(operation.operation)
        if root is None:
            raise Unplanned
        return self._steps(root, [operation.selection_set], fragments)

    def _steps(
        self,
        kind: GraphQLObjectType,
        sets: Iterable[SelectionSetNode],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> list[Step]:
        nodes: defaultdict[str, list[FieldNode]] = defaultdict(list)
        for one in sets:
            for node in self._fields(kind, one, fragments):
                nodes[node.alias.value if node.alias else node.name.value].append(node)
        return [self._step(kind, key, same, fragments) for key, same in nodes.items()]

    def _fields(
        self, kind: GraphQLObjectType, selection: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> Iterator[FieldNode]:
        for node in selection.selections:
            if any(directive.name.value in _STEERING for directive in node.directives or ()):
                raise Unplanned
            if isinstance(node, FieldNode):
                yield node
                continue
            inner: FragmentDefinitionNode | InlineFragmentNode
            if isinstance(node, FragmentSpreadNode):
                inner = fragments[node.name.value]
            elif isinstance(node, InlineFragmentNode):
                inner = node
            else:
                raise Unplanned
            if self._applies(inner, kind):
                yield from self._fields(kind, inner.selection_set, fragments)

    def _applies(self, fragment: FragmentDefinitionNode | InlineFragmentNode, kind: GraphQLObjectType) -> bool:
        if fragment.type_condition is None:
            return True
        wanted = self._schema.type_map[fragment.type_condition.name.value]
        return wanted is kind or (is_abstract_type(wanted) and self._schema.is_sub_type(wanted, kind))

    def _step(
        self,
        kind: GraphQLObjectType,
        key: str,
        nodes: list[FieldNode],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> Step:
        node = nodes[0]
        field = kind.fields.get(node.name.value)
        if field is None:
            raise Unplanned  # __typename and introspection
        varies = any("$" in print_ast(argument) for argument in node.arguments or ())
        arguments = None if varies else get_argument_values(field, node)
        sets = [one.selection_set for one in nodes if one.selection_set is not None]
        return Step(key, field, node, arguments, self._complete(field.type, sets, fragments))

    def _complete(
        self,
        kind: Any,  # noqa: ANN401 - any output type
        sets: list[SelectionSetNode],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> Complete:
        if isinstance(kind, GraphQLNonNull):
            return _never_null(self._complete(kind.of_type, sets, fragments))
        if isinstance(kind, GraphQLList):
            return _each(self._complete(kind.of_type, sets, fragments))
        if is_leaf_type(kind):
            return _leaf(kind)
        if isinstance(kind, GraphQLObjectType):
            selection = self._selection(kind, sets, fragments)
            return lambda value, run: None if value is None else selection.show(value, run)
        return self._abstract(sets, fragments)

    def _abstract(self, sets: list[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]) -> Complete:
        known: dict[str, Selection] = {}

        def complete(value: Any, run: Run) -> Any:  # noqa: ANN401 - any record
            if value is None:
                return None
            name = type_name(value) or ""
            if name not in known:
                kind = self._schema.type_map.get(name)
                if not isinstance(kind, GraphQLObjectType):
                    raise Unplanned
                known[name] = self._selection(kind, sets, fragments)
            return known[name].show(value, run)

        return complete

    def _selection(
        self,
        kind: GraphQLObjectType,
        sets: list[SelectionSetNode],
        fragments: Mapping[str, FragmentDefinitionNode],
    ) -> Selection:
        steps = self._steps(kind, sets, fragments)
        texts = [*map(print_ast, sets), *sorted(_spread(sets, fragments).values())]
        signature = (kind.name, *texts)
        if signature not in self._same:
            self._same[signature] = Selection(kind, steps, constant=not any("$" in text for text in texts))
        return self._same[signature]


def _spread(sets: Iterable[SelectionSetNode], fragments: Mapping[str, FragmentDefinitionNode]) -> dict[str, str]:
    """Return the text of every fragment that *sets* use, directly or not."""
    found: dict[str, str] = {}
    waiting = list(sets)
    while waiting:
        for node in waiting.pop().selections:
            if isinstance(node, FragmentSpreadNode) and node.name.value not in found:
                fragment = fragments[node.name.value]
                found[node.name.value] = print_ast(fragment)
                waiting.append(fragment.selection_set)
            elif isinstance(node, FieldNode | InlineFragmentNode) and node.selection_set is not None:
                waiting.append(node.selection_set)
    return found


def _never_null(complete: Complete) -> Complete:
    def found(value: Any, run: Run) -> Any:  # noqa: ANN401 - any value
        shown = complete(value, run)
        if shown is None:
            raise Unplanned
        return shown

    return found


def _each(complete: Complete) -> Complete:
    return lambda values, run: None if values is None else [complete(value, run) for value in values]


def _leaf(kind: GraphQLScalarType | GraphQLEnumType) -> Complete:
    plain, serialize = _PLAIN.get(kind.name), kind.coerce_output_value

    def shown(value: Any, _: Run) -> Any:  # noqa: ANN401 - any value
        return value if value is None or type(value) is plain else serialize(value)

    return shown
