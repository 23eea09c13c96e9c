"""What is sent to Xero: lines that add up, taxes, accounts, days and marks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import RejectedError
from schemas.facts import Invoice, Line, Payment
from schemas.money import ZERO
from schemas.platforms.xero import facts
from sinks.platforms.xero import bodies
from sinks.platforms.xero.asking import beside, quoted
from tests.platforms.xero.plain import CONNECTION, INVOICE, MARK

money = st.integers(min_value=-10_000, max_value=100_000).map(lambda cents: Decimal(cents).scaleb(-2))


@given(st.lists(st.tuples(st.integers(1, 50), st.decimals(0, 500, places=3), money, money), min_size=1, max_size=5))
def test_whatever_the_lines_are_xero_adds_them_up_to_the_orders_total(
    rows: list[tuple[int, Decimal, Decimal, Decimal]],
) -> None:
    lines = tuple(
        Line(name="x", quantity=Decimal(quantity), unit_price=price, net_amount=net, tax_amount=tax)
        for quantity, price, net, tax in rows
    )
    total = sum((line.net_amount + line.tax_amount for line in lines), ZERO)
    items = bodies.lines(Invoice(currency="EUR", payable_amount=total, lines=lines), CONNECTION)
    there = [(item["Quantity"] * item["UnitAmount"]).quantize(Decimal("0.01"), "ROUND_HALF_UP") for item in items]
    assert sum(there, ZERO) + sum((item["TaxAmount"] for item in items), ZERO) == total


def test_a_price_that_does_not_multiply_out_is_sent_as_one_piece() -> None:
    odd = Line(name="Mug", quantity=Decimal(3), unit_price=Decimal("2.93"), net_amount=Decimal("8.78"))
    item = bodies.line_item(odd, CONNECTION)
    assert (item["Quantity"], item["UnitAmount"], item["Description"]) == (1, Decimal("8.78"), "Mug (3 x 2.93)")
    even = Line(name="Mug", quantity=Decimal(3), unit_price=Decimal("2.9333"), net_amount=Decimal("8.80"))
    item = bodies.line_item(even, CONNECTION)
    assert (item["Quantity"], item["UnitAmount"]) == (3, Decimal("2.9333"))


def test_lines_that_do_not_add_up_or_have_three_decimals_never_leave() -> None:
    with pytest.raises(RejectedError, match="add up to 12"):
        bodies.lines(msgspec.structs.replace(INVOICE, payable_amount=Decimal(13)), CONNECTION)
    with pytest.raises(RejectedError, match="two decimals"):
        bodies.line_item(Line(net_amount=Decimal("1.005")), CONNECTION)


def test_tax_codes_and_accounts_come_from_the_connection() -> None:
    mapped = msgspec.structs.replace(
        CONNECTION, taxes={"20": "OUTPUT2", "0": "ZERO"}, accounts={"sales": "4000", "rounding": "860"}
    )
    assert bodies.line_item(INVOICE.lines[0], mapped)["TaxType"] == "OUTPUT2"
    assert "TaxType" not in bodies.line_item(INVOICE.lines[0], CONNECTION)
    untold = msgspec.structs.replace(INVOICE.lines[0], tax_rate=None)
    assert bodies.line_item(untold, mapped)["TaxType"] == "OUTPUT2", "the tax tells the rate"
    unknown = msgspec.structs.replace(untold, tax_amount=Decimal("0.13"))
    assert "TaxType" not in bodies.line_item(unknown, mapped), "no rate is not the rate zero"
    either = msgspec.structs.replace(mapped, taxes={**mapped.taxes, "19.99": "A", "x": "B"})
    tiny = msgspec.structs.replace(untold, net_amount=Decimal("0.05"), tax_amount=Decimal("0.01"))
    assert "TaxType" not in bodies.line_item(tiny, either), "two rates give the same cent"
    free = Line(kind="rounding", net_amount=Decimal("0.01"))
    assert (bodies.line_item(free, mapped)["TaxType"], bodies.line_item(free, mapped)["AccountCode"]) == ("ZERO", "860")
    assert (bodies.line_item(free, CONNECTION)["TaxType"], bodies.line_item(free, CONNECTION)["AccountCode"]) == (
        "NONE",
        "200",
    )
    assert bodies.line_item(Line(kind="shipping"), mapped)["AccountCode"] == "4000"
    assert bodies.account(CONNECTION, "payments") == "090"


def test_an_invoice_is_approved_unsent_and_due_no_earlier_than_issued() -> None:
    body = bodies.invoice(msgspec.structs.replace(INVOICE, due_date=date(2026, 4, 1)), "c1", MARK, CONNECTION)
    assert (body["Status"], body["SentToContact"], body["DueDate"]) == ("AUTHORISED", False, "2026-05-01")
    assert "InvoiceNumber" not in body


def test_a_payment_is_booked_on_the_companys_day() -> None:
    sydney = msgspec.structs.replace(CONNECTION, time_zone="Australia/Sydney")
    late = Payment(amount=Decimal(1), currency="EUR", paid_at=datetime(2026, 4, 30, 23, 0, tzinfo=UTC))
    assert bodies.paid_on(late, sydney) == date(2026, 5, 1)
    assert bodies.paid_on(late, CONNECTION) == date(2026, 4, 30)


def test_a_second_object_of_one_write_has_a_mark_of_its_own() -> None:
    assert beside(MARK) != MARK
    assert beside(MARK)[:38] == MARK[:38]
    assert facts.read_reference(beside(MARK)).mark == beside(MARK)
    assert beside("typed") == "typed"


def test_filter_texts_cannot_break_out() -> None:
    assert quoted('a" OR "1\\\n') == '"a\\" OR \\"1\\\\"'
