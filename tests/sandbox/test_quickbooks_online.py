"""The sandbox, driven by python-quickbooks and intuit-oauth as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from quickbooks import QuickBooks
from quickbooks.batch import batch_create
from quickbooks.cdc import change_data_capture
from quickbooks.exceptions import ObjectNotFoundException, QuickbooksException, ValidationException
from quickbooks.objects import CreditMemo, Customer, Invoice, Item, Payment, Preferences, RefundReceipt, SalesReceipt
from quickbooks.objects.base import EmailAddress, LinkedTxn, Ref
from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
from quickbooks.objects.payment import PaymentLine

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox, Settings
from tests.sandbox.quickbooks import ACCOUNT, LINES, Shop, T, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib speak to a server on the loopback address."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


def customer(client: QuickBooks, name: str = "Acme Ltd") -> Customer:
    made = Customer()
    made.DisplayName = name
    made.PrimaryEmailAddr = EmailAddress()
    made.PrimaryEmailAddr.Address = "acme@example.com"
    return made.save(qb=client)


def form(kind: type[T], who: Customer, amount: str = "100.00", quantity: int = 1) -> T:
    made = kind()
    line = SalesItemLine()
    line.Amount, line.Description = Decimal(amount) * quantity, "a thing"
    line.SalesItemLineDetail = SalesItemLineDetail()
    line.SalesItemLineDetail.Qty, line.SalesItemLineDetail.UnitPrice = quantity, Decimal(amount)
    line.SalesItemLineDetail.ItemRef = Ref()
    line.SalesItemLineDetail.ItemRef.value = "1"
    made.Line.append(line)
    made.CustomerRef = who.to_ref()
    return made


def pay(client: QuickBooks, invoice: Invoice, amount: str) -> Payment:
    payment, line = Payment(), PaymentLine()
    line.Amount = Decimal(amount)
    link = LinkedTxn()
    link.TxnId, link.TxnType = invoice.Id, "Invoice"
    line.LinkedTxn.append(link)
    payment.Line.append(line)
    payment.CustomerRef, payment.TotalAmt = invoice.CustomerRef, Decimal(amount)
    return payment.save(qb=client)


async def test_library_creates_reads_and_finds_an_invoice(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        made = form(Invoice, who, "12.50", 3).save(qb=client)
        assert (made.TotalAmt, made.Balance, made.SyncToken) == (37.5, 37.5, "0")
        assert Invoice.get(made.Id, qb=client).DocNumber == made.DocNumber
        assert [row.Id for row in Invoice.filter(CustomerRef=who.Id, qb=client)] == [made.Id]
        assert Customer.filter(DisplayName="Acme Ltd", qb=client)[0].Id == who.Id
        assert Customer.filter(DisplayName="O'Hara", qb=client) == []
        assert Invoice.count(qb=client) == 1

    await shop.run(work)


async def test_payment_lowers_the_balance_and_raises_the_sync_token(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        made = form(Invoice, customer(client)).save(qb=client)
        first = pay(client, made, "30")
        pay(client, made, "70")
        paid = Invoice.get(made.Id, qb=client)
        assert (paid.Balance, paid.SyncToken, len(paid.LinkedTxn)) == (0, "2", 2)
        first.void(qb=client)
        again = Invoice.get(made.Id, qb=client)
        assert (again.Balance, len(again.LinkedTxn)) == (30, 1)
        assert Payment.get(first.Id, qb=client).TotalAmt == 0

    await shop.run(work)


async def test_stale_sync_token_is_5010(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        made = form(Invoice, customer(client)).save(qb=client)
        pay(client, made, "10")
        made.PrivateNote = "too late"
        with pytest.raises(QuickbooksException) as refused:
            made.save(qb=client)
        assert refused.value.error_code == 5010

    await shop.run(work)


async def test_void_leaves_zeros_and_the_word_and_delete_leaves_nothing(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        one, two = form(Invoice, who).save(qb=client), form(Invoice, who).save(qb=client)
        one.void(qb=client)
        kept = Invoice.get(one.Id, qb=client)
        assert (kept.TotalAmt, kept.Balance, kept.PrivateNote) == (0, 0, "Voided")
        assert two.delete(qb=client)["Invoice"]["status"] == "Deleted"
        with pytest.raises(ObjectNotFoundException):
            Invoice.get(two.Id, qb=client)
        receipt = form(SalesReceipt, who).save(qb=client)
        receipt.void(qb=client)
        assert SalesReceipt.get(receipt.Id, qb=client).TotalAmt == 0

    await shop.run(work)


async def test_other_documents_and_lists_work(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        assert form(CreditMemo, who).save(qb=client).RemainingCredit == 100
        refund = form(RefundReceipt, who)
        refund.DepositToAccountRef = Ref()
        refund.DepositToAccountRef.value = "35"
        assert refund.save(qb=client).TotalAmt == 100
        assert {item.Name for item in Item.all(qb=client)} >= {"Services"}
        assert Preferences.get(qb=client).CurrencyPrefs.HomeCurrency.value == "USD"

    await shop.run(work)


async def test_names_are_unique_and_references_are_checked(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        with pytest.raises(QuickbooksException) as taken:
            customer(client, "ACME ltd")
        assert taken.value.error_code == 6240
        wrong = form(Invoice, who)
        wrong.Line[0].SalesItemLineDetail.ItemRef.value = "999"
        with pytest.raises(ValidationException) as nowhere:
            wrong.save(qb=client)
        assert nowhere.value.error_code == 2500
        odd = form(Invoice, who, "2.93", 3)
        odd.Line[0].Amount = Decimal("8.78")
        with pytest.raises(QuickbooksException) as amount:
            odd.save(qb=client)
        assert amount.value.error_code == 6070

    await shop.run(work)


async def test_request_id_repeats_the_first_answer_even_of_a_deleted_record(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        first = form(Invoice, who).save(qb=client, request_id="order-1:g1")
        assert form(Invoice, who, "77").save(qb=client, request_id="order-1:g1").Id == first.Id
        first.delete(qb=client)
        ghost = form(Invoice, who).save(qb=client, request_id="order-1:g1")
        assert ghost.Id == first.Id
        with pytest.raises(ObjectNotFoundException):
            Invoice.get(ghost.Id, qb=client)
        assert form(Invoice, who).save(qb=client, request_id="order-1:g2").Id != first.Id

    await shop.run(work)


async def test_a_delete_needs_the_sync_token(shop: Shop) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
    status, body = await shop.post("/invoice", {"Id": made["id"]}, operation="delete")
    assert (status, body["Fault"]["Error"][0]["code"]) == (400, "2020")


async def test_only_the_flag_in_the_body_makes_an_update_sparse(shop: Shop) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES, note="hello")
    head = {"Id": made["id"], "SyncToken": "0"}
    status, body = await shop.post("/invoice", {**head, "PrivateNote": "x"}, sparse="true")
    assert (status, body["Fault"]["Error"][0]["code"]) == (400, "2020")
    status, body = await shop.post("/invoice", {**head, "sparse": True, "PrivateNote": "x"})
    row = body["Invoice"]
    assert (row["PrivateNote"], row["CustomerMemo"], row["SyncToken"]) == ("x", {"value": "hello"}, "1")
    whole = {**head, "SyncToken": "1", "CustomerRef": row["CustomerRef"], "Line": row["Line"]}
    status, body = await shop.post("/invoice", whole)
    assert status == 200
    assert {"CustomerMemo", "PrivateNote"} & set(body["Invoice"]) == set()


async def test_an_inactive_customer_is_610(shop: Shop) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
    who = shop.sandbox.company.store.get("Invoice", made["id"])["CustomerRef"]["value"]
    await shop.act("archive_customer", id=who)
    status, body = await shop.post(
        "/invoice",
        {
            "CustomerRef": {"value": who},
            "Line": [{"DetailType": "SalesItemLineDetail", "Amount": 1, "SalesItemLineDetail": {}}],
        },
    )
    assert (status, body["Fault"]["Error"][0]["code"]) == (400, "610")


async def test_batch_items_stand_alone(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        bad = form(Invoice, who)
        bad.Line[0].SalesItemLineDetail.ItemRef.value = "999"
        done = batch_create([form(Invoice, who), bad, form(Invoice, who)], qb=client)
        assert (len(done.successes), len(done.faults)) == (2, 1)
        assert done.faults[0].Error[0].code == "2500"

    await shop.run(work)
    status, body = await shop.post(
        "/batch", {"BatchItemRequest": [{"bId": str(n), "Query": "select * from Item"} for n in range(31)]}
    )
    assert (status, body["Fault"]["type"]) == (400, "ValidationFault")


async def test_change_data_capture_shows_changes_and_deletes(shop: Shop) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)

    def work(client: QuickBooks) -> None:
        who = customer(client)
        one, two = form(Invoice, who).save(qb=client), form(Invoice, who).save(qb=client)
        two.delete(qb=client)
        found = change_data_capture([Invoice, Payment, Customer], since, qb=client)
        assert sorted((row.Id, getattr(row, "status", "")) for row in found.Invoice) == [
            (one.Id, ""),
            (two.Id, "Deleted"),
        ]
        assert not hasattr(found, "Payment")
        assert [row.Id for row in found.Customer] == [who.Id]
        with pytest.raises(ValidationException):
            change_data_capture([Invoice], since - timedelta(days=40), qb=client)

    await shop.run(work)


async def test_private_notes_cannot_be_searched(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        with pytest.raises(ValidationException) as refused:
            Invoice.where("PrivateNote = 'x'", qb=client)
        assert refused.value.error_code == 4001
        with pytest.raises(ValidationException) as unreadable:
            Invoice.query("select all the things", qb=client)
        assert unreadable.value.error_code == 4000

    await shop.run(work)


async def test_query_orders_pages_and_filters(shop: Shop) -> None:
    def work(client: QuickBooks) -> None:
        who = customer(client)
        for amount in ("10", "30", "20"):
            form(Invoice, who, amount).save(qb=client)
        totals = [
            row.TotalAmt
            for row in Invoice.where(
                "TotalAmt > '5'", order_by="TotalAmt DESC", start_position=2, max_results=2, qb=client
            )
        ]
        assert totals == [20, 10]
        assert [row.TotalAmt for row in Invoice.where("DocNumber in ('1002','1003')", qb=client)] == [30, 20]
        assert len(Customer.where("DisplayName like 'ac%'", qb=client)) == 1

    await shop.run(work)


async def test_closed_books_refuse_6210(shop: Shop) -> None:
    await shop.act("set_lock_date", date="2026-04-30")

    def work(client: QuickBooks) -> None:
        late = form(Invoice, customer(client))
        late.TxnDate = "2026-04-28"
        with pytest.raises(QuickbooksException) as refused:
            late.save(qb=client)
        assert refused.value.error_code == 6210
        assert Preferences.get(qb=client).AccountingInfoPrefs.BookCloseDate == "2026-04-30"

    await shop.run(work)


async def test_own_numbers_must_be_new_and_without_them_the_ledger_counts(shop: Shop) -> None:
    shop.sandbox.company.settings.custom_numbers = True

    def work(client: QuickBooks) -> None:
        who = customer(client)
        first, second = form(Invoice, who), form(Invoice, who)
        first.DocNumber = second.DocNumber = "O-1"
        first.save(qb=client)
        with pytest.raises(QuickbooksException) as refused:
            second.save(qb=client)
        assert refused.value.error_code == 6140

    await shop.run(work)


async def test_deposited_payment_cannot_be_changed(shop: Shop) -> None:
    def work(client: QuickBooks) -> Payment:
        return pay(client, form(Invoice, customer(client)).save(qb=client), "100")

    payment = await shop.run(work)
    await shop.act("deposit_payment", id=payment.Id)

    def change(client: QuickBooks) -> None:
        with pytest.raises(QuickbooksException) as refused:
            Payment.get(payment.Id, qb=client).void(qb=client)
        assert refused.value.error_code == 6540

    await shop.run(change)


async def test_lists_lag_and_reads_do_not() -> None:
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, quota_scale=100)
    url = await sandbox.start()
    try:
        shop = Shop(sandbox, url)
        sandbox.injector.faults = sandbox.faults.changed({"visibility_lag_s": 60})

        def work(client: QuickBooks) -> None:
            made = form(Invoice, customer(client)).save(qb=client)
            assert Invoice.get(made.Id, qb=client).Id == made.Id
            assert Invoice.all(qb=client) == []

        await shop.run(work)
        sandbox.injector.faults = sandbox.faults.changed({"visibility_lag_s": 0})
        assert len(await shop.run(lambda client: Invoice.all(qb=client))) == 1
    finally:
        await sandbox.stop()


async def test_companies_abroad_compute_tax_by_code() -> None:
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, quota_scale=100, settings=Settings(country="GB", home_currency="GBP"))
    url = await sandbox.start()
    try:
        shop = Shop(sandbox, url)
        made = await shop.act(
            "type_invoice", customer="Acme", currency="GBP", lines=[{"title": "x", "price": "10", "tax_rate": "20"}]
        )
        assert made["total"] == "12"
    finally:
        await sandbox.stop()
