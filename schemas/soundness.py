"""What a change event may hold beyond its types: amounts that are numbers, ids that a person can read.

An id ends in keys, headers, addresses and on paper: a control character or one that turns the direction of writing
would make two things look the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from schemas.errors import DecodeError
from schemas.events import ChangeEvent
from schemas.money import minor_units
from schemas.refs import ObjectRef

_LARGEST = 30
"""Digits before the point, and after it, of an amount."""
_PLAIN = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_TOTALS = ("payable_amount", "amount")
_ENCODE = msgspec.json.Encoder().encode
_WILD = (b"NaN", b"Infinity", b"0E+00", b"0E-00", b"0" * _LARGEST)
"""What facts hold, written with every digit as 0, that have an amount of that kind, and few others."""
_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_RAW = msgspec.json.Decoder(float_hook=str).decode


def check_ref(ref: ObjectRef) -> None:
    """Raise DecodeError when the name of an object is empty or has a character that cannot be printed."""
    if not ref.id:
        raise DecodeError("An object has no id.")
    if not (ref.id + ref.type + ref.account + ref.connection).isprintable():
        raise DecodeError("The name of an object has a character that cannot be printed.")


def check_event(event: ChangeEvent) -> None:
    """Raise DecodeError when a name cannot be printed or an amount is none that money can be.

    What was told may write an amount in many ways (N_aN, other digits than ours); what we write has one, and looking
    for that costs a tenth of looking at every amount.
    """
    check_ref(event.object)
    text = _ENCODE(event.facts).translate(_ZEROS)
    for amount in _amounts(event.facts) if any(sign in text for sign in _WILD) else ():
        if not amount.is_finite() or abs(amount.adjusted()) > _LARGEST or -int(amount.as_tuple().exponent) > _LARGEST:
            raise DecodeError("An amount is no number, or far from any that money can be.")


def check_foreign(event: ChangeEvent, text: bytes) -> None:
    """Raise DecodeError also for what only another service could mean otherwise than it wrote it in *text*.

    A total finer than its currency, an amount that is no plain decimal, a number with hidden characters.
    """
    check_event(event)
    for anchor in event.anchors:
        check_ref(anchor.ref)
    facts = event.facts
    for field in ("number", "reference"):
        if any(sign in _TURNS or unicodedata.category(sign) == "Cc" for sign in getattr(facts, field, "")):
            raise DecodeError(f"The {field} has a hidden character.")
    for field in _TOTALS:
        total, currency = getattr(facts, field, None), getattr(facts, "currency", "")
        if total is not None and total != round(total, minor_units(currency)):
            raise DecodeError(f"The {field} is finer than the currency {currency} allows.")
    for amount in _written(facts, _RAW(text).get("facts")):
        if not _PLAIN.fullmatch(amount):
            raise DecodeError("An amount is not a plain decimal number, written as 12.50.")


def _amounts(value: object) -> Iterator[Decimal]:
    if isinstance(value, Decimal):
        yield value
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from _amounts(getattr(value, field))
    elif isinstance(value, tuple):
        for one in value:
            yield from _amounts(one)


def _written(value: object, raw: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield how each amount of *value* is written in *raw*."""
    if isinstance(value, Decimal):
        yield str(raw)
    elif isinstance(value, msgspec.Struct) and isinstance(raw, dict):
        for field in value.__struct_fields__:
            if field in raw:
                yield from _written(getattr(value, field), raw[field])
    elif isinstance(value, tuple):
        for one, part in zip(value, raw, strict=False):
            yield from _written(one, part)
