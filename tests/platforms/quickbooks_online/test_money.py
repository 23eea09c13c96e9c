"""Payments, credits and refunds, run against the sandbox; and what happens when it is run twice or half."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from app.core.errors import RejectedError
from schemas.facts import Credit, Line, Party, Payment
from schemas.platforms.quickbooks_online import query
from schemas.projection import project
from sinks.platforms.quickbooks_online import asking
from tests.platforms.quickbooks_online.rig import ADA, Rig, billed, command, credit, invoice, payment, stopped

pytestmark = pytest.mark.sandbox


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


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAGE", 2)
    monkeypatch.setattr(query, "PAGE", 2)


def queries(rig: Rig) -> list[str]:
    return [request.params["query"] for request in rig.requests if request.path.endswith("/query")]


@pytest.mark.usefixtures("pages_of_two")
async def test_a_probe_reads_page_by_page_and_ends_where_it_found_what_it_looks_for(rig: Rig) -> None:
    commands = [command("upsert_invoice", invoice(), order=str(number)) for number in range(5)]
    made = [await rig.write(one) for one in commands]
    for place, calls in ((0, 1), (4, 3)):
        rig.requests.clear()
        found = await rig.run(rig.sink.probe(commands[place]))
        assert found is not None
        assert found.id == made[place].id
        assert [text.count("TxnDate") for text in queries(rig)] == [0] + [1] * calls
    rig.requests.clear()
    assert await rig.run(rig.sink.probe(command("upsert_invoice", invoice(), order="never"))) is None
    assert len(queries(rig)) == 1 + 3 + 3, "the customer, the day, and all that the customer has"


async def test_a_try_of_which_the_time_is_known_is_looked_for_among_what_its_customer_has_since(rig: Rig) -> None:
    asked = command("upsert_invoice", invoice())
    before = datetime.now(UTC) - timedelta(hours=1)
    assert await rig.run(rig.sink.probe_since(asked, before)) is None
    made = await rig.write(asked)
    rig.requests.clear()
    found = await rig.run(rig.sink.probe_since(asked, before))
    assert found is not None
    assert found.id == made.id
    assert ["CustomerRef in" in text and "LastUpdatedTime" in text for text in queries(rig)] == [False, True]
    assert await rig.run(rig.sink.probe_since(asked, datetime.now(UTC) + timedelta(hours=1))) is None


async def test_where_nobody_knows_the_customer_a_try_is_looked_for_among_what_the_day_has_since(rig: Rig) -> None:
    asked = command("upsert_invoice", invoice())
    made = await rig.write(asked)
    renamed = msgspec.structs.replace(asked, facts=invoice(customer=Party(name="Nobody Yet")))
    rig.requests.clear()
    found = await rig.run(rig.sink.probe_since(renamed, datetime.now(UTC) - timedelta(hours=1)))
    assert found is not None
    assert found.id == made.id
    assert "TxnDate" in queries(rig)[1]
    assert "LastUpdatedTime" in queries(rig)[1]


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


async def test_a_raised_amount_goes_to_the_invoice_and_a_credit_beside_it_stays_used(rig: Rig) -> None:
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment("7"), links={"invoice": first.id}))
    memo = rig.sandbox.verbs["type_credit"]({"customer": ADA.name, "currency": "EUR", "amount": "3"})
    links = [("Invoice", first.id, "10"), ("CreditMemo", memo["id"], "3")]
    lines = [{"Amount": Decimal(part), "LinkedTxn": [{"TxnId": id_, "TxnType": kind}]} for kind, id_, part in links]
    row = rig.row("Payment", paid.id)
    kept = {name: row[name] for name in ("Id", "SyncToken", "TotalAmt", "CustomerRef")}
    rig.sandbox.company.write("Payment", {**kept, "sparse": True, "Line": lines})
    assert rig.books("invoice")[0]["due"] == "5.41"

    for amount, due, left in (("9", "3.41", "0.00"), ("20", "0.00", "7.59"), ("1", "11.41", "0.00")):
        more = {"kind": "set", "bound_id": paid.id, "changes": ("amount",), "links": {"invoice": first.id}}
        await rig.run(rig.sink.write(command("record_payment", payment(amount), **more)), f"set-{amount}")
        assert (rig.books("invoice")[0]["due"], rig.books("payment")[0]["due"]) == (due, left)
        assert rig.row("CreditMemo", memo["id"])["Balance"] == 0


async def test_a_reversed_payment_is_recorded_anew_with_another_amount(rig: Rig) -> None:
    first = await billed(rig)
    paid = await rig.write(command("record_payment", payment("10"), links={"invoice": first.id}))
    await rig.write(command("reverse_payment", payment("10"), links={"payment": paid.id}))
    again = await rig.write(command("record_payment", payment("7"), generation=1, links={"invoice": first.id}))
    assert again.id != paid.id
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
