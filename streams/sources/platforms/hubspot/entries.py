"""Entries of HubSpot's webhooks journal: files of events, which tell what webhooks would tell.

https://developers.hubspot.com/docs/api-reference/latest/webhooks-journal/journal-entries/guide
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from app.core.errors import DecodeError, RetryableError
from app.core.mistakes import OVER_DATA
from app.core.talk import Request, Response, Talk, segment
from schemas.events import Hint
from schemas.platforms.hubspot.journal import ENTRIES
from streams.sources.base import Page
from streams.sources.platforms.hubspot import replies

_OK, _NOTHING, _FORGOTTEN = 200, 204, 404
_WEBHOOKS: Mapping[str, str] = {
    "CREATE": "creation",
    "UPDATE": "propertyChange",
    "DELETE": "deletion",
    "MERGE": "merge",
    "RESTORE": "restore",
    "ASSOCIATION_ADDED": "associationChange",
    "ASSOCIATION_REMOVED": "associationChange",
    "GDPR_DELETE": "privacyDeletion",
}


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """Where the events of an entry are, for some minutes, and the offset after them."""

    url: str
    current_offset: str


def entry(
    journal: str, portal: str, cursor: str, hints: Callable[[Sequence[Mapping[str, Any]]], list[Hint]], gap: Hint
) -> Talk[Page]:
    """Fetch what follows *cursor*, "<journal>|<offset>"; *hints* reads events as those of webhooks.

    Without an offset, or with one of the other journal, the earliest entry comes first: what is told twice is read
    twice and changes nothing. An offset ends after three days.
    """
    base, (other, _, offset) = ENTRIES[journal], cursor.partition("|")
    if other != journal:
        offset = ""
    path = f"{base}/offset/{segment(offset)}/next" if offset else f"{base}/earliest"
    reply = yield Request(method="GET", path=path, params={"installPortalId": portal})
    if offset and reply.status == _FORGOTTEN:
        return Page(hints=(gap,))
    found = _found(reply)
    if found is None or found.current_offset == offset:
        return Page(cursor=cursor)
    file = yield Request(method="GET", path=found.url, bare=True)
    if file.status != _OK:  # its address ended meanwhile, or the store is busy: the next look gets another address
        raise RetryableError(f"A file of HubSpot's journal answered {file.status}.")
    try:
        said = tuple(hints([as_webhook(event) for event in file.json()["journalEvents"]]))
    except (DecodeError, *OVER_DATA):  # it would be no better the next time: the sweep finds what it told
        said = (gap,)
    return Page(hints=said, cursor=f"{journal}|{found.current_offset}", more=True)


def _found(reply: Response) -> Entry | None:
    if reply.status == _NOTHING or (reply.status == _OK and not reply.body):
        return None
    replies.success(reply)
    return reply.into(Entry)


def as_webhook(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event of the journal as a webhook of a generic object tells it.

    No document shows a merge: where it lists what was merged and not into what, that is the object it is told of.
    """
    action = str(event.get("action") or "")
    told = {**event, "subscriptionType": f"object.{_WEBHOOKS.get(action, action.lower())}"}
    merged = [str(id_) for id_ in event.get("mergedObjectIds") or ()]
    if merged and not (event.get("primaryObjectId") or event.get("newObjectId")):
        told["primaryObjectId"] = None if str(event.get("objectId")) in merged else event.get("objectId")
    return told
