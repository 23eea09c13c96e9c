"""Each example of docs/examples does what its first lines say: which document, when, over how much, of which day."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from app.cli import main
from tests.e2e.examples import Business, Play, examples, played
from tests.e2e.running import Running

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
ADA = {"name": "Ada Example", "email": "ada@example.com"}


def _line(price: str, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {"sku": "MUG", "title": "Mug", "quantity": quantity, "price": price, **more}


async def shop_that_invoices_on_payment(there: Running) -> Play:
    """Two mugs with VAT and postage, paid in two parts, sent, one of them given back; another order is cancelled."""
    shop = Business(there, "webshop", "webshop-books", "Europe/Berlin")
    sold = {**ADA, "currency": "EUR", "lines": [_line("50.00", 2, tax_rate="19")]}
    order = await shop.act("create_order", **sold, shipping={"price": "4.90", "tax_rate": "19"})
    assert order["total"] == "124.83"
    await shop.act("pay_order", id=order["id"], amount="24.83")
    dropped = await shop.act("create_order", **sold)
    await shop.act("cancel_order", id=dropped["id"])
    yield
    assert shop.rows() == [], "nothing before all of it is paid"
    day = f"{shop.today()}"
    await shop.act("pay_order", id=order["id"])
    billed = {("invoice", "124.83", day), ("payment", "24.83", day), ("payment", "100.00", day)}
    await shop.comes_to(billed, "the paid order is invoiced")
    yield
    assert shop.held() == billed
    invoice = shop.one("invoice")
    assert (invoice["tax"], invoice["due"], invoice["status"]) == ("19.93", "0.00", "paid")
    await shop.act("fulfil_order", id=order["id"], tracking="T-1", carrier="DHL")
    await shop.act("refund_order", id=order["id"], amount="59.50", lines=[{"sku": "MUG", "quantity": 1}])
    corrected = billed | {("credit", "59.50", day), ("refund", "59.50", day)}
    await shop.comes_to(corrected, "what was paid back is credited")
    yield
    assert shop.held() == corrected
    assert (shop.one("credit")["tax"], shop.one("shipment")["tracking"]) == ("9.50", "T-1")


async def wholesale_that_invoices_on_shipment(there: Running) -> Play:
    """An order that leaves in two parts and is paid at the bank; one of which a part never leaves; one is cancelled."""
    shop = Business(there, "wholesale", "wholesale-books", "America/New_York")
    lines = [{**_line("10.00", 100), "sku": "A"}, {**_line("2.50", 40), "sku": "B"}]
    sold = {"currency": "USD", "lines": lines}
    order = await shop.act("create_order", **sold, **ADA, po_number="PO-77")
    short = await shop.act("create_order", **sold, name="Bo Example", email="bo@example.com")
    dropped = await shop.act("create_order", **sold, **ADA)
    await shop.act("fulfil_order", id=order["id"], lines=[{"sku": "A", "quantity": 100}], tracking="T-1")
    await shop.act("cancel_order", id=dropped["id"])
    yield
    assert shop.rows() == [], "nothing before all of it has left"
    day = f"{shop.today()}"
    await shop.act("fulfil_order", id=order["id"], tracking="T-2")
    await shop.comes_to({("invoice", "1100.00", day)}, "what has left is invoiced")
    yield
    invoice = shop.one("invoice")
    assert (invoice["order_ref"], invoice["due"]) == ("PO-77", "1100.00")
    await shop.book("type_payment", invoice_id=invoice["id"], amount="1100.00", date=day, reference="BANK-1")
    await there.until(lambda: _order(there, "wholesale", order["id"])["due"] == "0.00", "the shop knows it is paid")
    await shop.act("fulfil_order", id=short["id"], lines=[{"sku": "A", "quantity": 100}])
    await shop.act("refund_order", id=short["id"], lines=[{"sku": "B", "quantity": 40}])
    yield
    owed = [(row["total"], row["credited"], row["due"]) for row in shop.rows("invoice")]
    assert sorted(owed) == [("1100.00", "0.00", "0.00"), ("1100.00", "100.00", "1000.00")]
    assert [(row["total"], row["date"]) for row in shop.rows("credit")] == [("100.00", day)]
    assert [(row["amount"], row["date"]) for row in shop.rows("payment", "refund")] == [("1100.00", day)]


def _order(there: Running, system: str, id_: str) -> dict[str, Any]:
    (row,) = [row for row in there.books(system) if row["kind"] == "order" and row["id"] == id_]
    return row


async def services_that_invoice_on_deal_won(there: Running) -> Play:
    """A deal is won, changed, and paid; one is lost, one lost after it was won, one invoice voided by the bookkeeper."""
    agency = Business(there, "hubspot", "agency-books", "Europe/Berlin")
    made = {}
    for name, price in (("site", "1000.00"), ("shop", "500.00"), ("logo", "200.00"), ("talk", "100.00")):
        lines = [{"sku": name, "title": name, "quantity": 1, "price": price, "tax_rate": "19"}]
        deal = {"name": name, "amount": price, "email": f"{name}@example.com", "contact_name": "Ada", "lines": lines}
        made[name] = (await agency.act("create_deal", **deal))["id"]
    await agency.act("set_stage", id=made["site"], stage="contractsent")
    await agency.act("set_stage", id=made["talk"], stage="closedlost")
    yield
    assert agency.rows() == [], "nothing before a deal is won"
    day = agency.today()
    for name in ("site", "shop", "logo"):
        await agency.act("set_stage", id=made[name], stage="closedwon")
    billed = {("invoice", total, f"{day}") for total in ("1190.00", "595.00", "238.00")}
    await agency.comes_to(billed, "deals that were won are invoiced")
    yield
    invoices = {row["total"]: row for row in agency.rows("invoice")}
    assert {row["tax"] for row in invoices.values()} == {"190.00", "95.00", "38.00"}
    await agency.act("set_stage", id=made["shop"], stage="closedlost")
    await agency.book("void_invoice", id=invoices["238.00"]["id"])
    await agency.book("type_payment", invoice_id=invoices["1190.00"]["id"], amount="1190.00", date=f"{day}")
    await there.until(lambda: _statuses(agency) == {"1190.00": "paid", "595.00": "void", "238.00": "void"}, "voided")
    await there.until(lambda: "voided" in _notes(there, made["logo"]), "a note says that it was voided")
    yield
    assert agency.held() == billed | {("payment", "1190.00", f"{day}")}
    assert [_notes(there, made[name]) for name in ("site", "shop", "talk")] == ["", "", ""]


def _notes(there: Running, deal: str) -> str:
    return str(_order(there, "hubspot", deal).get("notes", ""))


def _statuses(business: Business) -> Mapping[str, str]:
    return {row["total"]: row["status"] for row in business.rows("invoice")}


async def card_sales_of_each_day(there: Running) -> Play:
    """Sales of two days by card, one late in the evening of New York, one only authorised; one paid back in part."""
    store = Business(there, "store", "store-books", "America/New_York")
    today = store.today()
    late = f"{today + timedelta(days=2)}T02:30:00Z"
    evening = f"{today + timedelta(days=1)}"
    sales = []
    for price in ("19.99", "5.00", "80.00", "33.33"):
        sold = {**ADA, "currency": "USD", "lines": [_line(price, tax_rate="10")]}
        sales.append(await store.act("create_order", **sold))
    held = await store.act("authorize_order", id=sales[3]["id"])
    assert held["id"]
    yield
    assert store.rows() == [], "nothing before the card is charged"
    for sale, at in zip(sales, (None, None, late), strict=False):
        await store.act("pay_order", id=sale["id"], **({"at": at} if at else {}))
    receipts = {
        ("sales_receipt", "21.99", f"{today}"),
        ("sales_receipt", "5.50", f"{today}"),
        ("sales_receipt", "88.00", evening),
    }
    await store.comes_to(receipts, "charged cards have their receipts")
    yield
    assert store.held() == receipts, "a receipt is its own payment"
    day = f"{store.today()}"
    await store.act("refund_order", id=sales[0]["id"], amount="21.99", lines=[{"sku": "MUG", "quantity": 1}])
    await store.comes_to(receipts | {("refund", "21.99", day)}, "what was paid back has a receipt as well")
    yield
    charged = sum(Decimal(row["amount"]) for row in there.books("store") if row["kind"] == "payment")
    booked = sum(Decimal(row["total"]) for row in store.rows("sales_receipt"))
    assert charged == booked == Decimal("115.49")
    assert store.held() == receipts | {("refund", "21.99", day)}


async def subscriptions_by_stripe(there: Running) -> Play:
    """Bills of a period: charged and credited with money back, voided, and for nothing."""
    saas = Business(there, "stripe", "saas-books", "Europe/Berlin")
    plan = {"title": "Team plan", "quantity": 3, "price": "10.00", "discount": "3.00", "tax_rate": "19"}
    bill = {"email": "ada@example.com", "customer": "Ada Example", "currency": "EUR"}
    paid = await saas.act(
        "bill_subscription", **bill, lines=[plan, {"title": "Unused time", "price": "-7.00", "tax_rate": "19"}]
    )
    dropped = await saas.act("bill_subscription", **bill, lines=[{"title": "Solo plan", "price": "9.00"}])
    trial = await saas.act("bill_subscription", **bill, lines=[{"title": "Trial", "price": "0.00"}])
    yield
    assert saas.rows() == [], "nothing before a bill is finalized"
    day = f"{saas.today()}"
    for draft in (paid, dropped, trial):
        await saas.act("finalize_invoice", id=draft["id"])
    billed = {("invoice", "23.80", day), ("invoice", "9.00", day)}
    await saas.comes_to(billed, "finalized bills are invoices")
    yield
    assert saas.held() == billed
    await saas.act("charge", invoice=paid["id"], amount="23.80", currency="EUR", email="ada@example.com")
    await saas.act("void_invoice", id=dropped["id"])
    await saas.comes_to(billed | {("payment", "23.80", day)}, "the charge is a payment")
    await there.until(lambda: _statuses(saas) == {"23.80": "paid", "9.00": "void"}, "the voided bill is void")
    yield
    await saas.act("credit_invoice", invoice=paid["id"], amount="11.90", refund_amount="11.90", tax="1.90", paid=True)
    done = billed | {("payment", "23.80", day), ("credit", "11.90", day), ("refund", "11.90", day)}
    await saas.comes_to(done, "what was paid back is credited once")
    yield
    assert saas.held() == done
    assert saas.one("credit")["tax"] == "1.90", "Stripe's refund names no tax: it is that of the bill"
    invoice = next(row for row in saas.rows("invoice") if row["total"] == "23.80")
    assert (invoice["tax"], invoice["paid"], invoice["due"]) == ("3.80", "23.80", "0.00")


PLAYS: Mapping[str, Callable[[Running], Play]] = MappingProxyType(
    {
        "shop-invoice-on-payment": shop_that_invoices_on_payment,
        "wholesale-invoice-on-shipment": wholesale_that_invoices_on_shipment,
        "services-invoice-on-deal-won": services_that_invoice_on_deal_won,
        "store-daily-card-sales": card_sales_of_each_day,
        "subscriptions-by-stripe": subscriptions_by_stripe,
    }
)


class Outcome(NamedTuple):
    """What `o2c check` said of all examples before anything happened, and what went wrong in each business."""

    checked: dict[str, Any]
    failed: Mapping[str, BaseException]


def _checked(config: Path) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = main(["check", "--config", str(config), "--json"])
    return {"code": code, **json.loads(said.getvalue())}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcome(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Outcome]:
    """Return what came of the businesses; they are played at once, with the same roles."""
    folder = tmp_path_factory.mktemp("examples")
    async with examples(kafka, folder) as there:
        checked = await asyncio.to_thread(_checked, folder / "o2c.toml")
        yield Outcome(checked, await played(there, {name: play(there) for name, play in PLAYS.items()}))


async def test_the_accounts_are_as_the_examples_say(outcome: Outcome) -> None:
    problems = [one for one in outcome.checked["problems"] if one["code"] != "time_zone"]  # a sandbox has one zone
    assert (outcome.checked["code"], problems) == (0, [])
    assert len(outcome.checked["accounts"]) == 2 * len(PLAYS)


@pytest.mark.parametrize("name", PLAYS)
async def test_a_business_is_booked_as_its_example_says(name: str, outcome: Outcome) -> None:
    if name in outcome.failed:
        raise outcome.failed[name]
