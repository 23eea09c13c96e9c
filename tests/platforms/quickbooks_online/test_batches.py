"""What goes together in one request, run against the sandbox."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.core.errors import O2CError
from app.core.limits import Limiter
from schemas.commands import Command
from schemas.facts import Line, Party
from schemas.platforms.quickbooks_online import PLATFORM
from sinks.base import Written
from tests.platforms.quickbooks_online.rig import Rig, billed, command, invoice, payment

pytestmark = pytest.mark.sandbox


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
