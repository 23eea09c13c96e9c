"""The errors that reading data can raise; `app.core.errors` holds the whole tree."""

from __future__ import annotations


class O2CError(Exception):
    """One sentence with platform, order and status; never a body, never a token."""


class DecodeError(O2CError):
    """Bytes that are not what they should be."""
