"""Which configured rate a line bears."""

from __future__ import annotations

from decimal import Decimal

import pytest

from schemas.facts import Line
from schemas.taxes import rate_of

RATES = ("20", "19", "5.5", "0", "STANDARD")


@pytest.mark.parametrize(
    ("net", "tax", "rate", "found"),
    [
        ("10.00", "2.00", "20.0", "20"),
        ("10.00", "0.55", "5.50", "5.5"),
        ("10.00", "0", None, "0"),
        ("10.00", "1.90", None, "19"),
        ("-7.00", "-1.33", None, "19"),
        ("0.33", "0.06", None, "19"),
        ("89.67", "17.94", None, "20"),
        ("7.47", "1.50", None, "20"),
        ("0.05", "0.01", None, ""),
        ("10.00", "0.13", None, ""),
        ("10.00", "0.70", "7", "7"),
    ],
)
def test_a_line_bears_the_rate_it_tells_or_the_only_one_that_gives_its_tax(
    net: str, tax: str, rate: str | None, found: str
) -> None:
    line = Line(net_amount=Decimal(net), tax_amount=Decimal(tax), tax_rate=Decimal(rate) if rate else None)
    assert rate_of(line, RATES) == found
