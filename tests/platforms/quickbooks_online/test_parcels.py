"""A tracking number that a person types on a document is a parcel of its order; one that o2c wrote is none."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from app.connectors.sending import conversed
from app.render.studio import studio
from schemas.events import ChangeEvent, Hint
from schemas.facts import Shipment
from schemas.platforms.quickbooks_online import parcels
from schemas.refs import ObjectRef
from sinks.platforms.quickbooks_online import SINK
from streams.sources.platforms.quickbooks_online import SOURCE
from tests.contract.test_parcel_numbers import parcel
from tests.platforms.planned import Planned, order
from tests.platforms.quickbooks_online.rig import ACCOUNT, Rig, billed, command, invoice, shipment

pytestmark = pytest.mark.sandbox


async def seen(rig: Rig, type_: str, id_: str) -> list[ChangeEvent]:
    hint = Hint(tenant="acme", object=ObjectRef("books", ACCOUNT, type_, id_))
    return await rig.run(rig.source.read(hint))


async def test_a_typed_number_is_a_parcel_that_hangs_on_its_document_read_or_swept(rig: Rig) -> None:
    first = await billed(rig)
    now = rig.sandbox.clock()
    asked = {"id": first.id, "tracking": "1Z1, 1Z2; 1Z1", "carrier": "UPS", "shipped": "2026-05-06"}
    rig.sandbox.verbs["edit_invoice"](asked)
    document, told = await seen(rig, "Invoice", first.id)
    assert (told.object.type, told.object.id) == ("Parcel", f"Invoice:{first.id}")
    assert told.facts == Shipment(
        carrier="UPS", tracking_numbers=("1Z1", "1Z2"), shipped_at=datetime(2026, 5, 6, 12, tzinfo=UTC)
    )
    assert ([anchor.ref for anchor in told.anchors], told.mirror_of) == ([document.object], None)
    assert told.version == document.version
    page = await rig.run(rig.source.sweep("books", now.isoformat(), now))
    assert [(one.object, one.facts) for one in page.events if one.object.type == "Parcel"] == [
        (told.object, told.facts)
    ]
    assert await seen(rig, "Parcel", told.object.id) == [document, told]


async def test_a_number_of_ours_is_no_parcel_beside_one_that_a_person_adds(rig: Rig) -> None:
    first = await billed(rig)
    links = {"invoice": first.id}
    await rig.write(command("record_shipment", shipment("1Z1"), links=links, what="1"))
    assert [one.object.type for one in await seen(rig, "Invoice", first.id)] == ["Invoice"]
    rig.sandbox.verbs["edit_invoice"]({"id": first.id, "tracking": "1Z1, 9X"})
    await rig.write(command("record_shipment", shipment("1Z2"), links=links, what="2"))
    _, told = await seen(rig, "Invoice", first.id)
    assert isinstance(told.facts, Shipment)
    assert told.facts.tracking_numbers == ("9X",)
    row = rig.row("Invoice", first.id)
    assert row["TrackingNum"] == "1Z1, 9X, 1Z2"
    assert row["PrivateNote"].splitlines()[:2] == [first.mark, "parcels: 1Z1, 1Z2"]
    rig.sandbox.verbs["edit_invoice"]({"id": first.id, "tracking": "1Z1"})
    assert [(one.object.type, one.presence) for one in await seen(rig, "Parcel", told.object.id)] == [
        ("Invoice", "present"),
        ("Parcel", "deleted"),
    ]


async def test_a_sales_receipt_carries_parcels_as_well_and_nothing_that_is_gone_does(rig: Rig) -> None:
    sold = await rig.write(command("upsert_sales_receipt", invoice(document="sales_receipt")))
    await rig.write(command("record_shipment", shipment("1Z1"), links={"invoice": sold.id}))
    assert [one.object.type for one in await seen(rig, "SalesReceipt", sold.id)] == ["SalesReceipt"]
    assert [one.presence for one in await seen(rig, "Parcel", "Invoice:999")] == ["deleted", "deleted"]


async def test_what_was_written_comes_back_as_nothing_and_what_a_person_types_is_not_written_there_again() -> None:
    async with studio("quickbooks_online") as bench:
        flow = Planned(bench)
        sink, source = SINK(bench.connection), SOURCE(bench.connection)
        told = await flow.see(order("10.00"), parcel(1, "1Z1"))
        (document,) = [one.bound for one in told if one.capability == "upsert_invoice"]
        assert document is not None
        look = source.read(Hint(tenant="local", object=document))
        assert [one.object.type for one in await conversed(look, bench.sending)] == ["Invoice"]
        before = len(flow.writes("record_shipment"))
        row = await conversed(sink.existing("Invoice", document.id), bench.sending)
        await conversed(sink.changed("Invoice", row, {"TrackingNum": "1Z1, 9X"}), bench.sending)
        events = await conversed(source.read(Hint(tenant="local", object=document)), bench.sending)
        assert [one.object.type for one in events] == ["Invoice", "Parcel"]
        assert await flow.see(*(msgspec.structs.replace(one, order=told[0].order) for one in events)) == []
        assert events[1].object.key in flow._state.objects
        assert len(flow.writes("record_shipment")) == before + 1, "the change that the person made here"


@pytest.mark.parametrize(
    ("note", "mine", "after"),
    [
        ("o2c1:x\nOrder 7", ["1Z1"], "o2c1:x\nparcels: 1Z1\nOrder 7"),
        ("o2c1:x\nparcels: 1Z1\nOrder 7", ["1Z2", "1Z2"], "o2c1:x\nparcels: 1Z2\nOrder 7"),
        ("o2c1:x\nparcels: 1Z1", [], "o2c1:x"),
        ("", ["1Z1"], "parcels: 1Z1"),
    ],
)
def test_the_note_says_which_numbers_are_ours(note: str, mine: list[str], after: str) -> None:
    assert parcels.told(note, mine) == after
    assert parcels.ours(after) == list(dict.fromkeys(mine))
