"""JSON of strangers: exactly at a limit it passes, one beyond it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DecodeError
from schemas.jsonlimits import DEPTH, DIGITS, KEYS, check_json


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def keys(count: int) -> bytes:
    return json.dumps({f"k{number}": 1 for number in range(count)}).encode()


@pytest.mark.parametrize(
    "text",
    [
        nested(DEPTH), keys(KEYS), b"9" * DIGITS, b"0." + b"0" * 80 + b"1", b'"' + b"9" * 100 + b'"', b"[" + b"[]," * 90 + b"[]]",
        b'{"a": "[[[[{{{{ \\" : : :"}', b'[{"a":1},{"a":2}]', b'{"\\u003a":1}',
    ],
)  # fmt: skip
def test_what_is_at_a_limit_passes(text: bytes) -> None:
    check_json(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (nested(DEPTH + 1), "deeper"),
        (b"[" * 100_000, "deeper"),
        (keys(KEYS + 1), "keys"),
        (b"9" * (DIGITS + 1), "digits"),
        (b"[0." + b"9" * (DIGITS + 1) + b"]", "digits"),
        (b'{"a":1,"a":1}', "twice"),
        (b'{"total":1,"\\u0074otal":1,"\\u003a":1}', "twice"),
        (b'[{"x":{"b":1,"b":":"}}]', "twice"),
        (b'{"a":1', "not JSON"),
        (b"NaN", "not JSON"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_with_its_reason(text: bytes, why: str) -> None:
    with pytest.raises(DecodeError, match=why):
        check_json(text)


def test_what_nobody_reads_may_repeat_itself() -> None:
    check_json(b'{"x":1,"x":2,"total":1}', frozenset({"total"}))
    with pytest.raises(DecodeError, match="twice"):
        check_json(b'{"x":1,"total":2,"total":1}', frozenset({"total"}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(json_values, st.booleans())
def test_whatever_says_each_thing_once_passes(value: Any, ascii_only: bool) -> None:  # noqa: FBT001 - drawn
    try:
        text = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    if b"\\ud" not in text:  # half of a pair is no text
        check_json(text)
