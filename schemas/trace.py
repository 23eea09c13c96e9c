"""One trace id over all hops of a change: W3C trace context, https://www.w3.org/TR/trace-context/#traceparent-header."""

from __future__ import annotations

import hashlib
import re
import secrets

HEADER = "traceparent"
_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def trace_id(traceparent: str) -> str:
    """Return the trace id in *traceparent*, "" where it holds none."""
    match = _FORM.fullmatch(traceparent)
    valid = match is not None and match[1].strip("0") and match[2].strip("0") and not traceparent.startswith("ff")
    return match[1] if match is not None and valid else ""


def accepted(traceparent: str) -> str:
    """Return what a stranger sent as *traceparent* where it is one, else ""."""
    return traceparent if trace_id(traceparent) else ""


def trace_headers(traceparent: str) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a Kafka record."""
    return ((HEADER, traceparent.encode()),) if traceparent else ()


def new_trace() -> str:
    """Return a traceparent of its own, for what begins here."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def derived_trace(seed: str) -> str:
    """Return the traceparent of what *seed* names: the same each time it is read again."""
    digest = hashlib.blake2b(seed.encode(), digest_size=24).hexdigest()
    return f"00-{digest[:32]}-{digest[32:]}-01"
