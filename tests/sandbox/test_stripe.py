"""The simulated Stripe, driven by the vendor's own library, unchanged, and by our source and sink."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import stripe
from aiohttp import web

from app.sandbox.platforms.stripe import StripeSandbox
from app.sandbox.platforms.stripe.records import StripeError
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Hint
from schemas.facts import Credit, Invoice, Line, Party, Payment
from schemas.refs import ObjectRef
from sinks.platforms.stripe import StripeSink
from streams.sources.base import Hook
from streams.sources.platforms.stripe import StripeSource
from tests.platforms.conversation import converse

pytestmark = pytest.mark.sandbox
AUTH = {"Authorization": "Bearer sk_test_made_up"}
CONNECTION = Connection(name="pay", tenant="acme", platform="stripe", account="acct_sandbox")
MARK = "o2c1:" + "a" * 32 + ":" + "b" * 12


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[StripeSandbox, str]]:
    running = StripeSandbox()
    url = await running.start()
    yield running, url
    await running.stop()


def _client(url: str) -> stripe.StripeClient:
    return stripe.StripeClient("sk_test_made_up", base_addresses={"api": url}, http_client=stripe.RequestsClient())


def _bill(client: stripe.StripeClient) -> stripe.Invoice:
    customer = client.v1.customers.create({"email": "ada@example.com"})
    invoice = client.v1.invoices.create(
        {"customer": customer.id, "currency": "eur", "collection_method": "send_invoice", "days_until_due": 30}
    )
    assert invoice.id
    client.v1.invoices.add_lines(invoice.id, {"lines": [{"description": "Mug", "amount": 1050}]})
    return client.v1.invoices.finalize_invoice(invoice.id)


async def test_the_vendors_library_bills_pays_and_credits(sandbox: tuple[StripeSandbox, str]) -> None:
    def work() -> tuple[stripe.Invoice, stripe.CreditNote]:
        client = _client(sandbox[1])
        invoice = _bill(client)
        assert invoice.id
        paid = client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
        note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 50, "out_of_band_amount": 50})
        assert [found.id for found in client.v1.invoices.list({"limit": 3}).data] == [invoice.id]
        return paid, note

    paid, note = await asyncio.to_thread(work)
    assert (paid.status, paid.amount_paid, note.amount) == ("paid", 1050, 50)
    (invoice,) = [row for row in sandbox[0].books() if row["kind"] == "invoice"]
    assert (invoice["total"], invoice["paid"], invoice["credited"]) == ("10.50", "10.50", "0.50")


async def test_errors_are_those_of_the_vendor(sandbox: tuple[StripeSandbox, str]) -> None:
    def work() -> None:
        client = _client(sandbox[1])
        with pytest.raises(stripe.InvalidRequestError, match="No such invoice"):
            client.v1.invoices.retrieve("in_none")
        invoice = _bill(client)
        assert invoice.id
        client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
        with pytest.raises(stripe.InvalidRequestError, match="already paid"):
            client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
        options: Any = {"idempotency_key": "k1"}
        first = client.v1.customers.create({"email": "a@example.com"}, options)
        assert client.v1.customers.create({"email": "a@example.com"}, options).id == first.id
        with pytest.raises(stripe.IdempotencyError):
            client.v1.customers.create({"email": "b@example.com"}, options)

    await asyncio.to_thread(work)


async def test_webhooks_verify_with_the_vendors_library_and_with_our_source(sandbox: tuple[StripeSandbox, str]) -> None:
    received: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        received.put_nowait((await request.read(), request.headers["Stripe-Signature"]))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sandbox[0].hooks.add(f"http://127.0.0.1:{runner.addresses[0][1]}/", "whsec_x", frozenset())
    sandbox[0].acts.charge({"amount": Decimal("12.50"), "currency": "EUR", "order_id": "SO-1"})
    body, signature = await asyncio.wait_for(received.get(), 60)
    await runner.cleanup()
    event = stripe.Webhook.construct_event(body, signature, "whsec_x")  # type: ignore[no-untyped-call]
    assert event.type == "payment_intent.succeeded"
    source = StripeSource(CONNECTION)
    seen = Hook(body=body, headers={"stripe-signature": signature})
    assert source.verify(seen, ["whsec_x"], sandbox[0].clock())
    (hint,) = source.hints(seen)
    (read,) = await converse(source.read(hint), sandbox[1], AUTH)
    assert isinstance(read.facts, Payment)
    assert read.facts.amount == Decimal("12.50")
    assert read.anchors[0].ref.id == "SO-1"


def _command(capability: Any, facts: Any, **links: str) -> Command:
    return Command(
        id="f" * 32,
        kind="create",
        tenant="acme",
        connection="pay",
        account="acct_sandbox",
        capability=capability,
        order="a" * 32,
        entity="e",
        write="w",
        canonical="c",
        mark=MARK,
        facts=facts,
        links=links,
    )


async def test_our_sink_bills_records_money_and_credits_to_the_cent(sandbox: tuple[StripeSandbox, str]) -> None:
    sink, url = StripeSink(CONNECTION), sandbox[1]
    line = Line(name="Mug", net_amount=Decimal("10.00"), tax_amount=Decimal("2.00"))
    bill = Invoice(currency="EUR", payable_amount=Decimal(12), customer=Party(email="a@example.com"), lines=(line,))
    made = await converse(sink.write(_command("upsert_invoice", bill)), url, AUTH)
    found = await converse(sink.probe(_command("upsert_invoice", bill)), url, AUTH)
    assert found is not None
    assert (found.id, found.complete) == (made.id, True)
    money = Payment(amount=Decimal(12), currency="EUR", paid_at=sandbox[0].clock(), reference="BANK-1")
    await converse(sink.write(_command("record_payment", money, invoice=made.id)), url, AUTH)
    back = Credit(amount=Decimal(3), currency="EUR")
    await converse(sink.write(_command("issue_credit", back, invoice=made.id, payment="x")), url, AUTH)
    (row,) = [row for row in sandbox[0].books() if row["kind"] == "invoice"]
    assert (row["total"], row["paid"], row["credited"], row["status"]) == (
        "12.00",
        "12.00",
        "3.00",
        "partially_refunded",
    )
    assert row["mark"] == MARK


async def test_a_sweep_sees_what_no_webhook_told(sandbox: tuple[StripeSandbox, str]) -> None:
    charged = sandbox[0].acts.charge({"amount": Decimal(1), "currency": "EUR"})
    source = StripeSource(CONNECTION)
    page = await converse(source.sweep("events", "", sandbox[0].clock()), sandbox[1], AUTH)
    assert [hint.object.id for hint in page.hints] == [charged["id"]]
    who = await converse(source.identify(), sandbox[1], AUTH)
    assert who.account == "acct_sandbox"
    gone = Hint(tenant="acme", object=ObjectRef("pay", "acct_sandbox", "invoice", "in_none"))
    (event,) = await converse(source.read(gone), sandbox[1], AUTH)
    assert event.presence == "deleted"


async def test_what_a_checkout_took_is_read(sandbox: tuple[StripeSandbox, str]) -> None:
    running, url = sandbox
    bought = running.acts.checkout({"amount": "12.50", "currency": "EUR", "order_id": "SO-9"})
    source = StripeSource(CONNECTION)
    page = await converse(source.sweep("events", "", running.clock()), url, AUTH)
    told = [event for hint in page.hints for event in await converse(source.read(hint), url, AUTH)]
    assert {event.object.id for event in told} == {bought["payment_intent"]}
    assert isinstance(told[-1].facts, Payment)
    assert (told[-1].facts.amount, told[-1].facts.status) == (Decimal("12.50"), "succeeded")


async def test_a_reported_payment_is_told_read_and_found_again(sandbox: tuple[StripeSandbox, str]) -> None:
    (running, url), sink, source = sandbox, StripeSink(CONNECTION), StripeSource(CONNECTION)
    line = Line(name="Mug", net_amount=Decimal("12.00"))
    bill = Invoice(currency="EUR", payable_amount=Decimal(12), customer=Party(email="a@example.com"), lines=(line,))
    made = await converse(sink.write(_command("upsert_invoice", bill)), url, AUTH)
    money = Payment(amount=Decimal(5), currency="EUR", paid_at=running.clock(), reference="BANK-1", method="Bank")
    command = _command("record_payment", money, invoice=made.id)
    assert await converse(sink.probe(command), url, AUTH) is None
    written = await converse(sink.write(command), url, AUTH)
    assert await converse(sink.probe(command), url, AUTH) == written
    assert await converse(sink.probe(msgspec.structs.replace(command, mark="o2c1:other")), url, AUTH) is None
    page = await converse(source.sweep("events", "", running.clock()), url, AUTH)
    (hint,) = [hint for hint in page.hints if hint.object.type == "payment_record"]
    (event,) = await converse(source.read(hint), url, AUTH)
    assert (event.facts, event.mirror_of, event.anchors) == (written.facts, MARK, written.anchors)
    assert isinstance(event.facts, Payment)
    assert (event.facts.amount, event.facts.status, event.facts.reference) == (Decimal(5), "succeeded", "BANK-1")
    assert [(part.id, part.amount) for part in event.facts.allocations] == [(made.id, Decimal(5))]


async def test_the_vendors_library_reports_and_attaches_a_payment(sandbox: tuple[StripeSandbox, str]) -> None:
    def work() -> tuple[stripe.PaymentRecord, stripe.ListObject[stripe.InvoicePayment]]:
        client = _client(sandbox[1])
        invoice = _bill(client)
        assert invoice.id
        made = client.v1.payment_records.report_payment(
            {
                "amount_requested": {"currency": "eur", "value": 1050},
                "initiated_at": 1_700_000_000,
                "outcome": "guaranteed",
                "guaranteed": {"guaranteed_at": 1_700_000_000},
                "payment_method_details": {"type": "custom", "custom": {"display_name": "Bank"}},
            }
        )
        client.v1.invoices.attach_payment(invoice.id, {"payment_record": made.id})
        found = client.v1.payment_records.retrieve(made.id)
        return found, client.v1.invoice_payments.list({"invoice": invoice.id})

    record, parts = await asyncio.to_thread(work)
    assert (record.amount_guaranteed.value, record.amount_guaranteed.currency) == (1050, "eur")
    assert [(part.payment.payment_record, part.amount_paid) for part in parts.data] == [(record.id, 1050)]


async def test_the_vendors_library_searches_reports_refunds_and_splits_credits(
    sandbox: tuple[StripeSandbox, str],
) -> None:
    sandbox[0].acts.checkout({"amount": "5", "currency": "EUR", "order_id": "SO-9"})

    def work() -> tuple[stripe.PaymentRecord, stripe.CreditNote]:
        client = _client(sandbox[1])
        ada = client.v1.customers.create({"name": "Ada O'Hara", "metadata": {"crm_id": "7"}})
        for query in ("metadata['crm_id']:'7'", "name:'ada o\\'hara'"):
            assert [one.id for one in client.v1.customers.search({"query": query}).data] == [ada.id]
        assert client.v1.customers.search({"query": "name:'Ad'"}).data == []
        client.v1.customers.update(ada.id, {"email": "ada@example.com"})
        invoice = _bill(client)
        assert invoice.id
        record = client.v1.payment_records.report_payment(
            {
                "amount_requested": {"currency": "eur", "value": 1000},
                "initiated_at": 1_700_000_000,
                "outcome": "guaranteed",
                "guaranteed": {"guaranteed_at": 1_700_000_000},
                "payment_method_details": {"type": "custom", "custom": {"display_name": "Bank"}},
            }
        )
        client.v1.invoices.attach_payment(invoice.id, {"payment_record": record.id})
        refund: Any = {
            "amount": {"currency": "eur", "value": 400},
            "outcome": "refunded",
            "processor_details": {"type": "custom", "custom": {"refund_reference": "r1"}},
            "refunded": {"refunded_at": 1_700_000_001},
        }
        back = client.v1.payment_records.report_refund(record.id, refund)
        with pytest.raises(stripe.InvalidRequestError, match="reported already"):
            client.v1.payment_records.report_refund(record.id, refund, {"idempotency_key": "another"})
        (session,) = client.v1.checkout.sessions.list({"limit": 3}).data
        named = client.v1.checkout.sessions.retrieve(session.id).metadata
        assert named is not None
        assert named["order_id"] == "SO-9"
        note = client.v1.credit_notes.create({"invoice": invoice.id, "amount": 250, "out_of_band_amount": 200})
        return back, client.v1.credit_notes.void_credit_note(note.id)

    back, note = await asyncio.to_thread(work)
    assert back.amount_refunded.value == 400
    assert (note.type, note.pre_payment_amount, note.post_payment_amount, note.status) == ("mixed", 50, 200, "void")
    (row,) = [row for row in sandbox[0].books() if row["kind"] == "invoice"]
    assert (row["credited"], row["due"]) == ("0.00", "0.50")


async def test_a_payment_record_has_the_fields_of_the_vendors_own(
    sandbox: tuple[StripeSandbox, str], shared: Path
) -> None:
    fixtures = json.loads((shared / "specs/stripe/fixtures3-billing.json").read_text())["resources"]
    asked = {
        "amount_requested": {"currency": "eur", "value": "1"},
        "initiated_at": "1",
        "payment_method_details": {"type": "custom"},
    }
    made = sandbox[0].ledger.report_payment(asked)
    assert set(made) == set(fixtures["payment_record"])
    with pytest.raises(StripeError, match="guaranteed"):
        sandbox[0].ledger.attach({"status": "open"}, {"payment_record": made["id"]})
