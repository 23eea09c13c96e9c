"""Whether what a connection maps to is there: accounts and tax codes of the company."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schemas.connection import Connection

_MONEY = frozenset(("Bank", "Other Current Asset"))
_DEPOSITS = ("payments", "clearing", "refunds")
_US_CODES = frozenset(("TAX", "NON"))
Row = Mapping[str, Any]


def missing_accounts(connection: Connection, rows: Iterable[Row]) -> Iterator[str]:
    """Yield what the accounts of the connection lack; money can only lie on a bank or other current asset account."""
    kinds = {str(row["Id"]): str(row.get("AccountType")) for row in rows}
    for use, id_ in connection.accounts.items():
        if id_ not in kinds:
            yield f"QuickBooks has no active account {id_}; name another id under accounts.{use}."
        elif use in _DEPOSITS and kinds[id_] not in _MONEY:
            yield f"QuickBooks account {id_} ({kinds[id_]}) cannot hold money; name another id under accounts.{use}."
    if "sales" not in connection.accounts and "Income" not in kinds.values():
        yield "QuickBooks has no income account; make one and name its id under accounts.sales."


def missing_taxes(connection: Connection, country: str, rows: Iterable[Row]) -> Iterator[str]:
    """Yield which tax codes do not exist; outside the US every line needs one."""
    known = {str(row["Id"]) for row in rows} | (_US_CODES if country == "US" else set())
    for key, code in connection.taxes.items():
        if code not in known:
            yield f"QuickBooks has no active tax code {code}; name another id under taxes.{key}."
    if country != "US" and not connection.taxes:
        yield "A QuickBooks company outside the US needs a tax code on every line; map each rate under taxes."


def wrong_home(connection: Connection, home: str) -> Iterator[str]:
    """Yield whether documents without a currency would be taken for another one than the company's."""
    configured = connection.options.get("home_currency", "USD")
    if home and configured != home:
        yield f"QuickBooks keeps its books in {home}, not {configured}; set the option home_currency to {home}."
