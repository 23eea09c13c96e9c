"""SCENARIOS 5, 23, 29, 30, 34, 35, 36 and 39 on the real pipeline: people who edit, move, merge and reconnect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.demo.verdict import order_key
from app.sandbox.base import Sandbox
from app.sandbox.platforms.hubspot import HubspotSandbox
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from tests.e2e.people import HEAD, LEDGERS, TOTAL, deal_in_crm, head, linked, money_everywhere
from tests.e2e.running import SWEEP, Row, Running
from tests.e2e.scenes import Stage, over, paused, payments, strike, together
from tests.e2e.test_one_edit import SYSTEMS, shown

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="package")]
PARCEL = {"crm": 1, "books": 1, "qbo": 1, "pay": 1}
"""What a tracking number entered in the shop costs: five systems, four writes."""


@contextmanager
def normalising(crm: Sandbox, qbo: Sandbox) -> Iterator[None]:
    """Let the CRM store a customer's number in upper case, and QuickBooks without blanks at its ends and doubled ones."""
    assert isinstance(crm, HubspotSandbox)
    assert isinstance(qbo, QuickbooksOnlineSandbox)
    update, write = crm.portal.update, qbo.company.write

    def upper(record: Any, given: dict[str, Any], source: str) -> Any:
        return update(record, {k: v.upper() if k == "reference" else v for k, v in given.items()}, source)

    def trimmed(entity: str, body: dict[str, Any], *more: str, **how: str) -> Any:
        for field in body.get("CustomField", ()):
            field["StringValue"] = " ".join(str(field.get("StringValue", "")).split())
        return write(entity, body, *more, **how)

    crm.portal.update, qbo.company.write = upper, trimmed  # type: ignore[method-assign]
    try:
        yield
    finally:
        crm.portal.update, qbo.company.write = update, write  # type: ignore[method-assign]


async def test_05_one_edit_is_one_write_in_every_other_system_and_no_echo(company: Running, stage: Stage) -> None:
    _, first_id = stage.order()
    await company.act("shop", "fulfil_order", id=first_id, carrier="UPS", tracking="1Z000")
    await over(company)  # a property that the CRM lacked is there now
    key, id_ = stage.order()
    with normalising(company.sandboxes["crm"], company.sandboxes["qbo"]):
        before = await company.silent(1)
        await company.act("shop", "fulfil_order", id=id_, carrier="UPS", tracking="1Z999")
        await company.until(lambda: company.since(before) == PARCEL, "four writes")
        await over(company)
        assert company.since(before) == PARCEL, company.last_writes(before)

        before = company.writes()
        await company.act("shop", "edit_order", id=id_, po_number="Po  5 b")
        made = {"shop": "Po  5 b", "crm": "PO  5 B", "books": "Po", "qbo": "Po 5 b"}
        await company.until(lambda: shown(company, key) == made, "each has made its own of it")
        await company.silent(SWEEP + 1)
        assert company.since(before) == {"crm": 1, "books": 1, "qbo": 1}, company.last_writes(before)
        assert company.findings(key) == []

        before = company.writes()
        await company.act("crm", "edit_deal", id=head(company, "crm", key)["id"], reference="po-6")
        real = {"shop": "PO-6", "crm": "PO-6", "books": "PO-6", "qbo": "PO-6"}
        await company.until(lambda: shown(company, key) == real, "a person's edit goes through")
        await over(company)
        assert company.since(before) == {"shop": 1, "books": 1, "qbo": 1}, company.last_writes(before)


async def test_23_edits_of_one_second_all_survive_and_money_told_twice_counts_once(
    company: Running, stage: Stage
) -> None:
    key, id_ = stage.order()
    bill, deal = str(head(company, "qbo", key)["id"]), head(company, "crm", key)["id"]
    await together(
        company.act("shop", "edit_order", id=id_, po_number="PO-23"),
        company.act("qbo", "edit_invoice", id=bill, due_date="2027-02-28"),
        company.act("crm", "edit_deal", id=deal, note="ring twice"),
        stage.pays(id_, TOTAL),
    )
    for send in list(company.hooks["shop"])[-3:]:
        send()
    await money_everywhere(company, key, TOTAL)
    await company.until(lambda: shown(company, key) == dict.fromkeys(SYSTEMS, "PO-23"), "the number is everywhere")
    await company.until(lambda: head(company, "shop", key)["note"] == "ring twice", "the note is everywhere")
    await over(company)
    qbo = company.sandboxes["qbo"]
    assert isinstance(qbo, QuickbooksOnlineSandbox)
    assert qbo.company.store.get("Invoice", bill)["DueDate"] == "2027-02-28"
    assert {tuple(payments(company, system, key)) for system in HEAD} == {(TOTAL,)}
    assert company.order(key).waiting == ()


async def test_30_the_value_that_lost_is_kept_and_given_back_in_one_step(company: Running, stage: Stage) -> None:
    key, id_ = stage.order()
    deal = head(company, "crm", key)["id"]
    async with paused(stage, "shop"), paused(stage, "crm"):
        await together(
            company.act("shop", "edit_order", id=id_, po_number="FROM-SHOP"),
            company.act("crm", "edit_deal", id=deal, reference="FROM-CRM"),
        )
        await company.caught_up()
    await company.until(lambda: company.order(key).conflicts, "delivery says what it saw, and one of both loses")
    await company.until(lambda: len(set(shown(company, key).values())) == 1, "all show one value")
    await over(company)
    (kept,) = set(shown(company, key).values())
    (lost,) = {"FROM-SHOP", "FROM-CRM"} - {kept}
    assert [(one.field, one.kept, one.lost) for one in company.order(key).conflicts] == [("po_number", kept, lost)]
    await stage.decides(key, "revert", "po_number")
    await company.until(lambda: shown(company, key) == dict.fromkeys(SYSTEMS, lost), "what lost is everywhere")


