"""What a flow wants of a system: the order, its parcels, and what hangs on what."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Facts, Invoice, Order, Payment, Shipment, ShipmentLine
from schemas.flow import Target
from streams.order.plan.want import Want, write_key
from streams.order.plan.wants import wants
from tests.unit.streams.order.sample import KEY, SHOP
from tests.unit.streams.order.states import desk, look
from tests.unit.streams.order.wanted import (
    BOOKS,
    CRM,
    DEAL,
    DEALT,
    MADE,
    OWN,
    SETS,
    credit,
    credited,
    deal,
    of,
    payment,
    sold,
)


def test_what_is_told_of_a_payment_credit_or_parcel_names_it() -> None:
    parcel = look(Shipment(), "shop", "s")
    told = (payment(), credit(), parcel)
    found = [want.source for want in wants(desk(MADE, *told)) if want.source is not None]
    assert found == list(told)


def test_a_key_names_the_system_the_kind_and_what_it_is_for() -> None:
    assert write_key("books", "payment", "x") == "books|payment|x"
    assert write_key("books", "document") == "books|document"


def _kept(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "crm|order",
        "connection": "crm",
        "capability": "upsert_order",
        "kind": "create",
        "canonical": SHOP.key,
        "entity": f"order:{KEY}",
        "facts": sold(),
        "shared": (*CRM.fields, "payable_amount", "lines", "currency"),
    }
    return Want(**{**values, **changes})


def test_a_crm_keeps_the_whole_order() -> None:
    assert of(desk(target=CRM), "upsert_order") == [_kept()]


def test_the_key_giver_is_only_told_what_others_typed() -> None:
    assert of(desk(target=OWN), "upsert_order") == [
        _kept(write="shop|order", connection="shop", bound=SHOP, shared=OWN.fields)
    ]


@pytest.mark.parametrize(
    ("target", "more"),
    [
        (Target(connection="crm"), {}),
        (CRM, {"platform": {"capabilities": {}}}),
        (CRM, {"facts": {"status": "cancelled"}}),
    ],
)
def test_otherwise_no_order_is_made(target: Target, more: dict[str, Any]) -> None:
    assert of(desk(target=target, **more), "upsert_order") == []


def test_a_cancelled_order_that_is_there_is_kept_in_step() -> None:
    cancelled = {"status": "cancelled"}
    assert len(of(desk(DEALT, target=CRM, facts=cancelled), "upsert_order")) == 1
    assert len(of(desk(target=OWN, facts=cancelled), "upsert_order")) == 1


# ---------------------------------------------------------------------------------------------- the parcels


PARCEL = look(Shipment(carrier="UPS"), "shop", "p")


def _shipped(**changes: Any) -> Want:
    values = {
        "write": "books|shipment|shop@s/shipment/p",
        "capability": "record_shipment",
        "canonical": f"shop@s/shipment/p+{SHOP.key}",
        "facts": Shipment(carrier="UPS"),
        "status": "fulfilled",
    }
    return credited(**{**values, **changes})


def test_a_parcel_is_told_where_its_order_is_kept() -> None:
    assert of(desk(MADE, PARCEL), "record_shipment") == [_shipped()]
    on_order = {"write": "crm|shipment|shop@s/shipment/p", "connection": "crm", "entity": f"order:{KEY}"}
    (want,) = of(desk(DEALT, PARCEL, target=CRM), "record_shipment")
    assert want == _shipped(**on_order, after=("crm|order",), links={"order": "d1"})


def test_a_parcel_tells_how_far_its_whole_order_has_come() -> None:
    part = Shipment(lines=(ShipmentLine(line="l1", quantity=Decimal(0)),))
    assert [want.status for want in of(desk(MADE, look(part, "shop", "p")), "record_shipment")] == [
        "partially_fulfilled"
    ]


def test_every_parcel_of_another_system_is_told() -> None:
    own, second = look(Shipment(), "books", "a"), look(Shipment(), "shop", "q")
    assert [want.write[-1] for want in of(desk(MADE, own, PARCEL, second), "record_shipment")] == ["p", "q"]


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((MADE, PARCEL), {"target": msgspec.structs.replace(BOOKS, shipments=False)}),
        ((MADE, PARCEL), {"platform": {"capabilities": {}}}),
        ((MADE, PARCEL), {"target": Target(connection="books")}),
        ((MADE, look(Shipment(status="pending"), "shop", "p")), {}),
    ],
)
def test_otherwise_no_parcel_is_told(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert of(desk(*parts, **more), "record_shipment") == []


def test_parents_come_before_what_hangs_on_them() -> None:
    everything = desk(
        DEALT,
        deal(),
        payment(),
        credit(),
        PARCEL,
        target=msgspec.structs.replace(CRM, document="invoice"),
        platform=SETS,
    )
    found: list[type[Facts]] = [type(want.facts) for want in wants(everything)]
    assert found == [Order, Invoice, Payment, Shipment]


# ------------------------------------------------------------------------------------------- orders that people typed
def test_a_deal_that_a_person_typed_is_the_copy_and_is_shown_the_status_but_no_fields() -> None:
    known = desk(deal(), target=CRM, platform=SETS)
    assert (known.order_ref, known.disputed_copies) == (DEAL, ())
    assert of(known, "upsert_order") == []


def test_money_is_told_on_the_deal_that_a_person_typed() -> None:
    (told,) = of(desk(deal(), payment(), target=CRM, platform=SETS), "record_payment")
    assert (told.after, told.links) == ((), {"order": "d1"})


@pytest.mark.parametrize(
    "other",
    [
        {"facts": msgspec.structs.replace(deal().facts, payable_amount=Decimal(25))},
        {"facts": msgspec.structs.replace(deal().facts, currency="USD", payable_amount=Decimal(24))},
    ],
)
def test_a_deal_over_another_amount_is_put_before_a_person(other: dict[str, Any]) -> None:
    known = desk(msgspec.structs.replace(deal(), **other), target=CRM, platform=SETS)
    assert (known.order_ref, [one.object for one in known.disputed_copies]) == (None, [DEAL])
    assert list(wants(known)) == []


def test_where_no_order_is_kept_nobody_is_asked_whose_a_deal_is() -> None:
    known = desk(deal(), target=Target(connection="crm"), platform=SETS)
    assert (known.order_ref, known.their_copies) == (None, ())
