"""Payments, overpayments, credits and refunds written to the simulated Xero, alone and in batches, and read back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest

from app.core.errors import ConflictError, RejectedError
from schemas.facts import Credit, Invoice, Party, Payment
from sinks.base import Written
from sinks.platforms.xero.asking import beside
from tests.platforms.xero.company import INVOICE, NOBODY, Company, command, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        yield found


async def test_a_payment_is_recorded_seen_with_its_invoice_and_taken_back(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    money = Payment(
        amount=Decimal("10.00"), currency="EUR", paid_at=datetime(2026, 5, 1, 23, 30, tzinfo=UTC), reference="ch_1"
    )
    paid = await company.write("record_payment", money, n=2, links={"invoice": invoice.id})
    assert isinstance(paid.facts, Payment)
    assert (paid.facts.amount, paid.facts.reference, paid.facts.date) == (Decimal(10), "ch_1", date(2026, 5, 1))
    events = {event.object.type: event for event in await company.read("invoice", invoice.id)}
    assert events["payment"].facts == paid.facts
    assert events["payment"].mirror_of == paid.mark
    assert events["payment"].anchors[0].share == "10"
    direct = (await company.read("payment", paid.id))[0]
    assert (direct.facts, direct.anchors, direct.mirror_of) == (paid.facts, events["payment"].anchors, paid.mark)
    for _ in range(2):
        back = await company.write("reverse_payment", money, n=3, links={"payment": paid.id})
        assert isinstance(back.facts, Payment)
        assert back.facts.status == "reversed"
    assert company.books("invoice")[0]["due"] == "15.53"
    assert isinstance((await company.read("payment", paid.id))[0].facts, Payment)


async def test_a_refund_is_taken_back_and_its_credit_note_is_open_again(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    money = Payment(amount=Decimal("15.53"), currency="EUR", date=date(2026, 5, 2))
    await company.write("record_payment", money, n=2, links={"invoice": invoice.id})
    back = Credit(amount=Decimal(5), currency="EUR", date=date(2026, 5, 3))
    note = await company.write("issue_credit", back, n=3, links={"invoice": invoice.id})
    links = {"invoice": invoice.id, "credit": note.id}
    refund = await company.write("record_refund", msgspec.structs.replace(back, document="refund"), n=4, links=links)
    assert (refund.type, [row["due"] for row in company.books("credit")]) == ("refund", ["0.00"])
    asked = command("reverse_refund", back, n=5, links={"payment": refund.id})
    assert await company.talk(company.sink.probe(asked)) is None
    for _ in range(2):
        taken = await company.write("reverse_refund", back, n=5, links={"payment": refund.id})
        assert isinstance(taken.facts, Credit)
        assert taken.facts.status == "void"
    assert await company.talk(company.sink.probe(asked)) is not None
    assert ([row["due"] for row in company.books("credit")], company.books("refund")[0]["status"]) == (["5.00"], "void")


async def test_more_than_is_due_becomes_an_overpayment_once(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    money = Payment(amount=Decimal("20.00"), currency="EUR", date=date(2026, 5, 2), reference="ch_2")
    made = [await company.write("record_payment", money, n=2, links={"invoice": invoice.id}) for _ in range(2)]
    assert made[0].id == made[1].id
    assert [row["amount"] for row in company.books("payment")] == ["15.53", "4.47"]
    assert company.books("invoice")[0]["due"] == "0.00"
    probed = await company.talk(
        company.sink.probe(command("record_payment", money, n=2, links={"invoice": invoice.id}))
    )
    assert probed is not None
    assert (probed.id, probed.complete) == (made[0].id, True)
    extra = await company.write("record_payment", money, n=3, links={"invoice": invoice.id})
    assert extra.type == "overpayment"
    event = (await company.read("overpayment", extra.id))[0]
    assert event.mirror_of == extra.mark == command("record_payment", money, n=3).mark
    assert event.facts == extra.facts
    with pytest.raises(RejectedError, match="neither a payment nor an overpayment"):
        await company.write("reverse_payment", money, n=4, links={"payment": NOBODY})


async def test_an_overpayment_is_paid_out_again_on_its_day_since_nothing_removes_one(company: Company) -> None:
    money = Payment(amount=Decimal("20.00"), currency="EUR", date=date(2026, 5, 2), customer=INVOICE.customer)
    advance = await company.write("record_payment", money, n=2)
    asked = command("reverse_payment", money, n=3, links={"payment": advance.id})
    assert await company.talk(company.sink.probe(asked)) is None
    first, again = [await company.talk(company.sink.write(asked)) for _ in range(2)]
    assert (first.id, first.type, first.mark) == (again.id, "refund", asked.mark)
    assert [(row["amount"], row["date"]) for row in company.books("refund")] == [("20.00", "2026-05-02")]
    assert [row["due"] for row in company.books("payment")] == ["0.00"]
    (seen,) = await company.read("overpayment", advance.id)
    assert (seen.facts, seen.mirror_of) == (first.also[0].facts, advance.mark)
    assert isinstance(seen.facts, Payment)
    assert seen.facts.status == "reversed"
    (refund,) = await company.read("refund", first.id)
    assert (refund.facts, refund.mirror_of) == (first.facts, asked.mark)
    probed = await company.talk(company.sink.probe(asked))
    assert probed is not None
    assert (probed.id, probed.complete) == (first.id, True)


async def test_of_money_taken_back_nothing_stays_beside_the_payment(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    money = Payment(amount=Decimal("20.00"), currency="EUR", date=date(2026, 5, 2))
    paid = await company.write("record_payment", money, n=2, links={"invoice": invoice.id})
    asked = command("reverse_payment", money, n=3, links={"payment": paid.id})
    talk = company.sink.write(asked)
    request = next(talk)
    while request.step != "reversal":  # the process dies with the overpayment paid out and the payment still there
        request = talk.send(await company.send(request))
    talk.close()
    assert await company.talk(company.sink.probe(asked)) is None
    for _ in range(2):
        back = await company.talk(company.sink.write(asked))
    assert (back.id, [(one.type, one.mark) for one in back.also]) == (paid.id, [("refund", beside(asked.mark))])
    more = await company.write("record_payment", money, n=5, links={"invoice": invoice.id})
    whole = await company.write("reverse_payment", money, n=6, links={"payment": more.id})
    assert [one.type for one in whole.also] == ["refund", "overpayment"]
    assert [row["status"] for row in company.books("payment")] == ["void", "void", "paid", "paid"]
    assert [row["amount"] for row in company.books("refund")] == ["4.47", "4.47"]
    assert [row["due"] for row in company.books("invoice")] == ["15.53"]
    probed = await company.talk(company.sink.probe(asked))
    assert probed is not None
    assert probed.complete


async def test_an_overpayment_that_somebody_used_refuses_the_whole(company: Company) -> None:
    first, other = [await company.write("upsert_invoice", INVOICE, n=n) for n in (1, 2)]
    money = Payment(amount=Decimal("20.00"), currency="EUR", date=date(2026, 5, 2))
    paid = await company.write("record_payment", money, n=3, links={"invoice": first.id})
    body = {"Allocations": [{"Invoice": {"InvoiceID": other.id}, "Amount": 4, "Date": "2026-05-03"}]}
    await company.talk(company.sink.put(f"/Overpayments/{paid.also[0].id}/Allocations", body, "typed"))
    with pytest.raises(RejectedError, match="was used"):
        await company.write("reverse_payment", money, n=4, links={"payment": paid.id})
    assert [row["status"] for row in company.books("payment")] == ["paid", "paid"]


async def test_what_a_person_pays_out_of_an_overpayment_is_a_refund_and_no_reversal(company: Company) -> None:
    money = Payment(amount=Decimal(20), currency="EUR", date=date(2026, 5, 2), customer=INVOICE.customer)
    advance = await company.write("record_payment", money)
    body = {"Overpayment": {"OverpaymentID": advance.id}, "Account": {"Code": "090"}, "Amount": 20}
    await company.talk(company.sink.put("/Payments", {"Payments": [body]}, "typed"))
    (seen,) = await company.read("overpayment", advance.id)
    assert isinstance(seen.facts, Payment)
    assert (seen.facts.status, seen.facts.unapplied_amount) == ("succeeded", 0)


@pytest.mark.parametrize("presence", ["absent", "unknown"])
async def test_half_an_overpayment_is_completed_not_repeated(company: Company, presence: str) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    part = Payment(amount=Decimal("15.53"), currency="EUR", date=date(2026, 5, 2), reference="ch_2")
    whole = msgspec.structs.replace(part, amount=Decimal(20))
    await company.write("record_payment", part, n=2, links={"invoice": invoice.id})
    probed = await company.talk(
        company.sink.probe(command("record_payment", whole, n=2, links={"invoice": invoice.id}))
    )
    assert probed is not None
    assert not probed.complete
    await company.write("record_payment", whole, n=2, links={"invoice": invoice.id}, presence=presence)
    assert [row["amount"] for row in company.books("payment")] == ["15.53", "4.47"]


async def test_a_payment_that_shows_only_once_it_is_refused_for_being_too_much_has_nothing_beside_it(
    company: Company,
) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    whole = Payment(amount=Decimal("15.53"), currency="EUR", date=date(2026, 5, 2), reference="ch_2")
    made = [
        await company.write("record_payment", whole, n=2, links={"invoice": invoice.id}, presence="absent")
        for _ in range(2)
    ]
    assert (made[0].id, made[1].also) == (made[1].id, ())
    assert [row["amount"] for row in company.books("payment")] == ["15.53"]


async def test_half_an_overpayment_that_no_search_shows_yet_is_seen_on_its_invoice(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    part = Payment(amount=Decimal("15.53"), currency="EUR", date=date(2026, 5, 2), reference="ch_2")
    whole = msgspec.structs.replace(part, amount=Decimal(20))
    company.sandbox.injector.faults = company.sandbox.faults.changed({"visibility_lag_s": 600.0})
    for facts in (part, whole):
        await company.write("record_payment", facts, n=2, links={"invoice": invoice.id}, presence="unknown")
    assert [row["amount"] for row in company.books("payment")] == ["15.53", "4.47"]


async def test_a_credit_is_used_on_the_invoice_and_the_rest_paid_back(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    await company.write(
        "record_payment", Payment(amount=Decimal(10), currency="EUR"), n=2, links={"invoice": invoice.id}
    )
    back = Credit(
        amount=Decimal("8.00"),
        tax_amount=Decimal("1.00"),
        currency="EUR",
        reason="Broken",
        reference="re_1",
        date=date(2026, 5, 2),
    )
    links = {"invoice": invoice.id}
    note = [await company.write("issue_credit", back, n=3, links=links) for _ in range(2)]
    assert note[0] == note[1]
    assert isinstance(note[0].facts, Credit)
    assert (note[0].facts.amount, note[0].facts.remaining_amount, note[0].facts.tax_amount) == (8, Decimal("2.47"), 1)
    event = (await company.read("credit_note", note[0].id))[0]
    assert (event.facts, event.mirror_of) == (note[0].facts, note[0].mark)
    assert [(anchor.ref.id, anchor.share) for anchor in event.anchors] == [(invoice.id, "5.53")]
    probed = await company.talk(company.sink.probe(command("issue_credit", back, n=3, links=links)))
    assert probed is not None
    assert probed.complete
    company.sandbox.verbs["delete_payment"]({"id": company.books("payment")[0]["id"]})
    refund = msgspec.structs.replace(back, document="refund", amount=Decimal("8.00"))
    paid_out = await company.write("record_refund", refund, n=4, links={**links, "credit": note[0].id})
    assert paid_out.type == "refund"
    assert isinstance(paid_out.facts, Credit)
    assert paid_out.facts.amount == Decimal("2.47"), "what was never paid is not paid back"
    seen = (await company.read("refund", paid_out.id))[0]
    assert (seen.object.type, seen.facts, seen.mirror_of) == ("refund", paid_out.facts, paid_out.mark)
    with pytest.raises(RejectedError, match="used up"):
        await company.write("record_refund", refund, n=5, links={"credit": note[0].id})


async def test_what_a_part_payer_got_back_in_cash_is_still_owed(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    links = {"invoice": invoice.id}
    await company.write("record_payment", Payment(amount=Decimal(10), currency="EUR"), n=2, links=links)
    back = Credit(amount=Decimal(4), currency="EUR")
    note = await company.write("issue_credit", back, n=3, links=links)
    assert company.books("invoice")[0]["due"] == "1.53"
    refund = msgspec.structs.replace(back, document="refund")
    paid_out = await company.write("record_refund", refund, n=4, links={**links, "credit": note.id})
    assert isinstance(paid_out.facts, Credit)
    assert paid_out.facts.amount == 4
    assert (company.books("invoice")[0]["due"], company.books("credit")[0]["due"]) == ("5.53", "0.00")
    with pytest.raises(RejectedError, match="used up"):
        await company.write("record_refund", refund, n=5, links={"credit": note.id})
    with pytest.raises(ConflictError, match="gone"):
        await company.write("record_refund", refund, n=6, links={"credit": NOBODY})


async def test_what_a_credit_has_left_is_used_on_another_invoice_once(company: Company) -> None:
    paid, later = [await company.write("upsert_invoice", INVOICE, n=n) for n in (1, 2)]
    await company.write("record_payment", Payment(amount=Decimal(5), currency="EUR"), n=3, links={"invoice": paid.id})
    assert isinstance(paid.facts, Invoice)
    whole = Credit(amount=paid.facts.payable_amount, currency="EUR")
    note = await company.write("issue_credit", whole, n=4, links={"invoice": paid.id})
    assert isinstance(note.facts, Credit)
    assert note.facts.remaining_amount == 5
    asked = command("apply_credit", whole, n=5, links={"credit": note.id, "invoice": later.id})
    assert await company.talk(company.sink.probe(asked)) is None
    done = [await company.talk(company.sink.write(asked)) for _ in range(2)]
    assert done[0] == done[1] == await company.talk(company.sink.probe(asked))
    assert isinstance(done[0].facts, Credit)
    assert (done[0].id, done[0].mark, done[0].facts.remaining_amount) == (note.id, note.mark, 0)
    dues = {row["id"]: row["due"] for row in company.books("invoice")}
    assert dues == {paid.id: "0.00", later.id: f"{whole.amount - 5}"}
    with pytest.raises(ConflictError, match="gone"):
        await company.write("apply_credit", whole, n=6, links={"credit": NOBODY, "invoice": later.id})


async def test_a_credit_whose_use_was_lost_is_completed(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    back = Credit(amount=Decimal(5), currency="EUR")
    talk = company.sink.write(command("issue_credit", back, n=3, links={"invoice": invoice.id}))
    request = next(talk)
    while request.step != "allocation":
        request = talk.send(await company.send(request))
    talk.close()
    wanted = command("issue_credit", back, n=3, links={"invoice": invoice.id})
    probed = await company.talk(company.sink.probe(wanted))
    assert probed is not None
    assert not probed.complete
    done = await company.talk(company.sink.write(wanted))
    assert done.id == probed.id
    assert company.books("invoice")[0]["credited"] == "5.00"
    assert len(company.books("credit")) == 1


async def test_a_batch_bills_the_good_and_names_the_bad(company: Company) -> None:
    company.sandbox.verbs["set_lock_date"]({"date": "2026-04-30"})
    late = msgspec.structs.replace(
        INVOICE, issue_date=date(2026, 4, 28), customer=Party(name="Bo", email="bo@example.com")
    )
    wrong = msgspec.structs.replace(INVOICE, payable_amount=Decimal(1))
    nobody = msgspec.structs.replace(INVOICE, customer=None)
    wishes = [INVOICE, late, wrong, INVOICE, nobody]
    commands = [command("upsert_invoice", wish, n=n) for n, wish in enumerate(wishes, start=1)]
    results = await company.talk(company.sink.write_many(commands))
    assert [type(result).__name__ for result in results] == [
        "Written",
        "RejectedError",
        "RejectedError",
        "Written",
        "RejectedError",
    ]
    assert "period is closed" in str(results[1])
    assert [result.mark for result in results if isinstance(result, Written)] == [commands[0].mark, commands[3].mark]
    assert sum(request.step == "invoices" for request in company.requests) == 1
    alone = await company.talk(company.sink.write_many([command("upsert_invoice", late, n=9)]))
    assert "period is closed" in str(alone[0])
    asked = [command("upsert_invoice", INVOICE, n=1, presence="unknown"), command("upsert_invoice", INVOICE, n=7)]
    again = await company.talk(company.sink.write_many(asked))
    assert again[0] == results[0]
    assert isinstance(again[1], Written)


async def test_a_batch_of_payments_splits_off_what_is_too_much(company: Company) -> None:
    first, second = [await company.write("upsert_invoice", INVOICE, n=n) for n in (1, 2)]
    commands = [
        command("record_payment", Payment(amount=Decimal(5), currency="EUR"), n=3, links={"invoice": first.id}),
        command("record_payment", Payment(amount=Decimal(16), currency="EUR"), n=4, links={"invoice": second.id}),
        command("record_payment", Payment(amount=Decimal(5), currency="EUR"), n=5, links={"invoice": NOBODY}),
    ]
    results = await company.talk(company.sink.write_many(commands))
    assert [type(result).__name__ for result in results] == ["Written", "Written", "RejectedError"]
    assert sorted(row["amount"] for row in company.books("payment")) == ["0.47", "15.53", "5.00"]
    alone = await company.talk(company.sink.write_many([commands[2]]))
    assert isinstance(alone[0], RejectedError)
