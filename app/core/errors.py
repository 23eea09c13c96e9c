"""Every error of ours, named by what to do next.

O2CError                  catch all of ours and nothing else
├── ConfigError           stop the process
├── DecodeError           dead-letter the bytes, go on
├── RetryableError        back off, try again, give up at the deadline
│   └── RateLimited       ... after exactly retry_after seconds
├── UncertainError        time-out, reset or 5xx on a mutating request: journal, settle, ask; never retried blind
├── AuthError             refresh once, then pause the connection
├── ConflictError         answer `stale`; plan afresh, at most three times
├── DuplicateError        the platform says it exists: probe and adopt if it is ours
├── UnsupportedError      the platform cannot do this: a task for a person
└── RejectedError         dead-letter this order, go on
"""

from __future__ import annotations

from schemas.errors import DecodeError, O2CError

__all__ = [
    "AuthError",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "DuplicateError",
    "O2CError",
    "RateLimited",
    "RejectedError",
    "RetryableError",
    "UncertainError",
    "UnsupportedError",
]


class ConfigError(O2CError):
    """The configuration cannot be used."""


class RetryableError(O2CError):
    """The platform did not do it and may do it later."""


class RateLimited(RetryableError):
    """The platform asks to wait."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Carry *retry_after* in seconds, None when the platform did not say."""
        super().__init__(message)
        self.retry_after = retry_after


class UncertainError(O2CError):
    """Nobody knows whether the write happened."""


class AuthError(O2CError):
    """The credential is refused."""


class ConflictError(O2CError):
    """Somebody changed the object since it was read."""


class DuplicateError(O2CError):
    """A unique value is taken, perhaps by our own earlier try."""


class UnsupportedError(O2CError):
    """The platform has no way to do this."""


class RejectedError(O2CError):
    """The platform refuses this for good."""
