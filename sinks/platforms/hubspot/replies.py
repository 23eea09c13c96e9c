"""What HubSpot's replies mean: one error body, and 207 for batches."""

from __future__ import annotations

from typing import Any

import msgspec

from app.core.errors import (
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import from_status
from app.core.talk import Response
from schemas.platforms.hubspot import PLATFORM, wire
from schemas.platforms.hubspot.platform import TAKEN

_MULTI, _CLIENT, _MISSING = 207, 400, 404
_PASSING = frozenset(("INTERNAL_ERROR", "RATE_LIMITS", "RATE_LIMIT", "LOCKED"))


class Split(msgspec.Struct, frozen=True):
    """A batch answer taken apart: what was done, and what was refused by trace id."""

    results: tuple[dict[str, Any], ...] = ()
    refused: dict[str, O2CError] = {}


def error_of(response: Response, *, mutating: bool) -> O2CError | None:
    """Return the error that a reply means; a batch counts as failed when any of it was refused."""
    if response.status < _CLIENT:
        return _inside(response, mutating=mutating)
    category = wire.category(_body(response)) or "no category"
    if response.status == _MISSING and mutating:
        return ConflictError(f"HubSpot answered {response.status}: {category}.")
    return from_status(PLATFORM.title, response, mutating=mutating, detail=category, own=PLATFORM.refusals)


def _inside(response: Response, *, mutating: bool) -> O2CError | None:
    if response.body and "json" not in response.headers.get("content-type", "json"):
        text = "HubSpot's address answered with a page instead of JSON."
        return UncertainError(text) if mutating else RetryableError(text)
    if response.status != _MULTI or not mutating:
        return None
    # A remembered reply would be partial for ever: the row must count as not done, so that the batch is sent again.
    refused = list(split(response).refused.values())
    return next((one for one in refused if not isinstance(one, DuplicateError)), next(iter(refused), None))


def split(response: Response) -> Split:
    """Return the results and, by trace id, the refusals of a batch answer."""
    body = _body(response)
    refused: dict[str, O2CError] = {}
    for row in body.get("errors") or []:
        for trace in (row.get("context") or {}).get("objectWriteTraceId") or [""]:
            refused[str(trace)] = _item(row)
    return Split(tuple(body.get("results") or ()), refused)


def _item(row: dict[str, Any]) -> O2CError:
    message, category = str(row.get("message") or ""), str(row.get("category") or "no category")
    text = f"HubSpot refused one of a batch: {category}."
    if category == "CONFLICT" or any(word in message for word in TAKEN):
        return DuplicateError(text)
    if category == "OBJECT_NOT_FOUND":
        return ConflictError(text)
    return RetryableError(text) if category in _PASSING else RejectedError(text)


def _body(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except DecodeError:
        return {}
    return body if isinstance(body, dict) else {}
