"""Sales that are paid when they are booked: one receipt, which takes no payment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.facts import Credit, Invoice
from schemas.flow import Target
from tests.simulator import company
from tests.simulator.simulation import Simulation

SEEDS = pytest.mark.parametrize("seed", range(8))


_SECOND = Target(connection="second", document="invoice")


def _cash(seed: int) -> Simulation:
    targets = (
        Target(connection="crm", order=True),
        Target(connection="till", document="sales_receipt", when=("paid",)),
    )
    return Simulation(seed, company.world(targets=targets))


@SEEDS
def test_a_sales_receipt_is_paid_by_itself(seed: int) -> None:
    play = _cash(seed)
    key, order = play.order()
    play.pay("shop", "60.00", order=order.id)
    play.settle()
    assert play.live("till", "invoice") == []
    play.pay("shop", "40.00", order=order.id)
    play.settle()
    assert [doc.facts.document for doc in play.live("till", "invoice")] == ["sales_receipt"]  # type: ignore[union-attr]
    assert [one.capability for one in play.commands if one.connection == "till"] == ["upsert_sales_receipt"]
    assert (play.public[key].financial, play.public[key].waiting) == ("paid", ())


@SEEDS
def test_a_refund_of_a_sales_receipt_is_one_refund_receipt_and_no_credit_note(seed: int) -> None:
    play = _cash(seed)
    _, order = play.order()
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    facts = Credit(document="refund", amount=Decimal(30), currency="EUR")
    play.look("shop", play.systems["shop"].add("credit", facts, play.now, order=order.id))
    play.settle()
    written = [one.capability for one in play.commands if one.connection == "till"]
    assert written == ["upsert_sales_receipt", "record_refund"]
    assert [doc.facts.document for doc in play.live("till", "credit")] == ["refund"]  # type: ignore[union-attr]


@SEEDS
def test_a_receipt_that_a_person_typed_takes_no_payment_either(seed: int) -> None:
    play = Simulation(seed, company.world(targets=(Target(connection="till", document="sales_receipt"), _SECOND)))
    _, order = play.order(stage="draft", status="draft")
    bill = Invoice(document="sales_receipt", currency="EUR", payable_amount=Decimal(100), reference="SO-1")
    play.look("till", play.systems["till"].add("invoice", bill, play.now))
    play.settle(0.1)
    play.edit("shop", order, stage="open", status="open")
    play.pay("shop", "100.00", order=order.id)
    play.settle()
    assert [one for one in play.commands if one.connection == "till"] == []
    assert play.sum("second", "payment") == Decimal(100)
