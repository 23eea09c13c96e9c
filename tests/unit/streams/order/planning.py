"""Orders whose writes are planned for a CRM and a ledger, for tests of what is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from schemas.commands import Pair
from schemas.flow import Target
from schemas.projection import digest
from schemas.state import Agreed, Observation, OrderState, WriteRecord
from streams.order.derive import derive
from streams.order.plan import plan
from streams.order.plan.plan import Planned
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, NOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import giver, look, record, ref, state

BOOKS = Target(connection="books", document="invoice")
CRM = Target(connection="crm", order=True)
DEAL, BILL = ref("crm", "order", "7"), ref("books", "invoice", "5")
GIVER = "shop@s/order/1"
WAIT = timedelta(seconds=900)
EARLIER = NOW - timedelta(minutes=5)
LATER = NOW - timedelta(days=30)


def world(*targets: Target, facts: dict[str, Any] | None = None, platforms: Any = None, **flow: Any) -> World:
    flows = (msgspec.structs.replace(FLOW, targets=targets, **flow),)
    told = msgspec.structs.replace(WORLD.facts, flows=flows, **(facts or {}))
    return World(facts=told, platforms={**PLATFORMS, **(platforms or {})})


def planned(known: OrderState, there: World, now: datetime = NOW) -> Planned:
    derived = derive(known, there)
    assert derived is not None
    return plan(known, derived, there, now)


def billed(
    *parts: Observation | WriteRecord, giver_: Any = None, there: World | None = None, **changes: Any
) -> Planned:
    """Return what is planned for the ledger that bills the shop's order."""
    return planned(state(giver_ or giver(), *parts, **changes), there or world(BOOKS))


WISH = digest({"note": "ring"})


def deal(note: str = "knock", **changes: Any) -> Observation:
    facts = msgspec.structs.replace(giver().facts, note=note)  # type: ignore[type-var]
    return look(facts, "crm", "7", **{"last_read": (1, 9), **changes})


def copied(**changes: Any) -> WriteRecord:
    """Return the record of the copy in the CRM, whose note was taken as it was sent."""
    values: dict[str, Any] = {
        "capability": "upsert_order", "canonical": GIVER, "id": "c" * 32, "outcome": "confirmed",
        "base": {"note": Pair("knock", "knock"), "number": Pair("SO-0", "SO-0")}, "result": (1, 4), "look": (1, 5),
        "digest": "before", "asked_at": EARLIER,
    }  # fmt: skip
    return record("crm|order", DEAL, **{**values, **changes})


def rung(
    known: WriteRecord, there: Observation | None = None, *, facts: dict[str, Any] | None = None, **flow: Any
) -> Planned:
    """Return what is planned for the CRM, whose copy shows another note than the shop's order."""
    parts = state(giver(note="ring"), there or deal(), known, agreed={"note": Agreed("ring", GIVER)})
    return planned(parts, world(CRM, facts=facts, **flow))
