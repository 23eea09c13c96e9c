"""The one table from HTTP status to error class; a platform overlays its own oddities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

from app.core.errors import (
    AuthError,
    ConflictError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response
from schemas.platform import Refusal

_ERRORS: dict[int, type[O2CError]] = {
    401: AuthError,
    403: AuthError,
    408: RetryableError,
    409: ConflictError,
    412: ConflictError,
    423: RetryableError,
    425: RetryableError,
}
_NAMED: Mapping[str, type[O2CError]] = {
    "auth": AuthError,
    "conflict": ConflictError,
    "duplicate": DuplicateError,
    "rejected": RejectedError,
    "retryable": RetryableError,
}
_MOVED = frozenset((301, 302, 303, 307, 308))
"""Answers that are none: no redirect is followed, and whether a write was done before one nobody knows."""
_PAGES = (b"<html", b"<!doctype html")
"""How an answer begins that somebody between us and the platform wrote."""
_SERVER = 500
_CLIENT = 400
_TOO_MANY = 429
_UNSAID = "UTC"
"""The time zone of a connection that names none."""
_HOUR = 3600.0


def retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, or None when it is missing or not a number."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None


def asked_to_wait(
    platform: str, response: Response, own: Sequence[Refusal] = (), zone: str = _UNSAID
) -> RateLimited | None:
    """Return the error of a reply that asks for nothing more to be sent for a while, None for any other.

    *zone* is the account's time zone, by which its day ends.
    """
    refusal = _refusal(response, own)
    if response.status != _TOO_MANY and not (refusal and refusal.everybody):
        return None
    pause = _pause(response, refusal)
    if refusal and refusal.until_midnight and retry_after(response) is None:
        pause = _until_midnight(response, zone) or pause
    return RateLimited(f"{platform} asks to wait.", pause)


def _until_midnight(response: Response, zone: str) -> float | None:
    """Return the seconds from the reply's own Date to the end of the account's day.

    None where no zone was named, or nobody can tell the time. Also in the first hour of a day: the platform's day ends
    later than the zone says, and waiting for the next midnight would leave all of it unused.
    """
    try:
        now = parsedate_to_datetime(response.headers.get("date", "")).astimezone(ZoneInfo(zone))
    except ValueError:
        return None
    midnight = datetime.combine(now.date(), time(), now.tzinfo)
    if zone == _UNSAID or now.timestamp() - midnight.timestamp() < _HOUR:
        return None
    return datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo).timestamp() - now.timestamp()


def _refusal(response: Response, own: Sequence[Refusal]) -> Refusal | None:
    """Return the first of *own* that fits."""
    alike = [one for one in own if one.status == response.status]
    return next(
        (one for one in alike if not one.says or any(text.encode() in response.body for text in one.says)), None
    )


def _pause(response: Response, refusal: Refusal | None) -> float | None:
    asked = retry_after(response)
    if refusal is None:
        return asked
    pause = refusal.pause if asked is None else asked
    return max(refusal.least, pause or 0.0) if refusal.least else pause


def from_status(
    platform: str, response: Response, *, mutating: bool, detail: str = "", own: Sequence[Refusal] = ()
) -> O2CError | None:
    """Return the error for *response* by its status; a 5xx, redirect or page for a mutating request is uncertain.

    The platform's *own* meanings count before those that all share.
    """
    status = response.status
    if status < _CLIENT and status not in _MOVED:
        if not response.body[:100].lstrip().lower().startswith(_PAGES):
            return None
        message = f"{platform} answered {status} with a page for people."
        return UncertainError(message) if mutating else RetryableError(message)
    message = f"{platform} answered {status}{': ' + detail if detail else ''}."
    refusal = _refusal(response, own)
    if status == _TOO_MANY or (refusal and refusal.error == "rate_limited"):
        return RateLimited(message, _pause(response, refusal))
    if refusal:
        return _NAMED[refusal.error](message)
    if status >= _SERVER or status in _MOVED:
        return UncertainError(message) if mutating else RetryableError(message)
    return _ERRORS.get(status, RejectedError)(message)
