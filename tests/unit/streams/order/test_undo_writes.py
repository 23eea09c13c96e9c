"""The writes that end what was undone, each as a whole: a ledger is asked for exactly this."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Line, Payment
from schemas.findings import Finding
from streams.order.plan.undo import ends, findings, outdated
from streams.order.plan.want import Want
from tests.unit.streams.order.ended import (
    BACK,
    CANCELS,
    COPY,
    CREDITED,
    CRM,
    DAY,
    DOCUMENT,
    MONEY,
    NOTE,
    PAID,
    REFUNDED,
    SOURCE,
    at,
    bill,
    copied,
    given_back,
    left,
    noted,
    paid,
    undone,
    without,
)
from tests.unit.streams.order.sample import KEY
from tests.unit.streams.order.states import desk, record, ref

MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))


def _want(**values: Any) -> Want:
    return Want(**{"connection": "books", "kind": "append", "entity": f"document:{KEY}", **values})


# ------------------------------------------------------------------------------------------------- payments and refunds
def test_a_payment_is_taken_back_by_the_write_that_a_failed_one_would_use() -> None:
    asked = {"write": f"books|reversal|{SOURCE}", "capability": "reverse_payment", "canonical": MONEY.id}
    facts, more = Payment(amount=Decimal(24), currency="EUR", date=DAY), {"text": "o2c recorded it"}
    assert list(ends(at(MONEY, paid()))) == [_want(**asked, facts=facts, links={"payment": "1"}, **more)]


def test_a_payment_on_an_order_is_taken_back_from_the_order() -> None:
    money = undone(f"crm|payment|{SOURCE}", ref("crm", "payment", "1"), capability="record_payment")
    there = msgspec.structs.replace(paid(), object=ref("crm", "payment", "1"))
    assert [want.entity for want in ends(at(money, there, target=CRM))] == [f"order:{KEY}"]


def test_a_refund_is_taken_back_as_one() -> None:
    (first, *_) = ends(at(REFUNDED, given_back()))
    assert (first.capability, first.canonical, first.links) == ("reverse_refund", REFUNDED.id, {"payment": BACK.id})


# ------------------------------------------------------------------------------------------------------------ documents
def test_what_is_credited_is_credited_once_with_the_day_on_which_it_was_undone() -> None:
    facts = Credit(
        amount=Decimal(24), tax_amount=Decimal(4), currency="EUR", lines=(MUG,), reason="Undone", reference="SO-1",
        date=date(2026, 3, 1),
    )  # fmt: skip
    known = at(DOCUMENT, bill(), can=without("void_invoice"))
    assert list(ends(known)) == [
        _want(
            write=f"books|undoing|{DOCUMENT.bound.key}",  # type: ignore[union-attr]
            capability="issue_credit",
            canonical=f"undo+{DOCUMENT.id}",
            facts=facts,
            links={"invoice": "1"},
            text="Ledgerr has no way to void it",
        )
    ]


def test_a_part_of_a_sum_in_yen_carries_whole_yen_of_tax() -> None:
    shows = bill(currency="JPY", payable_amount=Decimal(1000), tax_amount=Decimal(91))
    (want,) = ends(at(DOCUMENT, CREDITED, shows, noted(currency="JPY", amount=Decimal(300))))
    assert isinstance(want.facts, Credit)
    assert (want.facts.amount, want.facts.tax_amount, want.facts.currency) == (Decimal(700), Decimal(64), "JPY")


def test_a_credit_note_that_is_free_again_is_used_on_its_document() -> None:
    known = at(DOCUMENT, CREDITED, bill(), noted(remaining_amount=Decimal(10)))
    (*_, want) = ends(known)
    assert want == _want(
        write=f"books|offset|{NOTE.key}",
        capability="apply_credit",
        canonical=f"undo+{CREDITED.id}+{DOCUMENT.id}",
        facts=Credit(amount=Decimal(10), currency="EUR"),
        after=(f"books|undoing|{DOCUMENT.bound.key}",),  # type: ignore[union-attr]
        links={"credit": "1", "invoice": "1"},
        text="what it was used for is taken back",
    )


def test_a_use_of_a_credit_that_was_asked_for_stays_asked_for() -> None:
    asked = record(f"books|offset|{NOTE.key}", capability="apply_credit")
    used = noted(remaining_amount=Decimal(0))
    with_it, without_it = (list(ends(at(DOCUMENT, CREDITED, bill(), used, *more))) for more in ((asked,), ()))
    assert [want.capability for want in with_it] == [*(want.capability for want in without_it), "apply_credit"]


# --------------------------------------------------------------------------------------------------------------- copies
def test_a_copy_is_set_to_the_word_for_a_cancelled_order() -> None:
    known = at(COPY, copied(), target=CRM, can=CANCELS)
    assert list(ends(known)) == [
        Want(
            write=f"crm|status|{COPY.bound.key}",  # type: ignore[union-attr]
            connection="crm",
            capability="set_status",
            kind="set",
            canonical=COPY.canonical,
            entity=f"order:{KEY}",
            facts=known.derived.order,
            bound=COPY.bound,
            status="cancelled",
            text="Undone",
        )
    ]


# ------------------------------------------------------------------------------------------------------------- findings
def test_what_stays_is_told_with_its_object_and_what_to_do() -> None:
    (undone_, stays) = findings(at(MONEY, paid(), can=without("reverse_payment")))
    assert (undone_.code, undone_.severity, undone_.subject) == ("undone", "warn", "books")
    message = f"{PAID.key} stays: Ledgerr has no way to take it back."
    assert stays == Finding("undo_left", "warn", message, PAID.key, "take it back by hand in books")


def test_money_of_others_is_told_in_its_own_currency() -> None:
    known = at(DOCUMENT, bill(currency="JPY", paid_amount=Decimal(24)))
    assert left(known) == ["books@b/invoice/1 stays: 24 JPY on it is money that o2c did not record."]


@pytest.mark.parametrize(
    ("code", "subject", "parts", "speaks"),
    [
        ("document_ended", "books", (DOCUMENT,), True),
        ("document_ended", "crm", (DOCUMENT,), False),
        ("rejected", "books", (DOCUMENT,), False),
        ("document_ended", "books", (record("books|document", DOCUMENT.bound),), False),
    ],
)
def test_only_findings_about_the_document_that_was_undone_are_out_of_date(
    code: str, subject: str, parts: tuple[Any, ...], *, speaks: bool
) -> None:
    assert outdated(desk(*parts), Finding(code, "warn", "m", subject)) is speaks
