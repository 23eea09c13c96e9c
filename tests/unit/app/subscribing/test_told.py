"""Which records count as a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import pytest

from app.core import topics
from app.subscribing.verifying import told
from schemas.cloudevents import encode
from schemas.events import ASKED_FOR, ChangeEvent, Hint
from schemas.facts import Order
from schemas.refs import ObjectRef

NOW = datetime(2026, 11, 25, tzinfo=UTC)
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
ORDER = ObjectRef("shop", "example", "order", "1")


@dataclass
class Record:
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def _event(**more: object) -> Record:
    event = ChangeEvent(tenant="acme", object=ORDER, facts=Order(), trace=TRACE, **more)  # type: ignore[arg-type]  # by test
    _, headers, value = encode(event, "order")
    return Record(value, tuple(headers))


def _hint(**more: object) -> Record:
    return Record(msgspec.json.encode(Hint(tenant="acme", object=ORDER, trace=TRACE, **more)))  # type: ignore[arg-type]  # by test


def test_a_webhook_counts_as_event_and_as_hint() -> None:
    assert told(topics.CRM_CHANGES, _event(origin="webhook", told_at=NOW)) == ("shop", TRACE)
    assert told(topics.HINTS, _hint(reason="orders/updated", told_at=NOW)) == ("shop", TRACE)


@pytest.mark.parametrize("origin", ["read", "sweep", "write", "foreign"])
def test_what_o2c_looked_up_itself_does_not_count(origin: str) -> None:
    assert told(topics.CRM_CHANGES, _event(origin=origin, told_at=NOW)) == ("", "")


@pytest.mark.parametrize("reason", sorted(ASKED_FOR))
def test_a_look_that_the_stream_asks_for_does_not_count(reason: str) -> None:
    assert told(topics.HINTS, _hint(reason=reason, told_at=NOW)) == ("", "")


def test_what_the_gateway_did_not_stamp_or_nobody_can_read_does_not_count() -> None:
    assert told(topics.HINTS, _hint(reason="orders/updated")) == ("", "")
    assert told(topics.HINTS, Record(b"no hint")) == ("", "")
    assert told(topics.CRM_CHANGES, Record(None)) == ("", "")
