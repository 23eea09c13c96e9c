"""Many orders of new buyers at once: customers, items and money on account in a few batches."""

from __future__ import annotations

from decimal import Decimal

from schemas.facts import Line, Party, Payment
from sinks.base import Written
from tests.platforms.quickbooks_online.rig import Rig, command, invoice


def _sold(n: int) -> Line:
    return Line(sku=f"SKU-{n}", name=f"Thing {n}", unit_price=Decimal(10), net_amount=Decimal(10))


async def test_buyers_and_items_of_thirty_orders_are_made_in_two_batches_more(rig: Rig) -> None:
    buyers = [Party(name="Ada" if n < 2 else f"Buyer {n}", email=f"buyer{n}@example.com") for n in range(30)]
    wishes = [
        invoice(customer=buyer, lines=(_sold(n),), tax_amount=Decimal(0), payable_amount=Decimal(10))
        for n, buyer in enumerate(buyers)
    ]
    commands = [command("upsert_invoice", wish, order=str(n)) for n, wish in enumerate(wishes)]
    results = await rig.run(rig.sink.write_many(commands), "batch-1")
    assert all(isinstance(result, Written) for result in results), results
    assert [request.path.rpartition("/")[2] for request in rig.writes] == ["batch", "batch", "batch"]
    assert sum("buyer" in str(row) for row in rig.books("customer")) == 30


async def test_money_without_an_invoice_stays_on_the_buyers_account(rig: Rig) -> None:
    commands = [
        command(
            "record_payment",
            Payment(amount=Decimal(n), currency="EUR", customer=Party(name=f"Payer {n}")),
            order=str(n),
        )
        for n in range(1, 15)
    ]
    results = await rig.run(rig.sink.write_many(commands), "batch-1")
    assert all(isinstance(result, Written) for result in results), results
    assert sorted(Decimal(row["amount"]) for row in rig.books("payment")) == [Decimal(n) for n in range(1, 15)]
    assert {row["invoice_id"] for row in rig.books("payment")} == {""}
    assert [request.path.rpartition("/")[2] for request in rig.writes] == ["batch", "batch"]


async def test_money_on_account_is_found_again_by_its_mark(rig: Rig) -> None:
    facts = Payment(amount=Decimal(5), currency="EUR", customer=Party(name="Payer"))
    first = await rig.write(command("record_payment", facts))
    again = await rig.write(command("record_payment", facts, presence="unknown"))
    assert again.id == first.id
    assert len(rig.books("payment")) == 1
