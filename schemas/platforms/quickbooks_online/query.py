"""The query language: how a value is quoted and how a select reads."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.platforms.quickbooks_online import PAGE


def quoted(values: Iterable[str]) -> str:
    """Return the values of an `in` clause; quotes and backslashes are escaped."""
    return ",".join("'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'" for value in values)


def select(entity: str, clause: str, start: int = 1) -> str:
    """Return a select of one page; customers and items are found active or not."""
    active = " and Active in (true, false)" if entity == "Customer" else ""
    page = f"startposition {start} maxresults {PAGE}"
    return f"select * from {entity} where {clause}{active} {page}"  # noqa: S608 - not SQL; every value is quoted
