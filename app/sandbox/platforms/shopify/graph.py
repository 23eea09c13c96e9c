"""Queries: the published fields over the shop's records, and the search language of lists."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from app.sandbox.platforms.shopify.records import (
    Order,
)
from app.sandbox.platforms.shopify.rest import money

if TYPE_CHECKING:
    from decimal import Decimal

_TERM = re.compile(r"""(\w+):\s*(>=|<=|>|<)?\s*(?:'([^']*)'|"([^"]*)"|(\S+))""")


def at(moment: datetime | None) -> str | None:
    """Return a time as GraphQL writes it: UTC."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(id_: str) -> int:
    """Return the number in a global id."""
    digits = id_.rsplit("/", 1)[-1].split("?", maxsplit=1)[0]
    return int(digits) if digits.isdigit() else -1


def page(
    rows: Iterable[Any],
    first: int | None = None,
    after: str | None = None,
    *,
    key: Callable[[Any], str] | None = None,
    previous: bool = False,
    **_: Any,  # noqa: ANN401 - other arguments
) -> dict[str, Any]:
    """Return one page of *rows*; the cursor holds the last row's sort key, so that inserts and moves lose nothing."""
    rows, key = list(rows), key or _id
    if after:
        wanted = b64decode(after).decode()
        if key is _id:
            place = next((index for index, row in enumerate(rows) if key(row) == wanted), len(rows))
            rows = rows[place + 1 :]
        else:
            rows = [row for row in rows if key(row) > wanted]
    shown = rows[: min(first or 50, 250)]
    info = {
        "hasNextPage": len(rows) > len(shown),
        "hasPreviousPage": previous or bool(after),
        "startCursor": _cursor(key(shown[0])) if shown else None,
        "endCursor": _cursor(key(shown[-1])) if shown else None,
    }
    return {"nodes": shown, "pageInfo": info}


def after_key(after: str | None) -> str:
    """Return the sort key inside a cursor."""
    return b64decode(after).decode() if after else ""


def _id(row: Any) -> str:  # noqa: ANN401 - any record or view
    return str(row["id"] if isinstance(row, Mapping) else getattr(row, "id", id(row)))


def _cursor(text: str) -> str:
    return b64encode(text.encode()).decode()


def bag(amount: Decimal, currency: str) -> dict[str, Any]:
    """Return a MoneyBag."""
    both = {"amount": money(amount), "currencyCode": currency}
    return {"shopMoney": both, "presentmentMoney": both}


class Of:
    """A record seen from its order, which knows the currency and the rest."""

    __slots__ = ("order", "record")

    def __init__(self, order: Order, record: Any) -> None:  # noqa: ANN401 - any part of an order
        self.order, self.record = order, record

    @property
    def id(self) -> int:
        """Return the record's id."""
        return int(self.record.id)


def parts(order: Order, records: Iterable[Any]) -> list[Of]:
    """Return *records* seen from their order."""
    return [Of(order, record) for record in records]


def since(query: str | None) -> int:
    """Return the lower bound that a search puts on updated_at, in Unix seconds; 0 for none."""
    for field, sign, single, double, bare in _TERM.findall(query or ""):
        if field == "updated_at" and sign in {">=", ">"}:
            moment = datetime.fromisoformat(single or double or bare)
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    return 0


def least(query: str | None) -> int:
    """Return the lower bound that a search puts on the id, 0 for none."""
    terms = _TERM.findall(query or "")
    return next((int(bare) for field, sign, _, _, bare in terms if (field, sign) == ("id", ">=")), 0)


def texts(query: str | None) -> list[tuple[str, str]]:
    """Return (field, value) of every comparison with a text that a search makes."""
    terms = _TERM.findall(query or "")
    return [(field, single or double or bare) for field, sign, single, double, bare in terms if not sign]


def matches(query: str | None, values: Mapping[str, Any]) -> bool:
    """Tell whether a record with *values* is found by a search such as `updated_at:>='…' name:#1001`."""
    for field, sign, single, double, bare in _TERM.findall(query or ""):
        wanted, value = single or double or bare, values.get(field)
        if isinstance(value, datetime):
            moment = datetime.fromisoformat(wanted)
            if not _compared(value, sign, moment if moment.tzinfo else moment.replace(tzinfo=UTC)):
                return False
        elif field == "id" and sign:
            if not _compared(int(str(value)), sign, int(wanted)):
                return False
        elif isinstance(value, list):
            if wanted not in value:
                return False
        elif str(value if value is not None else "").lower() != wanted.lower():
            return False
    return True


def _compared(value: Any, sign: str, wanted: Any) -> bool:  # noqa: ANN401 - two times or two numbers
    answers = {">=": value >= wanted, "<=": value <= wanted, ">": value > wanted, "<": value < wanted}
    return bool(answers.get(sign, value == wanted))


def searched(order: Order) -> dict[str, Any]:
    """Return what a search of orders looks at."""
    return {
        "updated_at": order.updated_at,
        "created_at": order.created_at,
        "processed_at": order.processed_at,
        "name": order.name,
        "id": str(order.id),
        "email": order.email,
        "source_identifier": order.source_identifier,
        "po_number": order.po_number,
        "tag": order.tags,
        "financial_status": order.financial,
    }


def digest(value: str) -> str:
    """Return what a metafield's writer compares with."""
    return sha256(value.encode()).hexdigest()
