from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import money


@pytest.mark.parametrize(("currency", "units"), [("EUR", 2), ("JPY", 0), ("KWD", 3)])
def test_minor_units_are_those_of_iso_4217(currency: str, units: int) -> None:
    assert money.minor_units(currency) == units


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_minor_units_survive_the_round_trip(units: int, currency: str) -> None:
    assert money.to_minor(money.from_minor(units, currency), currency) == units


def test_half_a_cent_rounds_up() -> None:
    assert money.rounded(Decimal("2.925"), "EUR") == Decimal("2.93")
    assert money.text(Decimal("1200.4"), "JPY") == "1200"
