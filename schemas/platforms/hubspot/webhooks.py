"""HubSpot's webhooks: one address per app for every portal, and one subscription per event and property."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from schemas.platforms.hubspot.platform import PROPERTIES, SINGULAR, TYPE_IDS
from schemas.webhooks import Webhooks

_CLASSIC = frozenset(("contacts", "deals", "line_items"))
"""Objects with events of their own; all others are told as object.* with a type id."""
_EVENTS = ("creation", "deletion", "merge", "restore", "associationChange")
_FORGOTTEN = "contact.privacyDeletion"
"""A person has to be forgotten for good; only contacts have it."""
_UNTOLD = frozenset(("createdate", "hs_createdate", "hs_lastmodifieddate", "lastmodifieddate"))
"""Properties that change with every other one."""
_OURS = "o2c_"

WEBHOOKS = Webhooks(
    shared=True,
    key="developer_key",
    key_param="hapikey",
    option="app_id",
    rights="developer_key is the developer API key of the account that owns the app, option app_id the app's id",
    steps=(
        "Open your app in HubSpot (developer account > Apps, or Settings > Integrations > Private apps) > Webhooks.",
        "Set the target URL to {address}.",
        "Create and switch on a subscription for each of {topics}.",
        "Copy the app's client secret into the connection's secrets as webhook_secret and restart the gateway.",
    ),
)


def topics(order: str, more: Iterable[str], *, commerce: bool) -> tuple[str, ...]:
    """Return what to be told of *order* objects (deals or orders), whose own properties are *more* than the usual.

    A topic is an event's name, then the type id of a generic object, then the property, with blanks between.
    """
    kinds = followed(order, commerce=commerce)
    return tuple(topic for kind in kinds for topic in _topics(kind, more if kind == order else ()))


def followed(order: str, *, commerce: bool) -> tuple[str, ...]:
    """Return the object types of which a connection wants to hear."""
    return (order, "contacts", "line_items", *(("invoices", "commerce_payments") if commerce else ()))


def told(names: Iterable[str]) -> list[str]:
    """Return those properties among *names* whose change is to be told, each once."""
    return [name for name in dict.fromkeys(names) if name not in _UNTOLD and not name.startswith(_OURS)]


def _topics(kind: str, more: Iterable[str]) -> Iterator[str]:
    singular = {name: word for word, name in SINGULAR.items()}
    type_ids = {name: id_ for id_, name in TYPE_IDS.items()}
    prefix, tail = (singular[kind], "") if kind in _CLASSIC else ("object", f" {type_ids[kind]}")
    for event in _EVENTS:
        if kind == "deals" or tail or event != "associationChange":
            yield f"{prefix}.{event}{tail}"
    if kind == "contacts":
        yield _FORGOTTEN
    for name in told((*PROPERTIES[kind], *more)):
        yield f"{prefix}.propertyChange{tail} {name}"


def asked(topic: str) -> dict[str, object]:
    """Return the body of a subscription to *topic*."""
    event, *rest = topic.split(" ")
    body: dict[str, object] = {"eventType": event, "active": True}
    if event.startswith("object."):
        body["objectTypeId"] = rest.pop(0)
    if rest:
        body["propertyName"] = rest[0]
    return body


def topic_of(event: str, type_id: str, property_: str) -> str:
    """Return the topic of a subscription as HubSpot shows it; a classic event may carry its type id as well."""
    generic = type_id if event.startswith("object.") else ""
    return " ".join(part for part in (event, generic, property_) if part)
