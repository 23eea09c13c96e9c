"""Many orders at once: contacts are made together, money without an invoice goes to the customer's account."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest

from schemas.facts import Party, Payment
from sinks.base import Written
from tests.platforms.xero.company import INVOICE, Company, command, opened


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        yield found


def _money(amount: str = "7.00", email: str = "ada@example.com") -> Payment:
    buyer = Party(name=email.partition("@")[0], email=email)
    return Payment(amount=Decimal(amount), currency="EUR", reference="ch_9", customer=buyer)


async def test_sixty_buyers_are_made_in_two_calls_and_found_again(company: Company) -> None:
    buyers = [Party(name="Ada" if n < 2 else f"Buyer {n}", email=f"buyer{n}@example.com") for n in range(60)]
    wishes = [msgspec.structs.replace(INVOICE, customer=buyer) for buyer in buyers]
    commands = [command("upsert_invoice", wish, n=n) for n, wish in enumerate(wishes, start=1)]
    for part in (commands[:50], commands[50:], [*commands[:2], command("upsert_invoice", wishes[0], n=99)]):
        results = await company.talk(company.sink.write_many(part))
        assert all(isinstance(result, Written) for result in results)
    calls = Counter(request.path for request in company.requests if request.mutates)
    # Two calls for sixty contacts, and two more for the second Ada: refused by name, then made under one of her own.
    assert calls["/Contacts"] == 4
    contacts = [row for row in company.books("customer") if row["customer"].startswith("buyer")]
    assert len(contacts) == 60


async def test_money_without_an_invoice_is_booked_once_on_the_customers_account(company: Company) -> None:
    made = [await company.write("record_payment", _money(), n=2, presence="unknown") for _ in range(2)]
    assert made[0].id == made[1].id
    assert made[0].type == "overpayment"
    (row,) = company.books("payment")
    assert (row["amount"], row["invoice_id"]) == ("7.00", "")
    event = (await company.read("overpayment", made[0].id))[0]
    assert event.mirror_of == made[0].mark


async def test_a_batch_takes_money_with_and_without_invoices(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    commands = [
        command("record_payment", _money("1.00", "bo@example.com"), n=3),
        command("record_payment", _money("5.00"), n=4, links={"invoice": invoice.id}),
        command("record_payment", _money("2.00", "cy@example.com"), n=5),
        command("record_payment", msgspec.structs.replace(_money("3.00"), customer=None), n=6),
    ]
    results = await company.talk(company.sink.write_many(commands))
    assert [type(result).__name__ for result in results] == ["Written", "Written", "Written", "RejectedError"]
    assert [result.mark for result in results[:3] if isinstance(result, Written)] == [one.mark for one in commands[:3]]
    assert sorted(row["amount"] for row in company.books("payment")) == ["1.00", "2.00", "5.00"]


async def test_fifty_that_may_be_there_are_asked_about_in_two_calls(company: Company) -> None:
    commands = [command("upsert_invoice", INVOICE, n=n) for n in range(1, 51)]
    await company.talk(company.sink.write_many([commands[3], commands[40]]))
    await company.write("upsert_invoice", INVOICE, n=99)
    before = len(company.requests)
    found = await company.talk(company.sink.probe_many(commands))
    assert [place for place, one in enumerate(found) if one is not None] == [3, 40]
    assert [one.mark for one in found if one is not None] == [commands[3].mark, commands[40].mark]
    assert len(company.requests) - before == 2
