"""What a request to Xero carries: elements in a wrapper named like the list."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from aiohttp import web

from app.sandbox.platforms.xero.render import Row

_WRAPPERS = {"Invoices", "Payments", "CreditNotes", "Contacts", "Allocations", "HistoryRecords", "BankTransactions"}


async def body(request: web.Request) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON of a request, its numbers as Decimals."""
    return json.loads(await request.read() or b"{}", parse_float=Decimal)


async def elements(request: web.Request, name: str) -> list[Row]:
    """Return the elements of a wrapped body; a single one may come bare, a bare list is no data."""
    sent = await body(request)
    if not isinstance(sent, dict):
        return []
    found = sent.get(name, [] if not sent or _WRAPPERS & set(sent) else [sent])
    return [element for element in found if isinstance(element, dict)]
