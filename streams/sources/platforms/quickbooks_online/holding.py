"""Whether what a connection maps to is there, and what there is: accounts and tax codes of the company."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from schemas.connection import Connection
from streams.sources.base import Choice, Offer, only

_MONEY = frozenset(("Bank", "Other Current Asset"))
_DEPOSITS = ("payments", "clearing", "refunds")
_US_CODES = frozenset(("TAX", "NON"))
_HOME = "USD"
Row = Mapping[str, Any]
Lack = tuple[str, str]
"""The key of the connection's section, and one sentence."""


def missing_accounts(connection: Connection, rows: Iterable[Row]) -> Iterator[Lack]:
    """Yield what the accounts of the connection lack; money can only lie on a bank or other current asset account."""
    kinds = {str(row["Id"]): str(row.get("AccountType")) for row in rows}
    for use, id_ in connection.accounts.items():
        key, other = f"accounts.{use}", f"name another id under accounts.{use}."
        if id_ not in kinds:
            yield key, f"QuickBooks has no active account {id_}; {other}"
        elif use in _DEPOSITS and kinds[id_] not in _MONEY:
            yield key, f"QuickBooks account {id_} ({kinds[id_]}) cannot hold money; {other}"
    if "sales" not in connection.accounts and "Income" not in kinds.values():
        yield "accounts.sales", "QuickBooks has no income account; make one and name its id under accounts.sales."


def missing_taxes(connection: Connection, country: str, rows: Iterable[Row]) -> Iterator[Lack]:
    """Yield which tax codes do not exist; outside the US every line needs one."""
    known = {str(row["Id"]) for row in rows} | (_US_CODES if country == "US" else set())
    for key, code in connection.taxes.items():
        if code not in known:
            yield f"taxes.{key}", f"QuickBooks has no active tax code {code}; name another id under taxes.{key}."
    if country != "US" and not connection.taxes:
        yield "taxes", "A QuickBooks company outside the US needs a tax code on every line; map each rate under taxes."


def wrong_home(connection: Connection, home: str) -> Iterator[str]:
    """Yield whether documents without a currency would be taken for another one than the company's."""
    configured = connection.options.get("home_currency", _HOME)
    if home and configured != home:
        yield f"QuickBooks keeps its books in {home}, not {configured}; set the option home_currency to {home}."


def home_offer(connection: Connection, home: str) -> dict[str, Offer]:
    """Return the company's currency where documents without one would be taken for another."""
    wrong = any(wrong_home(connection, home))
    return {"options.home_currency": Offer((Choice(home),), home)} if wrong else {}


def account_offers(rows: Sequence[Row]) -> dict[str, Offer]:
    """Return the accounts by use: income for sales, money for payments, a small one for roundings."""
    income, banks = _named(rows, {"Income"}), _named(rows, {"Bank"})
    small = _named(rows, {"Income", "Other Income", "Expense", "Other Expense"})
    rounding = tuple(one for one in small if "rounding" in one.label.lower())
    return {
        "accounts.sales": Offer(income, only([one for one in income if one.label.lower() == "sales"] or income)),
        "accounts.payments": Offer((*banks, *_named(rows, _MONEY - {"Bank"})), only(banks)),
        "accounts.rounding": Offer((*rounding, *(one for one in small if one not in rounding)), only(rounding)),
    }


def _named(rows: Iterable[Row], kinds: set[str] | frozenset[str]) -> tuple[Choice, ...]:
    return tuple(Choice(str(row["Id"]), str(row.get("Name", ""))) for row in rows if row.get("AccountType") in kinds)


def tax_offer(country: str, codes: Iterable[Row], rates: Iterable[Row]) -> dict[str, Offer]:
    """Return the codes that sales may have, each with what its rates come to; a US company computes its taxes."""
    if country == "US":
        return {}
    percent = {str(row["Id"]): Decimal(str(row.get("RateValue") or 0)) for row in rates}
    found = []
    for code in codes:
        parts = (code.get("SalesTaxRateList") or {}).get("TaxRateDetail") or []
        ids = [str((part.get("TaxRateRef") or {}).get("value")) for part in parts]
        if ids and all(id_ in percent for id_ in ids):
            found.append(
                Choice(str(code["Id"]), str(code.get("Name", "")), sum((percent[id_] for id_ in ids), Decimal()))
            )
    return {"taxes": Offer(tuple(found))}
