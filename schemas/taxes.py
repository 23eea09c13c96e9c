"""Which of a connection's configured tax rates a line bears."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from schemas.facts import Line
from schemas.money import ZERO

_CENT = Decimal("0.01")


def rate_of(line: Line, configured: Iterable[str]) -> str:
    """Return the rate in percent as it is configured; "" where nobody can tell.

    Of a line that tells its tax and no rate it is the one configured rate that gives this tax, or gives it but for a
    cent: a share of a tax, and of the amount that it is on, are rounded apart.
    """
    if line.tax_rate is not None or not line.tax_amount:
        return f"{(line.tax_rate or ZERO).normalize():f}"
    taxes = {rate: tax for rate in configured if (tax := _tax(rate, line.net_amount)) is not None}
    for off in (ZERO, _CENT):
        if found := [rate for rate, tax in taxes.items() if abs(tax - line.tax_amount) <= off]:
            return found[0] if len(found) == 1 else ""
    return ""


def _tax(rate: str, amount: Decimal) -> Decimal | None:
    try:
        return (amount * Decimal(rate) / 100).quantize(_CENT, ROUND_HALF_UP)
    except InvalidOperation:
        return None
