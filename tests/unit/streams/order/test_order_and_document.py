"""What hangs on what in a system that keeps the order and bills it as well."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Invoice, Shipment
from schemas.flow import Target
from schemas.platform import Effect
from streams.order.plan.want import Want
from tests.unit.streams.order.states import desk, look, record, ref
from tests.unit.streams.order.wanted import CAN, DEALT, SETS, deal, of, payment

BOTH = Target(connection="crm", order=True, document="invoice")
PLATFORM = {**SETS, "capabilities": {**CAN, "upsert_invoice": Effect.RECORDS, "record_shipment": Effect.RECORDS}}
BILLED = record("crm|document", ref("crm", "invoice", "i1"))
PARCEL = look(Shipment(), "shop", "p")


def wanted(capability: str, *parts: Any, target: Target = BOTH, **more: Any) -> list[Want]:
    return of(desk(*parts, target=target, platform=PLATFORM, **more), capability)


def test_the_document_waits_for_its_order_and_names_it() -> None:
    assert [(want.after, want.links) for want in wanted("upsert_invoice")] == [(("crm|order",), {})]
    (want,) = wanted("upsert_invoice", DEALT)
    assert (want.after, want.links) == (("crm|order",), {"order": "d1"})


@pytest.mark.parametrize("capability", ["record_payment", "record_shipment"])
def test_what_hangs_on_the_document_names_the_order_as_well(capability: str) -> None:
    (want,) = wanted(capability, DEALT, BILLED, payment(), PARCEL)
    assert (want.after, want.links) == (("crm|order", "crm|document"), {"order": "d1", "invoice": "i1"})


def test_an_order_that_somebody_deleted_is_named_no_more() -> None:
    gone = msgspec.structs.replace(deal(), presence="deleted")
    assert [want.links for want in wanted("record_payment", DEALT, BILLED, payment(), gone)] == [{"invoice": "i1"}]


def test_nobody_waits_for_an_order_that_is_not_written_here() -> None:
    bills = msgspec.structs.replace(BOTH, order=False)
    assert [(want.after, want.links) for want in wanted("upsert_invoice", target=bills)] == [((), {})]
    (want,) = wanted("record_payment", BILLED, payment(), target=bills)
    assert (want.after, want.links) == (("crm|document",), {"invoice": "i1"})


def test_a_document_that_replaces_another_names_the_order_as_well() -> None:
    bill = ref("crm", "invoice", "i1")
    first = record("crm|document", bill, base={"payable_amount": Pair("24.00", "24.00")}, outcome="confirmed")
    room = record("crm|room|1", bill, capability="void_invoice", outcome="confirmed")
    void = look(Invoice(currency="EUR", payable_amount=Decimal(24), status="void"), "crm", "i1")
    can = {**PLATFORM["capabilities"], "void_invoice": Effect.RECORDS}
    fixed = {**PLATFORM, "fixed_amounts": True, "capabilities": can}
    changed = desk(DEALT, first, void, room, target=BOTH, platform=fixed, facts={"payable_amount": Decimal(30)})
    (want,) = [one for one in of(changed, "upsert_invoice") if one.write == "crm|document|1"]
    assert want.after[0] == "crm|order"
    assert want.links == {"order": "d1"}
