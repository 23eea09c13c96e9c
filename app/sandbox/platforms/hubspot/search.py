"""Search as HubSpot does it: an index that lags, one sort, 200 a page, a window of 10,000."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.portal import Portal
from app.sandbox.platforms.hubspot.records import Record, Values
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import millis, moment

WINDOW, PAGE, GROUPS = 10_000, 200, 6
Key = Decimal | int | str
_NUMBERS = {model.NUMBER, model.DATE, model.MOMENT}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "EQ": lambda held, asked: held == asked,
    "NEQ": lambda held, asked: held != asked,
    "LT": lambda held, asked: held < asked,
    "LTE": lambda held, asked: held <= asked,
    "GT": lambda held, asked: held > asked,
    "GTE": lambda held, asked: held >= asked,
}


def search(
    portal: Portal, kind: model.Kind, asked: dict[str, Any], visible: Callable[[datetime], bool]
) -> tuple[list[tuple[Record, Values]], int, str]:
    """Return a page of (record, values as the index has them), the total and where the next page starts."""
    limit, after = int(asked.get("limit") or 10), int(asked.get("after") or 0)
    groups = asked.get("filterGroups") or []
    if limit > PAGE or limit < 1:
        raise Refused(400, f"Invalid input JSON: limit must be between 1 and {PAGE}.")
    if len(groups) > GROUPS:
        raise Refused(400, f"A search has at most {GROUPS} filter groups.")
    if after + limit > WINDOW:
        raise Refused(400, f"Paging through more than {WINDOW} results is not supported.")
    types = {name: definition.type for name, definition in portal.properties[kind.name].items()}
    tests = [[_test(types, one) for one in group["filters"]] for group in groups]
    rows = [
        (record, values)
        for record, values in _index(portal, kind, visible, _candidates(portal, kind, groups, types))
        if not tests or any(all(fits(values) for fits in group) for group in tests)
    ]
    _sort(rows, asked.get("sorts") or [], types)
    page = rows[after : after + limit]
    more = str(after + limit) if after + limit < len(rows) else ""
    return page, len(rows), more


def _candidates(portal: Portal, kind: model.Kind, groups: list[Any], types: dict[str, str]) -> Iterable[str]:
    """Return the ids that the filters may find: by an equal text where one is asked for, else by time, else all."""
    filters = groups[0]["filters"] if len(groups) == 1 else []
    for one in filters:
        name, operator = str(one["propertyName"]), one["operator"]
        if operator in {"EQ", "IN"} and name in types and types[name] not in _NUMBERS:
            return portal.having(kind, name, map(str, one["values"] if operator == "IN" else [one["value"]]))
        if operator == "EQ" and name == "hs_object_id":
            return {str(one["value"])} & portal.records[kind.name].keys()
    named = [one for one in filters if one["propertyName"] == kind.modified and one["operator"] in {"GTE", "GT", "EQ"}]
    return _changed(portal, kind, moment(str(named[0]["value"])) if named else None)


def _changed(portal: Portal, kind: model.Kind, since: datetime | None) -> Iterator[str]:
    """Walk from the newest change to the oldest, and stop where all are older than *since*."""
    records = portal.records[kind.name]
    for id_ in reversed(portal.touched[kind.name]):
        if since is not None and records[id_].updated < since:
            return
        yield id_


def _index(
    portal: Portal, kind: model.Kind, visible: Callable[[datetime], bool], ids: Iterable[str]
) -> Iterator[tuple[Record, Values]]:
    """Yield the records as the index shows them: as of the last change that is visible already."""
    records = portal.records[kind.name]
    for id_ in ids:
        seen = next((look for look in reversed(records[id_].looks) if visible(look[0])), None)
        if seen is not None and not seen[2]:
            yield records[id_], seen[1]


def _sort(rows: list[tuple[Record, Values]], sorts: list[Any], types: dict[str, str]) -> None:
    rows.sort(key=lambda row: int(row[0].id))
    for given in sorts[:1]:
        sort = given
        if isinstance(sort, str):
            sort = json.loads(sort) if sort.startswith("{") else {"propertyName": sort}
        name, falls = str(sort["propertyName"]), sort.get("direction") == "DESCENDING"
        empty: Key = 0 if types.get(name) in _NUMBERS else ""
        rows.sort(key=lambda row: empty if (key := _key(types, name, row[1].get(name))) is None else key, reverse=falls)


def _key(types: dict[str, str], name: str, value: str | None) -> Key | None:
    """Return what is compared: of equal kind for all values of one property."""
    if value is None:
        return None
    if types.get(name) in {model.DATE, model.MOMENT}:
        return _millis(value)
    return Decimal(value) if types.get(name) == model.NUMBER else value.lower()


@lru_cache(maxsize=100_000)
def _millis(value: str) -> int:
    return millis(moment(value))


def _test(types: dict[str, str], asked: dict[str, Any]) -> Callable[[Values], bool]:
    """Return what a filter asks of a record's values."""
    name, operator = str(asked["propertyName"]), str(asked["operator"])
    if name not in types:
        raise Refused(400, f"There was a problem with the request: property {name} does not exist.")
    try:
        matches = _matcher(types, name, operator, asked)
    except (ValueError, InvalidOperation) as error:
        raise Refused(400, f"The value of the filter on {name} is not valid.") from error
    return lambda values: matches(_key(types, name, values.get(name)))


def _matcher(types: dict[str, str], name: str, operator: str, asked: dict[str, Any]) -> Callable[[Key | None], bool]:
    def wanted(field: str) -> Any:  # noqa: ANN401 - a number or a text
        return _key(types, name, str(asked[field]))

    if operator in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
        return lambda held: (held is not None) == (operator == "HAS_PROPERTY")
    if operator in {"IN", "NOT_IN"}:
        listed, among = {_key(types, name, str(value)) for value in asked["values"]}, operator == "IN"
        return lambda held: not among if held is None else (held in listed) == among
    if operator == "BETWEEN":
        low, high = wanted("value"), wanted("highValue")
        return lambda held: held is not None and bool(low <= held <= high)
    if operator == "CONTAINS_TOKEN":
        token = str(asked["value"]).strip("*").lower()
        return lambda held: held is not None and token in str(held)
    if operator not in _COMPARE:
        raise Refused(400, f"Invalid input JSON: there is no operator {operator}.")
    compare, other = _COMPARE[operator], wanted("value")
    return lambda held: operator == "NEQ" if held is None else compare(held, other)
