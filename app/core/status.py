"""The one table from HTTP status to error class; a platform overlays its own oddities."""

from __future__ import annotations

from app.core.errors import (
    AuthError,
    ConflictError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.talk import Response

_ERRORS: dict[int, type[O2CError]] = {
    401: AuthError,
    403: AuthError,
    408: RetryableError,
    409: ConflictError,
    412: ConflictError,
    423: RetryableError,
    425: RetryableError,
}
_MOVED = frozenset((301, 302, 303, 307, 308))
"""Answers that are none: no redirect is followed, and whether a write was done before one nobody knows."""
_PAGES = (b"<html", b"<!doctype html")
"""How an answer begins that somebody between us and the platform wrote."""
_SERVER = 500
_CLIENT = 400
_TOO_MANY = 429


def retry_after(response: Response) -> float | None:
    """Return the seconds of a Retry-After header, or None when it is missing or not a number."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None


def from_status(platform: str, response: Response, *, mutating: bool, detail: str = "") -> O2CError | None:
    """Return the error for *response* by its status; a 5xx, redirect or page for a mutating request is uncertain."""
    status = response.status
    if status < _CLIENT and status not in _MOVED:
        if not response.body[:100].lstrip().lower().startswith(_PAGES):
            return None
        message = f"{platform} answered {status} with a page for people."
        return UncertainError(message) if mutating else RetryableError(message)
    message = f"{platform} answered {status}{': ' + detail if detail else ''}."
    if status == _TOO_MANY:
        return RateLimited(message, retry_after(response))
    if status >= _SERVER or status in _MOVED:
        return UncertainError(message) if mutating else RetryableError(message)
    return _ERRORS.get(status, RejectedError)(message)
