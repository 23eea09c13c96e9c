"""What HubSpot's webhooks journal is to tell: a subscription per portal, object type and kind of event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.platforms.hubspot import PLATFORM
from schemas.platforms.hubspot.journal import SUBSCRIPTIONS, asked, topics_of
from streams.sources.platforms.hubspot import replies
from streams.sources.subscribing import Subscriber, Subscription

_MISSING = 404


class JournalSubscriber(Subscriber):
    """Sees the subscriptions of the app in one portal, without those to single objects."""

    def __init__(self, portal: str, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        """Want pairs of a key and its topics, in the words of `schemas.platforms.hubspot.journal`."""
        self._portal = portal
        self._wanted = tuple(Subscription(key=key, topics=topics, address="") for key, topics in wanted)

    def wanted(self, address: str, topics: Sequence[str]) -> tuple[Subscription, ...]:
        """Ask for what the connection reads; a journal has no address."""
        del address, topics
        return self._wanted

    def found(self) -> Talk[list[Subscription]]:
        """Read the portal's subscriptions that are in force."""
        rows = replies.rows((yield Request(method="GET", path=SUBSCRIPTIONS)))
        if not all(isinstance(row, dict) and "id" in row for row in rows):
            raise DecodeError("HubSpot: the journal's subscriptions do not have the documented shape.")
        return [_subscription(row) for row in rows if self._counts(row)]

    def _counts(self, row: dict[str, Any]) -> bool:
        return str(row.get("portalId")) == self._portal and not row.get("deletedAt") and not row.get("objectIds")

    def create(self, wanted: Subscription) -> Talk[str]:
        """Subscribe; there is no secret."""
        yield from self._put(wanted.key, wanted.topics)
        return ""

    def update(self, found: Subscription, wanted: Subscription) -> Talk[str]:
        """Add what is missing; the call changes a subscription or makes another, which then takes its place."""
        made = yield from self._put(wanted.key, tuple(dict.fromkeys((*found.topics, *wanted.topics))))
        if made != found.id:
            yield from self.delete(found, ())
        return ""

    def delete(self, found: Subscription, topics: Sequence[str]) -> Talk[None]:
        """End a subscription."""
        del topics
        reply = yield Request(method="DELETE", path=f"{SUBSCRIPTIONS}/{found.id}", mutates=True, step=found.key)
        if reply.status != _MISSING:
            _check(reply, found.key)

    def _put(self, key: str, topics: Sequence[str]) -> Talk[str]:
        body = asked(self._portal, key, topics)
        reply = yield Request(method="POST", path=SUBSCRIPTIONS, json=body, mutates=True, step=key)
        _check(reply, key)
        made = reply.json()
        if not isinstance(made, dict) or "id" not in made:
            raise DecodeError("HubSpot: a new subscription of the journal does not have the documented shape.")
        return str(made["id"])


def _check(reply: Response, key: str) -> None:
    if (error := from_status(PLATFORM.title, reply, mutating=True, detail=key, own=PLATFORM.refusals)) is not None:
        raise error


def _subscription(row: dict[str, Any]) -> Subscription:
    key = f"{row.get('subscriptionType')} {row.get('objectTypeId')}"
    return Subscription(key=key, id=str(row["id"]), topics=topics_of(row), address="")
