"""What a flow wants of credits, refunds, and an order that was cancelled."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Allocation, Credit, Line
from schemas.flow import Target
from schemas.platform import Effect
from streams.order.plan.desk import Desk
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import SHOP
from tests.unit.streams.order.states import desk, look, record, ref
from tests.unit.streams.order.wanted import BOOKS, BROKEN, DAY, MADE, credit, credited, invoice, of, paid, payment

MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))
REFUNDS = Target(connection="books", document="invoice", allow=("record_refund",))


def test_a_credit_from_elsewhere_is_written_on_our_invoice() -> None:
    assert of(desk(MADE, credit()), "issue_credit") == [credited()]


def test_a_credit_waits_for_the_payments_and_names_the_oldest() -> None:
    newer = record("books|payment|a", ref("books", "payment", "m"), capability="record_payment")
    older = record("books|payment|b", ref("books", "payment", "k"), capability="record_payment")
    unbound = record("books|payment|c", None, capability="record_payment")
    (want,) = of(desk(MADE, credit(), payment(), newer, older, unbound), "issue_credit")
    assert want == credited(
        after=("books|document", "books|payment|pay@p/payment/1"), links={"invoice": "1", "payment": "k"}
    )


def test_on_an_adopted_invoice_it_waits_for_the_payments_alone() -> None:
    (want,) = of(desk(invoice(), credit(), payment()), "issue_credit")
    assert want == credited(after=("books|payment|pay@p/payment/1",))


def test_a_share_of_a_credit_is_credited_without_what_only_its_system_knows() -> None:
    allocated = (Allocation(type="invoice", id="x", amount=Decimal(1)),)
    there = credit(share="2")
    facts = msgspec.structs.replace(there.facts, allocations=allocated)
    (want,) = of(desk(MADE, msgspec.structs.replace(there, facts=facts)), "issue_credit")
    assert want.facts == Credit(amount=Decimal(2), tax_amount=Decimal("0.33"), currency="EUR", reason="Broken")


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((MADE, credit(system="books")), {}),
        ((credit(),), {}),
        ((MADE, credit()), {"target": msgspec.structs.replace(BOOKS, credits=False)}),
        ((MADE, credit()), {"platform": {"capabilities": {"upsert_invoice": Effect.RECORDS}}}),
        ((MADE, invoice(status="void"), credit()), {}),
    ],
)
def test_otherwise_no_credit_is_written(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert of(desk(*parts, **more), "issue_credit", "record_refund") == []


def test_a_refund_is_a_credit_note_and_where_it_is_allowed_money_paid_back() -> None:
    refund = credit("refund")
    assert of(desk(MADE, refund), "issue_credit", "record_refund") == [credited()]
    noted = record("books|credit|shop@s/credit/c", ref("books", "credit", "n"))
    back = credited(
        write="books|refund|shop@s/credit/c",
        capability="record_refund",
        facts=msgspec.structs.replace(BROKEN, document="refund"),
        after=("books|document", "books|credit|shop@s/credit/c"),
    )
    assert of(desk(MADE, refund, target=REFUNDS), "record_refund") == [back]
    linked = msgspec.structs.replace(back, links={"invoice": "1", "credit": "n"})
    assert of(desk(MADE, refund, noted, target=REFUNDS), "record_refund") == [linked]
    assert of(desk(MADE, credit(), target=REFUNDS), "record_refund") == []


def test_a_sales_receipt_is_refunded_straight() -> None:
    receipt = invoice(document="sales_receipt")
    (back,) = of(desk(MADE, receipt, credit("refund"), target=REFUNDS), "issue_credit", "record_refund")
    assert (back.capability, back.after, back.links) == ("record_refund", ("books|document",), {"invoice": "1"})
    (note,) = of(desk(MADE, receipt, credit(), target=REFUNDS), "issue_credit", "record_refund")
    assert note.capability == "issue_credit"
    (noted,) = of(desk(MADE, receipt, credit("refund")), "issue_credit", "record_refund")
    assert noted.capability == "issue_credit"


ENDED: dict[str, Any] = {"status": "cancelled"}
CANCELLED = record("books|cancellation", ref("books", "credit", "x"))


def _cancelled(amount: str = "24.00", tax: str = "4", lines: Any = (MUG,), **changes: Any) -> Want:
    said = {"tax_amount": Decimal(tax), "lines": lines, "reason": "Order cancelled", "reference": "SO-1", "date": DAY}
    facts = Credit(amount=Decimal(amount), currency="EUR", **said)
    values = {"write": "books|cancellation", "canonical": f"cancel+{SHOP.key}", "facts": facts, **changes}
    return credited(**values)


def _ended(*parts: Any, **more: Any) -> Desk:
    """Return the desk of a cancelled order on whose invoice money lies."""
    return desk(MADE, invoice(paid_amount=Decimal(1)), *parts, facts=ENDED, **more)


def test_what_is_open_of_a_cancelled_order_is_credited() -> None:
    assert of(_ended(), "issue_credit") == [_cancelled()]


def test_what_was_credited_already_is_not_credited_again() -> None:
    assert of(_ended(credit()), "issue_credit") == [credited(), _cancelled("19.00", "3.17", ())]
    whole = look(Credit(amount=Decimal(24), currency="EUR"), "shop", "c")
    assert [want.write for want in of(_ended(whole), "issue_credit")] == ["books|credit|shop@s/credit/c"]


def test_a_credit_that_comes_after_the_cancellation_is_part_of_it() -> None:
    assert of(_ended(CANCELLED, credit()), "issue_credit") == [_cancelled()]
    noted = record("books|credit|shop@s/credit/c", ref("books", "credit", "n"))
    assert of(_ended(CANCELLED, noted, credit()), "issue_credit") == [credited(), _cancelled("19.00", "3.17", ())]


def test_a_refund_after_the_cancellation_is_paid_out_of_it() -> None:
    (back,) = of(_ended(CANCELLED, credit("refund"), target=REFUNDS), "record_refund")
    assert (back.after, back.links) == (("books|document", "books|cancellation"), {"invoice": "1", "credit": "x"})


@pytest.mark.parametrize("known", [desk(MADE, invoice(paid_amount=Decimal(1))), desk(invoice(), facts=ENDED)])
def test_only_our_own_invoice_of_a_cancelled_order_is_credited(known: Desk) -> None:
    assert of(known, "issue_credit") == []


def test_money_goes_back_out_of_the_payment_that_the_system_took_itself() -> None:
    back = credit("refund", system="shop")
    target = msgspec.structs.replace(BOOKS, allow=("record_refund",))
    own = payment("books", "p1")
    for parts, link in (
        ((own,), {"payment": "p1"}),
        ((own, payment("books", "p2", facts=paid("4.00"))), {}),
        ((own, record("books|payment|b", ref("books", "payment", "k"), capability="record_payment")), {"payment": "k"}),
        ((payment("books", "p1", facts=paid(status="failed")),), {}),
    ):
        for want in of(desk(MADE, back, *parts, target=target), "issue_credit", "record_refund"):
            assert want.links == {"invoice": "1", **link}
