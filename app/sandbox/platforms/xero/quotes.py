"""Quotes: offers that people type; a client of ours only reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.sandbox.platforms.xero import render
from app.sandbox.platforms.xero.documents import Documents
from app.sandbox.platforms.xero.ledger import InvalidError
from app.sandbox.platforms.xero.render import Row

_STAGES = frozenset(("DRAFT", "SENT", "DECLINED", "ACCEPTED", "INVOICED", "DELETED"))


class Quotes(Documents):
    """Offers have no webhook, and nothing says which invoice was made of one."""

    def save_quote(self, body: Mapping[str, Any]) -> Row:
        """Type a quote, or move the one with that id to another status."""
        stage = str(body.get("Status") or "DRAFT")
        if stage not in _STAGES:
            raise InvalidError("Quote status is not valid.")
        row = self.quotes.get(str(body.get("QuoteID") or ""))
        if row is None:
            row = self._document({**body, "Status": "DRAFT"}, 4)
            row.update(QuoteID=self.new_id(), QuoteNumber=str(body.get("QuoteNumber") or self.number("QU")))
            self.quotes[row["QuoteID"]] = row
        row["Status"] = stage
        self.touch(row, "")
        return row

    def shown_quote(self, row: Row) -> Row:
        """Return a quote as Xero does; its line amounts are named in capitals."""
        keep = (
            "QuoteID",
            "QuoteNumber",
            "Reference",
            "Date",
            "Status",
            "CurrencyCode",
            "CurrencyRate",
            "UpdatedDateUTC",
        )
        return {
            **{name: row[name] for name in (*keep, "SubTotal", "TotalTax", "Total")},
            "Contact": {name: self.contacts[row["ContactID"]][name] for name in ("ContactID", "Name")},
            "LineAmountTypes": row["LineAmountTypes"].upper(),
            "LineItems": render.lines(row["LineItems"], places=4),
        }
