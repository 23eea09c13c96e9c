"""Webhooks: the legacy object and the CloudEvents array, both thin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from app.core.errors import DecodeError
from schemas.jsontext import read_json
from schemas.platforms.quickbooks_online import wire
from streams.sources.platforms.quickbooks_online.replies import moment

MERGED = "customer.merged_into:"
_NAMES = MappingProxyType({name.lower(): name for name in wire.KINDS})
_VERBS = MappingProxyType(
    {"created": "create", "updated": "update", "deleted": "delete", "merged": "merge", "voided": "void"}
)


class Notice(NamedTuple):
    """One change that a delivery tells."""

    realm: str
    entity: str
    id: str
    reason: str
    at: datetime | None
    event_id: str = ""
    """What Intuit calls the event; the legacy form names none."""


def notices(body: bytes) -> list[Notice]:
    """Return the changes of a delivery in either form; DecodeError when it is neither."""
    try:
        told = read_json(body)
        return list(_cloud_events(told) if isinstance(told, list) else _legacy(told))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DecodeError("QuickBooks: the webhook has neither of the two documented forms.") from error


def _cloud_events(events: list[Any]) -> Iterator[Notice]:
    """Read `qbo.<entity>.<verb>.v1`; an unknown verb still means that the record is to be read."""
    for event in events:
        _, entity, verb, *_ = event["type"].split(".")
        name, reason = _NAMES.get(entity, entity.title()), f"{entity}.{_VERBS.get(verb, verb)}"
        realm, id_, at = str(event["intuitaccountid"]), str(event["intuitentityid"]), _utc(event.get("time"))
        yield Notice(realm, name, id_, reason, at, str(event.get("id") or ""))


def _legacy(told: Any) -> Iterator[Notice]:  # noqa: ANN401 - any JSON
    """Read `eventNotifications`; a merge speaks of the record that stays and of the one that went."""
    for notice in told["eventNotifications"]:
        realm = str(notice["realmId"])
        for entity in notice["dataChangeEvent"]["entities"]:
            name, id_, at = str(entity["name"]), str(entity["id"]), _utc(entity.get("lastUpdated"))
            yield Notice(realm, name, id_, f"{name.lower()}.{str(entity['operation']).lower()}", at)
            if entity.get("deletedId"):
                yield Notice(realm, name, str(entity["deletedId"]), f"{MERGED}{id_}", at)


def _utc(text: Any) -> datetime | None:  # noqa: ANN401 - any JSON value
    found = moment(text)
    return None if found is None else found.astimezone(UTC)
