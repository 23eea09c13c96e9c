"""Every capability, run against the sandbox; and what happens when it is run twice, late or half."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from app.core.errors import (
    ConflictError,
    DuplicateError,
    O2CError,
    RejectedError,
    RetryableError,
    UncertainError,
    UnsupportedError,
)
from app.core.limits import Limiter
from app.core.talk import Response
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox, Settings
from schemas.commands import Command
from schemas.facts import Credit, Customer, Invoice, Line, Party, Payment
from schemas.platform import Effect
from schemas.platforms.quickbooks_online import PLATFORM
from schemas.projection import project
from sinks.base import Written
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.rig import ADA, DAY, Rig, command, credit, invoice, payment, shipment
from tests.platforms.quickbooks_online.xsd import Schema

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    sandbox = QuickbooksOnlineSandbox("310687", quota_scale=100)
    yield Rig(sandbox, await sandbox.start())
    await sandbox.stop()


async def billed(rig: Rig, **more: Any) -> Written:
    return await rig.write(command("upsert_invoice", invoice(**more)))


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


def test_a_stale_token_is_a_conflict() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    changed = command("upsert_invoice", invoice(note="new"), kind="set", bound_id="1", changes=("note",))
    read = Response(status=200, body=b'{"Invoice":{"Id":"1","SyncToken":"0"}}')
    with pytest.raises(ConflictError):
        answer(sink.write(changed), read, Response(status=400, body=_fault("5010")))


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


# -------------------------------------------------------------------------------------------------- customers


async def test_two_orders_of_one_buyer_make_one_customer(rig: Rig) -> None:
    await billed(rig)
    await rig.write(command("upsert_invoice", invoice(), order="1002"))
    assert [row["customer"] for row in rig.books("customer")] == ["Ada Lovelace"]


async def test_another_person_of_that_name_gets_a_name_of_his_own(rig: Rig) -> None:
    await billed(rig)
    twin = Party(name="Ada: Lovelace", email="other@example.com")
    await rig.write(command("upsert_invoice", invoice(customer=twin), order="1002"))
    await rig.write(command("upsert_invoice", invoice(customer=twin), order="1003"))
    assert sorted(row["customer"] for row in rig.books("customer")) == [
        "Ada Lovelace",
        "Ada Lovelace (other@example.com)",
    ]


async def test_a_second_currency_needs_a_second_card(rig: Rig) -> None:
    await billed(rig)
    await rig.write(command("upsert_invoice", invoice(currency="USD"), order="1002"))
    await rig.write(command("upsert_invoice", invoice(currency="USD"), order="1003"))
    cards = {(row["customer"], row["currency"]) for row in rig.books("customer")}
    assert len(cards) == 2
    assert {currency for _, currency in cards} == {"EUR", "USD"}


async def test_an_archived_customer_is_not_billed(rig: Rig) -> None:
    await billed(rig)
    (card,) = rig.books("customer")
    rig.sandbox.verbs["archive_customer"]({"id": card["id"]})
    await rig.write(command("upsert_invoice", invoice(), order="1002"))
    assert len(rig.books("customer")) == 2


def test_a_name_that_a_vendor_has_leads_to_the_next_name() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    nobody = Response(status=200, body=b'{"QueryResponse":{}}')
    made = Response(status=200, body=b'{"Customer":{"Id":"5","DisplayName":"Ada Lovelace (ada@example.com)"}}')
    taken = Response(status=400, body=_fault("6240"))
    requests, row = answer(sink.customer(ADA, "EUR"), nobody, taken, nobody, made)
    assert row["Id"] == "5"
    names = [request.json["DisplayName"] for request in requests if request.mutates]
    assert names == ["Ada Lovelace", "Ada Lovelace (ada@example.com)"]


def test_a_customer_whom_somebody_else_made_meanwhile_is_taken() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    taken = Response(status=400, body=_fault("6240"))
    card = b'{"QueryResponse":{"Customer":[{"Id":"5","DisplayName":"Ada Lovelace","PrimaryEmailAddr":{"Address":"ADA@example.com"}}]}}'
    nobody = Response(status=200, body=b'{"QueryResponse":{}}')
    _, row = answer(sink.customer(ADA, "EUR"), nobody, taken, Response(status=200, body=card))
    assert row["Id"] == "5"


async def test_quotes_in_names_are_escaped(rig: Rig) -> None:
    for order in ("1", "2"):
        await rig.write(command("upsert_invoice", invoice(customer=Party(name="Pat O'Hara \\ Co")), order=order))
    assert [row["customer"] for row in rig.books("customer")] == ["Pat O'Hara \\ Co"]


async def test_a_customer_is_made_found_and_changed(rig: Rig) -> None:
    asked = command("upsert_customer", Customer(party=ADA))
    made = await rig.write(asked)
    assert (await rig.run(rig.sink.probe(asked))) is not None
    renamed = msgspec.structs.replace(ADA, phone="123")
    changed = command("upsert_customer", Customer(party=renamed), kind="set", bound_id=made.id, changes=("phone",))
    written = await rig.run(rig.sink.write(changed), "set-1")
    assert isinstance(written.facts, Customer)
    assert (written.facts.party.phone, written.facts.party.email) == ("123", "ada@example.com")


# ------------------------------------------------------------------------------------------------------ money


async def test_payments_close_the_invoice_and_what_is_over_stays_unapplied(rig: Rig) -> None:
    first = await billed(rig)
    links = {"invoice": first.id}
    await rig.write(command("record_payment", payment("10"), links=links, what="p1"))
    written = await rig.write(command("record_payment", payment("10"), links=links, what="p2"))
    assert isinstance(written.facts, Payment)
    assert (written.facts.unapplied_amount, written.facts.reference) == (Decimal("4.59"), "pi_3MtwBwLkdIwHu7ix28a3tqPa")
    assert rig.books("invoice")[0]["due"] == "0.00"
    event = await rig.read("Payment", written.id)
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [(first.id, "5.41")]
    wanted, shown = project(payment("10")), project(written.facts)
    assert {name: shown[name] for name in wanted} == wanted


async def test_a_payment_is_probed_by_its_mark(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("record_payment", payment(), links={"invoice": first.id})
    assert await rig.run(rig.sink.probe(asked)) is None
    written = await rig.write(asked)
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert found.id == written.id
    other = command("record_payment", payment(), links={"invoice": first.id}, what="p2")
    assert await rig.run(rig.sink.probe(other)) is None


async def test_a_reversal_opens_the_invoice_again(rig: Rig) -> None:
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment(), links={"invoice": first.id}))
    asked = command("reverse_payment", payment(), links={"payment": paid.id})
    assert await rig.run(rig.sink.probe(asked)) is None
    written = await rig.write(asked)
    assert isinstance(written.facts, Payment)
    assert written.facts.status == "reversed"
    assert rig.books("invoice")[0]["due"] == "15.41"
    assert (await rig.run(rig.sink.probe(asked))) is not None


async def test_a_refund_is_taken_back_once(rig: Rig) -> None:
    first = await billed(rig)
    refund = await rig.write(command("record_refund", credit("1"), links={"invoice": first.id}))
    asked = command("reverse_refund", credit("1"), links={"payment": refund.id})
    assert await rig.run(rig.sink.probe(asked)) is None
    assert [row["status"] for row in rig.books("refund")] == ["refunded"]
    for _ in range(2):
        assert (await rig.write(asked)).id == refund.id
    assert rig.books("refund") == []
    assert await rig.run(rig.sink.probe(asked)) is not None


async def test_a_deposited_payment_is_a_task_for_a_person(rig: Rig) -> None:
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment(), links={"invoice": first.id}))
    rig.sandbox.verbs["deposit_payment"]({"id": paid.id})
    with pytest.raises(RejectedError, match="bank deposit"):
        await rig.write(command("reverse_payment", payment(), links={"payment": paid.id}))


async def test_a_changed_amount_keeps_the_payment_applied(rig: Rig) -> None:
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment("10"), links={"invoice": first.id}))
    changed = command("record_payment", payment("7"), kind="set", bound_id=paid.id, changes=("amount",))
    await rig.run(rig.sink.write(changed), "set-1")
    assert rig.books("invoice")[0]["due"] == "8.41"


async def test_a_credit_is_set_off_against_what_is_owed(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("issue_credit", credit(), links={"invoice": first.id})
    written = await rig.write(asked)
    assert isinstance(written.facts, Credit)
    assert (written.facts.amount, written.facts.remaining_amount, written.complete) == (
        Decimal("5.95"),
        Decimal(0),
        True,
    )
    (row,) = rig.books("invoice")
    assert (row["credited"], row["due"], row["paid"]) == ("5.95", "9.46", "0.00")
    assert rig.books("payment") == []
    event = await rig.read("CreditMemo", written.id)
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [(first.id, "5.95")]


async def test_a_credit_is_not_doubled_although_it_is_said_to_be_absent(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("issue_credit", credit(), links={"invoice": first.id})
    once = await rig.write(asked)
    rig.sandbox._replies.clear()
    assert (await rig.write(asked)).id == once.id
    assert len(rig.books("credit")) == 1


async def test_half_a_credit_is_completed_and_not_written_again(rig: Rig) -> None:
    first = await billed(rig)
    asked = command("issue_credit", credit(), links={"invoice": first.id})
    talk = rig.sink.write(asked)
    await stopped(rig, talk, asked.id, "apply")
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert not found.complete
    done = await rig.write(msgspec.structs.replace(asked, presence="unknown"))
    assert done.complete
    assert (len(rig.books("credit")), rig.books("invoice")[0]["due"]) == (1, "9.46")


async def stopped(rig: Rig, talk: Any, name: str, step: str) -> None:
    """Run *talk* until it wants to do *step*: there it dies."""

    def cut() -> Any:
        request = next(talk)
        while request.step != step:
            reply = yield request
            request = talk.send(reply)

    await rig.run(cut(), name)


async def test_a_credit_on_a_paid_invoice_stays_open(rig: Rig) -> None:
    first = await billed(rig)
    await rig.write(command("record_payment", payment(), links={"invoice": first.id}))
    written = await rig.write(command("issue_credit", credit(), links={"invoice": first.id}))
    assert isinstance(written.facts, Credit)
    assert written.facts.remaining_amount == Decimal("5.95")


async def test_what_a_credit_has_left_is_used_on_another_invoice_once(rig: Rig) -> None:
    first = await billed(rig)
    await rig.write(command("record_payment", payment(), links={"invoice": first.id}))
    note = await rig.write(command("issue_credit", credit(), links={"invoice": first.id}))
    later = await rig.write(command("upsert_invoice", invoice(), order="2"))
    asked = command("apply_credit", credit(), links={"credit": note.id, "invoice": later.id}, what="2")
    assert await rig.run(rig.sink.probe(asked)) is None
    done = [await rig.write(asked) for _ in range(2)]
    assert done[0] == done[1] == await rig.run(rig.sink.probe(asked))
    assert isinstance(done[0].facts, Credit)
    assert (done[0].id, done[0].mark, done[0].facts.remaining_amount) == (note.id, note.mark, 0)
    row = next(row for row in rig.books("invoice") if row["id"] == later.id)
    assert row["credited"] == "5.95"


async def test_a_refund_is_a_receipt_with_the_tax_of_the_original(rig: Rig) -> None:
    first = await billed(rig)
    line = Line(sku="A-1", name="thing", unit_price=Decimal(5), net_amount=Decimal(5), tax_amount=Decimal("0.95"))
    asked = command("record_refund", credit(lines=(line,)), links={"invoice": first.id})
    written = await rig.write(asked)
    row = rig.row("RefundReceipt", written.id)
    assert (row["TotalAmt"], row["TxnTaxDetail"]["TotalTax"]) == (Decimal("5.95"), Decimal("0.95"))
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert isinstance(found.facts, Credit)
    assert (found.id, found.facts.document, found.facts.reference) == (written.id, "refund", "re_1")


async def test_a_refund_after_a_credit_note_touches_neither_income_nor_tax(rig: Rig) -> None:
    first = await billed(rig)
    line = Line(sku="A-1", name="thing", unit_price=Decimal(5), net_amount=Decimal(5), tax_amount=Decimal("0.95"))
    note = await rig.write(command("issue_credit", credit(lines=(line,)), links={"invoice": first.id}))
    asked = command("record_refund", credit(lines=(line,)), links={"invoice": first.id, "credit": note.id})
    row = rig.row("RefundReceipt", (await rig.write(asked)).id)
    detail = row["Line"][0]["SalesItemLineDetail"]
    assert (row["TotalAmt"], row["TxnTaxDetail"]["TotalTax"]) == (Decimal("5.95"), 0)
    assert (detail["ItemRef"]["name"], detail["ItemAccountRef"]["name"]) == ("Refund", "Undeposited Funds")


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


# ----------------------------------------------------------------------------------------------------- batches


async def test_thirty_invoices_go_in_one_batch_and_the_bad_one_falls_alone(rig: Rig) -> None:
    commands = [
        command("upsert_invoice", invoice(customer=Party(name=f"Buyer {n % 7}")), order=str(n)) for n in range(30)
    ]
    commands[4] = command("upsert_invoice", invoice(payable_amount=Decimal(1)), order="4")
    results = await rig.run(rig.sink.write_many(commands), "batch-1")
    assert [isinstance(result, O2CError) for result in results] == [n == 4 for n in range(30)]
    assert len(rig.books("invoice")) == 29
    assert [result.mark for result in results if isinstance(result, Written)] == [
        one.mark for one in commands if one is not commands[4]
    ]
    batches = [request for request in rig.requests if request.path.endswith("/batch")]
    assert [request.cost for request in batches] == [1]
    assert sum(request.cost for request in rig.requests) == 1
    assert len(rig.requests) < 20


def test_batches_stay_below_forty_a_minute() -> None:
    limiter = Limiter(PLATFORM.limits, lambda: 0.0)
    points = PLATFORM.limits.points
    assert points is not None
    assert points.requests + points.requests / points.per_seconds * 60 <= 40
    assert limiter.wait(0) == 0


def paying(invoice_id: str, amount: str, count: int) -> list[Command]:
    links = {"invoice": invoice_id}
    return [command("record_payment", payment(amount), links=links, what=str(n)) for n in range(count)]


async def test_payments_of_one_invoice_in_one_batch_share_its_balance(rig: Rig) -> None:
    first = await billed(rig)
    results = await rig.run(rig.sink.write_many(paying(first.id, "4", 5)), "batch-1")
    assert all(isinstance(result, Written) for result in results)
    assert (rig.books("invoice")[0]["due"], len(rig.books("payment"))) == ("0.00", 5)
    # three are needed in full; of the others each is written by itself, as what is due says then
    assert [request.path.rpartition("/")[2] for request in rig.writes[-3:]] == ["batch", "payment", "payment"]


async def test_a_few_are_not_worth_a_batch(rig: Rig) -> None:
    first = await billed(rig)
    await rig.run(rig.sink.write_many(paying(first.id, "1", 2)), "batch-1")
    assert len(rig.books("payment")) == 2
    assert not any(request.path.endswith("/batch") for request in rig.writes)


async def test_a_list_that_lags_does_not_refuse_a_payment(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({"visibility_lag_s": 60})
    commands = paying(first.id, "2", 10)
    results = [
        *(await rig.run(rig.sink.write_many(commands[:5]), "b1")),
        *(await rig.run(rig.sink.write_many(commands[5:]), "b2")),
    ]
    assert all(isinstance(result, Written) for result in results)
    assert rig.books("invoice")[0]["due"] == "0.00"


async def test_a_list_that_lags_leaves_nothing_of_a_payment_unapplied(rig: Rig) -> None:
    """The total rose a moment ago and the list still shows what was due before."""
    bills = [await rig.write(command("upsert_invoice", invoice(), order=str(n))) for n in range(5)]
    shown_until = rig.sandbox.clock()
    store = rig.sandbox.company.store
    store._visible = store._settled = lambda changed_at: changed_at <= shown_until
    dearer = Line(sku="A-1", name="thing", quantity=Decimal(2), unit_price=Decimal(10), net_amount=Decimal(20))
    more = invoice(lines=(dearer,), tax_amount=Decimal(0), payable_amount=Decimal(20))
    wanted = {"kind": "set", "bound_id": bills[1].id, "changes": ("lines", "payable_amount"), "presence": "present"}
    await rig.write(command("upsert_invoice", more, **wanted))
    money = ("15.41", "20.00", "15.41", "15.41", "15.41")
    commands = [
        command("record_payment", payment(amount), links={"invoice": bill.id}, what=bill.id)
        for amount, bill in zip(money, bills, strict=True)
    ]

    results = await rig.run(rig.sink.write_many(commands), "b1")

    assert all(isinstance(result, Written) for result in results)
    assert sorted((row["amount"], row["due"]) for row in rig.books("payment")) == sorted((m, "0.00") for m in money)
    assert {row["due"] for row in rig.books("invoice")} == {"0.00"}


async def test_a_batch_that_holds_what_must_be_asked_first_does_both(rig: Rig) -> None:
    first = await billed(rig)
    rig.sandbox._replies.clear()
    commands = [
        command("upsert_invoice", invoice(), presence="unknown"),
        command("upsert_invoice", invoice(), order="1002"),
    ]
    results = await rig.run(rig.sink.write_many(commands), "batch-1")
    assert isinstance(results[0], Written)
    assert results[0].id == first.id
    assert len(rig.books("invoice")) == 2


# ------------------------------------------------------------------------------------------------------ faults


@pytest.mark.parametrize("fault", ["reset_after_commit", "error_5xx_after_commit"])
async def test_a_lost_reply_is_found_by_the_probe_and_a_repeat_makes_no_second(rig: Rig, fault: str) -> None:
    asked = command("upsert_invoice", invoice())
    await stopped(rig, rig.sink.write(asked), asked.id, "invoice")
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({fault: 1})
    with pytest.raises((aiohttp.ClientError, UncertainError)):
        await rig.write(asked)
    rig.sandbox.injector.faults = rig.sandbox.faults.changed({fault: 0, "idempotency_off": 1})
    found = await rig.run(rig.sink.probe(asked))
    assert found is not None
    assert found.mark == asked.mark
    assert (await rig.write(msgspec.structs.replace(asked, presence="unknown"))).id == found.id
    assert len(rig.books("invoice")) == 1


def _fault(code: str, kind: str = "ValidationFault") -> bytes:
    return f'{{"Fault":{{"Error":[{{"Message":"m","code":"{code}"}}],"type":"{kind}"}}}}'.encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "error"),
    [
        (400, _fault("5010"), "write", ConflictError),
        (400, _fault("6240"), "write", DuplicateError),
        (400, _fault("6140"), "write", DuplicateError),
        (400, _fault("6210"), "write", RejectedError),
        (400, _fault("2020"), "write", RejectedError),
        (200, _fault("2500"), "write", RejectedError),
        (500, _fault("10000", "SystemFault"), "write", UncertainError),
        (500, _fault("10000", "SystemFault"), "read", RetryableError),
        (200, b"<html>wait</html>", "write", UncertainError),
        (200, b"<html>wait</html>", "read", RetryableError),
        (504, b"", "write", UncertainError),
    ],
)
def test_refusals_are_named_by_what_to_do_next(status: int, body: bytes, kind: str, error: type[O2CError]) -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    assert type(sink.classify(Response(status=status, body=body), mutating=kind == "write")) is error


def test_a_success_is_no_error() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    assert sink.classify(Response(status=200, body=b'{"Invoice":{"Id":"1"},"time":"x"}'), mutating=True) is None


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
    page = await rig.run(rig.source.sweep("changes", now.isoformat(), now))
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
