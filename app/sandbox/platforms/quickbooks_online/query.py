"""The query language: select, where (and only), orderby, startposition, maxresults; some cannot be filtered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Protocol

from app.sandbox.platforms.quickbooks_online.refusals import Record, bad_query, unreadable_query

MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_TOKEN = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|(<=|>=|!=|[=<>(),*])|([^\s=<>(),*']+))")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
_META = ("Id", "MetaData.CreateTime", "MetaData.LastUpdatedTime")
_SALES = (*_META, "DocNumber", "TxnDate", "CustomerRef", "TotalAmt", "Balance")
FILTERABLE: dict[str, tuple[str, ...]] = {
    "Invoice": (*_SALES, "DueDate"),
    "Estimate": (*_SALES, "TxnStatus"),
    "CreditMemo": _SALES,
    "SalesReceipt": _SALES,
    "RefundReceipt": _SALES,
    "Payment": (*_META, "TxnDate", "CustomerRef", "TotalAmt", "PaymentRefNum", "PaymentMethodRef"),
    "Customer": (
        *_META,
        "DisplayName",
        "GivenName",
        "FamilyName",
        "CompanyName",
        "FullyQualifiedName",
        "Active",
        "Balance",
    ),
    "Item": (*_META, "Name", "Sku", "FullyQualifiedName", "Active", "Type"),
    "Account": (*_META, "Name", "AccountType", "AccountSubType", "Active", "FullyQualifiedName", "Classification"),
    "TaxCode": (*_META, "Name", "Active"),
    "TaxRate": (*_META, "Name", "Active"),
    "PaymentMethod": (*_META, "Name", "Active"),
    "CompanyInfo": _META,
    "Preferences": _META,
}
NAME_LISTS = frozenset(("Customer", "Item", "Account", "TaxCode", "TaxRate", "PaymentMethod"))


@dataclass(frozen=True)
class Condition:
    """property operator values."""

    name: str
    operator: str
    values: tuple[str, ...]


@dataclass
class Query:
    """One parsed select."""

    entity: str = ""
    count: bool = False
    where: list[Condition] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)
    start: int = 1
    size: int = _DEFAULT_PAGE


class _Reader:
    """Tokens one after the other; quoted values are kept apart from words."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, bool]] = []
        place = 0
        text = text.strip().rstrip(";")
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise unreadable_query(f'Encountered "{text[place : place + 10]}" at column {place + 1}')
            place = match.end()
            quoted = match.group(1)
            if quoted is not None:
                self._tokens.append((re.sub(r"\\(.)", r"\1", quoted), True))
            else:
                self._tokens.append((match.group(2) or match.group(3), False))
            while place < len(text) and text[place].isspace():
                place += 1

    def peek(self) -> str:
        """Return the next word in lower case, "" at the end or before a quoted value."""
        if not self._tokens or self._tokens[0][1]:
            return ""
        return self._tokens[0][0].lower()

    def next(self) -> str:
        """Return the next token."""
        if not self._tokens:
            raise unreadable_query('Encountered "<EOF>"')
        return self._tokens.pop(0)[0]

    def expect(self, *words: str) -> None:
        """Take these words, in any case."""
        for word in words:
            if (found := self.next()).lower() != word:
                raise unreadable_query(f'Encountered "{found}" where "{word}" was expected')

    def take(self, word: str) -> bool:
        """Take *word* if it is next."""
        if self.peek() == word:
            self.next()
            return True
        return False

    @property
    def done(self) -> bool:
        """Tell whether nothing is left."""
        return not self._tokens


def parse(text: str) -> Query:
    """Return the query; a Refusal as the vendor words it when it is none."""
    reader, query = _Reader(text), Query()
    reader.expect("select")
    if reader.take("count"):
        reader.expect("(", "*", ")")
        query.count = True
    else:
        while reader.peek() != "from":
            reader.next()
    reader.expect("from")
    query.entity = reader.next()
    if query.entity not in FILTERABLE:
        raise bad_query(f"Entity {query.entity} not found")
    if reader.take("where"):
        query.where.append(_condition(reader, query.entity))
        while reader.take("and"):
            query.where.append(_condition(reader, query.entity))
    _tail(reader, query)
    if not reader.done:
        raise unreadable_query(f'Encountered "{reader.next()}"')
    return query


