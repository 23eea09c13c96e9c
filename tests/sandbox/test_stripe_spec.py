"""Every request of ours and every answer of the simulated Stripe, held against what the vendor publishes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.talk import Request, Response
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.facts import Credit, Customer, Party, Shipment
from streams.sources.base import Page
from tests.platforms.stripe.account import DAY, Account, bill
from tests.platforms.stripe.plain import SINK, SOURCE, reply
from tests.platforms.stripe.spec import Spec

pytestmark = pytest.mark.sandbox
BACK = Credit(document="refund", amount=Decimal(3), currency="EUR", date=DAY)


@pytest.fixture
def spec(shared: Path) -> Spec:
    return Spec(shared / "specs" / "stripe")


@pytest.fixture
async def account(spec: Spec) -> AsyncIterator[Account]:
    sandbox = StripeSandbox(quota_scale=100)
    there = Account(sandbox, await sandbox.start(), spec)
    yield there
    await there.close()


async def _everything(account: Account) -> None:
    """Ask for all that we ever ask for: each capability, each probe, each read, both sweeps."""
    made = await account.write("request_payment", bill("24.00", lines=12))
    links = {"invoice": made.id}
    note = msgspec.structs.replace(bill("24.00"), note="Ring twice")
    change = account.command("upsert_invoice", note, kind="set", bound_id=made.id, changes=("note",))
    await account.talk(SINK.write(change))
    await account.talk(SINK.reread(change))
    paid = await account.pay(made.id, "20.00")
    credit = msgspec.structs.replace(BACK, document="credit_note", amount=Decimal(10))
    writes = [
        account.command("issue_credit", credit, kind="append", links=links),
        account.command("record_refund", BACK, kind="append", links={**links, "payment": paid.id}),
        account.command(
            "record_shipment", Shipment(carrier="UPS", tracking_numbers=("1Z",)), kind="append", links=links
        ),
        account.command("add_note", note, kind="append", links=links, text="Call first"),
        account.command("upsert_customer", Customer(party=Party(name="Di O'Hara", id="7"))),
        account.command("upsert_invoice", bill("5.00", customer=Party(name="Cy"))),
    ]
    shown = {one.capability: await account.talk(SINK.write(one)) for one in writes}
    other = shown["upsert_invoice"].id
    writes.append(account.command("void_invoice", bill("5.00"), kind="append", links={"invoice": other}))
    await account.talk(SINK.write(writes[-1]))
    for one in [*writes, account.command("request_payment", bill("24.00"))]:
        await account.talk(SINK.probe(one))
        await account.talk(SINK.probe_since(one, datetime.now(UTC) - timedelta(hours=1)))
    bound = shown["upsert_customer"].id
    named = Customer(party=Party(name="Di O'Hara", email="di@example.com"))
    await account.write("upsert_customer", named, kind="set", bound_id=bound, changes=("email",))
    third = await account.bill("9.00")
    taken = account.sandbox.acts.charge({"amount": "9", "currency": "EUR", "invoice": third.id})
    await account.write("record_refund", BACK, kind="append", links={"invoice": third.id})
    account.sandbox.acts.checkout({"amount": "5", "currency": "EUR", "order_id": "SO-9"})
    account.sandbox.acts.dispute({"payment_intent": taken["id"]})
    account.sandbox.acts.payout({"amount": "5", "currency": "EUR"})
    await account.talk(SOURCE.identify())
    for name in SOURCE.sweeps():
        page = Page(more=True)
        while page.more:
            page = await account.talk(SOURCE.sweep(name, page.cursor, datetime.now(UTC)))
            for hint in page.hints:
                await account.talk(SOURCE.read(hint))


async def test_every_request_and_every_answer_is_as_published(account: Account, spec: Spec) -> None:
    await _everything(account)
    assert spec.judged >= {
        "POST /v1/customers", "POST /v1/customers/{customer}", "GET /v1/customers", "GET /v1/customers/search",
        "POST /v1/invoices", "POST /v1/invoices/{invoice}", "GET /v1/invoices", "GET /v1/invoices/search",
        "POST /v1/invoices/{invoice}/add_lines", "POST /v1/invoices/{invoice}/finalize",
        "POST /v1/invoices/{invoice}/send", "POST /v1/invoices/{invoice}/void",
        "POST /v1/invoices/{invoice}/attach_payment", "GET /v1/invoice_payments", "GET /v1/payment_intents",
        "POST /v1/refunds", "GET /v1/refunds", "POST /v1/credit_notes", "GET /v1/credit_notes",
        "POST /v1/payment_records/report_payment", "POST /v1/payment_records/{id}/report_refund", "GET /v1/events",
    }  # fmt: skip
    assert spec.answered == {
        "customer", "invoice", "line_item", "payment_intent", "charge", "payment_record", "invoice_payment", "refund",
        "credit_note", "dispute", "payout", "event", "checkout.session",
    }  # fmt: skip


REPORT = {
    "amount_requested[currency]": "eur",
    "amount_requested[value]": "5",
    "initiated_at": "1",
    "payment_method_details[type]": "custom",
}


@pytest.mark.parametrize(
    ("path", "form", "why"),
    [
        ("/v1/payment_records/report_payment", REPORT, ""),
        ("/v1/payment_records/report_payment", {**REPORT, "amount": "5"}, "takes no"),
        ("/v1/payment_records/report_payment", {**REPORT, "initiated_at": "soon"}, "whole number"),
        ("/v1/payment_records/report_payment", {"initiated_at": "1"}, "needs"),
        ("/v1/payment_records/report_payment", {**REPORT, "amount_requested[cents]": "5"}, "takes no"),
        ("/v1/payment_records/pr_1/report_refund", {"outcome": "lost", "processor_details[type]": "custom"}, "none of"),
        ("/v1/invoices/in_1/explode", {}, "in no published file"),
    ],
)
def test_the_judge_tells_a_wrong_request(spec: Spec, path: str, form: dict[str, str], why: str) -> None:
    def judge() -> None:
        spec(Request(method="POST", path=path, form=form, mutates=True), Response(status=400))

    if not why:
        judge()
        return
    with pytest.raises(AssertionError, match=why):
        judge()


def test_the_judge_tells_a_field_that_the_vendor_has_not(spec: Spec) -> None:
    read = Request(method="GET", path="/v1/invoices/in_1")
    sound: dict[str, Any] = {"object": "invoice", "id": "in_1", "lines": {"object": "list", "data": []}}
    spec(read, reply(sound))
    with pytest.raises(AssertionError, match="paid"):
        spec(read, reply({**sound, "paid": True}))
