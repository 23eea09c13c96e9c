"""The simulated Xero, driven by the vendor's own library, unchanged; its lists, filters, keys, tokens and limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from xero_python.accounting import (
    Account,
    AccountingApi,
    Allocation,
    Allocations,
    Contact,
    CreditNote,
    CreditNotes,
    HistoryRecord,
    HistoryRecords,
    Invoice,
    Invoices,
    LineItem,
    Payment,
    PaymentDelete,
    Payments,
)
from xero_python.api_client.oauth2 import TokenApi
from xero_python.exceptions import AccountingBadRequestException, HTTPStatusException
from xero_python.identity import IdentityApi

from app.sandbox.platforms.xero import XeroSandbox
from tests.sandbox.xero import TENANT, Clock, Running, bill, client, opened, sale, with_client

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with opened() as found:
        yield found


async def test_the_vendors_library_bills_and_is_paid(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, invoice = bill(accounting, reference="SO-1")
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
        contact, invoice = bill(accounting)
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
        _, invoice = bill(accounting)
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
        contact, _ = bill(accounting, number="ORD-1")
        batch = Invoices(invoices=[sale(contact, "ORD-2"), sale(contact, "ORD-1"), sale(contact, "ORD-3")])
        mixed = accounting.create_invoices(TENANT, batch, summarize_errors=False).invoices
        assert [row.status_attribute_string for row in mixed] == ["OK", "ERROR", "OK"]
        assert mixed[1].validation_errors[0].message == "Invoice # must be unique."
        with pytest.raises(AccountingBadRequestException) as caught:
            accounting.create_invoices(TENANT, Invoices(invoices=[sale(contact, "ORD-1")]), summarize_errors=True)
        assert caught.value.error_data["Elements"][0]["ValidationErrors"][0]["Message"] == "Invoice # must be unique."

    await with_client(running.url, work)


async def test_a_list_is_paged_filtered_and_read_by_ids(running: Running) -> None:
    def work(accounting: AccountingApi) -> None:
        contact, first = bill(accounting)
        for hours in range(3):
            running.clock.forward(hours=1)
            last = accounting.create_invoices(TENANT, Invoices(invoices=[sale(contact, f"N-{hours}")])).invoices[0]
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
