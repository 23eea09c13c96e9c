"""The search of Stripe, as far as a name and one key of the metadata; here it does not lag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from app.sandbox.platforms.stripe.records import Record, invalid, shown

_QUERY = re.compile(r"(?:(name)|metadata\['([^']+)'\]):'((?:[^'\\]|\\.)*)'")
_MOST = 100


def page(rows: Iterable[Record], query: Mapping[str, str]) -> Record:
    """Return the first page of what *query* finds; small letters and capitals are one to a search."""
    asked = _QUERY.fullmatch(query.get("query", ""))
    if asked is None:
        raise invalid("We were unable to parse your search query.", "query")
    name, key, value = asked[1], asked[2], re.sub(r"\\(.)", r"\1", asked[3]).casefold()
    found = (
        row for row in rows if str((row.get(name) if name else row["metadata"].get(key)) or "").casefold() == value
    )
    limit = min(_MOST, int(query.get("limit", "10")))
    there = list(islice(found, limit + 1))
    data = [shown(row) for row in there[:limit]]
    return {"object": "search_result", "url": "/v1", "has_more": len(there) > limit, "next_page": None, "data": data}
