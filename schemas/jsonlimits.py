"""What JSON from strangers may be: bounded in depth, keys and digits, and saying each thing once.

Counting single signs tells most bodies sound at the speed of C; only what might be beyond a limit is looked at closely.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from schemas.errors import DecodeError
from schemas.jsontext import read_json

DEPTH = 64
KEYS = 10_000
DIGITS = 64
_ENCODE = msgspec.json.Encoder().encode
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")
_DIGITS = bytes.maketrans(b"123456789-+.", b"0" * 12)
_LONG = b"0" * (DIGITS + 1)
_NUMBER = re.compile(rb"[-+.0-9]+")


def check_json(text: bytes, meant: frozenset[str] | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Return what *text* says; DecodeError when it is no JSON, beyond a limit, or says twice what one of *meant* is.

    None means any key. What lies below a key that nobody reads may repeat itself.
    """
    if text.count(b"{") + text.count(b"[") > DEPTH and _depth(text) > DEPTH:
        raise DecodeError(f"The body is nested deeper than {DEPTH} levels.")
    if text.count(b":") > KEYS and _TEXT.sub(b"", text).count(b":") > KEYS:
        raise DecodeError(f"The body has more than {KEYS} keys.")
    if _LONG in text.translate(_DIGITS) and any(_digits(one) > DIGITS for one in _NUMBER.findall(_TEXT.sub(b"", text))):
        raise DecodeError(f"The body has a number of more than {DIGITS} digits.")
    try:
        read = read_json(text)
    except ValueError:
        raise DecodeError("The body is not JSON.") from None
    # A key that is said twice is lost on the way back; an escape may hide one more colon.
    if b"\\u" in text or _ENCODE(read).count(b":") != text.count(b":"):
        _check_keys(text, meant)
    return read


def _depth(text: bytes) -> int:
    deepest = now = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", text)):
        now += 1 if bracket in b"[{" else -1
        deepest = max(deepest, now)
    return deepest


def _digits(number: bytes) -> int:
    return len(re.sub(rb"[^0-9]", b"", number).lstrip(b"0"))


def _check_keys(text: bytes, meant: frozenset[str] | None) -> None:
    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            if any(names.count(name) > 1 for name in (found if meant is None else meant & found.keys())):
                raise DecodeError("The body says the same key twice.")
        return found

    try:
        json.loads(text, object_pairs_hook=keep)
    except ValueError:  # what two readers read differently is nothing to rely on
        raise DecodeError("The body is not JSON.") from None
