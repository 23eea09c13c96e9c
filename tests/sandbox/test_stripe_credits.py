"""What can be taken back at the simulated Stripe: a credit note while its invoice is open, and no reported payment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stripe

from app.core.errors import ConflictError, RejectedError
from app.render.studio import studio
from app.sandbox.platforms.stripe import StripeSandbox
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Credit
from schemas.refs import ObjectRef
from tests.platforms.planned import ORDER, Planned, order
from tests.platforms.stripe.account import DAY, Account
from tests.platforms.stripe.plain import SINK
from tests.platforms.stripe.spec import Spec

pytestmark = pytest.mark.sandbox
NOTE = Credit(amount=Decimal(10), currency="EUR", date=DAY)


@pytest.fixture
async def account(shared: Path) -> AsyncIterator[Account]:
    sandbox = StripeSandbox(quota_scale=100)
    there = Account(sandbox, await sandbox.start(), Spec(shared / "specs" / "stripe"))
    yield there
    await there.close()


async def _credited(account: Account) -> tuple[str, str]:
    bill = await account.bill("24.00")
    note = await account.write("issue_credit", NOTE, kind="append", links={"invoice": bill.id})
    assert account.record("invoice", bill.id)["amount_remaining"] == 1400
    return bill.id, note.id


async def test_a_note_is_voided_once_and_its_invoice_asks_for_all_again(account: Account) -> None:
    bill, note = await _credited(account)
    asked = account.command("void_credit", NOTE, kind="append", links={"credit": note})
    assert await account.talk(SINK.probe(asked)) is None
    written = await account.talk(SINK.write(asked))
    assert (written.id, written.facts.status) == (note, "void")
    assert account.record("invoice", bill)["amount_remaining"] == 2400
    assert (await account.talk(SINK.probe(asked))).id == note
    await account.talk(SINK.write(asked))
    assert [one.method for one in account.asked] == ["GET"], "what is void stays as it is"


async def test_one_of_a_paid_invoice_stays(account: Account) -> None:
    bill, note = await _credited(account)
    await account.pay(bill, "14.00")
    with pytest.raises(RejectedError):
        await account.write("void_credit", NOTE, kind="append", links={"credit": note})
    with pytest.raises(ConflictError, match="gone"):
        await account.write("void_credit", NOTE, kind="append", links={"credit": "cn_none"})


async def test_the_vendors_library_meets_the_same_rule() -> None:
    sandbox = StripeSandbox()
    url = await sandbox.start()
    account = Account(sandbox, url)
    try:
        bill, note = await _credited(account)

        def work() -> tuple[str, str]:
            client = stripe.StripeClient("sk_test_a", base_addresses={"api": url}, http_client=stripe.RequestsClient())
            key: stripe.RequestOptions = {"idempotency_key": "k"}
            first = client.v1.credit_notes.void_credit_note(note, options=key)
            again = client.v1.credit_notes.void_credit_note(note, options=key)
            with pytest.raises(stripe.InvalidRequestError):
                client.v1.credit_notes.void_credit_note(note)
            return first.status, again.status

        assert await asyncio.to_thread(work) == ("void", "void")
        assert account.record("invoice", bill)["amount_remaining"] == 2400
    finally:
        await account.close()


async def test_no_report_takes_a_payment_off_its_invoice() -> None:
    """Stripe cancels no payment that is guaranteed, which one on an invoice is; money that went back leaves it paid.

    https://docs.stripe.com/api/payment-record/report; only a preview takes payments off invoices, and payment intents.
    """
    sandbox = StripeSandbox()
    url = await sandbox.start()
    account = Account(sandbox, url)
    try:
        bill = await account.bill("24.00")
        paid = await account.pay(bill.id, "24.00")

        def work() -> int:
            client = stripe.StripeClient("sk_test_a", base_addresses={"api": url}, http_client=stripe.RequestsClient())
            records = client.v1.payment_records
            with pytest.raises(stripe.InvalidRequestError, match="already guaranteed"):
                records.report_payment_attempt_canceled(paid.id, {"canceled_at": 1_700_000_000})
            with pytest.raises(stripe.InvalidRequestError, match="already guaranteed"):
                records.report_payment_attempt_failed(paid.id, {"failed_at": 1_700_000_000})
            wanted: Any = {
                "outcome": "refunded",
                "processor_details": {"type": "custom", "custom": {"refund_reference": "r1"}},
                "refunded": {"refunded_at": 1_700_000_001},
            }
            return records.report_refund(paid.id, wanted).amount_refunded.value

        assert await asyncio.to_thread(work) == 2400
        invoice = account.record("invoice", bill.id)
        assert (invoice["status"], invoice["amount_paid"]) == ("paid", 2400)
    finally:
        await account.close()


async def test_a_refund_that_failed_elsewhere_takes_its_credit_note_back() -> None:
    async with studio("stripe") as bench:
        flow = Planned(bench)

        def back(version: int, status: str) -> ChangeEvent:
            ref = ObjectRef("erp", "1", "refund", "r1")
            facts = Credit(document="refund", amount=Decimal(5), currency="EUR", status=status)  # type: ignore[arg-type]
            hangs = (Anchor("object", ORDER),)
            return ChangeEvent(tenant="local", object=ref, facts=facts, version=Version(version), anchors=hangs)

        await flow.see(order("24.00"))
        made = await flow.see(back(1, "issued"))
        assert [(one.capability, one.outcome) for one in made] == [("issue_credit", "confirmed")]
        ended = await flow.see(back(2, "failed"))
        assert [(one.capability, one.outcome) for one in ended] == [("void_credit", "confirmed")]
        assert flow.findings == ()
        assert await flow.see(back(3, "failed")) == []