def _condition(reader: _Reader, entity: str) -> Condition:
    name, operator = reader.next(), reader.next().lower()
    known = next((known for known in FILTERABLE[entity] if known.lower() == name.lower()), None)
    if known is None:
        raise bad_query(f"Property {name} not found for Entity {entity}")
    if operator not in {"=", "<", ">", "<=", ">=", "like", "in"}:
        raise unreadable_query(f'Encountered "{operator}"')
    if operator != "in":
        return Condition(known, operator, (reader.next(),))
    reader.expect("(")
    values = [reader.next()]
    while reader.take(","):
        values.append(reader.next())
    reader.expect(")")
    return Condition(known, "in", tuple(values))


def _tail(reader: _Reader, query: Query) -> None:
    if reader.take("orderby") or reader.peek() == "order":
        if reader.take("order"):
            reader.expect("by")
        query.order.append(_order(reader, query.entity))
        while reader.take(","):
            query.order.append(_order(reader, query.entity))
    if reader.take("startposition"):
        query.start = _whole(reader.next(), "startposition")
    if reader.take("maxresults"):
        query.size = min(_whole(reader.next(), "maxresults"), MAX_PAGE)


def _order(reader: _Reader, entity: str) -> tuple[str, bool]:
    name = reader.next()
    known = next((known for known in FILTERABLE[entity] if known.lower() == name.lower()), None)
    if known is None:
        raise bad_query(f"Property {name} not found for Entity {entity}")
    if reader.take("desc"):
        return known, True
    reader.take("asc")
    return known, False


def _whole(text: str, name: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise bad_query(f"{name} {text} is not a positive number")
    return int(text)


class Row(Protocol):
    """A record with the form in which replies show it."""

    @property
    def record(self) -> Record | None:
        """Return the fields."""

    @property
    def encoded(self) -> Any:  # noqa: ANN401 - anything that can be encoded
        """Return what a reply holds."""


def run(query: Query, rows: Iterable[Row]) -> Record:
    """Return the `QueryResponse` of *query* over *rows*."""
    conditions = _with_active(query)
    found = [row for row in rows if all(_holds(condition, row.record or {}) for condition in conditions)]
    if query.count:
        return {"totalCount": len(found)}
    for name, descending in reversed(query.order):
        found.sort(key=lambda row, name=name: _sortable(_value(row.record or {}, name)), reverse=descending)  # type: ignore[misc]  # bound early
    page = [row.encoded for row in found[query.start - 1 : query.start - 1 + query.size]]
    if not page:
        return {}
    return {query.entity: page, "startPosition": query.start, "maxResults": len(page)}


def _with_active(query: Query) -> list[Condition]:
    asked = any(condition.name == "Active" for condition in query.where)
    if query.entity not in NAME_LISTS or asked:
        return query.where
    return [*query.where, Condition("Active", "=", ("true",))]


def _value(row: Record, name: str) -> Any:  # noqa: ANN401 - any JSON value
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("value") or value.get("Address")
    return value


def _sortable(value: Any) -> tuple[int, Any]:  # noqa: ANN401 - any JSON value
    if value is None:
        return (0, "")
    return (1, value) if isinstance(value, (int, Decimal)) and not isinstance(value, bool) else (2, str(value))


def _holds(condition: Condition, row: Record) -> bool:
    value = _value(row, condition.name)
    if condition.operator == "in":
        return any(_compare(value, "=", wanted) for wanted in condition.values)
    return _compare(value, condition.operator, condition.values[0])


def _compare(value: Any, operator: str, wanted: str) -> bool:  # noqa: ANN401 - any JSON value
    if value is None:
        return False
    if operator == "like":
        pattern = ".*".join(re.escape(part) for part in wanted.split("%"))
        return re.fullmatch(pattern, str(value), re.IGNORECASE | re.DOTALL) is not None
    left, right = _pair(value, wanted)
    outcomes = {"=": left == right, "<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}
    return bool(outcomes[operator])


def _pair(value: Any, wanted: str) -> tuple[Any, Any]:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool):
        return str(value).lower(), wanted.lower()
    if isinstance(value, (int, Decimal)):
        try:
            return Decimal(value), Decimal(wanted)
        except InvalidOperation as error:
            raise bad_query(f"{wanted} is not a number") from error
    if _TIME.match(str(value)):
        return moment(str(value)), moment(wanted)
    return str(value).casefold(), wanted.casefold()


@lru_cache(maxsize=50_000)
def moment(text: str) -> datetime:
    """Return a time in a query; 4001 when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_query(f"{text} is not a date") from error
    return found if found.tzinfo else found.astimezone()
