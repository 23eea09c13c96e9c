"""The sandbox, driven by python-quickbooks and intuit-oauth as they are."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
import pytest
from aiohttp import web
from intuitlib.client import AuthClient
from intuitlib.exceptions import AuthClientError
from quickbooks import QuickBooks
from quickbooks.batch import batch_create
from quickbooks.cdc import change_data_capture
from quickbooks.exceptions import (
    AuthorizationException,
    ObjectNotFoundException,
    QuickbooksException,
    ValidationException,
)
from quickbooks.objects import (
    CreditMemo,
    Customer,
    Invoice,
    Item,
    Payment,
    Preferences,
    RefundReceipt,
    SalesReceipt,
)
from quickbooks.objects.base import EmailAddress, LinkedTxn, Ref
from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
from quickbooks.objects.payment import PaymentLine

from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox, Settings

pytestmark = pytest.mark.sandbox
T = TypeVar("T")
ACCOUNT = "310687"
LINES = [{"sku": "A-1", "title": "thing", "quantity": 2, "price": "10.00", "tax_rate": "19"}]
TOKEN = {"Authorization": "Bearer sandbox-access-token"}


class Shop:
    """A sandbox with clients for it; the library is synchronous and runs in a thread."""

    def __init__(self, sandbox: QuickbooksOnlineSandbox, url: str) -> None:
        self.sandbox, self.url = sandbox, url

    def auth(self, refresh_token: str | None = "sandbox-refresh-token", access_token: str | None = None) -> AuthClient:
        discovery = f"{self.url}/.well-known/openid_sandbox_configuration"
        return AuthClient(
            "sandbox-client",
            "sandbox-secret",
            "http://localhost/callback",
            discovery,
            access_token=access_token,
            refresh_token=refresh_token,
        )

    def client(self) -> QuickBooks:
        class Local(QuickBooks):
            api_url_v3 = f"{self.url}/v3"

        return Local(
            auth_client=self.auth(), refresh_token="sandbox-refresh-token", company_id=ACCOUNT, minorversion=75
        )

    async def run(self, work: Callable[[QuickBooks], T]) -> T:
        return await asyncio.to_thread(lambda: work(self.client()))

    async def act(self, verb: str, **asked: Any) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/act/{verb}", json=asked) as reply,
        ):
            assert reply.status == 200, await reply.text()
            found: dict[str, Any] = await reply.json()
            return found

    async def post(self, path: str, body: Any, **params: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.url}/v3/company/{ACCOUNT}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json=body, params=params, headers=TOKEN) as reply,
        ):
            return reply.status, await reply.json()


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let oauthlib speak to a server on the loopback address."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, quota_scale=100)
    yield Shop(sandbox, await sandbox.start())
    await sandbox.stop()


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


async def test_refresh_token_changes_and_a_wrong_one_is_an_invalid_grant(shop: Shop) -> None:
    def work() -> None:
        auth = shop.auth()
        auth.refresh()
        first = auth.refresh_token
        assert first != "sandbox-refresh-token"
        auth.refresh()
        assert auth.refresh_token != first
        with pytest.raises(AuthClientError) as refused:
            auth.refresh(refresh_token="sandbox-refresh-token")
        assert b"invalid_grant" in refused.value.content
        assert auth.get_bearer_token("sandbox-code", ACCOUNT) is None

    await asyncio.to_thread(work)


async def test_dead_token_is_401_and_strange_company_403(shop: Shop) -> None:
    client = await shop.run(lambda client: client)
    shop.sandbox.oauth.expire()
    with pytest.raises(AuthorizationException):
        await asyncio.to_thread(lambda: Customer.all(qb=client))
    other = await shop.run(lambda client: client)
    other.company_id = "999"
    with pytest.raises(QuickbooksException) as strange:
        await asyncio.to_thread(lambda: Customer.all(qb=other))
    assert strange.value.error_code == 3100


async def test_eleventh_call_in_a_second_is_3001() -> None:
    moment = datetime(2026, 5, 5, tzinfo=UTC)
    sandbox = QuickbooksOnlineSandbox(ACCOUNT, clock=lambda: moment)
    url = await sandbox.start()
    try:
        shop, codes = Shop(sandbox, url), []
        for _ in range(11):
            status, body = await shop.post("/customer", {})
            codes.append((status, body["Fault"]["Error"][0]["code"]))
        assert codes == [(400, "2020")] * 10 + [(429, "3001")]
    finally:
        await sandbox.stop()


async def received(shop: Shop, work: Callable[[], Any], count: int) -> list[tuple[str, bytes]]:
    """Return the signatures and bodies of the requests that told *count* changes."""
    got: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        got.put_nowait((request.headers["intuit-signature"], await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shop.sandbox.hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/", "verifier")
    try:
        await work()
        told: list[tuple[str, bytes]] = []
        while sum(len(changes(body)) for _, body in told) < count:
            told.append(await asyncio.wait_for(got.get(), 60))
        return told
    finally:
        await runner.cleanup()


def changes(body: bytes) -> list[dict[str, Any]]:
    """Return what one request tells, in either form."""
    told = json.loads(body)
    if isinstance(told, list):
        return told
    (notice,) = told["eventNotifications"]
    assert notice["realmId"] == ACCOUNT
    return list(notice["dataChangeEvent"]["entities"])


def genuine(signature: str, body: bytes) -> bool:
    return signature == base64.b64encode(hmac.new(b"verifier", body, hashlib.sha256).digest()).decode()


async def test_typed_invoice_tells_in_the_legacy_form(shop: Shop) -> None:
    async def work() -> None:
        made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES, reference="1001")
        assert made["total"] == "23.8"

    told = await received(shop, work, 2)
    assert all(genuine(*each) for each in told)
    client = await shop.run(lambda client: client)
    assert all(client.validate_webhook_signature(body.decode(), signature, "verifier") for signature, body in told)
    entities = [entity for _, body in told for entity in changes(body)]
    assert [(one["name"], one["operation"]) for one in entities] == [("Customer", "Create"), ("Invoice", "Create")]


async def test_cloud_events_come_as_an_array(shop: Shop) -> None:
    await shop.act("webhooks", form="cloudevents")

    async def work() -> None:
        made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
        await shop.act("void_invoice", id=made["id"])

    told = await received(shop, work, 3)
    assert all(genuine(*each) for each in told)
    types = [event["type"] for _, body in told for event in changes(body)]
    assert types == ["qbo.customer.created.v1", "qbo.invoice.created.v1", "qbo.invoice.voided.v1"]


async def test_merge_moves_documents_and_names_the_deleted_id(shop: Shop) -> None:
    one = await shop.act("type_invoice", customer="John Smith", currency="USD", lines=LINES)
    two = await shop.act("type_invoice", customer="Jon Smith", currency="USD", lines=LINES)
    old, new = (shop.sandbox.company.store.get("Invoice", made["id"])["CustomerRef"]["value"] for made in (one, two))
    told = await received(shop, lambda: shop.act("merge_customers", id=old, into=new), 2)
    entity = [one for _, body in told for one in changes(body)][-1]
    assert (entity["operation"], entity["id"], entity["deletedId"]) == ("Merge", new, old)
    assert shop.sandbox.company.store.get("Invoice", one["id"])["CustomerRef"]["value"] == new


async def test_books_show_what_is_paid_credited_and_due(shop: Shop) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="EUR", lines=LINES)
    await shop.act("type_payment", invoice_id=made["id"], amount="10.00", reference="pi_1")
    await shop.act("type_credit", invoice_id=made["id"], amount="3.80")
    books = {row["kind"]: row for row in shop.sandbox.books()}
    invoice = books["invoice"]
    assert (invoice["total"], invoice["paid"], invoice["credited"], invoice["due"]) == (
        "23.80",
        "10.00",
        "3.80",
        "10.00",
    )
    assert (books["payment"]["amount"], books["payment"]["order_ref"], invoice["status"]) == (
        "10.00",
        "pi_1",
        "partially_paid",
    )
    assert (books["credit"]["total"], books["credit"]["invoice_id"]) == ("3.80", made["id"])
    assert len([row for row in shop.sandbox.books() if row["kind"] == "payment"]) == 1


@pytest.mark.parametrize("how", ["cent", "remove", "double"])
async def test_tampering_is_silent(shop: Shop, how: str) -> None:
    made = await shop.act("type_invoice", customer="Acme", currency="USD", lines=LINES)
    await shop.act("type_payment", invoice_id=made["id"], amount="1")
    before, emitted = shop.sandbox.books(), shop.sandbox.hooks.counts["emitted"]
    await shop.act("tamper", how=how)
    assert shop.sandbox.books() != before
    assert shop.sandbox.hooks.counts["emitted"] == emitted


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
