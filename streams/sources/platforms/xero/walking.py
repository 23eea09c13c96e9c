"""Walk what changed, by modification time: a row that changes meanwhile would shift the pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import msgspec

from app.core.talk import Request, Talk
from schemas.platforms.xero import facts, wire
from schemas.platforms.xero.headers import headers
from streams.sources.base import Page
from streams.sources.platforms.xero.parsing import Parsing, decoded

_SWEEPS: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "invoices": ("/Invoices", {"where": 'Type=="ACCREC"', "unitdp": "4"}),
        "payments": ("/Payments", {}),
        "credit_notes": ("/CreditNotes", {"where": 'Type=="ACCRECCREDIT"', "unitdp": "4"}),
        "contacts": ("/Contacts", {"includeArchived": "true"}),
        "overpayments": ("/Overpayments", {"unitdp": "4"}),
        "prepayments": ("/Prepayments", {"unitdp": "4"}),
        "quotes": ("/Quotes", {}),
    }
)
_LESS = {"quotes": 100}
"""Lists that take no page size, and how much a page of theirs holds."""
_PAGE = 500
_OVERLAP = timedelta(minutes=5)


class _Walk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a sweep stands: the newest modification time seen, the page behind it, Xero's time at the start."""

    since: str = ""
    page: int = 0
    """0: between two passes."""
    started: str = ""
    seen: int = 0
    """Rows of exactly that second on the pages before this one."""
    before: int = -1
    """How many an earlier round over the same pages showed: a row that changed meanwhile lets another slide back."""


class Walking(Parsing):
    """One walk for each list that knows when its rows changed."""

    def asking(self, path: str, params: Mapping[str, str], since: str = "") -> Request:
        """Return a question to this organisation."""
        only = {"If-Modified-Since": f"{since}Z"} if since else {}
        return Request(method="GET", path=path, params=params, headers={**headers(self.connection), **only})

    def sweeps(self) -> tuple[str, ...]:
        """Return the lists that know when their rows changed; quotes only where they are somebody's orders."""
        asked = "quote" in self.platform.looked_for(self.connection.options)
        return tuple(name for name in _SWEEPS if asked or name != "quotes")

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk by modification time, not by page number: a row that changes meanwhile would shift the pages.

        Each step asks from the newest time it has seen; only rows of one and the same second are paged, again and again
        until two rounds agree. A pass begins five minutes before the last one began, by Xero's clock.
        """
        walk = msgspec.json.decode(cursor, type=_Walk) if cursor else _Walk(since=self._since())
        if walk.page == 0:
            walk = _Walk(since=_earlier(walk.since), page=1)
        path, filters = _SWEEPS[name]
        size = {} if name in _LESS else {"pageSize": str(_PAGE)}
        paging = {"page": str(walk.page), **size, "order": "UpdatedDateUTC ASC"}
        reply = decoded((yield self.asking(path, {**filters, **paging}, walk.since)))
        started = walk.started or _second(facts.instant(reply.date_time_utc) or now)
        events = tuple(self.with_payments(reply))
        if (step := _next(walk, reply, started, _LESS.get(name, _PAGE))) is not None:
            return Page(events=events, cursor=msgspec.json.encode(step).decode(), more=True)
        done = msgspec.json.encode(_Walk(since=started)).decode()
        return Page(events=events, cursor=done, complete_up_to=datetime.fromisoformat(started).replace(tzinfo=UTC))

    def _since(self) -> str:
        start = self.connection.options.get("since", "")
        return _second(facts.instant(start) or datetime.now(UTC)) if start else ""


def _next(walk: _Walk, reply: wire.Reply, started: str, size: int) -> _Walk | None:
    """Return the step after a full page; None after the last one."""
    rows = [
        *reply.invoices,
        *reply.payments,
        *reply.credit_notes,
        *reply.overpayments,
        *reply.prepayments,
        *reply.contacts,
        *reply.quotes,
    ]
    pages = reply.pagination.page_count if reply.pagination else 0
    last = len(rows) < size and walk.page >= pages
    times = [_second(time) for row in rows if (time := facts.instant(row.updated_date_utc))]
    newest = max(times, default="")
    seen = walk.seen + times.count(walk.since)
    if not last and newest <= walk.since:
        return msgspec.structs.replace(walk, page=walk.page + 1, started=started, seen=seen)
    if walk.page > 1 and seen != walk.before:
        return _Walk(since=walk.since, page=1, started=started, before=seen)
    return None if last else _Walk(since=newest, page=1, started=started)


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _earlier(since: str) -> str:
    return _second(datetime.fromisoformat(since).replace(tzinfo=UTC) - _OVERLAP) if since else ""
