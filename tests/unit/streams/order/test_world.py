"""What the core is told about the world: which platform, which fields, and which object gives an order its key."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from schemas.facts import Payment
from schemas.refs import ObjectRef
from streams.order.world import World
from tests.unit.streams.order.sample import CONNECTIONS, FIELDS, FLOW, PLATFORMS, SHOP, WORLD
from tests.unit.streams.order.states import giver, look, state


def world(**platforms: object) -> World:
    """Return a world that has answered nothing yet."""
    return World(facts=WORLD.facts, platforms={**PLATFORMS, **platforms})


def test_the_fields_that_a_connection_shows_depend_on_its_options() -> None:
    more = msgspec.structs.replace(PLATFORMS["crmm"], shows_by_option={"memo": {"upsert_order": frozenset(("memo",))}})
    chosen = msgspec.structs.replace(CONNECTIONS["crm"], options={"memo": "field_7"})
    facts = msgspec.structs.replace(WORLD.facts, connections={**CONNECTIONS, "crm": chosen})
    platforms = {**PLATFORMS, "crmm": more}
    assert World(facts=facts, platforms=platforms).shown("crm", "upsert_order") == FIELDS | {"memo"}
    assert World(facts=WORLD.facts, platforms=platforms).shown("crm", "upsert_order") == FIELDS
    assert world().shown("crm", "record_payment") is None


def test_of_a_connection_or_platform_that_is_not_there_nothing_is_known() -> None:
    without = World(facts=WORLD.facts, platforms={})
    assert (without.shown("crm", "upsert_order"), world().shown("old", "upsert_order")) == (None, None)
    assert (without.canonical(SHOP), world().canonical(ObjectRef("old", "o", "order", "1"))) == ("", "")


@pytest.mark.parametrize(("type_", "kind"), [("order", "order"), ("invoice", "invoice"), ("webhook", "")])
def test_an_object_is_of_the_kind_that_its_platform_says(type_: str, kind: str) -> None:
    assert world().canonical(ObjectRef("shop", "s", type_, "1")) == kind


def test_whichever_object_of_the_order_comes_first_its_key_giver_is_found() -> None:
    paid, order = look(Payment(amount=Decimal(1), currency="EUR"), "shop", "p"), giver()
    for parts in ((paid, order), (order, paid)):
        assert world().key_giver(state(*parts)) == (FLOW, order)
    assert world().key_giver(state(paid)) is None
