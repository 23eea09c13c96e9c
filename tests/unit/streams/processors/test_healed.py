"""What a sweep healed: counted where it shows what nobody told before, whoever told it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from app.core import topics
from schemas.cloudevents import encode
from schemas.connection import Connection
from schemas.events import UNTOLD, ChangeEvent, Hint, Version
from schemas.facts import Order
from schemas.flow import Facts, Flow
from schemas.platforms.external import PLATFORM
from schemas.refs import ObjectRef, order_key
from streams.engine.fold import Record
from streams.order.world import World
from streams.processors.orders import Orders

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = ObjectRef("erp", "1", "order", "7")
KEY = order_key("acme", ORDER).encode()
ERP = Connection(name="erp", tenant="acme", platform="external", account="1")
FLOW = Flow(name="main", tenant="acme", key_giver="erp")
WORLD = World(facts=Facts(connections={"erp": ERP}, flows=(FLOW,)), platforms={"external": PLATFORM})


def told(origin: Any, total: str, *, read: int = 0) -> Record:
    facts = Order(number="7", currency="EUR", payable_amount=Decimal(total))
    version = Version(native=1, read=bool(read), epoch=read and 1, seq=read)
    event = ChangeEvent(tenant="acme", object=ORDER, facts=facts, version=version, origin=origin, order=KEY.decode())
    key, headers, value = encode(event, "order")
    return Record("crm-changes", 0, read, key, value, tuple(headers), 1)


def healed(*batches: list[Record]) -> int:
    """Return how many changes count as healed over batches that are folded one after another."""
    table, states, count = Orders(WORLD), dict[bytes, bytes | None](), 0
    for records in batches:
        known: Mapping[bytes, bytes | None] = {key: states.get(key) for key in table.keys(records)}
        folded = table.fold(0, records, known, NOW, {})
        states |= folded.states
        found = folded.counts.get("erp/healed", 0)
        hints = [msgspec.json.decode(out.value or b"", type=Hint) for out in folded.outs if out.topic == topics.HINTS]
        assert [(hint.object, hint.reason) for hint in hints] == [(ORDER, UNTOLD)] * found, "its owner hears of each"
        count += found
    return count


HOOK, LATE, SWEPT, CHANGED = (
    told("webhook", "24.00"), told("read", "24.00", read=1), told("sweep", "24.00", read=2),
    told("sweep", "36.00", read=3),
)  # fmt: skip


@pytest.mark.parametrize(
    ("batches", "count"),
    [
        ([[SWEPT]], 1),
        ([[HOOK], [SWEPT]], 0),
        ([[HOOK, SWEPT]], 0),
        ([[HOOK], [CHANGED]], 1),
        ([[HOOK, SWEPT, CHANGED]], 1),
        ([[CHANGED], [CHANGED]], 1),
        ([[LATE]], 0),
    ],
)
def test_what_a_sweep_brought_counts_once_and_only_where_nobody_had_told_it(
    batches: list[list[Record]], count: int
) -> None:
    assert healed(*batches) == count
