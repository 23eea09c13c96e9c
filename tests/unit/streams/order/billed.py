"""An order and its document at a ledger, for tests of which one it becomes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from schemas.commands import Pair
from schemas.facts import Invoice
from schemas.flow import Target
from schemas.state import WriteRecord
from streams.order.plan.desk import Desk
from tests.unit.streams.order.states import desk, look, record, ref

BOOKS = Target(connection="books", document="invoice")
BILL, NEXT = ref("books", "invoice", "1"), ref("books", "invoice", "2")
SENT = {"payable_amount": Pair("24.00", "24.00")}


def target(**changes: Any) -> Target:
    return msgspec.structs.replace(BOOKS, **changes)


def made(**changes: Any) -> WriteRecord:
    return record("books|document", BILL, **{"base": SENT, **changes})


def shown(total: str = "24.00", **changes: Any) -> Any:
    return look(Invoice(currency="EUR", payable_amount=Decimal(total), **changes), "books", mirror_of=None)


MONEY = record("books|payment|x", ref("books", "payment", "1"), outcome="confirmed")


def changed_order(*parts: Any, **changes: Any) -> Desk:
    """Return the desk of an order that became dearer after money was recorded."""
    dearer = {"payable_amount": Decimal(30), "lines": (), "status": "open"}
    return desk(made(), shown(), MONEY, *parts, facts={**dearer, **changes.pop("facts", {})}, **changes)
