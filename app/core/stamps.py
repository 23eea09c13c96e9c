"""Times in headers, which anybody may have written."""

from __future__ import annotations

_LONGEST = 20
"""More digits are no time, and a number of thousands of them costs, or raises."""


def seconds(digits: str) -> int | None:
    """Return a whole number of seconds (or of whatever the sender counts), None where *digits* is none."""
    return int(digits[:_LONGEST]) if digits.isascii() and digits.isdigit() else None