async def test_29_another_company_behind_the_connection_is_not_written_to(company: Running, stage: Stage) -> None:
    qbo = company.sandboxes["qbo"]
    assert isinstance(qbo, QuickbooksOnlineSandbox)
    ours, since = qbo.account, len(qbo.log)
    qbo.account = "9130000000000999"
    qbo.oauth.expire()
    try:
        key, _ = await stage.placed()
        for system in ("books", "pay", "crm"):
            await company.until(lambda system=system: head(company, system, key), f"{system} goes on")
        await company.until(lambda: _deferred(company, key), "the order says that QuickBooks is stopped, and why")
        assert company.of("qbo", key, "invoice") == []
        taken = [one for one in list(qbo.log)[since:] if one.mutating and one.status < 300]
        assert taken == [], "nothing was written to the stranger"
    finally:
        qbo.account = ours
    await stage.everywhere(key)


def _deferred(company: Running, key: str) -> bool:
    return any(
        one.connection == "qbo" and one.outcome == "deferred" and one.reason for one in company.order(key).waiting
    )


async def test_34_a_payment_that_moves_leaves_the_first_order_unpaid(company: Running, stage: Stage) -> None:
    (one, _), (two, _) = stage.order(), stage.order()
    bills = [head(company, "qbo", key)["id"] for key in (one, two)]
    paid = await company.act("qbo", "type_payment", invoice_id=bills[0], amount=TOTAL, reference=company.name("BANK"))
    await money_everywhere(company, one, TOTAL)
    await over(company)
    await company.act("qbo", "move_payment", id=paid["id"], invoice_id=bills[1])
    await company.until(lambda: _paid(company, one, two) == (0, 24), "the orders show where it went")
    await company.until(lambda: payments(company, "books", two) == [TOTAL], "Xero has it there")
    await company.until(lambda: payments(company, "books", one) == [], "Xero took it back here")
    await company.until(lambda: payments(company, "shop", two) == [TOTAL], "the shop has it there")
    await company.until(lambda: _left(company, one) == ["pay", "shop"], "these take none back, which is told")
    await over(company)
    assert (company.order(one).financial, company.order(two).financial) == ("invoiced", "paid")


def _left(company: Running, key: str) -> list[str]:
    found = [one.subject for one in company.order(key).findings if one.code == "payment_left"]
    return sorted(subject.partition("@")[0] for subject in found)


def _paid(company: Running, *keys: str) -> tuple[int, ...]:
    return tuple(int(company.order(key).paid_amount) for key in keys)


async def test_35_two_orders_of_a_new_customer_in_one_second_make_one_customer(company: Running, stage: Stage) -> None:
    name = company.name("Grace")
    who = {"name": f"{name} Hopper", "email": f"{name.lower()}@example.com"}
    struck = strike(company.sandboxes["books"], "reset_after_commit", "PUT /Contacts$")
    orders = await together(*(stage.placed(**who) for _ in range(2)))
    for key, _ in orders:
        await stage.everywhere(key)
    await over(company)
    assert sum(struck.values()) == 1, "the customer itself was in doubt"
    assert {system: _customers(company, system, who["email"]) for system in LEDGERS} == dict.fromkeys(LEDGERS, 1)
    assert _customers(company, "crm", who["email"]) == 1


def _customers(company: Running, system: str, email: str) -> int:
    sandbox: Any = company.sandboxes[system]
    if system == "books":
        return len(sandbox.books_of.contact_index["EmailAddress"][email])
    if system == "qbo":
        rows = sandbox.company.store.rows["Customer"].values()
        return sum((row.get("PrimaryEmailAddr") or {}).get("Address") == email for row in rows)
    if system == "pay":
        return sum(row.get("email") == email for row in sandbox.ledger.of("customer"))
    return sum(one.values.get("email") == email for one in sandbox.portal.records["contacts"].values())


async def test_36_an_event_is_released_by_whichever_anchor_is_linked_first(company: Running) -> None:
    known, never = company.name("ERP"), company.name("ERP")
    anchors = [
        {"kind": "number", "ref": _number(one), "share": share} for one, share in ((never, "1.00"), (known, "4.00"))
    ]
    facts = {"amount": "5.00", "currency": "EUR"}
    await company.tell("payment", f"P-{known}", facts, anchors=anchors)
    await company.caught_up()
    await company.tell("order", known, {"number": known, "currency": "EUR", "payable_amount": "9.00"})
    key = order_key("demo", "erp", "erp-1", "order", known)
    await company.until(lambda: company.order(key).paid_amount == 4, "released at once, with its share")


def _number(id_: str) -> dict[str, str]:
    return {"connection": "", "account": "", "type": "order", "id": id_}


async def test_36_two_invoiced_deals_that_are_merged_are_not_invoiced_again(company: Running) -> None:
    deals = await together(*(deal_in_crm(company) for _ in range(2)))
    for key, _ in deals:
        await linked(company, key)
    await over(company)  # also what other orders have to come
    before = {system: {_id(row) for row in company.books(system)} for system in LEDGERS}
    merged = await company.act("crm", "merge_deals", id=deals[0][1], other=deals[1][1])
    assert merged["id"]
    keys = [key for key, _ in deals]
    await company.until(lambda: any(_asks(company, key) for key in (*keys, *company.states)), "a person is asked")
    await company.silent(2)
    new = [row for system in LEDGERS for row in company.books(system) if _id(row) not in before[system]]
    assert new == []


def _id(row: Row) -> tuple[str, str]:
    return str(row["kind"]), str(row["id"])


def _asks(company: Running, key: str) -> bool:
    return any(one.code in {"merged", "merging"} for one in company.order(key).findings)
