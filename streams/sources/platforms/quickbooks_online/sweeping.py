"""Walk what changed: change data capture, and where it cuts off or looks back too little, queries over windows of time.

Ids are no order to page by, and pages of a changing list slide; a window that is full is halved instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from app.core.talk import Talk
from schemas.events import ChangeEvent, Hint
from schemas.platforms.quickbooks_online import PAGE, SWEPT, wire
from schemas.platforms.quickbooks_online.query import select
from streams.sources.base import Page
from streams.sources.platforms.quickbooks_online.reading import Reading
from streams.sources.platforms.quickbooks_online.replies import (
    convert,
    is_deleted,
    moment,
    records,
    success,
    was_applied,
)

_OVERLAP = timedelta(minutes=2)
_LOOK_BACK = timedelta(days=29)
_SECOND = timedelta(seconds=1)
_EVER = datetime(2000, 1, 1, tzinfo=UTC)
"""Before any company kept its books in QuickBooks Online."""
_MARK = "|"
Rows = list[tuple[str, dict[str, Any]]]


class Walk(NamedTuple):
    """Where a walk by windows is: entity after entity, each from *since* to *until*, done up to *at*.

    *width* is how many seconds of the books the last window took in, 0 before the first.
    """

    since: datetime
    until: datetime
    entity: int
    at: datetime
    width: int = 0

    def __str__(self) -> str:
        times = self.since.isoformat(), self.until.isoformat(), str(self.entity), self.at.isoformat()
        return _MARK.join((*times, str(self.width)))

    @property
    def end(self) -> datetime:
        """Return where the next window may end: twice as wide as the last, since a full one is a lost call."""
        wide = self.at + timedelta(seconds=2 * self.width)
        return min(self.until, wide) if self.width else self.until

    def after(self, moment: datetime) -> Walk:
        """Return the walk when everything before *moment* was shown."""
        if moment < self.until:
            return self._replace(at=moment, width=int((moment - self.at).total_seconds()))
        return self._replace(entity=self.entity + 1, at=self.since, width=0)


def walk_of(cursor: str) -> Walk:
    """Return the walk that a cursor is in the middle of."""
    since, until, entity, at, *width = cursor.split(_MARK)
    moments = (datetime.fromisoformat(text) for text in (since, until, at))
    return Walk(next(moments), next(moments), int(entity), next(moments), int(width[0]) if width else 0)


class Sweeping(Reading):
    """One clean pass: a single reply of CDC, or closed windows of the past that nothing new can enter."""

    def sweeps(self) -> tuple[str, ...]:
        """Return the one walk: all entities.

        Until it read from the beginning it was called "changes": a place of that name is none in these books.
        """
        return ("books",)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Return what changed since *cursor* minus an overlap; at most some thousand records a page.

        CDC looks back 29 days: what is older, as everything is to a new connection, is walked by windows. Those show
        nothing that was deleted.
        """
        del name
        if _MARK in cursor:
            return (yield from self._walked(walk_of(cursor), now))
        since = datetime.fromisoformat(cursor) - _OVERLAP if cursor else self._begin()
        rows, until = yield from self._captured(SWEPT, max(since, now - _LOOK_BACK), now)
        if len(rows) < PAGE and since >= now - _LOOK_BACK:
            return self._page(rows, until.isoformat(), until)
        page = self._page(rows, str(Walk(since, until, 0, since)))
        return msgspec.structs.replace(page, blind=bool(cursor) and since < now - _LOOK_BACK)

    def _begin(self) -> datetime:
        """Return where a new connection's books begin; a text that is no day leaves nothing out."""
        with suppress(ValueError):
            begin = datetime.fromisoformat(self.connection.options.get("since", ""))
            return begin if begin.tzinfo else begin.replace(tzinfo=UTC)
        return _EVER

    def _walked(self, walk: Walk, now: datetime) -> Talk[Page]:
        entity = SWEPT[walk.entity]
        rows: Rows = []
        whole = False
        if walk.at == walk.since:
            oldest = now - _LOOK_BACK
            rows, _ = yield from self._captured((entity,), max(walk.since, oldest), now)
            whole = len(rows) < PAGE and walk.since >= oldest
        done = walk.until
        if not whole:
            # Only CDC shows what was deleted, in the thousand that it returns; the rest is found by reading by id.
            found, done = yield from self._window(entity, walk.at, walk.end)
            rows = [row for row in rows if is_deleted(row[1])] + found
        following = walk.after(done)
        if following.entity == len(SWEPT):
            return self._page(rows, walk.until.isoformat(), walk.until)
        return self._page(rows, str(following))

    def _captured(self, entities: Sequence[str], since: datetime, now: datetime) -> Talk[tuple[Rows, datetime]]:
        params = {"entities": ",".join(entities), "changedSince": since.isoformat(timespec="seconds")}
        request = msgspec.structs.replace(self.asking("cdc", **params), headers={"Content-Type": "text/plain"})
        reply = yield request
        body = success(reply)
        return list(records(body, "")), moment(body.get("time")) or now

    def _window(self, entity: str, since: datetime, until: datetime) -> Talk[tuple[Rows, datetime]]:
        """Query the records changed in [since, until), halved until they fit; return them and where they end."""
        while True:
            clause = (
                f"MetaData.LastUpdatedTime >= '{since.isoformat(timespec='seconds')}' "
                f"and MetaData.LastUpdatedTime < '{until.isoformat(timespec='seconds')}'"
            )
            if until - since <= _SECOND:
                found = yield from self.all_of(entity, clause)
                return [(entity, row) for row in found], until
            reply = yield self.asking("query", query=select(entity, clause))
            rows = success(reply)["QueryResponse"].get(entity, [])
            if len(rows) < PAGE:
                return [(entity, row) for row in rows], until
            until = since + timedelta(seconds=max(1, int((until - since).total_seconds()) // 2))

    def _page(self, rows: Iterable[tuple[str, dict[str, Any]]], cursor: str, complete: datetime | None = None) -> Page:
        """Return the rows as events; of a used credit only a hint, since its row does not say where it went."""
        events: list[ChangeEvent] = []
        hints: list[Hint] = []
        for entity, row in rows:
            record = None if is_deleted(row) else convert(entity, row)
            if isinstance(record, wire.Form) and was_applied(entity, record):
                ref = self.ref(entity, record.id)
                hints.append(Hint(tenant=self.connection.tenant, object=ref, reason="sweep"))
            else:
                events += self.events(entity, row, "sweep")
        return Page(
            events=tuple(events),
            hints=tuple(hints),
            cursor=cursor,
            more=complete is None,
            complete_up_to=complete,
        )
