"""A parcel's number that is known later, or put right, leaves for every system that is told of parcels, once."""

from __future__ import annotations

import pytest

from app import platforms
from app.render.studio import studio
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Shipment
from schemas.refs import ObjectRef
from tests.platforms.planned import NOW, ORDER, Planned, order

pytestmark = pytest.mark.sandbox
TELLS = "record_shipment"
SLUGS = [slug for slug in platforms.slugs() if TELLS in platforms.load(slug).platform.capabilities]


def parcel(version: int, *numbers: str, status: str = "shipped") -> ChangeEvent:
    facts = Shipment(carrier="UPS", tracking_numbers=numbers, status=status)  # type: ignore[arg-type]
    return ChangeEvent(
        tenant="local", object=ObjectRef("erp", "1", "shipment", "s"), facts=facts, version=Version(version),
        anchors=(Anchor("order", ORDER),), changed_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_number_that_comes_later_or_is_put_right_is_written_once(slug: str) -> None:
    async with studio(slug) as bench:
        flow = Planned(bench)
        await flow.see(order("10.00"), parcel(1))
        for version, number in ((2, "1Z1"), (3, "1Z2")):
            before = len(bench.recorder.sent)
            told = [one for one in await flow.see(parcel(version, number)) if one.capability == TELLS]
            assert [one.outcome for one in told] == ["confirmed"], told
            sent = [str(one) for one in bench.recorder.sent[before:] if one.mutates and one.capability == TELLS]
            assert any(number in one for one in sent), sent
        assert [one for one in await flow.see(parcel(4, "1Z2", status="delivered")) if one.capability == TELLS] == []
