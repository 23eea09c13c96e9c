"""Standard Webhooks, https://www.standardwebhooks.com: a second way for services to prove who they are.

The signature covers id, time and the raw body; a service that sends it needs no key in a header that a proxy may log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime

from app.core.stamps import seconds

PREFIX = "whsec_"
TOLERANCE = 300
"""Seconds that the sender's clock may be off, either way."""


def is_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> bool:
    """Tell whether *body* is signed with any of *secrets*, recently; header names are lower case."""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    second = seconds(stamp)
    if not id_ or second is None or abs(int(now.timestamp()) - second) > TOLERANCE:
        return False
    signed = f"{id_}.{stamp}.".encode() + body
    wanted = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in map(_key, secrets) if key]
    parts = [part.partition(",") for part in headers.get("webhook-signature", "").split(" ")]
    given = [value.encode() for version, _, value in parts if version == "v1"]
    return any([hmac.compare_digest(value, want) for value in given for want in wanted])  # noqa: C419 - constant time


def _key(secret: str) -> bytes:
    """Return the bytes of a secret as the specification writes it; b"" when it is none."""
    text = secret.removeprefix(PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
