"""Times as HubSpot writes and reads them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

from app.sandbox.platforms.hubspot.refusals import invalid

_DAY_MS = 86_400_000


def stamp(at: datetime) -> str:
    """Return *at* as HubSpot writes it: UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def millis(at: datetime) -> int:
    """Return *at* in epoch milliseconds."""
    return round(at.timestamp() * 1000)


@lru_cache(maxsize=100_000)
def moment(value: str) -> datetime:
    """Return an ISO text or epoch milliseconds as a time; ValueError when it is neither."""
    if value.lstrip("-").isdigit():
        return datetime.fromtimestamp(int(value) / 1000, UTC)
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def dated(name: str, text: str, *, day: bool) -> str:
    """Return a date or time property as it is kept; a refusal when it is none."""
    try:
        if day and not text.isdigit():
            return date.fromisoformat(text).isoformat()
        if day and int(text) % _DAY_MS:
            raise invalid(name, "INVALID_DATE", f"{text} is at a time of day: dates must be midnight UTC.")
        at = moment(text)
    except ValueError as error:
        raise invalid(name, "INVALID_DATE", f"{text} was not a valid date.") from error
    return at.date().isoformat() if day else stamp(at)
