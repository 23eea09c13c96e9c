"""How Shopify is asked, and what its replies and deliveries look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core.errors import AuthError, DecodeError, O2CError, RateLimited, RejectedError, RetryableError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.events import ChangeEvent, Hint, Version
from schemas.platforms.shopify import PATH, drafts, pages
from schemas.platforms.shopify.replies import GONE, meaning
from schemas.platforms.shopify.wire import text
from streams.sources.base import Hook

DEEPEST = 20_000
"""Objects after which a walk begins anew: Shopify ends each one after 25,000."""
_FIRST = "0"
"""An id before all ids."""


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a sweep stands, and how many objects ago its walk began."""

    since: datetime
    after: str = ""
    started: datetime | None = None
    seen: int = 0
    past: str = ""
    """The id behind which it goes on, where more objects than a walk may have share a time; else it walks by time."""

    def asked(self) -> dict[str, Any]:
        """Return the variables that ask for the next page."""
        changed = f"updated_at:>='{self.since.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')}'"
        if self.past:
            return {"after": None, "q": f"{changed} id:>={int(self.past) + 1}", "by": "ID"}
        return {"after": self.after or None, "q": changed}

    def behind(self, page: Mapping[str, Any], started: datetime) -> Place:
        """Return the place behind *page*; a walk that grows too long goes on as another, from the last change seen.

        Where that is where it began (a second, or of customers, whose times match whole days, a day), all that is left
        is walked by id, each page as the first of its own: what changes behind it is seen by the next sweep.
        """
        nodes = page["nodes"]
        if self.past:
            return Place(since=self.since, started=started, past=text(nodes[-1]["id"]))
        seen = self.seen + len(nodes)
        last = instant(nodes[-1]["updatedAt"]) if nodes else None
        if seen >= DEEPEST and last is not None:
            moved = last > self.since
            return Place(since=max(last, self.since), started=started, past="" if moved else _FIRST)
        return Place(since=self.since, after=page["pageInfo"]["endCursor"], started=started, seen=seen)

    def text(self) -> str:
        """Return the cursor."""
        return msgspec.json.encode(self).decode()


def request(query: str, variables: Mapping[str, Any], cost: int = 5) -> Request:
    """Return a GraphQL query; reading is a POST that changes nothing."""
    return Request(method="POST", path=PATH, json={"query": query, "variables": dict(variables)}, cost=cost)


def ask(query: str, variables: Mapping[str, Any], cost: int = 5) -> Talk[dict[str, Any]]:
    """Ask and return the data."""
    return data_of((yield request(query, variables, cost)))


def whole(node: Mapping[str, Any]) -> Talk[dict[str, Any]]:
    """Return the node of an order or a draft with all that did not fit on its first page."""
    return (yield from (pages.draft if drafts.is_draft(node["id"]) else pages.whole)(node, ask))


def data_of(reply: Response) -> dict[str, Any]:
    """Return the data of a read; the error that its status or its `errors` mean is raised."""
    if reply.status in GONE:
        raise AuthError(f"Shopify answered {reply.status}: {GONE[reply.status]}.")
    if (error := from_status("Shopify", reply, mutating=False)) is not None:
        raise error
    try:
        body = reply.json()
    except DecodeError as error_:
        raise RetryableError("Shopify answered something that is no JSON.") from error_
    found = meaning(body)
    if found.verdict != "ok":
        kinds: dict[str, Callable[[str], O2CError]] = {
            "throttled": lambda text_: RateLimited(text_, found.wait),
            "denied": AuthError,
            "broken": RetryableError,
        }
        raise kinds.get(found.verdict, RejectedError)(f"Shopify refuses the read: {found.code}.")
    data: dict[str, Any] = body["data"]
    return data


def gone(hint: Hint) -> ChangeEvent:
    """Return what a read that found nothing says."""
    return ChangeEvent(
        tenant=hint.tenant,
        object=hint.object,
        facts=None,
        presence="deleted",
        version=Version(read=True),
        origin="read",
    )


def topic_of(hook: Hook) -> str:
    """Return the delivery's topic."""
    return hook.headers.get("x-shopify-topic", "")


def body_of(hook: Hook) -> dict[str, Any]:
    """Return the body as an object; DecodeError when it is none."""
    try:
        body = hook.json()
    except ValueError as error:
        raise DecodeError("Shopify: the body is not JSON.") from error
    if not isinstance(body, dict):
        raise DecodeError("Shopify: the body is no object.")
    return body


def into(record: Mapping[str, Any], kind: type[Any]) -> Any:  # noqa: ANN401 - a wire model
    """Return a record as a wire model; DecodeError when it does not fit."""
    try:
        return msgspec.convert(record, kind, strict=False)
    except msgspec.ValidationError as error:
        raise DecodeError(f"Shopify: a {kind.__name__.lower()} does not have the documented shape.") from error


def order_id(topic: str, body: Mapping[str, Any]) -> str:
    """Return the order that a delivery without a full record speaks of."""
    if topic.startswith("orders/"):
        edit = body.get("order_edit")
        return text(edit.get("order_id")) if isinstance(edit, dict) else text(body.get("id"))
    order = body.get("order")
    if isinstance(order, dict):
        return text(order.get("id"))
    return text(body.get("order_id"))


def instant(value: str | None) -> datetime | None:
    """Return an ISO 8601 text as a time, None when it is none."""
    with suppress(ValueError):
        return datetime.fromisoformat(value) if value else None
    return None


def stamped(event: ChangeEvent, hook: Hook) -> ChangeEvent:
    """Name the event after its delivery and object: one delivery brings several."""
    delivery = hook.headers.get("x-shopify-webhook-id", "")
    name = f"{delivery}:{event.object.type}:{event.object.id}" if delivery else ""
    return msgspec.structs.replace(event, event_id=name)
