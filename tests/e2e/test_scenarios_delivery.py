"""SCENARIOS 1, 2, 9, 21, 26, 27, 32, 33, 37 and 40 on the real pipeline: what becomes of a write when things go wrong."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal

import pytest

from app.core import topics
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from app.sandbox.platforms.xero import XeroSandbox
from tests.e2e.people import BUYER, HEAD, LEDGERS, LINES, TOTAL, head, money_everywhere
from tests.e2e.running import Running
from tests.e2e.scenes import (
    BILLING,
    Stage,
    calls,
    commands,
    journal,
    knobs,
    metric,
    over,
    paused,
    payments,
    records,
    strike,
    together,
)

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]


async def test_01_an_answer_that_is_lost_makes_no_second_document(company: Running, stage: Stage) -> None:
    await over(company)  # no other order's write is struck
    since = {system: len(company.sandboxes[system].log) for system in BILLING}
    faults = {"books": "reset_after_commit", "qbo": "error_5xx_after_commit", "pay": "slow_commit"}
    struck = {one: strike(company.sandboxes[one], fault, BILLING[one]) for one, fault in faults.items()}
    blind = strike(company.sandboxes["books"], "error_5xx", "GET /Invoices$", times=2)
    async with (
        knobs(company.sandboxes["books"], idempotency_off=1),
        knobs(company.sandboxes["pay"], slow_commit_s=0.4),
    ):
        key, _ = await stage.placed()
        await stage.everywhere(key)
        await over(company)
    assert [sum(one.values()) for one in struck.values()] == [1, 1, 1]
    assert blind["error_5xx"] == 2, "the probe itself was impossible for a while"
    assert len(calls(company, "books", BILLING["books"], since["books"])) == 1, "it was asked, not sent again"
    sent = [one for one in list(company.sandboxes["pay"].log)[since["pay"] :] if one.mutating]
    assert len({one.key for one in sent if re.search(BILLING["pay"], one.operation)}) == 1, (
        "Stripe knows a repeat by its key"
    )
    asked = await commands(company, key)
    for system in BILLING:
        (create, *later) = [one for one in asked if one["connection"] == system]
        # What is found is told as it is there: where a system words a field in its own way it is set once more.
        assert [create["kind"], *(one["kind"] for one in later)] in (["create"], ["create", "set"]), asked
        went = await journal(company, system, create["id"])
        assert went[:2] == ["intent", "uncertain"], f"{system}: {went}"
        assert system == "pay" or went[2:] == ["settled"], f"{system}: {went}"
    made = [len(company.of(system, key, "invoice")) for system in BILLING]
    assert made == [1, 1, 1]


async def test_01_a_request_that_did_nothing_is_sent_again(company: Running, stage: Stage) -> None:
    since = len(company.sandboxes["books"].log)
    strike(company.sandboxes["books"], "reset_before_commit", BILLING["books"], times=2)
    key, _ = await stage.placed()
    await stage.everywhere(key)
    assert calls(company, "books", BILLING["books"], since) == ["0 reset_before_commit"] * 2 + ["200"]


async def test_02_a_dead_token_is_refreshed_once_and_a_busy_token_endpoint_is_not_fatal(
    company: Running, stage: Stage
) -> None:
    books = company.sandboxes["books"]
    assert isinstance(books, XeroSandbox)
    before, since = books.tokens.refreshes, len(books.log)
    struck = strike(books, "rate_429", "POST /connect/token", times=2)
    books.tokens.expire()
    orders = [stage.order() for _ in range(3)]
    await together(*(stage.pays(id_, TOTAL) for _, id_ in orders))
    for key, _ in orders:
        await money_everywhere(company, key, TOTAL)
    assert struck["rate_429"] == 2
    assert books.tokens.refreshes == before + 1
    sent = calls(company, "books", "PUT /Payments$", since)
    assert sum(answer.startswith("200") for answer in sent) <= 3, f"none was written twice: {sent}"
    left = await metric(company, "connectors", "o2c_token_expiry_seconds")
    assert {'{connection="books"}', '{connection="qbo"}'} <= left.keys(), "exported for who has an end"


async def test_21_one_bad_record_holds_up_nobody_but_itself(company: Running, stage: Stage) -> None:
    books = company.sandboxes["books"]
    assert isinstance(books, XeroSandbox)
    letters = len(await records(company, topics.DEAD_LETTERS))
    crashes = {"id": 77, "name": "#77", "total_price": {"amount": []}, "line_items": "none"}
    headers = {"X-Shopify-Topic": "orders/create", "X-Shopify-Shop-Domain": company.sandboxes["shop"].account}
    company.sandboxes["shop"].hooks.push(json.dumps(crashes).encode(), topic="orders/create", headers=headers)
    unmapped = [{**LINES[0], "tax_rate": "13"}]
    (bad, bad_id), (odd, _), *good = await together(
        stage.placed(currency="DKK"), stage.placed(lines=unmapped), *(stage.placed() for _ in range(98))
    )
    for key, _ in good:
        await stage.everywhere(key)
    marks = [str(row["mark"]) for row in company.books("books") if row["kind"] == "invoice"]
    assert all(sum(key in mark for mark in marks) == 1 for key, _ in good), "no neighbour twice"

    await company.until(lambda: _refused(company, bad, "books"), "what Xero refuses is told in plain words")
    await company.until(lambda: _refused(company, odd, "qbo"), "what we cannot translate is told in plain words")
    await together(stage.pays(bad_id, TOTAL), stage.pays(good[0][1], TOTAL))
    await money_everywhere(company, good[0][0], TOTAL)
    assert company.of("books", bad, "invoice", "payment") == [], "what follows on it waits"
    dead = (await records(company, topics.DEAD_LETTERS))[letters:]
    assert any(b"line_items" in (one.value or b"") for one in dead), "the raw payload is kept"

    books.books_of.currencies.append("DKK")
    await stage.decides(bad, "retry")
    await company.until(lambda: head(company, "books", bad)["status"] == "paid", "it and what followed are done")
    assert payments(company, "books", bad) == [TOTAL]


def _refused(company: Running, key: str, system: str) -> bool:
    found = [one for one in company.order(key).findings if one.code == "rejected" and one.subject.startswith(system)]
    return [bool(one.message and one.next_step) for one in found] == [True]


async def test_09_money_that_comes_with_a_change_of_a_paid_order_is_on_the_new_invoice(
    company: Running, stage: Stage
) -> None:
    key, id_ = stage.order()
    await stage.pays(id_, TOTAL)
    await money_everywhere(company, key, TOTAL)
    await over(company)
    await company.act("shop", "edit_order", id=id_, lines=[{**LINES[0], "quantity": 3}])
    await stage.pays(id_, "12.00")
    for system in LEDGERS:
        await company.until(
            lambda system=system: _paid(company, system, key) == {TOTAL: TOTAL, "36.00": "12.00"}, system
        )
    await over(company)
    dues = {system: sorted(str(row["due"]) for row in company.of(system, key, "invoice")) for system in LEDGERS}
    # Stripe cannot use the credit on the new invoice: a person is told.
    assert dues == {"books": ["0.00", "0.00"], "qbo": ["0.00", "0.00"], "pay": ["0.00", "24.00"]}
    assert [one.subject.partition("@")[0] for one in company.findings(key)] == ["pay"]
    assert company.order(key).waiting == ()


def _paid(company: Running, system: str, key: str) -> dict[str, str]:
    """Return what was paid on each invoice of an order: its total -> the amount."""
    bills = {row["id"]: str(row["total"]) for row in company.of(system, key, "invoice")}
    return {bills.get(row["invoice_id"], ""): str(row["amount"]) for row in company.of(system, key, "payment")}


async def test_26_our_own_payment_that_comes_back_before_its_result_is_no_second_one(
    company: Running, stage: Stage
) -> None:
    key, _ = stage.order()
    struck = strike(company.sandboxes["books"], "reset_after_commit", "PUT /Payments$")
    charge = {
        "order_id": company.order(key).number,
        "invoice": head(company, "pay", key)["id"],
        "email": BUYER["email"],
    }
    await company.act("pay", "charge", **charge, amount=TOTAL, currency="EUR")
    await money_everywhere(company, key, TOTAL)
    await over(company)
    assert struck["reset_after_commit"] == 1
    assert (company.order(key).paid_amount, company.order(key).financial) == (Decimal(TOTAL), "paid")
    assert {system: payments(company, system, key) for system in HEAD} == {system: [TOTAL] for system in HEAD}


async def test_27_a_note_and_a_dead_worker_between_plan_and_write_make_no_second_payment(
    company: Running, stage: Stage
) -> None:
    key, id_ = stage.order()
    async with paused(stage, "books"):
        await stage.pays(id_, "10.00")
        await company.until(lambda: company.order(key).paid_amount == 10, "the first payment is planned")
        await company.act("shop", "edit_order", id=id_, note="ring twice")
        await stage.dies("streams")
        await stage.pays(id_, "14.00")
        await company.until(lambda: company.order(key).paid_amount == 24, "the second payment is planned")
        assert payments(company, "books", key) == []
    for system in HEAD:
        await company.until(
            lambda system=system: payments(company, system, key) == ["10.00", "14.00"], f"{system} shows both"
        )
    await over(company)
    assert {tuple(payments(company, system, key)) for system in HEAD} == {("10.00", "14.00")}
    assert company.order(key).financial == "paid"


async def test_32_a_probe_that_came_too_early_and_three_requests_of_which_the_second_died(
    company: Running, stage: Stage
) -> None:
    since = {system: len(company.sandboxes[system].log) for system in BILLING}
    books, qbo = company.sandboxes["books"], company.sandboxes["qbo"]
    slow = [strike(one, "slow_commit", BILLING[name]) for name, one in (("books", books), ("qbo", qbo))]
    dies = strike(company.sandboxes["pay"], "reset_after_commit", "POST /v1/invoices/[^/]+/add_lines$")
    async with (
        knobs(books, slow_commit_s=0.4, visibility_lag_s=0.3, idempotency_off=1),
        knobs(qbo, slow_commit_s=0.4, visibility_lag_s=0.3, idempotency_off=1),
    ):
        key, _ = await stage.placed()
        await stage.everywhere(key)
        await over(company)
    assert [sum(one.values()) for one in (*slow, dies)] == [1, 1, 1]
    assert len(calls(company, "books", BILLING["books"], since["books"])) == 1, "it was asked, not sent again"
    assert {head(company, system, key)["total"] for system in HEAD} == {TOTAL}, "each one is complete"


async def test_33_half_a_correction_never_shows_both_invoices(company: Running, stage: Stage) -> None:
    key, id_ = stage.order()
    await stage.pays(id_, TOTAL)
    await money_everywhere(company, key, TOTAL)
    await over(company)
    await company.act("books", "set_lock_date", date="2099-12-31")
    await company.act("shop", "edit_order", id=id_, lines=[{**LINES[0], "quantity": 3}])
    await company.until(lambda: _billed(company, "qbo", key) == Decimal("36.00"), "QuickBooks has the new total")
    await company.until(lambda: any(one.code == "rejected" for one in company.order(key).findings), "Xero refused")
    assert _billed(company, "books", key) == Decimal(TOTAL)
    assert len(company.of("books", key, "invoice")) == 1, "no new invoice before the credit note"
    await company.act("books", "set_lock_date")
    await stage.decides(key, "retry")
    await company.until(lambda: _billed(company, "books", key) == Decimal("36.00"), "Xero has the new total")


def _billed(company: Running, system: str, key: str) -> Decimal:
    """Return what a ledger bills for the order: invoices less credit notes; it may never be more than the new total."""
    live = [row for row in company.of(system, key, "invoice", "credit") if row["status"] not in {"void", "deleted"}]
    found = sum((Decimal(row["total"]) * (1 if row["kind"] == "invoice" else -1) for row in live), Decimal(0))
    assert found <= Decimal("36.00"), f"{system} bills {found}"
    return found


async def test_37_an_edit_in_the_ledger_while_our_write_waits_survives(company: Running, stage: Stage) -> None:
    key, id_ = stage.order()
    bill = head(company, "books", key)["id"]
    async with paused(stage, "books"):
        await company.act("shop", "edit_order", id=id_, po_number="PO-37")
        await company.until(lambda: head(company, "qbo", key)["order_ref"] == "PO-37", "the others have it")
        await company.act("books", "edit_invoice", id=bill, due_date="2027-01-31")
    await company.until(lambda: head(company, "books", key)["mark"].startswith("PO-37 "), "our write arrives")
    qbo = company.sandboxes["qbo"]
    assert isinstance(qbo, QuickbooksOnlineSandbox)
    there = str(head(company, "qbo", key)["id"])
    await company.until(
        lambda: qbo.company.store.get("Invoice", there)["DueDate"] == "2027-01-31", "the edit is everywhere"
    )
    assert str(_invoice(company, bill)["DueDate"]) == "2027-01-31"
    await over(company)
    assert company.order(key).conflicts == (), "two fields are no conflict"


def _invoice(company: Running, id_: str) -> dict[str, object]:
    books = company.sandboxes["books"]
    assert isinstance(books, XeroSandbox)
    return books.books_of.invoices[id_]


async def test_37_the_document_of_a_stranger_with_our_number_is_left_alone(company: Running, stage: Stage) -> None:
    number = company.name("SO")
    typed = {"customer": "A stranger", "currency": "EUR", "lines": [{"title": "Theirs", "price": "7.00"}]}
    foreign = await company.act("books", "type_invoice", number=number, reference="nobody's", **typed)
    before = dict(_invoice(company, foreign["id"]))
    key, _ = await stage.placed(reference=number)
    await stage.everywhere(key)
    await over(company)
    assert _invoice(company, foreign["id"]) == before
    assert head(company, "books", key)["id"] != foreign["id"]


async def test_40_fifty_payments_of_which_one_loses_its_answer_are_fifty(company: Running, stage: Stage) -> None:
    key, id_ = stage.order()
    since = len(company.sandboxes["books"].log)
    async with paused(stage, "books"):
        await asyncio.gather(*(stage.pays(id_, "0.48") for _ in range(50)))
        await company.until(lambda: company.order(key).paid_amount == 24, "all fifty are planned")
        await company.act("shop", "edit_order", id=id_, note="and a note between")
        await company.caught_up()
        struck = strike(company.sandboxes["books"], "reset_after_commit", "PUT /Payments$")
    await company.until(lambda: payments(company, "books", key) == ["0.48"] * 50, "all fifty are there")
    await over(company)
    assert struck["reset_after_commit"] == 1
    assert payments(company, "books", key) == ["0.48"] * 50
    assert len(calls(company, "books", "PUT /Payments$", since)) == 50, (
        "each was sent once: of the first the ledger was asked"
    )
    assert head(company, "books", key)["status"] == "paid"
