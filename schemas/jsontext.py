"""JSON from others, read without losing a cent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

_DECODE = msgspec.json.Decoder(float_hook=Decimal).decode


def read_json(text: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return what *text* says, every fraction as a Decimal with its digits; ValueError when it is no JSON."""
    try:
        return _DECODE(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise ValueError(f"not JSON: {error}") from error
