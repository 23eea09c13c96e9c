"""What HubSpot's replies hold; one without the documented shape is a DecodeError."""

from __future__ import annotations

from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Response
from schemas.errors import misfit
from schemas.platforms.hubspot import PLATFORM, wire
from schemas.platforms.hubspot.wire import Record

_CLIENT = 400


def record(value: Any) -> Record:  # noqa: ANN401 - any JSON
    """Return the record in a reply."""
    try:
        return wire.record_of(value)
    except msgspec.ValidationError as error:
        raise DecodeError(f"HubSpot: a record does not have the documented shape: {misfit(error)}.") from error


def success(reply: Response) -> Any:  # noqa: ANN401 - any JSON
    """Return the body of a reply; raise what any other status means."""
    error = from_status(PLATFORM.title, reply, mutating=False, own=PLATFORM.refusals, detail=_category(reply))
    if error is not None:
        raise error
    return reply.json()


def _category(reply: Response) -> str:
    try:
        return wire.category(reply.json()) if reply.status >= _CLIENT else ""
    except DecodeError:
        return ""


def rows(reply: Response) -> list[Any]:
    """Return the records of a page or a batch."""
    rows = success(reply).get("results")
    if not isinstance(rows, list):
        raise DecodeError("HubSpot: the reply has no results.")
    return rows
