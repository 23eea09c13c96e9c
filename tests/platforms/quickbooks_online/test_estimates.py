"""An estimate stands for an order: told by a webhook, or found by the sweep when that was lost."""

from __future__ import annotations

import pytest

from schemas.facts import Order
from tests.platforms.quickbooks_online.rig import Rig

pytestmark = pytest.mark.sandbox


async def swept(rig: Rig, id_: str) -> list[tuple[str, str, str]]:
    """Return how a sweep shows an estimate: presence, status and headline."""
    now = rig.sandbox.clock()
    page = await rig.run(rig.source.sweep("books", now.isoformat(), now))
    found = [one for one in page.events if (one.object.type, one.object.id) == ("Estimate", id_)]
    facts = [(one.presence, one.facts) for one in found]
    return [(there, *((one.status, one.headline) if isinstance(one, Order) else ("", ""))) for there, one in facts]


async def test_an_estimate_whose_webhooks_are_lost_is_found_at_every_stage(rig: Rig) -> None:
    act = rig.sandbox.verbs
    asked = {"customer": "Ada", "currency": "EUR", "lines": [{"title": "thing", "price": "119"}]}
    id_ = act["type_estimate"](asked)["id"]
    assert await swept(rig, id_) == [("present", "draft", "draft")]
    act["edit_estimate"]({"id": id_, "status": "Accepted"})
    assert await swept(rig, id_) == [("present", "open", "open")]
    act["edit_estimate"]({"id": id_, "status": "Rejected"})
    assert await swept(rig, id_) == [("present", "cancelled", "cancelled")]
    act["delete_estimate"]({"id": id_})
    assert await swept(rig, id_) == [("deleted", "", "")]


async def test_a_sweep_and_a_read_of_an_estimate_tell_the_same(rig: Rig) -> None:
    lines = [{"title": "thing", "price": "119"}]
    id_ = rig.sandbox.verbs["type_estimate"]({"customer": "Ada", "currency": "EUR", "lines": lines})["id"]
    now = rig.sandbox.clock()
    page = await rig.run(rig.source.sweep("books", now.isoformat(), now))
    (shown,) = [one for one in page.events if one.object.type == "Estimate"]
    read = await rig.read("Estimate", id_)
    assert (read.facts, read.version, read.anchors) == (shown.facts, shown.version, shown.anchors)
