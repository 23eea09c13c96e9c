"""A document whose amounts are fixed once it is issued: voided to make room for the next one, while nobody paid."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Credit, Invoice
from schemas.platform import Effect
from schemas.projection import project
from streams.order.plan.desk import Desk
from streams.order.plan.documents import documents, findings, invoice
from streams.order.plan.want import Want
from streams.order.plan.wants import wants
from tests.unit.streams.order.billed import BILL, MONEY, NEXT, made, shown
from tests.unit.streams.order.sample import KEY, PLATFORMS, SHOP
from tests.unit.streams.order.states import desk, look, record, ref

CAN = {**PLATFORMS["ledgerr"].capabilities, "void_invoice": Effect.RECORDS}
FIXED = {"fixed_amounts": True, "capabilities": CAN}
NOTES = {name: effect for name, effect in CAN.items() if name != "issue_credit"}
VOID, GONE = "books|room|1", shown(status="void")


def changed(*parts: Any, facts: Any = None, platform: Any = None, first: Any = None, **more: Any) -> Desk:
    """Return the desk of an order that became dearer since it was billed."""
    said = {"payable_amount": Decimal(30), "lines": (), "status": "open", **(facts or {})}
    bill = shown() if first is None else first
    return desk(made(outcome="confirmed"), bill, *parts, facts=said, platform={**FIXED, **(platform or {})}, **more)


def room(**changes: Any) -> Any:
    return record(VOID, changes.pop("bound", BILL), **{"capability": "void_invoice", "outcome": "confirmed", **changes})


def asked(known: Desk) -> list[tuple[str, str]]:
    return [(want.capability, want.write) for want in documents(known)]


AMENDED, VOIDED = ("upsert_invoice", "books|document"), ("void_invoice", VOID)
REPLACED = ("upsert_invoice", "books|document|1")
CREDITED = [AMENDED, ("issue_credit", "books|correction|1"), REPLACED]


def test_an_unpaid_one_is_voided_and_then_made_anew() -> None:
    known = changed()
    first, void, then = documents(known)
    assert first.shared == known.target.fields, "its amounts are never set"
    assert void == Want(
        write=VOID,
        connection="books",
        capability="void_invoice",
        kind="append",
        canonical=f"room+{made().id}",
        entity=f"document:{KEY}",
        facts=Invoice(currency="EUR"),
        after=("books|document",),
        links={"invoice": "1"},
        text="Order changed",
    )
    assert (then.write, then.after, then.facts) == ("books|document|1", (VOID,), invoice(known))
    assert list(findings(known)) == []


@pytest.mark.parametrize("outcome", [None, "uncertain", "deferred", "confirmed"])
@pytest.mark.parametrize("facts", [{}, {"payable_amount": Decimal(24)}])
def test_a_void_that_is_on_its_way_is_seen_through_whatever_the_order_says_by_then(outcome: Any, facts: Any) -> None:
    known = changed(room(outcome=outcome, bound=BILL if outcome == "confirmed" else None), facts=facts)
    assert asked(known) == [VOIDED, REPLACED]
    assert list(findings(known)) == []
    assert known.parent is None, "nothing is hung on it meanwhile"


def test_once_it_is_void_the_next_one_is_named_after_it() -> None:
    known = changed(room(), first=GONE)
    (_, then) = documents(known)
    assert (then.canonical, then.facts) == (BILL.key, invoice(known))
    assert next(iter(documents(changed(room(bound=None, outcome=None))))).canonical == f"room+{made().id}"
    assert list(documents(changed(room(bound=None, outcome=None))))[1].canonical == SHOP.key
    assert list(findings(known)) == [], "it is made anew, so that nobody needs to be told"


def test_the_next_one_is_kept_in_step_like_any_other() -> None:
    second = record("books|document|1", NEXT, base={"payable_amount": Pair("30.00", "30.00")}, outcome="confirmed")
    there = look(Invoice(currency="EUR", payable_amount=Decimal(30)), "books", "2")
    assert asked(changed(room(), second, there, first=GONE)) == [REPLACED]
    dearer = changed(room(), second, there, first=GONE, facts={"payable_amount": Decimal(36)})
    assert asked(dearer) == [REPLACED, ("void_invoice", "books|room|2"), ("upsert_invoice", "books|document|2")]


@pytest.mark.parametrize("outcome", ["stale", "rejected"])
def test_what_the_ledger_did_not_void_is_credited_once_it_is_paid(outcome: str) -> None:
    paid = shown(status="paid", paid_amount=Decimal(24))
    stopped = "x" if outcome == "rejected" else ""
    known = changed(room(outcome=outcome, bound=None, stopped=stopped), first=paid)
    wanted = [want for want in documents(known) if want.kind != "set"]
    assert [(want.capability, want.write) for want in wanted] == CREDITED
    unpaid = changed(room(outcome=outcome, bound=None, stopped=stopped))
    assert asked(unpaid) == (CREDITED if stopped else [AMENDED, VOIDED, REPLACED])


def test_a_void_that_came_too_late_is_let_go() -> None:
    paid = shown(status="paid", paid_amount=Decimal(24))
    known = changed(room(outcome="stale", bound=None), first=paid)
    (late,) = [want for want in documents(known) if want.kind == "set"]
    assert (late.write, late.connection, late.capability, late.status) == (VOID, "books", "void_invoice", "")
    assert late.facts is known.derived.order
    assert (late.canonical, late.entity) == (known.state.writes[VOID].canonical, f"document:{known.state.key}")
    assert [want.kind for want in documents(changed(room(outcome="stale", bound=None)))] == [
        "create",
        "append",
        "create",
    ]


def test_money_on_it_has_it_credited() -> None:
    assert asked(changed(MONEY)) == CREDITED
    assert asked(changed(platform={"capabilities": PLATFORMS["ledgerr"].capabilities})) == CREDITED, "it cannot void"
    closed = msgspec.structs.replace(changed(first=shown(issue_date=date(2026, 3, 1))), closed=date(2026, 3, 1))
    assert asked(closed) == CREDITED, "nothing of a closed period is voided"
    later = msgspec.structs.replace(changed(first=shown(issue_date=date(2026, 3, 2))), closed=date(2026, 3, 1))
    assert asked(later) == [AMENDED, VOIDED, REPLACED]


def test_where_it_can_be_neither_voided_nor_credited_a_person_is_told() -> None:
    neither = {name: effect for name, effect in NOTES.items() if name != "void_invoice"}
    known = changed(platform={"capabilities": neither})
    assert asked(known) == [AMENDED]
    assert [one.code for one in findings(known)] == ["paid_edit"]


def test_what_bills_the_same_stays() -> None:
    same = changed(facts={"payable_amount": Decimal(24)})
    assert asked(same) == [AMENDED]
    note = look(Credit(amount=Decimal(6), currency="EUR", status="issued"), "shop", "9")
    assert asked(changed(note, facts={"payable_amount": Decimal(18)})) == [AMENDED], "the credit note says the rest"
    assert list(findings(changed(note, facts={"payable_amount": Decimal(18)}))) == []
    assert asked(changed(note)) == [AMENDED], "nobody knows what the credit was for"
    assert [one.code for one in findings(changed(note))] == ["paid_edit"]
    assert asked(desk(made(), shown(), facts={"payable_amount": Decimal(30)})) == [AMENDED], "elsewhere it is changed"


def test_other_lines_over_the_same_total_are_another_bill() -> None:
    same = changed(facts={"payable_amount": Decimal(24)})
    lines = project(invoice(same))["lines"]
    for sent, expected in ((lines, [AMENDED]), ("other", [AMENDED, VOIDED, REPLACED])):
        base = {"payable_amount": Pair("24.00", "24.00"), "lines": Pair(sent, "as it shows them")}
        first = made(outcome="confirmed", base=base)
        parts = changed(first, first=look(Invoice(currency="EUR", payable_amount=Decimal(24)), "books"))
        known = msgspec.structs.replace(parts, derived=same.derived)
        assert asked(known) == expected


def test_an_order_that_ends_meanwhile_is_voided_and_no_more() -> None:
    known = changed(room(outcome=None, bound=None), facts={"status": "cancelled"})
    assert asked(known) == [VOIDED]
    assert [one.capability for one in wants(known) if one.capability != "void_invoice"] == []
    free = changed(facts={"payable_amount": Decimal(0)})
    assert asked(free) == [AMENDED, VOIDED]
    assert asked(changed(facts={"status": "cancelled"})) == [AMENDED], "its end is another's"


def test_one_that_ended_otherwise_is_not_made_anew() -> None:
    known = changed(first=GONE)
    assert asked(known) == []
    assert [one.code for one in findings(known)] == ["document_ended"]
    assert ref("books", "invoice", "1") == BILL
