"""Who sells goods: which documents there are after which events, over how much, of which day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest

from schemas.facts import Invoice, Line, Payment
from tests.simulator.examples import EVENING, Played, store, webshop, wholesale
from tests.simulator.fakes import Doc

# -- a shop that invoices on payment -----------------------------------------------------------------------------------


def _placed(_play: Played, _sale: Doc) -> None:
    """Nothing more happens."""


def _part_paid(play: Played, sale: Doc) -> None:
    play.money(sale, "99.99")


def _pending(play: Played, sale: Doc) -> None:
    play.money(sale, "100.00", status="authorised")


def _cancelled(play: Played, sale: Doc) -> None:
    play.cancel(sale)


def _given_back(play: Played, sale: Doc) -> None:
    play.money(sale, "40.00")
    play.back(sale, "40.00")
    play.settle(1)
    play.cancel(sale)


@pytest.mark.parametrize("business", [webshop, store])
@pytest.mark.parametrize("history", [_placed, _part_paid, _pending, _cancelled, _given_back])
def test_nothing_is_written_of_what_was_not_paid(
    business: Callable[[], Played], history: Callable[[Played, Doc], None]
) -> None:
    play = business()
    sale = play.sale()
    history(play, sale)
    play.settle()
    assert play.there() == []


def test_a_deposit_that_is_kept_goes_to_the_customers_account_and_one_paid_back_later_is_told() -> None:
    play = webshop()
    sale = play.sale()
    play.money(sale, "40.00")
    play.settle(1)
    play.cancel(sale)
    play.settle(1)
    assert play.there() == [("payment", "40.00", "03-02")]
    (key,) = play.public
    assert not play.finding(key, "advance_returned")
    play.back(sale, "40.00")
    play.settle()
    assert play.there() == [("payment", "40.00", "03-02")]
    assert play.finding(key, "advance_returned")


def test_the_payment_that_completes_an_order_dates_its_invoice_in_the_zone_of_the_books() -> None:
    play = webshop()
    sale = play.sale()
    play.money(sale, "30.00")
    play.settle(1)
    assert play.there() == []
    play.money(sale, "70.00", EVENING)
    play.settle()
    assert sorted(play.there()) == [
        ("invoice", "100.00", "03-03"),
        ("payment", "30.00", "03-02"),
        ("payment", "70.00", "03-03"),
    ]
    bill = play.bill().facts
    assert isinstance(bill, Invoice)
    assert bill.due_date == date(2026, 3, 3), "it is paid: there are no terms"


def test_what_was_paid_too_much_is_invoiced_as_it_was_ordered() -> None:
    play = webshop()
    play.money(play.sale(), "120.00")
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-02"), ("payment", "120.00", "03-02")]


def test_what_was_paid_and_paid_back_while_nobody_looked_is_in_the_books_all_the_same() -> None:
    play = webshop()
    sale = play.sale()
    play.money(sale, "100.00")
    play.back(sale, "100.00")
    play.settle()
    assert [kind for kind, _, _ in play.there()] == ["invoice", "payment", "credit", "refund"]


def test_an_order_that_changes_before_it_is_paid_is_invoiced_as_it_was_paid() -> None:
    play = webshop()
    sale = play.sale()
    play.edit(
        play.sells,
        sale,
        payable_amount=Decimal(80),
        lines=(Line(id="l1", unit_price=Decimal(80), net_amount=Decimal(80)),),
    )
    play.money(sale, "80.00")
    play.settle()
    assert play.there() == [("invoice", "80", "03-02"), ("payment", "80.00", "03-02")]


def test_an_order_that_changes_after_it_was_paid_is_credited_and_billed_anew() -> None:
    play = webshop()
    sale = play.sale()
    play.money(sale, "100.00")
    play.settle(1)
    dearer = (Line(id="l1", unit_price=Decimal(120), net_amount=Decimal(120)),)
    play.edit(play.sells, sale, payable_amount=Decimal(120), lines=dearer)
    play.settle()
    assert [(kind, amount) for kind, amount, _ in play.there()] == [
        ("invoice", "100.00"), ("payment", "100.00"), ("credit", "100.00"), ("invoice", "120"),
    ]  # fmt: skip
    assert play.systems[play.books].open(play.live(play.books, "invoice")[-1].id) == Decimal(20)


def test_a_parcel_of_a_paid_order_is_noted_once() -> None:
    play = webshop()
    sale = play.sale()
    play.parcel(sale, "1")
    play.settle(1)
    assert play.writes() == 0
    play.money(sale, "100.00")
    play.settle()
    assert [capability for capability, _ in play.systems[play.books].writes].count("record_shipment") == 1


# -- wholesale that invoices on shipment -------------------------------------------------------------------------------


def _whole(play: Played, quantity: str = "10") -> Doc:
    line = Line(id="l1", sku="MUG", quantity=Decimal(quantity), unit_price=Decimal(10), net_amount=Decimal(100))
    return play.sale(lines=(line,))


def test_the_last_parcel_dates_the_invoice_and_its_terms_run_from_there() -> None:
    play = wholesale()
    sale = _whole(play)
    play.parcel(sale, "4", EVENING - timedelta(days=1))
    play.settle(1)
    assert play.there() == []
    play.parcel(sale, "6", EVENING)
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-02")]
    bill = play.bill().facts
    assert isinstance(bill, Invoice)
    assert bill.due_date == date(2026, 4, 1)


def test_a_deposit_waits_for_the_invoice() -> None:
    play = wholesale()
    sale = _whole(play)
    play.money(sale, "25.00")
    play.settle(1)
    assert play.there() == []
    play.parcel(sale, "10")
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-02"), ("payment", "25.00", "03-02")]


def test_a_transfer_in_the_ledger_is_told_to_the_shop_and_to_nobody_else() -> None:
    play = wholesale()
    sale = _whole(play)
    play.parcel(sale, "10")
    play.settle()
    facts = Payment(amount=Decimal("100.00"), currency="EUR", date=date(2026, 3, 20))
    play.look(play.books, play.systems[play.books].add("payment", facts, play.now, invoice=play.bill().id))
    play.settle()
    assert [capability for capability, _ in play.systems[play.sells].writes] == ["record_payment"]
    assert [kind for kind, _, _ in play.there()] == ["invoice", "payment"]


def test_what_is_cancelled_after_it_left_is_credited() -> None:
    play = wholesale()
    sale = _whole(play)
    play.parcel(sale, "10")
    play.settle()
    play.cancel(sale)
    play.settle()
    assert [kind for kind, _, _ in play.there()] == ["void"], "an unpaid invoice in an open month is voided"
    assert play.systems[play.sells].writes == []


def test_a_parcel_that_never_left_is_none() -> None:
    play = wholesale()
    sale = _whole(play)
    play.parcel(sale, "10", status="cancelled")
    play.parcel(sale, "9")
    play.settle()
    assert play.there() == []


def test_an_order_delivered_at_once_is_invoiced_as_well() -> None:
    play = wholesale()
    play.parcel(_whole(play), "10", status="delivered")
    play.settle()
    assert play.there() == [("invoice", "100.00", "03-02")]


# -- each day's card sales ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (EVENING, "03-02"),
        (EVENING + timedelta(hours=5, minutes=29), "03-02"),
        (EVENING + timedelta(hours=5, minutes=31), "03-03"),
    ],
)
def test_a_receipt_is_of_the_day_on_which_the_card_was_charged_in_new_york(at: datetime, day: str) -> None:
    play = store()
    play.money(play.sale(), "100.00", at)
    play.settle()
    assert play.there() == [("receipt", "100.00", day)], "and no payment beside it"


def test_the_receipts_of_a_day_add_up_to_its_card_sales() -> None:
    play = store()
    charged: dict[str, Decimal] = {}
    for number in range(24):
        at, amount = EVENING + timedelta(hours=number), Decimal(f"{number + 1}.{number:02d}")
        play.money(play.sale(f"{amount}", number=f"SO-{number}"), f"{amount}", at)
        day = f"{at - timedelta(hours=5):%m-%d}"
        charged[day] = charged.get(day, Decimal(0)) + amount
    play.settle()
    booked: dict[str, Decimal] = {}
    for kind, amount_, day in play.there():
        assert kind == "receipt"
        booked[day] = booked.get(day, Decimal(0)) + Decimal(amount_)
    assert booked == charged
    assert len(booked) == 2


@pytest.mark.parametrize("cancelled", [False, True])
def test_money_paid_back_by_card_is_one_refund_receipt_also_when_the_order_is_cancelled(*, cancelled: bool) -> None:
    play = store()
    sale = play.sale()
    play.money(sale, "100.00")
    play.settle(1)
    play.back(sale, "100.00")
    play.settle(1)
    if cancelled:
        play.cancel(sale)
    play.settle()
    assert play.there() == [("receipt", "100.00", "03-02"), ("refund", "100.00", "03-02")]


def test_money_paid_back_after_a_cancellation_was_credited_takes_no_income_back_again() -> None:
    play = store()
    sale = play.sale()
    play.money(sale, "100.00")
    play.settle(1)
    play.cancel(sale)
    play.settle(1)
    play.back(sale, "100.00")
    play.settle()
    assert [kind for kind, _, _ in play.there()] == ["receipt", "credit", "refund"]
    (refund,) = [one for one in play.commands if one.capability == "record_refund"]
    assert refund.links["credit"], "the refund receipt goes over the clearing account"


def test_a_sale_paid_in_two_goes_is_one_receipt_of_the_second_day() -> None:
    play = store()
    sale = play.sale()
    play.money(sale, "60.00")
    play.money(sale, "40.00", EVENING + timedelta(days=2))
    play.settle()
    assert play.there() == [("receipt", "100.00", "03-04")]
