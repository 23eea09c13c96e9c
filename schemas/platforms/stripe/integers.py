"""Stripe's integers: amounts in a currency's smallest unit, and times in Unix seconds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from zoneinfo import ZoneInfo

from schemas.money import minor_units

_DECIMALS = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe differs from ISO 4217, see https://docs.stripe.com/currencies; the first two are whole all the same."""


def _decimals(code: str) -> int:
    return _DECIMALS.get(code, minor_units(code))


def money(units: int | None, currency: str) -> Decimal:
    """Return Stripe's integer as an amount; *currency* in any case."""
    return Decimal(units or 0).scaleb(-_decimals(currency.upper()))


def units(amount: Decimal, currency: str) -> int:
    """Return an amount as Stripe's integer, rounded half up: the opposite of `money`."""
    code = currency.upper()
    smallest = Decimal(1).scaleb(-min(_decimals(code), minor_units(code)))
    return int(amount.quantize(smallest, ROUND_HALF_UP).scaleb(_decimals(code)))


def instant(seconds: int | None) -> datetime | None:
    """Return Unix seconds as a time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def day(seconds: int | None, zone: str) -> date | None:
    """Return Unix seconds as a day in the zone of the account."""
    moment = instant(seconds)
    return None if moment is None else moment.astimezone(ZoneInfo(zone)).date()
