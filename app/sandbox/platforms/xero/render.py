"""Records as Xero writes them: Microsoft JSON dates, numbers with their decimals, envelopes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import msgspec

Row = dict[str, Any]
CENT = Decimal("0.01")
_EPOCH = date(1970, 1, 1)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PAYMENT_HEAD = ("Type", "InvoiceID", "InvoiceNumber", "CurrencyCode")


def cents(amount: Decimal) -> Decimal:
    """Return *amount* with two decimals, rounded half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def milliseconds(moment: datetime) -> int:
    """Return Unix milliseconds."""
    return round(moment.timestamp() * 1000)


def vendor(value: Any) -> Any:  # noqa: ANN401 - any tree of records
    """Return *value* with dates in Microsoft's form, and calendar days a second time as `<Name>String`."""
    kind = type(value)
    if kind is dict:
        found: Row = {}
        for name, item in value.items():
            if type(item) is date:
                found[f"{name}String"] = f"{item.isoformat()}T00:00:00"
            if item is not None:
                found[name] = vendor(item)
        return found
    if kind is list:
        return [vendor(item) for item in value]
    if kind is datetime:
        return f"/Date({milliseconds(value)}+0000)/"
    if kind is date:
        return f"/Date({(value - _EPOCH).days * 86_400_000}+0000)/"
    return value


def encode(value: object) -> bytes:
    """Return JSON whose Decimals are numbers, as Xero's are."""
    return _ENCODER.encode(value)


def messages(texts: Iterable[str]) -> list[dict[str, str]]:
    """Return validation errors."""
    return [{"Message": text} for text in texts]


def validation(elements: list[Row]) -> Row:
    """Return the body of a 400: the elements with their errors."""
    return {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": elements,
    }


def refused(number: int, type_: str, message: str) -> Row:
    """Return the body of a 400 that is about the request, not about an element."""
    return {"ErrorNumber": number, "Type": type_, "Message": message}


def problem(title: str, status: int, detail: str, instance: str) -> Row:
    """Return the body of a 401, 403 or 503."""
    return {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": instance, "Extensions": {}}


def lines(found: list[Row], *, places: int) -> list[Row]:
    """Return line items with the unit prices cut to *places* decimals."""
    unit = Decimal(1).scaleb(-places)
    return [{**line, "UnitAmount": line["UnitAmount"].quantize(unit, ROUND_HALF_UP)} for line in found]


def head(invoice: Row) -> Row:
    """Return an invoice as payments and allocations show it."""
    return {name: invoice[name] for name in _PAYMENT_HEAD}
