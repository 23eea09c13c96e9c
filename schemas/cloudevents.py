"""CloudEvents 1.0: binary mode is written, binary, structured and batched mode are read.

Kafka binding: attributes are headers `ce_<name>`; HTTP binding: `ce-<name>`. https://github.com/cloudevents/spec
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from schemas.errors import DecodeError, misfit
from schemas.events import ChangeEvent
from schemas.facts import type_names
from schemas.jsonlimits import check_json
from schemas.soundness import check_foreign
from schemas.trace import HEADER, accepted

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_TYPES = {f"o2c.{name}.changed.v1": name for name in type_names}
_DECODER = msgspec.json.Decoder(ChangeEvent)
_ENCODER = msgspec.json.Encoder()
_READ = frozenset(("content-type", "ce_specversion", "ce_type", "ce_id", "ce_traceparent", HEADER))
"""Headers that count; the others say again what is in the value."""
Headers = tuple[tuple[str, bytes], ...]


def _names(kind: Any) -> frozenset[str]:  # noqa: ANN401 - a part of a JSON schema
    """Return every key that the contract knows."""
    if isinstance(kind, list):
        return frozenset[str]().union(*map(_names, kind))
    if not isinstance(kind, dict):
        return frozenset()
    own = frozenset(kind.get("properties", ()))
    return own.union(*map(_names, kind.values()))


_MEANT = _names(msgspec.json.schema(ChangeEvent)) | {"specversion", "id", "source", "data"}


def encode(event: ChangeEvent, canonical: str) -> tuple[bytes, Headers, bytes]:
    """Return (key, headers, value) of *event* in binary mode; *canonical* is its type (order, invoice, ...).

    The key is the order key when it is known, else the first anchor, else the object itself. The id is the
    platform's event id or a hash of the content, so that a redelivery repeats it.
    """
    value = _ENCODER.encode(event)
    ref = event.object
    source = "".join(f"/{quote(part, safe='')}" for part in (event.tenant, ref.connection, ref.account))
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", f"o2c.{canonical}.changed.v1".encode()),
        ("ce_source", source.encode()),
        ("ce_subject", ref.id.encode()),
        ("ce_id", (event.event_id or _content_id(event)).encode()),
        ("content-type", JSON.encode()),
    ]
    if event.changed_at is not None:
        headers.append(("ce_time", event.changed_at.isoformat().encode()))
    if event.trace:
        headers.append((HEADER, event.trace.encode()))
    return key_of(event).encode(), tuple(headers), value


def _content_id(event: ChangeEvent) -> str:
    """Return a hash of what *event* says, whenever and on whichever way it came."""
    content = _ENCODER.encode(msgspec.structs.replace(event, trace="", told_at=None))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def key_of(event: ChangeEvent) -> str:
    """Return the text that partitions *event*."""
    if event.order:
        return event.order
    return event.anchors[0].ref.key if event.anchors else event.object.key


def decode(headers: Iterable[tuple[str, bytes]], value: bytes | None) -> ChangeEvent:
    """Return the event of a Kafka record; DecodeError says what is wrong with it."""
    named = {known: content.decode("utf-8", "replace") for name, content in headers if (known := name.lower()) in _READ}
    if value is None:
        raise DecodeError("A change event has no value.")
    if named.get("content-type", "").startswith(STRUCTURED):
        return _structured(value, named.get(HEADER, ""))
    _specversion(named.get("ce_specversion", ""))
    return _event(_type(named.get("ce_type", "")), value, named)


def decode_http(headers: Mapping[str, str], body: bytes) -> list[ChangeEvent]:
    """Return the events of an HTTP request (lower-case header names); DecodeError says what is wrong."""
    content_type = headers.get("content-type", "")
    if content_type.startswith(BATCH):
        return [_structured(bytes(item), stranger=True) for item in _raw_list(body)]
    if content_type.startswith(STRUCTURED):
        return [_structured(body, stranger=True)]
    named = {"ce_" + name[3:] if name.startswith("ce-") else name: value for name, value in headers.items()}
    _specversion(named.get("ce_specversion", ""))
    return [_event(_type(named.get("ce_type", "")), body, named, stranger=True)]


class _Envelope(msgspec.Struct):
    specversion: str
    type: str
    source: str
    id: str
    data: msgspec.Raw
    traceparent: str = ""


def _structured(value: bytes, traceparent: str = "", *, stranger: bool = False) -> ChangeEvent:
    check_json(value, _MEANT)
    try:
        envelope = msgspec.json.decode(value, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"Not a structured CloudEvent: {misfit(error)}.") from error
    named = {"ce_id": envelope.id, HEADER: envelope.traceparent or traceparent}
    _specversion(envelope.specversion)
    return _event(_type(envelope.type), bytes(envelope.data), named, stranger=stranger)


def _raw_list(body: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError(f"Not a batch of CloudEvents: {misfit(error)}.") from error


def _type(type_: str) -> str:
    try:
        return _TYPES[type_]
    except KeyError:
        known = ", ".join(sorted(_TYPES))
        raise DecodeError(f"The CloudEvents type {type_!r} is unknown; known are {known}.") from None


def _specversion(version: str) -> None:
    if version != "1.0":
        raise DecodeError(f"CloudEvents specversion is {version!r} instead of '1.0'.")


def _event(name: str, value: bytes, named: Mapping[str, Any], *, stranger: bool = False) -> ChangeEvent:
    """Return the event in *value*; what a *stranger* says of its own origin does not spare it the looks."""
    try:
        event = _DECODER.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"Not a valid change of a {name}: {misfit(error)}.") from error
    if event.facts is None and event.presence != "deleted":
        raise DecodeError(f"A change of a {name} carries no facts and is not a deletion.")
    if event.facts is not None and type(event.facts).__name__.lower() != name:
        raise DecodeError(f"The type says {name}, the facts are those of a {type(event.facts).__name__.lower()}.")
    if stranger or (event.origin == "foreign" and event.told_at is None):  # the gateway has looked at what it was told
        check_json(value, _MEANT)
        check_foreign(event, value)
    event_id = event.event_id or named.get("ce_id", "")
    trace = accepted(event.trace) or accepted(named.get(HEADER) or named.get("ce_traceparent") or "")
    if (event_id, trace) == (event.event_id, event.trace):
        return event
    return msgspec.structs.replace(event, event_id=event_id, trace=trace)
