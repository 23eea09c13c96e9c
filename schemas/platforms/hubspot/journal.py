"""HubSpot's webhooks journal: what an app subscribes to, and where it fetches what was told of the past three days.

https://developers.hubspot.com/docs/api-reference/latest/webhooks-journal/guide (version 2026-03)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.journal import Journal
from schemas.platform import Auth, Limit, Limits
from schemas.platforms.hubspot.platform import LINKS, PROPERTIES, TYPE_IDS
from schemas.platforms.hubspot.webhooks import followed, told

SUBSCRIPTIONS = "/webhooks-journal/subscriptions/2026-03"
ENTRIES: Mapping[str, str] = MappingProxyType(
    {
        "yes": "/webhooks-journal/journal-local/2026-03",
        "app": "/webhooks-journal/journal/2026-03",
    }
)
"""What the option says -> where entries are: those of the portal, or of all that installed the app."""
_OWN = ("read", "subscriptions.read", "subscriptions.write")
_SCOPES: Mapping[str, str] = MappingProxyType({"commerce_payments": "commercepayments"})
"""Object types whose scopes have another name."""
_ACTIONS = ("CREATE", "UPDATE", "DELETE", "MERGE", "RESTORE")
_SOONEST = 0.1
"""Seconds between two looks, whatever is asked for."""
_LISTS = ("actions", "properties", "associatedObjectTypeIds")

JOURNAL = Journal(
    option="journal",
    choices=tuple(ENTRIES),
    auth=Auth(
        kind="client_credentials",
        # That of v1 stands in the guide and in the vendor's files; developers report that it refuses this grant.
        token_url="/oauth/2026-03/token",  # noqa: S106 - a path
    ),
    secrets=("client_id", "client_secret"),
    # A hundred a second for the app, whose other portals may be followed as well; no other quota counts these calls.
    limits=Limits(windows=(Limit(20, 1.0),), concurrent=5),
)


def journal_of(options: Mapping[str, str], order: str) -> Journal:
    """Return how a connection with *options* follows the journal, whose orders are *order* objects (deals, orders)."""
    own = [f"developer.webhooks_journal.{name}" for name in _OWN]
    read = [f"crm.objects.{_SCOPES.get(kind, kind)}.read" for kind in followed(order, commerce=_commerce(options))]
    auth = msgspec.structs.replace(
        JOURNAL.auth,
        token_url=options.get("journal_token_path") or JOURNAL.auth.token_url,
        app_form={"scope": options.get("journal_scopes") or " ".join((*own, *read))},
    )
    seconds = max(_SOONEST, float(options.get("journal_seconds", JOURNAL.seconds)))
    return msgspec.structs.replace(JOURNAL, auth=auth, seconds=seconds)


def _commerce(options: Mapping[str, str]) -> bool:
    return options.get("commerce") == "yes"


def subscriptions(options: Mapping[str, str], order: str, more: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what is subscribed to: "<subscription type> <object type id>", and "<field> <value>" for each it lists."""
    kinds = followed(order, commerce=_commerce(options))
    ids = {name: id_ for id_, name in TYPE_IDS.items()}
    for kind in kinds:
        own = told((*PROPERTIES[kind], *(more if kind == order else ())))
        listed = [*(f"actions {name}" for name in _ACTIONS), *(f"properties {name}" for name in own)]
        yield f"OBJECT {ids[kind]}", tuple(listed)
        others = [f"associatedObjectTypeIds {ids[to]}" for to in LINKS[kind] if to in kinds]
        if others and kind != "line_items":  # the other end tells of those
            ends = ("actions ASSOCIATION_ADDED", "actions ASSOCIATION_REMOVED")
            yield f"ASSOCIATION {ids[kind]}", (*ends, *others)
    yield f"GDPR_PRIVACY_DELETION {ids['contacts']}", ("actions GDPR_DELETE",)


def asked(portal: str, key: str, topics: Iterable[str]) -> dict[str, Any]:
    """Return the body of the subscription *key* to *topics*.

    The file says that `objectIds` is required, the guide that it narrows: without it every object is told.
    """
    type_, _, id_ = key.partition(" ")
    body: dict[str, Any] = {"subscriptionType": type_, "objectTypeId": id_, "portalId": int(portal)}
    for topic in topics:
        field, _, value = topic.partition(" ")
        body.setdefault(field, []).append(value)
    return body


def topics_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the topics of a subscription as HubSpot shows it."""
    return tuple(f"{field} {value}" for field in _LISTS for value in row.get(field) or ())
