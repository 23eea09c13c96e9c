"""Which payments, credits, parcels and documents count, and for how much."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Invoice, Payment, Shipment
from schemas.state import Observation
from streams.order.derive.money import (
    Counted,
    credited,
    documents,
    originals,
    payments,
    shipments,
    total,
    written_keys,
)
from tests.unit.streams.order.sample import FLOW
from tests.unit.streams.order.states import OTHER_ORDER, look, mark, record, ref, state


def paid(amount: str = "24.00", **changes: Any) -> Payment:
    return Payment(**{"amount": Decimal(amount), "currency": "EUR", **changes})


def back(amount: str = "5.00", **changes: Any) -> Credit:
    return Credit(**{"amount": Decimal(amount), "currency": "EUR", **changes})


def ids(counted: list[Counted]) -> list[tuple[str, str, str]]:
    return [(one.look.object.connection, one.look.object.id, f"{one.amount:f}") for one in counted]


def test_ours_is_what_a_write_is_bound_to_and_what_carries_the_mark_of_this_order() -> None:
    ours, marked = ref("books", "payment", "9"), look(paid(), "books", "8", mirror_of=mark())
    moved_here = look(paid(), "books", "7", mirror_of=mark(OTHER_ORDER))
    waiting = record("books|document")
    found = written_keys(state(record("books|payment|x", ours), waiting, marked, moved_here, look(paid())))
    assert found == {ours.key, marked.object.key}


def test_an_original_lives_started_there_and_was_not_moved_away() -> None:
    kept = look(paid(), "books", "1")
    left_out = [
        look(paid(), "books", "2", mirror_of=mark()),
        look(paid(), "books", "3", gone=(1, 1)),
        look(paid(), "books", "4", presence="deleted"),
        look(paid(), "books", "5", share="0"),
        look(back(), "books", "6"),
        look(None, "books", "7"),
    ]
    part = look(paid(), "books", "8", share="3")
    assert originals(state(*left_out, kept, part), FLOW, Payment) == [kept, part]


def test_the_key_givers_objects_come_first_then_by_name() -> None:
    shown = [look(paid(), system, id_) for system, id_ in (("books", "2"), ("books", "1"), ("shop", "9"), ("crm", "1"))]
    found = originals(state(*shown), FLOW, Payment)
    assert [(one.object.connection, one.object.id) for one in found] == [
        ("shop", "9"),
        ("books", "1"),
        ("books", "2"),
        ("crm", "1"),
    ]


def test_only_the_key_giver_and_the_systems_that_are_named_are_heard() -> None:
    shown = [look(paid(), system) for system in ("shop", "pay", "books")]
    flow = msgspec.structs.replace(FLOW, payments_from=("pay",))
    assert [one.object.connection for one in originals(state(*shown), flow, Payment)] == ["shop", "pay"]


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"amount": Decimal("0.01")}, True),
        ({"amount": Decimal(0)}, False),
        ({"amount": Decimal(-1)}, False),
        ({"status": "pending"}, False),
        ({"test": True}, False),
    ],
)
def test_a_payment_counts_when_it_succeeded_for_real(changes: dict[str, Any], *, counts: bool) -> None:
    assert bool(payments(state(look(paid(**changes))), FLOW)) is counts


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"amount": Decimal("0.01")}, True),
        ({"amount": Decimal(0)}, False),
        ({"amount": Decimal(-1)}, False),
        ({"status": "pending"}, False),
    ],
)
def test_a_credit_counts_when_it_was_issued(changes: dict[str, Any], *, counts: bool) -> None:
    assert bool(credited(state(look(back(**changes))), FLOW)) is counts


def test_one_payment_that_two_systems_report_under_one_reference_counts_once() -> None:
    shown = [look(paid(reference="ch_1"), "shop"), look(paid("24.0", reference="ch_1"), "books")]
    assert ids(payments(state(*shown), FLOW)) == [("shop", "1", "24.00")]


@pytest.mark.parametrize("other", [{"reference": "ch_2"}, {"amount": Decimal(23)}, {"currency": "USD"}])
def test_another_reference_amount_or_currency_is_another_payment(other: dict[str, Any]) -> None:
    shown = [look(paid(reference="ch_1"), "shop"), look(paid(**{"reference": "ch_1", **other}), "books")]
    assert len(payments(state(*shown), FLOW)) == 2


def test_equal_payments_without_a_reference_or_in_one_system_are_two() -> None:
    bare = [look(paid(), "shop"), look(paid(), "books")]
    assert len(payments(state(*bare), FLOW)) == 2
    twice = [look(paid(reference="ch_1"), "shop", id_) for id_ in ("1", "2")]
    assert len(payments(state(*twice), FLOW)) == 2


def test_a_payment_that_does_not_count_hides_no_other() -> None:
    shown = [look(paid(status="failed", reference="ch_1"), "shop"), look(paid(reference="ch_1"), "books")]
    assert ids(payments(state(*shown), FLOW)) == [("books", "1", "24.00")]
    mirrored = [look(paid(reference="ch_1"), "shop"), look(paid(reference="ch_1"), "crm"), look(paid("1"), "pay")]
    assert ids(payments(state(*mirrored), FLOW)) == [("shop", "1", "24.00"), ("pay", "1", "1")]


def test_refunds_are_told_apart_like_payments() -> None:
    shown = [look(back(reference="re_1"), "shop"), look(back(reference="re_1"), "books"), look(back("1"), "crm")]
    assert ids(credited(state(*shown), FLOW)) == [("shop", "1", "5.00"), ("crm", "1", "1")]


def test_a_share_is_what_counts() -> None:
    assert payments(state(look(paid("0"), share="3")), FLOW) == []
    assert ids(payments(state(look(paid(), share="5.50")), FLOW)) == [("shop", "1", "5.50")]
    assert ids(credited(state(look(back(), share="1")), FLOW)) == [("shop", "1", "1")]


def _mirror(share: str | None, id_: str = "m") -> Observation:
    return look(paid(), "books", id_, mirror_of=mark(), share=share)


@pytest.mark.parametrize(
    ("mirror", "share", "stayed"),
    [
        (paid("24.00", unapplied_amount=Decimal(4)), "20", "24"),  # the invoice took 20, 4 stay on the buyer's account
        (paid("20.00"), "20", "24"),  # 4 more lie beside it as an overpayment
        (paid("24.00", unapplied_amount=Decimal(4)), "15", "19"),  # 5 of it were moved to another order
    ],
)
def test_what_an_invoice_did_not_need_was_not_moved_away(mirror: Payment, share: str, stayed: str) -> None:
    source = look(paid("24"), "shop", "t1")
    there = look(mirror, "qbo", "1", share=share)
    written = record(f"qbo|payment|{source.object.key}", there.object, capability="record_payment")
    assert [one.amount for one in payments(state(source, there, written), FLOW)] == [Decimal(stayed)]


@pytest.mark.parametrize(
    ("shares", "stayed"),
    [((None,), ["24.00"]), (("10",), ["10"]), (("30",), ["24.00"]), (("10", "3"), ["3"]), (("0",), [])],
)
def test_a_payment_whose_mirror_was_moved_counts_as_far_as_it_stayed(
    shares: tuple[str | None, ...], stayed: list[str]
) -> None:
    source, systems = look(paid()), ("books", "crm")
    parts: list[Any] = [source]
    for system, share in zip(systems, shares, strict=False):
        mirror = look(paid(), system, "m", mirror_of=mark(), share=share)
        key = f"{system}|payment|{source.object.key}"
        parts += [mirror, record(key, mirror.object, capability="record_payment")]
    assert [one.amount for one in payments(state(*parts), FLOW)] == [Decimal(amount) for amount in stayed]


@pytest.mark.parametrize(
    ("key", "capability"),
    [
        ("books|payment|{}", "record_refund"),
        ("books|payment|another", "record_payment"),
        ("books|payment-{}", "record_payment"),
    ],
)
def test_only_the_mirror_of_this_payment_tells_what_stayed(key: str, capability: str) -> None:
    source, mirror = look(paid()), _mirror("10")
    write = record(key.format(source.object.key), mirror.object, capability=capability)
    assert ids(payments(state(source, mirror, write), FLOW)) == [("shop", "1", "24.00")]


def test_a_mirror_that_is_not_there_yet_changes_nothing() -> None:
    source, key = look(paid()), f"books|payment|{look(paid()).object.key}"
    for bound in (None, ref("books", "payment", "unseen")):
        asked = record(key, bound, capability="record_payment")
        assert ids(payments(state(source, asked), FLOW)) == [("shop", "1", "24.00")]


def test_parcels_that_left_count_and_carry_no_money() -> None:
    shown = [
        look(Shipment(status=word), "shop", word)
        for word in ("pending", "shipped", "delivered", "cancelled", "returned")
    ]
    assert ids(shipments(state(*shown), FLOW)) == [("shop", "delivered", "0"), ("shop", "shipped", "0")]


def test_two_parcels_of_two_systems_are_two() -> None:
    assert len(shipments(state(look(Shipment()), look(Shipment(), "crm")), FLOW)) == 2


@pytest.mark.parametrize(
    ("there", "copied", "left"),
    [
        (("1Z1", "1Z2"), ("1Z2",), ["shop"]),
        (("1Z1",), ("1Z1", "1Z2"), ["shop", "crm"]),
        (("1Z1",), (), ["shop", "crm"]),
        ((), ("1Z1",), ["shop", "crm"]),
    ],
)
def test_a_parcel_whose_numbers_another_system_told_is_no_further_one(
    there: tuple[str, ...], copied: tuple[str, ...], left: list[str]
) -> None:
    shown = look(Shipment(tracking_numbers=copied), "crm"), look(Shipment(tracking_numbers=there))
    assert [system for system, *_ in ids(shipments(state(*shown), FLOW))] == left


def test_two_parcels_of_one_system_under_one_number_are_two() -> None:
    shown = [look(Shipment(tracking_numbers=("1Z1",)), "shop", id_) for id_ in ("1", "2")]
    assert len(shipments(state(*shown), FLOW)) == 2


def test_documents_are_the_living_and_issued_ones_of_every_system() -> None:
    kept = [look(Invoice(), "books", "2"), look(Invoice(), "books", "1", mirror_of=mark())]
    dead = [look(Invoice(status=word), "books", word) for word in ("void", "cancelled", "draft")]
    gone = look(Invoice(), "books", "gone", presence="deleted")
    assert documents(state(*dead, gone, look(paid()), *kept)) == [kept[1], kept[0]]


def test_a_total_is_exact_and_zero_for_nothing() -> None:
    one = look(paid())
    assert total([Counted(one, Decimal("0.10")), Counted(one, Decimal("0.20"))]) == Decimal("0.30")
    assert isinstance(total([]), Decimal)
    assert total([]) == 0
    assert Counted(one, Decimal(1)).key == one.object.key
