"""Digits in headers are a number of seconds, or nothing: never an error and never costly."""

import pytest

from app.core.stamps import seconds


@pytest.mark.parametrize("text", ["", " 1", "-1", "+1", "1.5", "1e3", "\u00b2", "\u0661", "Ü", "0x1", "1_000"])
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert seconds(text) is None


def test_a_number_is_read_and_one_that_no_time_can_be_stays_small_enough_to_compare() -> None:
    assert (seconds("0"), seconds("1700000000")) == (0, 1_700_000_000)
    for count in (21, 400, 5_000):
        assert seconds("9" * count) == 10**20 - 1
        assert float(seconds("9" * count) or 0) > 1e19
