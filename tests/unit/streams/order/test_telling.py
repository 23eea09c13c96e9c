"""What a person is told of what a system made of a write."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Invoice
from schemas.findings import Finding
from streams.order.plan.telling import findings
from tests.unit.streams.order.sample import NOW
from tests.unit.streams.order.states import desk, look, record, ref
from tests.unit.streams.order.wanted import MADE, invoice

OTHER = msgspec.structs.replace(MADE, base={"payable_amount": Pair("24.00", "25.00")})


def bill(total: str, **changes: Any) -> Any:
    return look(Invoice(currency="EUR", payable_amount=Decimal(total), **changes), "books")


def test_a_total_that_a_system_made_otherwise_is_told() -> None:
    message = "books made 25.00 of the 24.00 that was sent (upsert_invoice)."
    step = "correct it in books, and its tax codes in the configuration if it counts tax by itself"
    told = Finding("made_otherwise", "warn", message, "books|document", step)
    assert list(findings(desk(OTHER))) == [told]
    assert list(findings(desk(OTHER, bill("25.00")))) == [told]
    assert list(findings(desk(OTHER, record("crm|order", base=OTHER.base)))) == [told], "another system tells its own"


def test_so_is_the_amount_of_money() -> None:
    known = record("books|payment|pay@p/payment/1", ref("books", "payment", "m1"), capability="record_payment")
    known = msgspec.structs.replace(known, base={"amount": Pair("24.00", "23.99")})
    (found,) = findings(desk(MADE, known))
    assert (found.code, found.subject) == ("made_otherwise", known.key)
    assert found.message == "books made 23.99 of the 24.00 that was sent (record_payment)."


def test_the_part_of_a_payment_that_is_kept_beside_its_document_is_not_missing() -> None:
    known = record("books|payment|pay@p/payment/1", ref("books", "payment", "m1"), capability="record_payment")
    less = msgspec.structs.replace(known, base={"amount": Pair("14.00", "10.00")})
    more = msgspec.structs.replace(known, base={"amount": Pair("14.00", "15.00")})
    keeps = {"advance_payments": True}
    assert list(findings(desk(MADE, less, platform=keeps))) == []
    assert len(list(findings(desk(MADE, more, platform=keeps)))) == 1
    assert len(list(findings(desk(MADE, less)))) == 1, "a system that keeps nothing beside"
    assert len(list(findings(desk(OTHER, platform=keeps)))) == 1, "a document"


@pytest.mark.parametrize(
    "parts",
    [
        (MADE,),
        (MADE, invoice()),
        (OTHER, bill("24.00", number="put right by a person")),
        (OTHER, bill("25.00", status="void")),
        (OTHER, msgspec.structs.replace(bill("25.00"), presence="deleted")),
        (msgspec.structs.replace(OTHER, undone_at=NOW),),
        (msgspec.structs.replace(OTHER, base={"note": Pair("ring", "RING")}),),
    ],
)
def test_otherwise_nothing_is_told(parts: tuple[Any, ...]) -> None:
    assert list(findings(desk(*parts))) == []
