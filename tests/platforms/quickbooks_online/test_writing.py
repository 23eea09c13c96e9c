"""Documents, parcels and notes, run against the sandbox; and what happens when it is run twice, late or half."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app.core.errors import DuplicateError, RejectedError, UnsupportedError
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox, Settings
from schemas.commands import Command, Pair
from schemas.facts import Customer, Invoice, Line, Payment
from schemas.platform import Effect
from schemas.platforms.quickbooks_online import PLATFORM
from schemas.projection import project
from tests.platforms.quickbooks_online.rig import ADA, DAY, Rig, billed, command, credit, invoice, payment, shipment
from tests.platforms.quickbooks_online.xsd import Schema

pytestmark = pytest.mark.sandbox


# -------------------------------------------------------------------------------------------------- documents


async def test_an_invoice_equals_the_order_to_the_cent_and_carries_our_mark(rig: Rig) -> None:
    asked = command("upsert_invoice", invoice())
    written = await rig.write(asked)
    row = rig.row("Invoice", written.id)
    assert (row["TotalAmt"], row["Balance"], row["EmailStatus"]) == (Decimal("15.41"), Decimal("15.41"), "NotSet")
    assert row["PrivateNote"] == f"{asked.mark}\nOrder 1001"
    assert (row["CustomerMemo"], row["DueDate"], row["BillEmail"]) == (
        {"value": "thanks"},
        "2026-05-19",
        {"Address": "ada@example.com"},
    )
    assert [line["SalesItemLineDetail"]["ItemRef"]["name"] for line in row["Line"][:-1]] == [
        "A-1",
        "Shipping",
        "Discount",
        "Rounding",
    ]
    assert written.mark == asked.mark
    assert written.facts is not None
    event = await rig.read("Invoice", written.id)
    assert (event.mirror_of, event.facts, event.anchors) == (asked.mark, written.facts, ())


async def test_what_is_shown_is_what_was_wanted(rig: Rig) -> None:
    asked = command("upsert_invoice", invoice())
    written = await rig.write(asked)
    wanted, shown = project(asked.facts), project(written.facts)
    for name in PLATFORM.shows["upsert_invoice"] - {"lines"}:
        assert wanted[name] == shown[name], name


async def test_every_write_carries_a_request_id_and_a_step_of_its_own(rig: Rig) -> None:
    await billed(rig)
    assert all(request.key_in == "param:requestid" and request.step for request in rig.writes)
    steps = [request.step for request in rig.writes]
    assert len(steps) == len(set(steps))
    locks = [request.lock for request in rig.writes if request.lock]
    assert locks[0] == "customer:ada@example.com"
    assert not any("allowduplicatedocnum" in str(request.params) for request in rig.requests)


async def test_the_same_create_twice_makes_one_document(rig: Rig) -> None:
    first = await billed(rig)
    assert (await billed(rig)).id == first.id
    assert len(rig.books("invoice")) == 1


async def test_a_new_generation_is_not_answered_with_the_deleted_document(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox.verbs["delete_invoice"]({"id": first.id})
    ghost = await billed(rig)
    assert ghost.id == first.id
    again = await rig.write(command("upsert_invoice", invoice(), generation=1))
    assert again.id != first.id
    assert len(rig.books("invoice")) == 1


async def test_an_unknown_presence_is_asked_first(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox._replies.clear()
    again = await rig.write(command("upsert_invoice", invoice(), presence="unknown"))
    assert again.id == first.id
    assert len(rig.books("invoice")) == 1


async def test_a_probe_finds_the_document_although_somebody_moved_its_date(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("upsert_invoice", invoice())
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert found.id == first.id
    rig.sandbox.verbs["edit_invoice"]({"id": first.id, "date": "2026-03-01"})
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert found.id == first.id
    assert await rig.run(rig.sink.probe(command("upsert_invoice", invoice(), order="1002"))) is None


async def test_lines_that_do_not_add_up_are_refused_before_they_leave(rig: Rig) -> None:
    with pytest.raises(RejectedError, match="do not make the total"):
        await billed(rig, payable_amount=Decimal("15.42"))
    assert rig.books("invoice") == []


async def test_an_edit_sends_only_what_changed_on_the_newest_version(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox.verbs["type_payment"]({"invoice_id": first.id, "amount": "1"})
    changed = command(
        "upsert_invoice", invoice(note="new"), kind="set", bound_id=first.id, changes=("note",), presence="present"
    )
    written = await rig.run(rig.sink.write(changed), "set-1")
    row = rig.row("Invoice", first.id)
    assert (row["CustomerMemo"], row["SyncToken"], row["DueDate"]) == ({"value": "new"}, "2", "2026-05-19")
    assert set(rig.writes[-1].json) == {"Id", "SyncToken", "sparse", "CustomerRef", "CustomerMemo"}
    assert isinstance(written.facts, Invoice)
    assert (written.facts.note, written.facts.payable_amount) == ("new", Decimal("15.41"))


async def test_changed_lines_replace_the_old_ones_and_keep_their_ids(rig: Rig) -> None:
    first = await billed(rig)
    line = Line(sku="A-1", name="thing", quantity=Decimal(2), unit_price=Decimal(10), net_amount=Decimal(20))
    facts = invoice(lines=(line,), tax_amount=Decimal(0), payable_amount=Decimal(20))
    changed = command("upsert_invoice", facts, kind="set", bound_id=first.id, changes=("lines", "payable_amount"))
    written = await rig.run(rig.sink.write(changed), "set-1")
    row = rig.row("Invoice", written.id)
    assert (row["TotalAmt"], [part["Id"] for part in row["Line"][:-1]]) == (20, ["1"])


async def test_a_sales_receipt_is_paid_at_once(rig: Rig) -> None:
    asked = command("upsert_sales_receipt", invoice(document="sales_receipt", due_date=None))
    written = await rig.write(asked)
    assert written.type == "SalesReceipt"
    assert isinstance(written.facts, Invoice)
    assert (written.facts.status, written.facts.document) == ("paid", "sales_receipt")
    (row,) = rig.books("sales_receipt")
    assert (row["total"], row["mark"].splitlines()[0]) == ("15.41", asked.mark)
    with pytest.raises(UnsupportedError):
        await rig.write(command("record_payment", payment(), links={"invoice": written.id}))
    void = await rig.write(command("void_invoice", asked.facts, bound_id=written.id))
    assert isinstance(void.facts, Invoice)
    assert void.facts.status == "void"


async def test_a_void_is_done_once_and_found_again(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("void_invoice", invoice(), links={"invoice": first.id})
    assert await rig.run(rig.sink.probe(asked)) is None
    written = await rig.write(asked)
    assert (written.mark, len([request for request in rig.writes if request.step == "void"])) == (first.mark, 1)
    assert (
        await rig.write(command("void_invoice", invoice(), links={"invoice": first.id}, generation=1))
    ).id == first.id
    assert len([request for request in rig.writes if request.step == "void"]) == 1
    assert await rig.run(rig.sink.probe(asked)) is not None
    assert rig.books("invoice")[0]["status"] == "void"


async def test_sending_the_invoice_contacts_the_customer_and_says_so(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("request_payment", invoice(), links={"invoice": first.id})
    await rig.write(asked)
    assert rig.row("Invoice", first.id)["EmailStatus"] == "EmailSent"
    assert PLATFORM.capabilities["request_payment"] is Effect.CONTACTS_CUSTOMER
    assert await rig.run(rig.sink.probe(asked)) is not None


async def test_a_closed_period_is_a_permanent_refusal(rig: Rig) -> None:
    rig.sandbox.verbs["set_lock_date"]({"date": "2026-05-31"})
    with pytest.raises(RejectedError, match="period is closed"):
        await billed(rig)


async def test_foreign_codes_are_taken_from_the_mapping() -> None:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100, settings=Settings(country="DE", home_currency="EUR"))
    url = await sandbox.start()
    try:
        codes = {
            str(int(rate["RateValue"])): code["Id"]
            for code, rate in zip(
                sandbox.company.store.listed("TaxCode"), sandbox.company.store.listed("TaxRate"), strict=True
            )
        }
        rig = Rig(sandbox, url, taxes=codes, options={"home_currency": "EUR"})
        row = rig.row("Invoice", (await billed(rig)).id)
        assert (row["TotalAmt"], row["GlobalTaxCalculation"]) == (Decimal("15.41"), "TaxExcluded")
        with pytest.raises(RejectedError, match="no tax code"):
            await rig.write(
                command(
                    "upsert_invoice",
                    invoice(lines=(Line(sku="x", net_amount=Decimal("12.79"), tax_rate=Decimal(33)),)),
                    order="2",
                )
            )
    finally:
        await sandbox.stop()


async def test_own_numbers_are_used_when_asked_for_and_a_strangers_number_is_a_duplicate() -> None:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100, settings=Settings(custom_numbers=True))
    url = await sandbox.start()
    try:
        rig = Rig(sandbox, url, options={"numbers": "order", "reference_field": "1"})
        row = rig.row("Invoice", (await billed(rig, po_number="PO-7")).id)
        assert (row["DocNumber"], row["CustomField"][0]["StringValue"]) == ("1001", "PO-7")
        with pytest.raises(DuplicateError):
            await rig.write(command("upsert_invoice", invoice(), order="2"))
    finally:
        await sandbox.stop()


async def test_the_customers_own_number_is_kept_in_the_field_that_the_connection_names() -> None:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100)
    url = await sandbox.start()
    try:
        rig = Rig(sandbox, url, options={"reference_field": "1"})
        made = await billed(rig, po_number="PO-7")
        changed = await rig.write(
            command("upsert_invoice", invoice(po_number="PO-8"), bound_id=made.id, changes=("po_number",))
        )
        assert project(changed.facts)["po_number"] == "PO-8"
        sandbox.verbs["edit_invoice"]({"id": made.id, "reference": "PO-9"})
        event = await rig.read("Invoice", made.id)
        assert project(event.facts)["po_number"] == "PO-9"
        assert rig.row("Invoice", made.id)["TotalAmt"] == Decimal("15.41")
    finally:
        await sandbox.stop()


# -------------------------------------------------------------------------------------- shipments and notes


async def test_parcels_share_the_tracking_field_and_none_is_lost(rig: Rig) -> None:
    first = await billed(rig)
    links = {"invoice": first.id}
    one = command("record_shipment", shipment("00340434161094000001"), links=links, what="1")
    two = command("record_shipment", shipment("00340434161094000002"), links=links, what="2")
    assert await rig.run(rig.sink.probe(one)) is None
    written = await rig.write(one)
    assert (written.type, written.mark) == ("Invoice", first.mark)
    await rig.write(two)
    row = rig.row("Invoice", first.id)
    assert (row["TrackingNum"], row["ShipDate"]) == ("00340434161094000001", "2026-05-06")
    assert "Parcel DHL 00340434161094000002" in row["PrivateNote"]
    assert first.mark in row["PrivateNote"]
    assert all([await rig.run(rig.sink.probe(asked)) for asked in (one, two)])
    token = row["SyncToken"]
    await rig.write(msgspec.structs.replace(two, generation=1))
    assert rig.row("Invoice", first.id)["SyncToken"] == token


async def test_a_number_that_comes_later_or_is_put_right_is_written(rig: Rig) -> None:
    first = await billed(rig)
    links = {"invoice": first.id}
    await rig.write(command("record_shipment", shipment("1Z0"), links=links, what="0"))
    await rig.write(command("record_shipment", shipment(carrier=""), links=links, what="1"))

    async def told(*numbers: str, was: str = "") -> str:
        base = {"tracking": Pair(was, was)} if was else {}
        more = {"kind": "set", "bound_id": first.id, "changes": ("carrier", "tracking"), "base": base}
        asked = command("record_shipment", shipment(*numbers), links=links, what="1", **more)
        await rig.run(rig.sink.write(asked), "-".join(numbers))
        row = rig.row("Invoice", first.id)
        assert (row["ShipMethodRef"]["value"], row["ShipDate"]) == ("DHL", "2026-05-06")
        return str(row["TrackingNum"])

    assert await told("1Z1") == "1Z0, 1Z1"
    assert await told("1Z2", "1Z3", was="1Z1") == "1Z0, 1Z2, 1Z3"
    assert await told("1Z4") == "1Z0, 1Z2, 1Z3, 1Z4", "what it was is not known: none is lost"


async def test_a_parcel_of_a_sales_receipt_is_found_again_there(rig: Rig) -> None:
    sold = await rig.write(command("upsert_sales_receipt", invoice(document="sales_receipt")))
    links = {"invoice": sold.id}
    first = await rig.write(command("record_shipment", shipment("1Z1"), links=links))
    more = {"kind": "set", "bound_id": first.id, "changes": ("tracking",), "links": links}
    asked = command("record_shipment", shipment("1Z2"), **more)
    there = await rig.run(rig.sink.reread(asked))
    assert there is not None
    assert (there.type, there.id) == ("SalesReceipt", sold.id)
    await rig.run(rig.sink.write(asked), "set")
    assert rig.row("SalesReceipt", sold.id)["TrackingNum"] == "1Z1, 1Z2"


async def test_a_note_is_added_once(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("add_note", invoice(), links={"invoice": first.id}, text="call back")
    assert await rig.run(rig.sink.probe(asked)) is None
    await rig.write(asked)
    await rig.write(msgspec.structs.replace(asked, id="f" * 32))
    assert rig.row("Invoice", first.id)["PrivateNote"].count("call back") == 1
    assert await rig.run(rig.sink.probe(asked)) is not None


async def test_reread_shows_the_edit_of_a_person_and_none_when_it_is_gone(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox.verbs["edit_invoice"]({"id": first.id, "note": "by hand"})
    asked = command("upsert_invoice", invoice(), kind="set", bound_id=first.id, changes=("note",))
    shown = await rig.run(rig.sink.reread(asked))
    assert shown is not None
    assert project(shown.facts)["note"] == "by hand"
    rig.sandbox.verbs["delete_invoice"]({"id": first.id})
    assert await rig.run(rig.sink.reread(asked)) is None


# --------------------------------------------------------------------------------------------------- contract


WRITES: dict[str, Callable[[str, str], Command]] = {
    "upsert_customer": lambda *_: command("upsert_customer", Customer(party=ADA)),
    "upsert_invoice": lambda *_: command("upsert_invoice", invoice(), order="9"),
    "upsert_sales_receipt": lambda *_: command("upsert_sales_receipt", invoice(document="sales_receipt"), order="8"),
    "record_payment": lambda invoice_, _: command(
        "record_payment", payment("1"), links={"invoice": invoice_}, what="x"
    ),
    "issue_credit": lambda invoice_, _: command("issue_credit", credit("1"), links={"invoice": invoice_}),
    "record_refund": lambda invoice_, _: command("record_refund", credit("1"), links={"invoice": invoice_}),
    "apply_credit": lambda invoice_, _: command("apply_credit", credit("1"), links={"invoice": invoice_}),
    "record_shipment": lambda invoice_, _: command("record_shipment", shipment("1Z"), links={"invoice": invoice_}),
    "add_note": lambda invoice_, _: command("add_note", invoice(), links={"invoice": invoice_}, text="hello"),
    "reverse_payment": lambda _, payment_: command("reverse_payment", payment(), links={"payment": payment_}),
    "reverse_refund": lambda _, refund_: command("reverse_refund", credit(), links={"payment": refund_}),
    "request_payment": lambda invoice_, _: command("request_payment", invoice(), links={"invoice": invoice_}),
    "void_invoice": lambda invoice_, _: command("void_invoice", invoice(), links={"invoice": invoice_}),
}


def test_every_capability_is_tried_here() -> None:
    assert set(WRITES) == set(PLATFORM.capabilities)


@pytest.mark.parametrize("capability", sorted(WRITES))
async def test_every_request_body_is_that_of_the_xsd_and_only_one_sends_mail(
    rig: Rig, shared: Path, capability: str
) -> None:
    schema = Schema(shared / "specs" / "quickbooks-online")
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment("2"), links={"invoice": first.id}))
    asked = WRITES[capability](first.id, paid.id)
    if capability == "apply_credit":
        buyer, money = (rig.row("Invoice", first.id)[name] for name in ("CustomerRef", "CurrencyRef"))
        typed = rig.sandbox.verbs["type_credit"]({"customer": buyer["name"], "currency": money["value"], "amount": "1"})
        asked = msgspec.structs.replace(asked, links={**asked.links, "credit": str(typed["id"])})
    if capability == "reverse_refund":
        refund = await rig.write(command("record_refund", credit("1"), links={"invoice": first.id}, what="r"))
        asked = msgspec.structs.replace(asked, links={"payment": refund.id})
    await rig.write(asked)
    names = {
        name.lower(): name
        for name in ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Payment", "Customer", "Item")
    }
    for request in rig.writes:
        segment = request.path.split("/")[4]
        assert list(schema.complaints(names[segment], request.json or {})) == []
        assert request.path.endswith("/send") == (request.step == "send")
    assert any(request.path.endswith("/send") for request in rig.writes) == (capability == "request_payment")


async def test_a_sweep_shows_what_was_written_and_deleted(rig: Rig) -> None:
    first = await billed(rig)
    gone = rig.sandbox.verbs["type_invoice"](
        {"customer": "X", "currency": "USD", "lines": [{"title": "t", "price": "1"}]}
    )
    rig.sandbox.verbs["delete_invoice"](gone)
    now = rig.sandbox.clock()
    page = await rig.run(rig.source.sweep("books", now.isoformat(), now))
    seen = {(event.object.type, event.object.id): event.presence for event in page.events}
    assert seen["Invoice", first.id] == "present"
    assert seen["Invoice", gone["id"]] == "deleted"
    identity = await rig.run(rig.source.identify())
    assert (identity.account, identity.home_currency, identity.missing) == ("310687", "USD", ())


async def test_book_date_follows_the_zone_of_the_ledger(rig: Rig) -> None:
    rig = Rig(rig.sandbox, rig.url, time_zone="Australia/Sydney")
    first = await billed(rig)
    at = msgspec.structs.replace(
        payment(), date=None, paid_at=rig.sandbox.clock().replace(year=2026, month=4, day=30, hour=23)
    )
    written = await rig.write(command("record_payment", at, links={"invoice": first.id}))
    assert isinstance(written.facts, Payment)
    assert written.facts.date == date(2026, 5, 1)
    assert DAY.isoformat() == "2026-05-05"
