"""The simulated Xero, driven by the vendor's own library, unchanged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from xero_python.accounting import (
    Account,
    AccountingApi,
    Allocation,
    Allocations,
    Contact,
    Contacts,
    CreditNote,
    CreditNotes,
    CurrencyCode,
    HistoryRecord,
    HistoryRecords,
    Invoice,
    Invoices,
    LineItem,
    Payment,
    PaymentDelete,
    Payments,
    RequestEmpty,
)
from xero_python.api_client import ApiClient
from xero_python.api_client.configuration import Configuration
from xero_python.api_client.oauth2 import OAuth2Token, TokenApi
from xero_python.exceptions import AccountingBadRequestException, HTTPStatusException
from xero_python.identity import IdentityApi

from app.sandbox.platforms.xero import XeroSandbox
from schemas.connection import Connection
from streams.sources.base import Hook
from streams.sources.platforms.xero import XeroSource

pytestmark = pytest.mark.sandbox
TENANT = "c2cc9b6e-9458-4c7d-93cc-f02b81b0594f"
AUTH = {"Authorization": "Bearer sandbox-token", "xero-tenant-id": TENANT, "Accept": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Running:
    sandbox: XeroSandbox
    url: str
    clock: Clock

    async def act(self, verb: str, **asked: Any) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/_sandbox/act/{verb}", json=asked) as reply,
        ):
            assert reply.status == 200, await reply.text()
            return await reply.json()  # type: ignore[no-any-return]

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        sent = {**AUTH, **headers}
        url = self.url + "/api.xro/2.0" + path
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body, headers=sent) as reply:
            text = await reply.text()
            parsed = json.loads(text) if "json" in reply.content_type else text
            return reply.status, parsed, dict(reply.headers)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    clock = Clock()
    sandbox = XeroSandbox(TENANT, clock=clock, quota_scale=100)
    yield Running(sandbox, await sandbox.start(), clock)
    await sandbox.stop()


def client(url: str) -> tuple[AccountingApi, ApiClient]:
    configuration = Configuration(oauth2_token=OAuth2Token(client_id="sandbox-client", client_secret="sandbox-secret"))
    token = {"access_token": "sandbox-token", "expires_in": 1800, "token_type": "Bearer", "scope": ["offline_access"]}
    api = ApiClient(configuration, oauth2_token_getter=lambda: token, oauth2_token_saver=token.update)
    return AccountingApi(api, base_url=f"{url}/api.xro/2.0"), api


async def with_client(url: str, work: Callable[[AccountingApi], Any]) -> Any:
    def run() -> Any:
        accounting, api = client(url)
        try:
            return work(accounting)
        finally:
            api.rest_client.pool_manager.clear()

    return await asyncio.to_thread(run)


def _sale(contact: Any, number: str | None = None, **more: Any) -> Invoice:
    line = LineItem(description="Mug", quantity=2, unit_amount=50, account_code="200", tax_type="OUTPUT")
    return Invoice(
        type="ACCREC",
        contact=Contact(contact_id=contact.contact_id),
        date=date(2026, 4, 24),
        due_date=date(2026, 5, 24),
        line_items=[line],
        invoice_number=number,
        status="AUTHORISED",
        **more,
    )


def _bill(accounting: AccountingApi, **more: Any) -> tuple[Any, Any]:
    made = accounting.create_contacts(TENANT, Contacts(contacts=[Contact(name="Ada", email_address="ada@example.com")]))
    contact = made.contacts[0]
    return contact, accounting.create_invoices(TENANT, Invoices(invoices=[_sale(contact, **more)])).invoices[0]


async def test_the_vendors_library_bills_and_is_paid(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, invoice = _bill(accounting, reference="SO-1")
        assert (invoice.total, invoice.total_tax, invoice.status) == (120, 20, "AUTHORISED")
        assert (invoice.date, invoice.due_date) == (date(2026, 4, 24), date(2026, 5, 24))
        payment = Payment(
            invoice=Invoice(invoice_id=invoice.invoice_id),
            account=Account(code="090"),
            amount=50,
            date=date(2026, 5, 1),
            reference="ch_1",
        )
        made = accounting.create_payments(TENANT, Payments(payments=[payment])).payments[0]
        assert made.payment_type == "ACCRECPAYMENT"
        again = accounting.get_invoice(TENANT, invoice.invoice_id).invoices[0]
        assert (again.amount_due, again.amount_paid, again.payments[0].payment_id) == (70, 50, made.payment_id)
        gone = accounting.delete_payment(TENANT, made.payment_id, PaymentDelete(status="DELETED")).payments[0]
        assert gone.status == "DELETED"
        assert accounting.get_payment(TENANT, made.payment_id).payments[0].status == "DELETED"
        assert accounting.get_invoice(TENANT, invoice.invoice_id).invoices[0].amount_due == 120
        found = accounting.get_invoices(TENANT, where='Reference=="SO-1"', page=1).invoices
        assert [(row.invoice_id, len(row.line_items)) for row in found] == [(invoice.invoice_id, 1)]
        assert (
            accounting.get_contacts(TENANT, where='EmailAddress=="ada@example.com"').contacts[0].contact_id
            == contact.contact_id
        )

    await with_client(running.url, work)


async def test_the_vendors_library_credits_allocates_and_refunds(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, invoice = _bill(accounting)
        line = LineItem(description="Back", quantity=1, unit_amount=25, account_code="200", tax_type="NONE")
        note = CreditNote(
            type="ACCRECCREDIT",
            status="AUTHORISED",
            contact=Contact(contact_id=contact.contact_id),
            date=date(2026, 5, 1),
            line_items=[line],
        )
        credit = accounting.create_credit_notes(TENANT, CreditNotes(credit_notes=[note])).credit_notes[0]
        used = Allocation(invoice=Invoice(invoice_id=invoice.invoice_id), amount=10, date=date(2026, 5, 1))
        accounting.create_credit_note_allocation(TENANT, credit.credit_note_id, Allocations(allocations=[used]))
        refund = Payment(
            credit_note=CreditNote(credit_note_id=credit.credit_note_id),
            account=Account(code="090"),
            amount=15,
            date=date(2026, 5, 1),
        )
        assert (
            accounting.create_payments(TENANT, Payments(payments=[refund])).payments[0].payment_type
            == "ARCREDITPAYMENT"
        )
        shown = accounting.get_credit_note(TENANT, credit.credit_note_id).credit_notes[0]
        assert (shown.status, shown.remaining_credit, shown.allocations[0].amount) == ("PAID", 0, 10)
        owed = accounting.get_invoice(TENANT, invoice.invoice_id).invoices[0]
        assert (owed.amount_credited, owed.amount_due) == (10, 110)
        gone = accounting.delete_credit_note_allocations(
            TENANT, credit.credit_note_id, shown.allocations[0].allocation_id
        )
        assert gone.is_deleted
        assert accounting.get_invoice(TENANT, invoice.invoice_id).invoices[0].amount_due == 120

    await with_client(running.url, work)


async def test_the_vendors_library_reads_settings_history_and_connections(running: Running) -> None:
    await running.act("set_lock_date", date="2026-03-31")

    def work(accounting: AccountingApi) -> None:
        organisation = accounting.get_organisations(TENANT).organisations[0]
        assert (organisation.organisation_id, organisation.period_lock_date) == (TENANT, date(2026, 3, 31))
        assert any(
            account.code == "090" and account.type.value == "BANK"
            for account in accounting.get_accounts(TENANT).accounts
        )
        assert any(rate.tax_type == "OUTPUT" for rate in accounting.get_tax_rates(TENANT).tax_rates)
        assert "BRL" in [currency.code.value for currency in accounting.get_currencies(TENANT).currencies]
        _, invoice = _bill(accounting)
        accounting.create_invoice_history(
            TENANT, invoice.invoice_id, HistoryRecords(history_records=[HistoryRecord(details="Shipped, tracking 1Z")])
        )
        assert (
            accounting.get_invoice_history(TENANT, invoice.invoice_id).history_records[-1].details
            == "Shipped, tracking 1Z"
        )
        there = IdentityApi(accounting.api_client, base_url=running.url).get_connections()
        assert [str(row.tenant_id) for row in there] == [TENANT]

    await with_client(running.url, work)


async def test_one_bad_element_fails_alone_only_without_summarised_errors(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, _ = _bill(accounting, number="ORD-1")
        batch = Invoices(invoices=[_sale(contact, "ORD-2"), _sale(contact, "ORD-1"), _sale(contact, "ORD-3")])
        mixed = accounting.create_invoices(TENANT, batch, summarize_errors=False).invoices
        assert [row.status_attribute_string for row in mixed] == ["OK", "ERROR", "OK"]
        assert mixed[1].validation_errors[0].message == "Invoice # must be unique."
        with pytest.raises(AccountingBadRequestException) as caught:
            accounting.create_invoices(TENANT, Invoices(invoices=[_sale(contact, "ORD-1")]), summarize_errors=True)
        assert caught.value.error_data["Elements"][0]["ValidationErrors"][0]["Message"] == "Invoice # must be unique."

    await with_client(running.url, work)


async def test_a_list_is_paged_filtered_and_read_by_ids(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, first = _bill(accounting)
        for hours in range(3):
            running.clock.forward(hours=1)
            last = accounting.create_invoices(TENANT, Invoices(invoices=[_sale(contact, f"N-{hours}")])).invoices[0]
        page = accounting.get_invoices(TENANT, page=2, page_size=3, order="UpdatedDateUTC ASC")
        assert (page.pagination.page_count, page.pagination.item_count, len(page.invoices)) == (2, 4, 1)
        since = datetime(2026, 5, 1, 11, 30, tzinfo=UTC)
        changed = accounting.get_invoices(TENANT, if_modified_since=since, statuses=["AUTHORISED"])
        assert [row.invoice_id for row in changed.invoices] == [last.invoice_id]
        both = accounting.get_invoices(TENANT, i_ds=[first.invoice_id, last.invoice_id], page=1).invoices
        assert {row.invoice_id for row in both} == {first.invoice_id, last.invoice_id}
        assert all(not row.line_items for row in accounting.get_invoices(TENANT).invoices)

    await with_client(running.url, work)


async def test_put_creates_and_post_overwrites_by_number(running: Running) -> None:
    contact = {"Contact": {"Name": "Ada"}, "Type": "ACCREC", "Status": "DRAFT", "InvoiceNumber": "N-1"}
    assert (await running.call("PUT", "/Invoices", {"Invoices": [{**contact, "Reference": "first"}]}))[0] == 200
    assert (await running.call("PUT", "/Invoices", {"Invoices": [contact]}))[0] == 400
    status, body, _ = await running.call("POST", "/Invoices", {"Invoices": [{**contact, "Reference": "second"}]})
    assert (status, body["Invoices"][0]["Reference"]) == (200, "second")
    assert len(running.sandbox.books_of.invoices) == 1


async def test_unit_prices_keep_four_decimals_only_when_asked(running: Running) -> None:
    line = {"Description": "Screw", "Quantity": 3, "UnitAmount": 2.9333, "AccountCode": "200", "TaxType": "NONE"}
    body = {"Invoices": [{"Type": "ACCREC", "Contact": {"Name": "Ada"}, "LineItems": [line]}]}
    four = (await running.call("PUT", "/Invoices?unitdp=4", body))[1]["Invoices"][0]
    two = (await running.call("PUT", "/Invoices", body))[1]["Invoices"][0]
    assert (four["LineItems"][0]["UnitAmount"], four["Total"]) == (2.9333, 8.8)
    assert two["Total"] == 8.79
    line["LineAmount"] = 8.79
    status, refused, _ = await running.call("PUT", "/Invoices?unitdp=4", body)
    assert status == 400
    assert "does not match the expected line total" in refused["Elements"][0]["ValidationErrors"][0]["Message"]


async def test_a_bare_list_is_no_data_and_xml_comes_without_accept(running: Running) -> None:
    status, body, _ = await running.call("PUT", "/Invoices", [{"Type": "ACCREC"}])
    assert status == 400
    assert body["Message"].startswith("No data has been processed for this endpoint")
    _, text, headers = await running.call("GET", "/Invoices", Accept="*/*")
    assert headers["Content-Type"].startswith("text/xml")
    assert text.startswith("<Response>")


async def test_the_same_idempotency_key_answers_the_same_and_does_nothing_more(running: Running) -> None:
    body = {"Invoices": [{"Type": "ACCREC", "Contact": {"Name": "Ada"}}]}
    first = await running.call("PUT", "/Invoices", body, **{"Idempotency-Key": "k1"})
    again = await running.call("PUT", "/Invoices", body, **{"Idempotency-Key": "k1"})
    assert first[1] == again[1]
    assert len(running.sandbox.books_of.invoices) == 1
    assert (await running.call("PUT", "/Payments", body, **{"Idempotency-Key": "k1"}))[0] == 400
    assert (await running.call("PUT", "/Invoices", body, **{"Idempotency-Key": "k" * 129}))[0] == 400
    running.clock.forward(minutes=7)
    await running.call("PUT", "/Invoices", body, **{"Idempotency-Key": "k1"})
    assert len(running.sandbox.books_of.invoices) == 2


async def test_refresh_tokens_rotate_with_a_time_of_grace(running: Running) -> None:
    def work() -> list[dict[str, Any]]:
        _, api = client(running.url)
        tokens = TokenApi(api, "sandbox-client", "sandbox-secret")
        tokens.refresh_token_url = f"{running.url}/connect/token"
        first = tokens.refresh_token("sandbox-refresh", ["offline_access"])
        lost = tokens.refresh_token("sandbox-refresh", ["offline_access"])
        running.clock.forward(minutes=31)
        with pytest.raises(Exception, match="invalid_grant"):
            tokens.refresh_token("sandbox-refresh", ["offline_access"])
        return [first, lost, tokens.refresh_token(first["refresh_token"], ["offline_access"])]

    first, lost, second = await asyncio.to_thread(work)
    assert len({pair["refresh_token"] for pair in (first, lost, second)}) == 3
    old, new = first["access_token"], second["access_token"]
    assert (await running.call("GET", "/Organisation", Authorization=f"Bearer {old}"))[0] == 401
    assert (await running.call("GET", "/Organisation", Authorization=f"Bearer {new}"))[0] == 200
    assert (await running.call("GET", "/Organisation", **{"xero-tenant-id": "another"}))[0] == 403


async def test_quotas_are_told_and_kept() -> None:
    clock = Clock()
    sandbox = XeroSandbox(TENANT, clock=clock)
    running = Running(sandbox, await sandbox.start(), clock)
    try:
        replies = [await running.call("GET", "/Currencies") for _ in range(61)]
        assert [status for status, _, _ in replies].count(200) == 60
        status, _, headers = replies[-1]
        assert (status, headers["X-Rate-Limit-Problem"], headers["Retry-After"]) == (429, "minute", "61")
        assert (headers["X-MinLimit-Remaining"], headers["X-DayLimit-Remaining"]) == ("0", "4939")
        clock.forward(seconds=61)
        assert (await running.call("GET", "/Currencies"))[0] == 200
    finally:
        await sandbox.stop()


async def test_the_vendors_library_sees_a_limit_as_429(running: Running) -> None:
    running.sandbox.injector.faults = running.sandbox.faults.changed({"rate_429": 1})

    def work(accounting: AccountingApi) -> None:
        with pytest.raises(HTTPStatusException) as caught:
            accounting.get_organisations(TENANT)
        assert caught.value.status == 429

    await with_client(running.url, work)


async def test_a_payment_beyond_the_due_amount_is_refused_and_can_become_an_overpayment(running: Running) -> None:
    made = await running.act(
        "type_invoice", customer="Ada", email="ada@example.com", currency="EUR", lines=[{"title": "Mug", "price": "40"}]
    )
    payment = {"Invoice": {"InvoiceID": made["id"]}, "Account": {"Code": "090"}, "Amount": 50, "Date": "2026-05-01"}
    status, body, _ = await running.call("PUT", "/Payments", {"Payments": [payment]})
    assert status == 400
    assert (
        body["Elements"][0]["ValidationErrors"][0]["Message"]
        == "Payment amount exceeds the amount outstanding on this document"
    )
    contact = running.sandbox.books_of.invoices[made["id"]]["ContactID"]
    money = {
        "Type": "RECEIVE-OVERPAYMENT",
        "Contact": {"ContactID": contact},
        "BankAccount": {"Code": "090"},
        "LineItems": [{"Description": "Too much", "LineAmount": 10}],
    }
    _, kept, _ = await running.call("PUT", "/BankTransactions", {"BankTransactions": [money]})
    shown = (await running.call("GET", f"/Overpayments/{kept['BankTransactions'][0]['OverpaymentID']}"))[1][
        "Overpayments"
    ][0]
    assert (shown["Type"], shown["RemainingCredit"]) == ("RECEIVE-OVERPAYMENT", 10)


async def test_closed_periods_settled_invoices_and_reconciled_payments_resist(running: Running) -> None:
    made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}], date="2026-05-01")
    paid = await running.act("type_payment", invoice_id=made["id"], amount="40", date="2026-05-01", reconciled=True)

    async def refusal(method: str, path: str, body: Any) -> str:
        status, answer, _ = await running.call(method, path, body)
        assert status == 400
        return str(answer["Elements"][0]["ValidationErrors"][0]["Message"])

    assert "reconciled" in await refusal("POST", f"/Payments/{paid['id']}", {"Status": "DELETED"})
    assert "payment or credit note" in await refusal(
        "POST", f"/Invoices/{made['id']}", {"Invoices": [{"Status": "VOIDED"}]}
    )
    await running.act("set_lock_date", date="2026-04-30")
    old = {"Type": "ACCREC", "Contact": {"Name": "Ada"}, "Date": "2026-04-28"}
    assert "lock date" in await refusal("PUT", "/Invoices", {"Invoices": [old]})


async def test_every_change_is_told_thinly_and_signed_and_the_handshake_is_checked(running: Running) -> None:
    source = XeroSource(Connection(name="books", tenant="acme", platform="xero", account=TENANT))
    received: list[bytes] = []
    told_all = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        one = Hook(headers={"x-xero-signature": request.headers["x-xero-signature"]}, body=body)
        if not source.verify(one, ["webhook-key"], running.clock()):
            return web.Response(status=401)
        received.append(body)
        if b"CREDITNOTE" in body:
            told_all.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.sandbox.hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", "webhook-key")
    try:
        assert await running.act("intent_to_receive") == {"active": True, "answers": 4}
        made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
        await running.act("type_payment", invoice_id=made["id"], amount="40", date="2026-05-01")
        await running.act("type_credit", email="ada@example.com", customer="Ada", amount="5")
        await asyncio.wait_for(told_all.wait(), 60)
    finally:
        await runner.cleanup()
    told = [json.loads(body)["events"] for body in received]
    seen = [(event["eventCategory"], event["eventType"]) for events in told for event in events]
    assert seen == [("CONTACT", "CREATE"), ("INVOICE", "CREATE"), ("INVOICE", "UPDATE"), ("CREDITNOTE", "CREATE")]
    assert b'"firstEventSequence": 1,' in received[2]
    hints = [hint for body in received for hint in source.hints(Hook(body=body))]
    assert [hint.object.type for hint in hints] == ["contact", "invoice", "invoice", "credit_note"]


async def test_people_edit_void_merge_and_tamper_and_the_books_show_it(running: Running) -> None:
    line = [{"title": "Mug", "price": "40", "tax_rate": "20"}]
    made = await running.act("type_invoice", customer="Ada", email="ada@example.com", reference="SO-1", lines=line)
    other = await running.act("type_invoice", customer="Bo", lines=line)
    await running.act("edit_invoice", id=made["id"], po_number="PO-7", due_date="2026-06-30")
    await running.act("void_invoice", id=other["id"])
    await running.act("type_bill", customer="Supplier", lines=line)
    ids = {row["Name"]: row["ContactID"] for row in running.sandbox.books_of.contacts.values()}
    await running.act("merge_contact", id=ids["Ada"], into=ids["Bo"])
    await running.act("rename_contact", id=ids["Bo"], name="Bo & Ada")
    rows = {row["id"]: row for row in running.sandbox.books()}
    assert (rows[made["id"]]["total"], rows[made["id"]]["mark"], rows[made["id"]]["status"]) == (
        "48.00",
        "PO-7",
        "invoiced",
    )
    assert rows[other["id"]]["status"] == "void"
    assert len([row for row in rows.values() if row["kind"] == "invoice"]) == 2
    await running.act("tamper", how="cent")
    assert Decimal({row["id"]: row for row in running.sandbox.books()}[made["id"]]["total"]) == Decimal("48.01")
    await running.act("tamper", how="double")
    await running.act("tamper", how="remove")
    assert len([row for row in running.sandbox.books() if row["kind"] == "invoice"]) == 2


async def test_an_invoice_removed_behind_everybodys_back_takes_what_settled_it_with_it(running: Running) -> None:
    line = [{"title": "Mug", "price": "40", "tax_rate": "20"}]
    made = await running.act("type_invoice", customer="Ada", lines=line)
    await running.act("type_payment", invoice_id=made["id"], amount="8", date="2026-06-02", reference="bank 1")
    await running.act("type_credit", invoice_id=made["id"], amount="10")
    await running.act("tamper", how="remove")
    rows = running.sandbox.books()
    assert [row["kind"] for row in rows if row["kind"] != "customer"] == ["credit"]
    assert next(row for row in rows if row["kind"] == "credit")["invoice_id"] == ""
    assert (await running.call("GET", "/Payments"))[1]["Payments"] == []
    assert (await running.call("GET", "/CreditNotes"))[1]["CreditNotes"][0]["Allocations"] == []


async def test_a_list_hides_what_is_too_new_and_a_read_by_id_does_not(running: Running) -> None:
    running.sandbox.injector.faults = running.sandbox.faults.changed({"visibility_lag_s": 30})
    made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
    assert (await running.call("GET", "/Invoices"))[1]["Invoices"] == []
    assert (await running.call("GET", f"/Invoices/{made['id']}"))[0] == 200
    running.clock.forward(seconds=30)
    assert len((await running.call("GET", "/Invoices"))[1]["Invoices"]) == 1


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ('Reference!=null AND Reference.Contains("o2c1")', 1),
        ('Reference!=null AND (Reference.Contains("o2c1") OR Reference.Contains("PO"))', 1),
        ('Reference!=null AND (Reference.Contains("o2c2") OR Reference.Contains("PO"))', 0),
        ('Contact.Name.ToLower()=="ada" && Total>10', 1),
        ("Date>=DateTime(2026,06,01)", 0),
        ('(Status=="PAID" OR Status=="AUTHORISED") AND AmountDue=40', 1),
        ('Contact.ContactID==guid("00000000-0000-0000-0000-000000000000")', 0),
    ],
)
async def test_where_filters_are_understood(running: Running, where: str, found: int) -> None:
    await running.act(
        "type_invoice", customer="Ada", reference="o2c1:x", lines=[{"title": "Mug", "price": "40"}], date="2026-05-01"
    )
    _, body, _ = await running.call("GET", f"/Invoices?{urlencode({'where': where})}")
    assert len(body["Invoices"]) == found


@pytest.mark.parametrize("where", ["Reference==", "Nope(1)", 'Total=="x', 'Total>"x"', "Reference ~ 1", 'A=="1" "2"'])
async def test_a_filter_that_is_none_is_refused(running: Running, where: str) -> None:
    await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
    assert (await running.call("GET", f"/Invoices?{urlencode({'where': where})}"))[0] == 400


async def test_a_user_who_takes_the_permission_back_stops_everything_until_it_is_given_again(running: Running) -> None:
    await running.act("disconnect")
    assert (await running.call("GET", "/Organisation"))[0] == 401
    refused = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh"}
    basic = "Basic " + base64.b64encode(b"sandbox-client:sandbox-secret").decode()
    async with aiohttp.ClientSession(headers={"Authorization": basic}) as session:

        async def token(form: dict[str, str]) -> tuple[int, dict[str, Any]]:
            async with session.post(f"{running.url}/connect/token", data=form) as reply:
                return reply.status, await reply.json()

        assert (await token(refused)) == (400, {"error": "invalid_grant"})
        given = await running.act("reconnect")
        status, pair = await token({**refused, **given})
        assert (status, pair["expires_in"]) == (200, 1800)
        assert (await token({"grant_type": "client_credentials"}))[0] == 200
        assert (await token({"grant_type": "authorization_code", "code": "sandbox-code"}))[0] == 200
        assert (await token({"grant_type": "password"}))[1] == {"error": "unsupported_grant_type"}
    async with aiohttp.ClientSession() as session:
        for header in ("", "Basic !!!", "Bearer x"):
            async with session.post(
                f"{running.url}/connect/token", data=refused, headers={"Authorization": header}
            ) as reply:
                assert await reply.json() == {"error": "invalid_client"}
        async with session.delete(f"{running.url}/connections/{TENANT}", headers=AUTH) as reply:
            assert reply.status == 204
    assert (await running.call("GET", "/Organisation"))[0] == 401


async def test_a_draft_is_filled_approved_and_then_only_voided(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, _ = _bill(accounting)
        draft = Invoice(type="ACCREC", contact=Contact(contact_id=contact.contact_id), status="DRAFT")
        made = accounting.create_invoices(TENANT, Invoices(invoices=[draft])).invoices[0]
        assert (made.status, made.total) == ("DRAFT", 0)

        def update(**fields: Any) -> Any:
            return accounting.update_invoice(TENANT, made.invoice_id, Invoices(invoices=[Invoice(**fields)])).invoices[
                0
            ]

        with pytest.raises(AccountingBadRequestException):
            update(status="AUTHORISED")
        line = LineItem(description="Mug", quantity=1, unit_amount=10, account_code="200", tax_type="NONE")
        filled = update(
            line_items=[line], due_date=date(2026, 6, 1), date=date(2026, 5, 1), currency_code=CurrencyCode("USD")
        )
        assert (filled.total, filled.currency_code.value) == (10, "USD")
        assert update(status="AUTHORISED", contact=Contact(name="Bo")).contact.name == "Bo"
        with pytest.raises(AccountingBadRequestException):
            update(status="DELETED")
        accounting.email_invoice(TENANT, made.invoice_id, RequestEmpty())
        assert update(status="VOIDED").status == "VOIDED"
        with pytest.raises(AccountingBadRequestException):
            update(reference="late")

    await with_client(running.url, work)


async def test_a_credit_note_is_changed_and_voided_by_its_id(running: Running) -> None:
    made = await running.act("type_credit", customer="Ada", amount="5")
    path = f"/CreditNotes/{made['id']}"
    _, body, _ = await running.call("POST", path, {"CreditNotes": [{"Reference": "again"}]})
    assert body["CreditNotes"][0]["Reference"] == "again"
    _, body, _ = await running.call(
        "POST", "/CreditNotes", {"CreditNotes": [{"CreditNoteID": made["id"], "Status": "VOIDED"}]}
    )
    assert body["CreditNotes"][0]["Status"] == "VOIDED"
    assert running.sandbox.books()[0]["status"] == "void"


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("PUT", "/Invoices", {"Type": "QUOTE", "Contact": {"Name": "A"}}, "Invoice type is not valid"),
        ("PUT", "/Invoices", {"Type": "ACCREC"}, "A Contact must be specified"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"ContactID": "x"}}, "contact could not be found"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "PAID"}, "not of valid status"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "CurrencyCode": "XYZ"}, "not subscribed"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Date": "soon"}, "not a valid date"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Reference": "x" * 256}, "255 characters"),
        ("PUT", "/Invoices", {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "AUTHORISED"}, "due date"),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "Status": "AUTHORISED", "DueDate": "/Date(1776988800000+0000)/"},
            "line items must be specified",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"UnitAmount": -1}]},
            "cannot be negative",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"AccountCode": "999"}]},
            "not a valid code",
        ),
        (
            "PUT", "/Invoices",
            {"Type": "ACCREC", "Contact": {"Name": "A"}, "LineItems": [{"TaxType": "MARS"}]},
            "TaxType code 'MARS'",
        ),
        ("POST", "/Invoices", {"InvoiceID": "x", "Type": "ACCREC"}, "invoice could not be found"),
        ("PUT", "/CreditNotes", {"Type": "ACCREC", "Contact": {"Name": "A"}}, "Credit note type"),
        ("POST", "/CreditNotes", {"CreditNoteID": "x"}, "credit note could not be found"),
        ("PUT", "/Contacts", {"EmailAddress": "a@example.com"}, "name must be specified"),
        ("PUT", "/Payments", {"Amount": 1}, "You must specify an invoice"),
        ("PUT", "/BankTransactions", {"Type": "RECEIVE"}, "RECEIVE-OVERPAYMENT"),
    ],
)  # fmt: skip
async def test_what_xero_would_refuse_is_refused(
    running: Running, method: str, path: str, body: Any, text: str
) -> None:
    status, answer, _ = await running.call(method, path, body)
    assert status == 400
    assert text in answer["Elements"][0]["ValidationErrors"][0]["Message"]


async def test_money_is_refused_where_it_does_not_fit(running: Running) -> None:
    made = await running.act("type_invoice", customer="Ada", lines=[{"title": "Mug", "price": "40"}])
    other = await running.act("type_invoice", customer="Bo", lines=[{"title": "Mug", "price": "40"}])
    draft = await running.act("type_invoice", customer="Bo", status="DRAFT", lines=[{"title": "Mug", "price": "40"}])
    credit = await running.act("type_credit", customer="Ada", amount="5")

    def pay(invoice: str, amount: float, account: str = "090") -> tuple[str, dict[str, Any]]:
        return "/Payments", {"Invoice": {"InvoiceID": invoice}, "Amount": amount, "Account": {"Code": account}}

    def use(invoice: str | None, amount: float) -> tuple[str, dict[str, Any]]:
        named = {"Invoice": {"InvoiceID": invoice}} if invoice else {}
        return f"/CreditNotes/{credit['id']}/Allocations", {"Amount": amount, **named}

    for (path, body), text in (
        (pay(made["id"], 0), "greater than zero"),
        (pay(made["id"], 1, "200"), "bank account"),
        (pay(draft["id"], 1), "Authorised"),
        (use(None, 1), "must name an invoice"),
        (use(other["id"], 1), "same contact"),
        (use(made["id"], 6), "remaining credit"),
    ):
        status, answer, _ = await running.call("PUT", path, body)
        assert status == 400
        assert text in answer["Elements"][0]["ValidationErrors"][0]["Message"]
    for method, path in (
        ("POST", "/Payments/x"), ("PUT", "/CreditNotes/x/Allocations"), ("PUT", "/Invoices/x/History"),
        ("POST", "/Invoices/x/Email"), ("GET", "/Payments/x"),
        ("DELETE", "/CreditNotes/x/Allocations/y"), ("DELETE", f"/CreditNotes/{credit['id']}/Allocations/y"),
    ):  # fmt: skip
        assert (await running.call(method, path, {"Status": "DELETED"}))[0] == 404


async def test_five_at_once_are_served_and_a_sixth_is_not(running: Running) -> None:
    running.sandbox._quota.concurrent = 0
    status, _, headers = await running.call("GET", "/Currencies")
    assert (status, headers["X-Rate-Limit-Problem"]) == (429, "concurrent")


async def test_the_statuses_of_the_faults_are_the_vendors(running: Running) -> None:
    for fault, status in (("error_5xx", 503), ("expired_token", 401)):
        running.sandbox.injector.faults = running.sandbox.faults.changed({"error_5xx": 0, "expired_token": 0, fault: 1})
        answered, body, _ = await running.call("GET", "/Currencies")
        assert (answered, body["Status"]) == (status, status)


async def test_a_batch_item_can_fail_while_its_neighbours_pass(running: Running) -> None:
    running.sandbox.injector.faults = running.sandbox.faults.changed({"batch_item_failure": 0.5})
    bodies = {"Invoices": [{"Type": "ACCREC", "Contact": {"Name": "Ada"}} for _ in range(20)]}
    _, body, _ = await running.call("PUT", "/Invoices?summarizeErrors=false", bodies)
    assert {row["StatusAttributeString"] for row in body["Invoices"]} == {"OK", "ERROR"}
