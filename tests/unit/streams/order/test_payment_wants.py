"""What a flow wants of a payment: recorded, on a document or on account, and taken back."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Allocation, Party, Payment
from schemas.flow import Target
from schemas.state import Observation
from streams.order.plan.reversing import payment_findings
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS, SHOP
from tests.unit.streams.order.states import desk, record, ref
from tests.unit.streams.order.wanted import BOOKS, CRM, DAY, DEALT, FAILED, MADE, OWN, invoice, of, paid, payment

# --------------------------------------------------------------------------------------------- the payments


def _recorded(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "books|payment|pay@p/payment/1",
        "connection": "books",
        "capability": "record_payment",
        "kind": "append",
        "canonical": f"pay@p/payment/1+{SHOP.key}",
        "entity": f"document:{KEY}",
        "facts": paid(date=DAY),
        "after": ("books|document",),
        "links": {"invoice": "1"},
    }
    return Want(**{**values, **changes})


def test_a_payment_from_elsewhere_is_put_on_our_invoice() -> None:
    assert of(desk(MADE, payment()), "record_payment") == [_recorded()]


def test_a_payment_waits_for_its_invoice() -> None:
    assert of(desk(payment()), "record_payment") == [_recorded(links={})]


def test_a_payment_on_an_adopted_invoice_waits_for_nothing() -> None:
    assert of(desk(invoice(), payment()), "record_payment") == [_recorded(after=())]


def test_what_is_recorded_is_the_share_without_what_only_its_system_knows() -> None:
    allocated = (Allocation(type="invoice", id="x", amount=Decimal(1)),)
    day = {"paid_at": None, "date": date(2026, 2, 1)}
    facts = paid(fee=Decimal(1), allocations=allocated, customer=Party(name="Ada"), **day)
    (want,) = of(desk(MADE, payment(facts=facts, share="3")), "record_payment")
    assert want.facts == paid("3", **day)


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((payment("books"),), {}),
        ((payment(),), {"target": msgspec.structs.replace(BOOKS, payments=False)}),
        ((payment(),), {"platform": {"capabilities": {}}}),
        ((payment(), invoice(status="void")), {}),
        ((payment(), invoice(document="sales_receipt")), {}),
        ((payment(facts=paid(status="pending")),), {}),
        ((payment(),), {"target": Target(connection="books")}),
    ],
)
def test_otherwise_no_payment_is_recorded(parts: tuple[Observation, ...], more: dict[str, Any]) -> None:
    assert of(desk(MADE, *parts, **more), "record_payment") == []


def test_a_payment_is_put_on_the_order_where_no_document_is_kept() -> None:
    on_order = {"entity": f"order:{KEY}", "connection": "crm", "write": "crm|payment|pay@p/payment/1"}
    made = of(desk(DEALT, payment(), target=CRM), "record_payment")
    assert made == [_recorded(**on_order, after=("crm|order",), links={"order": "d1"})]
    waiting = of(desk(payment(), target=CRM), "record_payment")
    assert waiting == [_recorded(**on_order, after=("crm|order",), links={})]
    own = of(desk(payment(), target=OWN), "record_payment")
    there = {"connection": "shop", "write": "shop|payment|pay@p/payment/1"}
    assert own == [_recorded(**{**on_order, **there}, after=(), links={"order": "1"})]


def test_every_payment_is_recorded() -> None:
    known = desk(MADE, payment("books", "0"), payment(), payment(id_="2"))
    assert [want.write[-1] for want in of(known, "record_payment")] == ["1", "2"]


MIRROR = payment("books", "m", mirror_of=None)
WROTE = record("books|payment|pay@p/payment/1", MIRROR.object, capability="record_payment", id="e" * 32)


def test_a_payment_that_was_made_anew_has_a_reversal_of_its_own() -> None:
    again = msgspec.structs.replace(WROTE, generation=1)
    (want,) = of(desk(MADE, FAILED, MIRROR, again), "reverse_payment")
    assert want.write == "books|reversal|pay@p/payment/1#1"


def test_a_payment_that_no_longer_counts_is_taken_back() -> None:
    assert of(desk(MADE, FAILED, MIRROR, WROTE), "reverse_payment") == [
        Want(
            write="books|reversal|pay@p/payment/1",
            connection="books",
            capability="reverse_payment",
            kind="append",
            canonical=WROTE.id,
            entity=f"document:{KEY}",
            facts=paid(status="reversed"),
            links={"payment": "m"},
        )
    ]


def test_a_mirror_that_was_not_seen_is_taken_back_all_the_same() -> None:
    assert len(of(desk(MADE, FAILED, WROTE), "reverse_payment")) == 1


def test_a_mirror_that_was_placed_as_a_whole_is_taken_back() -> None:
    placed = msgspec.structs.replace(MIRROR, share="24")  # a sweep saw it on its invoice before its result
    assert len(of(desk(MADE, FAILED, placed, WROTE), "reverse_payment")) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (payment(), MIRROR, WROTE),
        (FAILED, MIRROR, msgspec.structs.replace(WROTE, bound=None)),
        (FAILED, msgspec.structs.replace(MIRROR, share="3"), WROTE),
        (FAILED, msgspec.structs.replace(MIRROR, presence="deleted"), WROTE),
        (MIRROR, WROTE),
        (FAILED, MIRROR, msgspec.structs.replace(WROTE, key="books|paid|pay@p/payment/1")),
        (msgspec.structs.replace(FAILED, facts=None, presence="deleted"), MIRROR, WROTE),
    ],
)
def test_nothing_else_is_taken_back(parts: tuple[Any, ...]) -> None:
    assert of(desk(MADE, *parts), "reverse_payment") == []


def test_each_of_several_is_looked_at() -> None:
    moved = record("books|payment|pay@p/payment/0", ref("books", "payment", "m0"), capability="record_payment")
    there = payment("books", "m0", share="0")
    zero = payment(id_="0", facts=paid(status="reversed"))
    assert len(of(desk(MADE, zero, moved, there, FAILED, MIRROR, WROTE), "reverse_payment")) == 1
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "reverse_payment"}
    assert of(desk(MADE, FAILED, MIRROR, WROTE, platform={"capabilities": lacks}), "reverse_payment") == []
    assert of(desk(MADE, FAILED, MIRROR, WROTE, target=msgspec.structs.replace(BOOKS, payments=False))) == []


def test_where_no_payment_can_be_taken_back_it_is_told_which_one_stays() -> None:
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "reverse_payment"}
    stays = desk(MADE, FAILED, MIRROR, WROTE, platform={"capabilities": lacks})
    (found,) = payment_findings(stays)
    assert (found.code, found.severity, found.subject) == ("payment_left", "warn", str(WROTE.bound and WROTE.bound.key))
    assert "books still shows a payment of 24.00" in found.message
    assert found.next_step
    still = desk(MADE, payment(), MIRROR, WROTE, platform={"capabilities": lacks})
    assert list(payment_findings(still)) == [], "it still counts"
    assert list(payment_findings(desk(MADE, FAILED, MIRROR, WROTE))) == [], "it is taken back"


def test_a_payment_is_taken_back_from_a_document_that_ended() -> None:
    assert len(of(desk(MADE, invoice(status="void"), FAILED, MIRROR, WROTE), "reverse_payment")) == 1


# ---------------------------------------------------------------------------------------------- money without a document


@pytest.mark.parametrize("facts", [{"payable_amount": Decimal(0), "lines": ()}, {"status": "cancelled"}])
def test_money_of_an_order_that_is_never_billed_goes_to_the_customers_account(facts: dict[str, Any]) -> None:
    (want,) = of(desk(payment(), target=BOOKS, facts=facts, platform={"advance_payments": True}), "record_payment")
    assert want.after == ()
    assert want.links == {}
    assert isinstance(want.facts, Payment)
    assert want.facts.customer is not None
    assert want.facts.amount == 24


def test_money_waits_for_the_document_where_one_was_asked_for_or_the_ledger_keeps_no_accounts() -> None:
    asked = record("books|document", None)
    unbilled = {"payable_amount": Decimal(0), "lines": ()}
    for known in (
        desk(payment(), asked, target=BOOKS, facts=unbilled, platform={"advance_payments": True}),
        desk(payment(), target=BOOKS, facts=unbilled, platform={"advance_payments": False}),
        desk(payment(), target=BOOKS, platform={"advance_payments": True}),
    ):
        (want,) = of(known, "record_payment")
        assert want.after == ("books|document",)


@pytest.mark.parametrize(
    ("amount", "there", "base", "told"),
    [
        ("24.00", "24.00", Pair("24.00", "24.00"), ""),
        ("24.00", None, Pair("24.00", "24.00"), ""),
        ("20.00", "24.00", Pair("24.00", "24.00"), "books shows a payment of 24.00, pay@p/payment/1 says 20.00."),
        ("20.00", None, Pair("24.00", "24.00"), "books shows a payment of 24.00, pay@p/payment/1 says 20.00."),
        ("24.00", "20.00", Pair("24.00", "24.00"), "books shows a payment of 20.00, pay@p/payment/1 says 24.00."),
        ("20.00", "20.00", Pair("24.00", "24.00"), ""),
        ("24.00", "25.00", Pair("24.00", "25.00"), ""),
        ("20.00", "24.00", None, ""),
    ],
)
def test_a_payment_that_is_not_what_it_tells_is_told(
    amount: str, there: str | None, base: Pair | None, told: str
) -> None:
    known = msgspec.structs.replace(WROTE, base={} if base is None else {"amount": base})
    mirror = [] if there is None else [payment("books", "m", facts=paid(there))]
    found = list(payment_findings(desk(MADE, payment(facts=paid(amount)), *mirror, known)))
    assert [one.message for one in found] == ([told] if told else [])
    assert all((one.code, one.severity, one.subject) == ("payment_differs", "warn", WROTE.bound.key) for one in found)  # type: ignore[union-attr]


def test_a_payment_that_ended_here_or_that_was_undone_differs_from_nothing() -> None:
    wrote = msgspec.structs.replace(WROTE, base={"amount": Pair("24.00", "24.00")})
    told, less = payment(facts=paid("20.00")), paid("24.00", status="reversed")
    assert len(list(payment_findings(desk(MADE, told, wrote)))) == 1
    assert list(payment_findings(desk(MADE, told, payment("books", "m", facts=less), wrote))) == []
    assert list(payment_findings(desk(MADE, told, msgspec.structs.replace(wrote, undone_at=NOW)))) == []
    assert list(payment_findings(desk(MADE, told, msgspec.structs.replace(wrote, bound=None)))) == []
