"""Rows as replies show them, rendered once per change."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from app.sandbox.platforms.xero import render
from app.sandbox.platforms.xero.lists import Table
from app.sandbox.platforms.xero.render import Row

KEPT = 30_000
"""Rows that are kept as rendered; the oldest go first."""


def rendered(row: Row | Raw) -> Any:  # noqa: ANN401 - any JSON
    """Return *row* in the vendor's form, without what is kept for ourselves (names in lower case)."""
    if isinstance(row, Raw):
        return row
    return render.vendor({name: value for name, value in row.items() if not name[:1].islower()})


class Shown:
    """Renders a row again only when it, or what it shows of others, has changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool, int], tuple[tuple[int, ...], Raw]] = {}

    def row(self, table: Table, row: Row, *, full: bool, places: int) -> Raw:
        """Return a row as JSON."""
        key, stand = (row[table.id_field], full, places), table.stand(row)
        known = self._kept.get(key)
        if known is not None and known[0] == stand:
            return known[1]
        made = Raw(render.encode(rendered(table.show(row, full, places))))
        if stand is not None:
            self._kept.pop(key, None)
            self._kept[key] = stand, made
            if len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return made
