"""Mistakes of our own, told by where they happened: what was looked at may be about people and is left out."""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

from app.core.errors import O2CError

ROOT = Path(__file__).resolve().parents[2]
OVER_DATA = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, msgspec.MsgspecError)
"""What is raised over a value; its message may quote that: "invalid literal for int(): 'Ada Canary'"."""


def fault(error: BaseException) -> str:
    """Return *error* in one line: our own say what they have to say, others where they came from."""
    if isinstance(error, O2CError):
        return f"{type(error).__name__}: {error}"
    return f"{_last(error)}{_place(error)}"


def traced(error: BaseException) -> str:
    """Return the traceback of *error* and of what led to it, without values."""
    told: list[str] = []
    one: BaseException | None = error
    while one is not None:
        frames = traceback.format_tb(one.__traceback__)
        told.append("".join(["Traceback (most recent call last):\n", *frames, _last(one)]))
        told += [traced(part) for part in one.exceptions] if isinstance(one, BaseExceptionGroup) else []
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n\nThis led to the next:\n\n".join(reversed(told))


def _last(error: BaseException) -> str:
    name = type(error).__name__
    return name if isinstance(error, OVER_DATA) or not str(error) else f"{name}: {error}"


def _place(error: BaseException) -> str:
    """Return file and line of ours, the innermost; "" where it passed through none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(ROOT)]
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    return f" at {Path(own[-1].filename).relative_to(ROOT)}:{own[-1].lineno}" if own else ""
