"""The errors that reading data can raise; `app.core.errors` holds the whole tree."""

from __future__ import annotations

_QUOTING = ("Invalid enum value", "Invalid value", "Object contains unknown field")
"""How msgspec begins to say a value or a key that strangers chose."""


class O2CError(Exception):
    """One sentence with platform, order and status; never a body, never a token."""


class DecodeError(O2CError):
    """Bytes that are not what they should be."""


def misfit(error: object) -> str:
    """Return what a decoder says about the shape of data: what was expected, and where, never what was there instead.

    Reasons end in logs and in the headers of dead letters; the data may be about people.
    """
    text = str(error)
    begins = next((words for words in _QUOTING if text.startswith(words)), "")
    if not begins:
        return text
    _, at, place = text.rpartition(" - at ")
    return f"{begins}{at}{place}" if at else begins
