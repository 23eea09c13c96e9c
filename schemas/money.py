"""Money is a Decimal with an ISO 4217 currency, never a float.

Minor units are those of ISO 4217 table A.1; every currency that is not listed here has two.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from functools import cache

ZERO = Decimal(0)

_NO_MINOR = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THREE = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def minor_units(currency: str) -> int:
    """Return how many decimals *currency* has (EUR 2, JPY 0, KWD 3)."""
    if currency in _NO_MINOR:
        return 0
    return 3 if currency in _THREE else 2


@cache
def minor(currency: str) -> Decimal:
    """Return the smallest amount of *currency* (EUR 0.01)."""
    return Decimal(1).scaleb(-minor_units(currency))


def rounded(amount: Decimal, currency: str) -> Decimal:
    """Return *amount* rounded half up to the minor unit, as EN 16931 asks."""
    return amount.quantize(minor(currency), ROUND_HALF_UP)


def from_minor(units: int, currency: str) -> Decimal:
    """Return the amount that *units* minor units are (1050 EUR -> 10.50)."""
    return Decimal(units).scaleb(-minor_units(currency))


def to_minor(amount: Decimal, currency: str) -> int:
    """Return *amount* in minor units, rounded half up."""
    return int(rounded(amount, currency).scaleb(minor_units(currency)))


def text(amount: Decimal, currency: str) -> str:
    """Return *amount* as the plain decimal text that the contract publishes ("12.50", "1200")."""
    return f"{rounded(amount, currency):f}"
