"""One batch call, element by element: what was done, what was refused, and what has to look by itself."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from app.core.errors import ConflictError, DecodeError, DuplicateError, O2CError, RejectedError
from app.core.talk import Request, Talk
from schemas.commands import Command
from schemas.platforms.hubspot import paths
from schemas.platforms.hubspot.platform import MARK
from schemas.platforms.hubspot.wire import Parts, Record
from sinks.base import Written
from sinks.platforms.hubspot import replies
from sinks.platforms.hubspot.talks import BATCH, Talks

_MULTI = 207
ALONE = (ConflictError, DuplicateError)
"""What an element is refused with when its command has to look by itself."""
_NAMES_NOBODY = (*ALONE, DecodeError, RejectedError)
"""What a batch is refused with as a whole."""
Row = dict[str, Any]
Outcomes = dict[str, Written | O2CError]


class Many(Talks):
    """What all batches share."""

    def many(
        self, kind: str, action: str, rows: Sequence[Row], step: str
    ) -> Talk[tuple[dict[str, Row], dict[str, O2CError]]]:
        """Write up to a hundred records; return by trace id what was done and what was refused.

        Our property is made when the portal lacks it; another write may have made it meanwhile: once more suffices.
        """
        path, body = paths.records(self.connection, kind, "batch", action), {"inputs": list(rows)}
        reply = yield Request(method="POST", path=path, json=body, mutates=True, step=step)
        error = replies.error_of(reply, mutating=True)
        first = replies.split(reply)
        # Of what the portal refuses since it lacks our property, some may have failed otherwise, in passing.
        refused = any(isinstance(one, RejectedError) for one in (error, *first.refused.values()))
        if refused and not first.results and MARK in rows[0]["properties"]:
            if (yield from self.lacks(kind, MARK)):
                yield from self.define(kind, MARK, f"{step}-property", unique=True)
            reply = yield Request(method="POST", path=path, json=body, mutates=True, step=f"{step}-again")
            error = replies.error_of(reply, mutating=True)
        if error is not None and reply.status != _MULTI:
            raise error
        parts = replies.split(reply)
        return {_trace(row): row for row in parts.results}, parts.refused

    def linked(self, kind: str, ids: Sequence[str], to: str) -> Talk[dict[str, tuple[str, ...]]]:
        """Return the ids of *to* that records are associated with; a record without any is left out."""
        path, found = f"/crm/v4/associations/{kind}/{to}/batch/read", dict[str, tuple[str, ...]]()
        for start in range(0, len(ids), BATCH):
            body = {"inputs": [{"id": id_} for id_ in ids[start : start + BATCH]]}
            reply = yield from self.ask(Request(method="POST", path=path, json=body))
            for row in replies.split(reply).results:
                others = tuple(dict.fromkeys(str(end["toObjectId"]) for end in row["to"]))
                found |= {str(row["from"]["id"]): others} if others else {}
        return found

    def seen_or_error(self, kind: str, record: Record | None, parts: Parts) -> Written | O2CError:
        """Return what a record shows after it was written, or why nobody can tell."""
        if record is None:
            return RejectedError(f"HubSpot: one of the {kind} is gone after it was written.")
        try:
            return self.seen(kind, record, parts)
        except DecodeError as error:
            return error


def _trace(row: Row) -> str:
    """Return the trace id of a result, or the unique value that it was made of."""
    held = row.get("properties") or {}
    return str(row.get("objectWriteTraceId") or held.get(MARK) or held.get("email") or "")


def alone(error: O2CError) -> O2CError:
    """Return what the refusal of a whole batch means for one of it: it names nobody, so that each has to try alone."""
    return DuplicateError(str(error)) if isinstance(error, _NAMES_NOBODY) else copy.copy(error)


def each(commands: Sequence[Command], error: O2CError) -> Outcomes:
    """Return an error of its own for each: one for all would say that nobody knows what the batch came to."""
    return {command.id: alone(error) for command in commands}
