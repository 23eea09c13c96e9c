"""Search as HubSpot does it: an index that lags, one sort, 200 a page, a window of 10,000."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from app.sandbox.platforms.hubspot import model
from app.sandbox.platforms.hubspot.portal import Portal, Record, Values
from app.sandbox.platforms.hubspot.refusals import Refused
from app.sandbox.platforms.hubspot.times import millis, moment

WINDOW, PAGE, GROUPS = 10_000, 200, 6
Key = Decimal | str
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
    rows = [
        (record, values)
        for record, values in _index(portal, kind, visible, _since(kind, groups))
        if not groups or any(all(_fits(types, values, one) for one in group["filters"]) for group in groups)
    ]
    _sort(rows, asked.get("sorts") or [], types)
    page = rows[after : after + limit]
    more = str(after + limit) if after + limit < len(rows) else ""
    return page, len(rows), more


def _since(kind: model.Kind, groups: list[Any]) -> datetime | None:
    """Return the time before which nothing can be found, None when the filters do not say."""
    filters = groups[0]["filters"] if len(groups) == 1 else []
    named = [one for one in filters if one["propertyName"] == kind.modified and one["operator"] in {"GTE", "GT", "EQ"}]
    return moment(str(named[0]["value"])) if named else None


def _index(
    portal: Portal, kind: model.Kind, visible: Callable[[datetime], bool], since: datetime | None
) -> Iterator[tuple[Record, Values]]:
    """Walk from the newest change to the oldest, and stop where all are older than *since*."""
    records = portal.records[kind.name]
    for id_ in reversed(portal.touched[kind.name]):
        record = records[id_]
        if since is not None and record.updated < since:
            return
        seen = [look for look in record.looks if visible(look[0])]
        if seen and not seen[-1][2]:
            yield record, seen[-1][1]


def _sort(rows: list[tuple[Record, Values]], sorts: list[Any], types: dict[str, str]) -> None:
    rows.sort(key=lambda row: int(row[0].id))
    for given in sorts[:1]:
        sort = given
        if isinstance(sort, str):
            sort = json.loads(sort) if sort.startswith("{") else {"propertyName": sort}
        name, falls = str(sort["propertyName"]), sort.get("direction") == "DESCENDING"
        empty: Key = Decimal(0) if types.get(name) in {model.NUMBER, model.DATE, model.MOMENT} else ""
        rows.sort(key=lambda row: _key(types, name, row[1].get(name)) or empty, reverse=falls)


def _key(types: dict[str, str], name: str, value: str | None) -> Key | None:
    if value is None:
        return None
    if types.get(name) in {model.DATE, model.MOMENT}:
        return Decimal(millis(moment(value)))
    return Decimal(value) if types.get(name) == model.NUMBER else value.lower()


def _fits(types: dict[str, str], values: Values, asked: dict[str, Any]) -> bool:
    name, operator = str(asked["propertyName"]), str(asked["operator"])
    if name not in types:
        raise Refused(400, f"There was a problem with the request: property {name} does not exist.")
    held = _key(types, name, values.get(name))
    try:
        return _matches(types, name, held, operator, asked)
    except (ValueError, InvalidOperation) as error:
        raise Refused(400, f"The value of the filter on {name} is not valid.") from error


def _matches(types: dict[str, str], name: str, held: Key | None, operator: str, asked: dict[str, Any]) -> bool:
    if operator in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
        return (held is not None) == (operator == "HAS_PROPERTY")
    if held is None:
        return operator in {"NEQ", "NOT_IN"}
    if operator in {"IN", "NOT_IN"}:
        return (held in [_key(types, name, str(value)) for value in asked["values"]]) == (operator == "IN")
    if operator == "BETWEEN":
        return bool(_key(types, name, str(asked["value"])) <= held <= _key(types, name, str(asked["highValue"])))  # type: ignore[operator]  # both of one type
    if operator == "CONTAINS_TOKEN":
        return str(asked["value"]).strip("*").lower() in str(held)
    if operator not in _COMPARE:
        raise Refused(400, f"Invalid input JSON: there is no operator {operator}.")
    return _COMPARE[operator](held, _key(types, name, str(asked["value"])))
