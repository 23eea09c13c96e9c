"""Amounts and days as Stripe wants them: what is written reads back as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import RejectedError
from app.core.talk import Response
from schemas.facts import Credit, Payment
from schemas.platforms.stripe.integers import day, money, units
from sinks.platforms.stripe import StripeSink
from tests.platforms.conversation import answer
from tests.platforms.stripe.plain import CONNECTION, SINK, command, reply

TWO, WHOLE, THREE = (
    ("EUR", "USD", "HUF", "TWD"),
    ("JPY", "KRW", "CLP", "XOF", "ISK", "UGX", "MGA"),
    ("BHD", "KWD", "TND"),
)
PAID = Payment(amount=Decimal(5), currency="EUR", date=date(2026, 11, 25))
PLACES = {**dict.fromkeys(TWO, 2), **dict.fromkeys(WHOLE, 0), **dict.fromkeys(THREE, 3)}


@given(st.sampled_from(sorted(PLACES)), st.integers(0, 10**12))
def test_what_is_written_reads_back_as_the_same_amount(currency: str, count: int) -> None:
    amount = Decimal(count).scaleb(-PLACES[currency])
    assert money(units(amount, currency), currency) == amount
    assert money(units(amount, currency.lower()), currency.lower()) == amount


@pytest.mark.parametrize(("currency", "there"), [("ISK", 500_000), ("UGX", 500_000), ("JPY", 5000), ("MGA", 5000)])
def test_what_stripe_counts_otherwise_than_iso_4217_is_written_so_too(currency: str, there: int) -> None:
    form = next(
        SINK.write(command("record_payment", msgspec.structs.replace(PAID, amount=Decimal(5000), currency=currency)))
    ).form
    assert form is not None
    assert form["amount_requested[value]"] == str(there)
    assert money(there, currency) == 5000


def test_a_payment_without_an_hour_was_made_on_its_day_in_the_zone_of_the_account() -> None:
    zone = "America/New_York"
    sink = StripeSink(msgspec.structs.replace(CONNECTION, time_zone=zone))
    form = next(sink.write(command("record_payment", PAID))).form
    assert form is not None
    assert form["initiated_at"] == form["guaranteed[guaranteed_at]"]
    assert day(int(form["initiated_at"]), zone) == date(2026, 11, 25)


def test_of_a_payment_without_any_day_we_know_when_we_were_told() -> None:
    told = datetime(2026, 11, 26, 8, tzinfo=UTC)
    bare = msgspec.structs.replace(PAID, date=None)
    form = next(SINK.write(command("record_payment", bare, told_at=told))).form
    assert form is not None
    assert form["initiated_at"] == str(int(told.timestamp()))
    with pytest.raises(RejectedError, match="day"):
        next(SINK.write(command("record_payment", bare)))


def _bill(left: int) -> Response:
    return reply({"object": "invoice", "id": "in_1", "status": "open" if left else "paid", "amount_remaining": left})


NOTE = reply(
    {"object": "credit_note", "id": "cn_1", "currency": "eur", "total": 500, "invoice": "in_1", "status": "issued"}
)
REFUSED = reply({"error": {"type": "invalid_request_error"}}, 400)


def test_a_credit_that_a_payment_overtook_is_split_anew() -> None:
    credit = Credit(amount=Decimal(5), currency="EUR")
    wanted = command("issue_credit", credit, links={"invoice": "in_1"})
    requests, written = answer(SINK.write(wanted), _bill(2400), REFUSED, _bill(200), NOTE)
    forms = [request.form for request in requests if request.form is not None]
    assert [form.get("out_of_band_amount") for form in forms] == [None, "300"]
    assert written.id == "cn_1"
    with pytest.raises(RejectedError):
        answer(SINK.write(wanted), _bill(200), REFUSED, _bill(200))
