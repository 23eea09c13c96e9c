"""What a check found wrong or noteworthy about an order."""

from __future__ import annotations

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One finding; `block` stops planning of the order, `warn` only shows it."""

    code: str
    severity: Literal["block", "warn"]
    message: str
    subject: str = ""
    next_step: str = ""
