"""One delivery as it lies on its topic: its address is the key, its body the value, what else counts are headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from aiokafka import ConsumerRecord

from app.core.errors import DecodeError
from app.core.topics import DELIVERIES, ORIGIN_TOPIC
from schemas.trace import HEADER, accepted, derived_trace

_REASON = 500
Headers = list[tuple[str, bytes]]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What a vendor told and signed. What proves that is not kept: nobody needs it again."""

    owner: str
    """First part of its address: a tenant, or the platform where all companies of an app have one address."""
    name: str
    """Second part: a connection, or the app."""
    received: datetime
    trace: str
    """W3C traceparent of everything that comes of it: its sender's, or the same one each time it is read."""
    headers: Mapping[str, str]
    """Of the vendor, by lower-case name: those that say what the body means."""
    body: bytes


def key_of(owner: str, name: str) -> bytes:
    """Return what keeps the order of an address' deliveries: those of one key stay in one partition."""
    return f"{owner}/{name}".encode()


def decoded(record: ConsumerRecord) -> Delivery:
    """Return the delivery in *record*; DecodeError where it is none."""
    try:
        owner, _, name = (record.key or b"").decode().partition("/")
        told = {name: value.decode() for name, value in record.headers}
    except ValueError as error:
        raise DecodeError("A record on the topic of deliveries is none.") from error
    return Delivery(
        owner=owner,
        name=name,
        received=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        trace=accepted(told.pop(HEADER, "")) or derived_trace(f"{record.topic}/{record.partition}/{record.offset}"),
        headers=told,
        body=record.value or b"",
    )


def letter_headers(why: str, origin: str) -> Headers:
    """Return what a dead letter has beside the headers of its delivery, which `o2c dead-letters replay` needs."""
    return [("reason", why[:_REASON].encode()), ("origin", origin.encode()), (ORIGIN_TOPIC, DELIVERIES.encode())]
