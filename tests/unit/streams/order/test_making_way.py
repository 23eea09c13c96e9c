"""A document that is credited for the next one: while that is so, whatever comes waits for the next."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from schemas.facts import Invoice, Payment
from schemas.flow import Target
from schemas.platform import Effect
from streams.order.plan.desk import Desk
from streams.order.plan.documents import documents, is_hung_on
from streams.order.plan.wants import wants
from tests.unit.streams.order.billed import BILL, MONEY, changed_order, made, shown
from tests.unit.streams.order.sample import PLATFORMS
from tests.unit.streams.order.states import desk, look, record, ref

CREDIT, NOTE = "books|correction|1", ref("books", "credit", "9")
PAID = look(Payment(amount=Decimal(6), currency="EUR"), "shop", "p")
SENT = record(f"books|payment|{PAID.object.key}", capability="record_payment")
FIXED = {"fixed_amounts": True, "capabilities": {**PLATFORMS["ledgerr"].capabilities, "void_invoice": Effect.RECORDS}}
VOID = f"books|void|{BILL.key}"


def credit(**changes: Any) -> Any:
    return record(CREDIT, changes.pop("bound", None), **{"capability": "issue_credit", **changes})


def hung(known: Desk) -> bool:
    """Tell whether the new money is put on the document that is there."""
    found = [want for want in wants(known) if want.write == SENT.key]
    assert bool(found) is is_hung_on(known)
    return bool(found)


def corrects(known: Desk) -> bool:
    return ("issue_credit", CREDIT) in [(want.capability, want.write) for want in documents(known)]


@pytest.mark.parametrize(("outcome", "kept"), [(None, True), ("uncertain", True), ("deferred", False)])
def test_what_the_credit_is_over_bills_the_same_until_it_is_there(outcome: Any, *, kept: bool) -> None:
    """A change of the old total that was answered `stale` is no more asked for: the credit says what was billed."""
    old = made(outcome="stale", asked=("payable_amount",), digest="x", stale={"payable_amount": "24.00"})
    known = desk(old, shown(), record(SENT.key, capability="record_payment"), PAID, credit(outcome=outcome))
    (document,) = [want for want in documents(known) if want.write == "books|document"]
    assert ("payable_amount" not in document.shared) is kept


def test_money_waits_while_the_document_is_to_be_credited() -> None:
    known = changed_order(PAID)
    assert (corrects(known), hung(known)) == (True, False)


@pytest.mark.parametrize("outcome", [None, "uncertain"])
def test_a_credit_on_its_way_is_seen_through_though_the_total_was_taken_back(outcome: Any) -> None:
    known = desk(made(outcome="confirmed"), shown(), MONEY, PAID, credit(outcome=outcome))
    assert (corrects(known), hung(known)) == (True, False)


def test_so_is_one_that_was_made() -> None:
    known = desk(made(outcome="confirmed"), shown(), MONEY, PAID, credit(outcome="confirmed", bound=NOTE))
    assert (corrects(known), hung(known)) == (True, False)


@pytest.mark.parametrize("outcome", ["deferred", "stale", "rejected"])
def test_one_that_is_not_there_is_forgotten_once_the_total_was_taken_back(outcome: Any) -> None:
    known = desk(made(outcome="confirmed"), shown(), MONEY, PAID, credit(outcome=outcome))
    assert (corrects(known), hung(known)) == (False, True)


@pytest.mark.parametrize(("outcome", "there"), [("rejected", True), (None, False), ("uncertain", False)])
def test_where_the_credit_is_refused_for_good_money_is_put_on_the_old_one(outcome: Any, there: bool) -> None:  # noqa: FBT001 - a parameter
    known = changed_order(PAID, credit(outcome=outcome, stopped="x"))
    assert (corrects(known), hung(known)) == (True, there)


@pytest.mark.parametrize("outcome", [None, "stale", "superseded", "confirmed"])
def test_what_was_asked_of_a_document_before_it_made_way_is_not_waited_for(outcome: Any) -> None:
    later = [record(f"books|document|{n}", ref("books", "invoice", f"{n}"), outcome=outcome) for n in (1, 2)]
    parts = (made(outcome=outcome, asked=("note",), digest="x"), *later)
    let_go = [want.write for want in documents(desk(*parts)) if want.kind == "set"]
    assert let_go == ([] if outcome == "confirmed" else ["books|document", "books|document|1"]), "not the newest"


def test_a_refused_credit_says_nothing_of_a_document_that_is_voided() -> None:
    dearer = {"payable_amount": Decimal(30), "lines": (), "status": "open"}
    known = desk(
        made(outcome="confirmed"), shown(), PAID, credit(outcome="rejected", stopped="x"), platform=FIXED, facts=dearer
    )
    assert not hung(known)


@pytest.mark.parametrize(
    "known",
    [
        changed_order(PAID, platform={"capabilities": {"record_payment": Effect.RECORDS}}),
        changed_order(PAID, target=Target(connection="books")),
        changed_order(PAID, look(Invoice(currency="EUR", payable_amount=Decimal(24), status="void"), "books")),
        changed_order(PAID, record(VOID, capability="void_invoice")),
        changed_order(PAID, facts={"status": "cancelled"}),
    ],
)
def test_what_does_not_bill_the_order_any_more_makes_way_for_nothing(known: Desk) -> None:
    assert is_hung_on(known)
