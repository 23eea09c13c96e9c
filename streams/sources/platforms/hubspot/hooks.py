"""HubSpot's deliveries: three signatures, and which records an event speaks of."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urldefrag

import msgspec

from app.core.errors import DecodeError
from schemas.events import MERGED_INTO, RECHECK
from schemas.facts import Facts, Order
from schemas.platforms.hubspot.facts import merged_from
from schemas.platforms.hubspot.platform import SINGULAR, TYPE_IDS
from streams.sources.base import Hook

_SKEW_MS = 300_000
_DECODED = {"%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "("}
_DECODED |= {"%29": ")", "%2A": "*", "%2C": ",", "%3B": ";"}
"""The escapes that HubSpot undoes in the address before it signs; no others."""


FROM = "merged_from:"
"""Begins the reason of a hint at the record that others were merged into; their ids follow."""


def signed(hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
    """Tell whether the v3 signature fits any of *secrets* and is at most five minutes off, either way."""
    stamp = hook.headers.get("x-hubspot-request-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now.timestamp() * 1000 - _millis(stamp)) > _SKEW_MS:
        return False
    message = hook.method.encode() + _signed_address(hook.url).encode() + hook.body + stamp.encode()
    wanted = [base64.b64encode(hmac.digest(key.encode(), message, "sha256")) for key in secrets]
    return _any_equal(hook.headers.get("x-hubspot-signature-v3", ""), wanted)


def signed_before(hook: Hook, secrets: Sequence[str]) -> bool:
    """Tell whether a v1 or v2 signature fits; neither has a time, so a replay passes as well."""
    given = hook.headers.get("x-hubspot-signature", "")
    request = b"" if hook.headers.get("x-hubspot-signature-version", "v1") == "v1" else _request(hook)
    wanted = [hashlib.sha256(key.encode() + request + hook.body).hexdigest().encode() for key in secrets]
    return bool(given) and _any_equal(given, wanted)


def named(event: Mapping[str, Any], order: str) -> list[tuple[str, str]]:
    """Return (object type, id) of every record that an event speaks of; *order* is the type where none is named."""
    prefix, _, what = type_of(event).partition(".")
    kind = TYPE_IDS.get(str(event.get("objectTypeId"))) or SINGULAR.get(prefix, "")
    if what == "associationChange":
        return _ends(event, kind)
    if what and not kind:
        return []
    if what == "merge":
        ids = [event.get("primaryObjectId"), event.get("newObjectId"), *(event.get("mergedObjectIds") or [])]
        ids.append(event.get("objectId"))
        return [(kind, str(id_)) for id_ in dict.fromkeys(ids) if id_]
    if event.get("objectId"):
        return [(kind or order, str(event["objectId"]))]
    # The workflow action "Send a webhook" posts the record itself.
    posted = (("deals", "dealId"), ("contacts", "vid"), (kind or order, "id"))
    return [(type_, str(event[name])) for type_, name in posted if event.get(name)][:1]


def merged(event: Mapping[str, Any], id_: str) -> str:
    """Return what a merge means for one of its records: "merged_into:<id>" or "merged_from:<ids>"; "" for no merge.

    Where the event does not say what they became, each is read by itself: a merged one may answer under its new id.
    """
    if not type_of(event).endswith(".merge"):
        return ""
    old = [str(one) for one in (event.get("primaryObjectId"), *(event.get("mergedObjectIds") or [])) if one]
    new = str(event.get("newObjectId") or event.get("primaryObjectId") or "")
    if not new:
        return RECHECK
    if id_ != new:
        return f"{MERGED_INTO}{new}"
    return FROM + ",".join(one for one in dict.fromkeys(old) if one != new)


def merged_facts(shown: Facts | None, reason: str) -> Facts | None:
    """Return what *shown* says of the order, when its hint's *reason* told of a merge."""
    if shown is None and reason.startswith(MERGED_INTO):
        return Order(merged_into=reason.removeprefix(MERGED_INTO))
    if isinstance(shown, Order) and reason.startswith(FROM):
        told = reason.removeprefix(FROM).split(",")
        return msgspec.structs.replace(shown, merged_from=merged_from((*shown.merged_from, *told)))
    return shown


def _ends(event: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    left, _, right = str(event.get("associationType", "")).lower().partition("_to_")
    ends = (
        (TYPE_IDS.get(str(event.get("fromObjectTypeId"))) or SINGULAR.get(left) or kind, event.get("fromObjectId")),
        (TYPE_IDS.get(str(event.get("toObjectTypeId"))) or SINGULAR.get(right, ""), event.get("toObjectId")),
    )
    return [(type_, str(id_)) for type_, id_ in ends if id_]


def type_of(event: Mapping[str, Any]) -> str:
    """Return what happened; some documents call the key eventType."""
    return str(event.get("subscriptionType") or event.get("eventType") or "")


def events(hook: Hook) -> list[dict[str, Any]]:
    """Return the events of a delivery, or the one record that a workflow posts; DecodeError for other bytes."""
    try:
        found = hook.json()
    except ValueError as error:
        raise DecodeError("HubSpot: the body is not JSON.") from error
    rows = found if isinstance(found, list) else [found]
    if not all(isinstance(row, dict) for row in rows):
        raise DecodeError("HubSpot: the body is no list of events.")
    return rows


def _millis(digits: str) -> int:
    return int(digits[:20])  # more digits are no time, and no number that a float can hold


def _signed_address(url: str) -> str:
    address = urldefrag(url).url
    for escaped, plain in _DECODED.items():
        address = address.replace(escaped, plain).replace(escaped.lower(), plain)
    return address


def _request(hook: Hook) -> bytes:
    return hook.method.encode() + urldefrag(hook.url).url.encode()


def _any_equal(given: str, wanted: Iterable[bytes]) -> bool:
    sent = given.encode(errors="surrogateescape")
    return any([hmac.compare_digest(sent, one) for one in wanted])  # noqa: C419 - constant time over all secrets
