"""States put together by hand, where a test is about one function of the core rather than about a history."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.facts import Facts
from schemas.flow import Target
from schemas.refs import ObjectRef, mark_of
from schemas.state import Observation, OrderState, WriteRecord
from streams.order.derive import derive
from streams.order.merge import observation
from streams.order.plan.desk import Desk, replaced
from tests.unit.streams.order.sample import CONNECTIONS, FLOW, KEY, PLATFORMS, WORLD, order

OTHER_ORDER = "f" * 32
WRITE = "b" * 32


def ref(system: str, type_: str, id_: str) -> ObjectRef:
    return ObjectRef(system, system[0], type_, id_)


def look(facts: Facts | None, system: str = "shop", id_: str = "1", **changes: Any) -> Observation:
    """Return a look at an object whose type is that of its *facts*."""
    type_ = "payment" if facts is None else type(facts).__name__.lower()
    return Observation(**{"object": ref(system, type_, id_), "facts": facts, **changes})


def record(key: str, bound: ObjectRef | None = None, **changes: Any) -> WriteRecord:
    """Return the record of a write to the system that *key* begins with."""
    system = key.partition("|")[0]
    values: dict[str, Any] = {"capability": "upsert_invoice", "canonical": "c", "id": WRITE, **changes}
    return WriteRecord(key=key, connection=system, account=system[0], bound=bound, **values)


def state(*parts: Observation | WriteRecord, **changes: Any) -> OrderState:
    """Return the order with these looks and write records."""
    looks = {part.object.key: part for part in parts if isinstance(part, Observation)}
    writes = {part.key: part for part in parts if isinstance(part, WriteRecord)}
    return OrderState(**{"key": KEY, "tenant": "acme", "objects": looks, "writes": writes, **changes})


def mark(order: str = KEY, write: str = WRITE) -> str:
    return mark_of(order, write)


def giver(**changes: Any) -> Observation:
    """Return the shop's order of 24.00 EUR as it was seen."""
    return observation(order(**changes).event)


def desk(
    *parts: Observation | WriteRecord,
    target: Target | None = None,
    flow: dict[str, Any] | None = None,
    platform: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    **changes: Any,
) -> Desk:
    """Return one target of the shop's order; *facts* change the order, the other dictionaries what their names say."""
    known = state(giver(**(facts or {})), *parts, **changes)
    target = target or Target(connection="books", document="invoice")
    plans = msgspec.structs.replace(FLOW, **{"targets": (target,), **(flow or {})})
    derived = derive(known, msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, flows=(plans,))))
    assert derived is not None
    connection = CONNECTIONS[target.connection]
    return Desk(
        state=known,
        derived=derived,
        target=target,
        connection=connection,
        platform=msgspec.structs.replace(PLATFORMS[connection.platform], **(platform or {})),
        replaced=replaced(known, connection.name),
    )
