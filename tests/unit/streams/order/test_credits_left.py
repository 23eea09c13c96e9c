"""Credit notes and refunds of ours whose credit no longer counts where it came from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit
from schemas.flow import Target
from schemas.platform import Effect
from streams.order.plan.desk import Desk
from streams.order.plan.reversing import credit_findings
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS
from tests.unit.streams.order.states import desk, look, record, ref
from tests.unit.streams.order.wanted import MADE, credit, of

ABLE = {"capabilities": {**PLATFORMS["ledgerr"].capabilities, "void_credit": Effect.RECORDS}}
THERE, SOURCE = ref("books", "credit", "9"), "shop@s/credit/c"
VOID = f"books|void|{THERE.key}"


def note(**changes: Any) -> Any:
    return record(f"books|credit|{SOURCE}", THERE, **{"capability": "issue_credit", "id": "d" * 32, **changes})


def refund(**changes: Any) -> Any:
    there = ref("books", "credit", "8")
    return record(f"books|refund|{SOURCE}", there, **{"capability": "record_refund", "id": "e" * 32, **changes})


def ended(status: Any = "void", **changes: Any) -> Any:
    there = credit(**changes)
    return msgspec.structs.replace(there, facts=msgspec.structs.replace(there.facts, status=status))


def known(*parts: Any, able: bool = True, **more: Any) -> Desk:
    return desk(MADE, *parts, **{"platform": ABLE if able else {}, **more})


def told(there: Desk) -> list[tuple[str, str]]:
    return [(one.code, one.subject) for one in credit_findings(there)]


def test_a_note_over_what_no_longer_counts_is_voided() -> None:
    there = known(ended(), note())
    assert of(there, "void_credit") == [
        Want(
            write=VOID,
            connection="books",
            capability="void_credit",
            kind="append",
            canonical="d" * 32,
            entity=f"document:{KEY}",
            facts=Credit(amount=Decimal(5), currency="EUR"),
            links={"credit": "9"},
            text="it no longer counts",
        )
    ]
    assert told(there) == []


@pytest.mark.parametrize("status", ["failed", "void", "draft", "pending"])
def test_whatever_does_not_count_takes_it_back(status: str) -> None:
    assert len(of(known(ended(status), note()), "void_credit")) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (credit(), note()),
        (note(),),
        (ended(), record(f"books|credit|{SOURCE}", None, capability="issue_credit")),
        (ended(), note(), look(Credit(amount=Decimal(5), currency="EUR", status="void"), "books", "9")),
        (ended(), note(), look(None, "books", "9", object=THERE, presence="deleted")),
        (ended(),),
    ],
)
def test_otherwise_nothing_is_taken_back_nor_told(parts: Any) -> None:
    assert of(known(*parts), "void_credit") == []
    assert told(known(*parts)) == []
    assert told(known(*parts, able=False)) == []


def test_what_was_moved_to_another_order_is_taken_back_here() -> None:
    assert len(of(known(msgspec.structs.replace(credit(), share="0"), note()), "void_credit")) == 1


def test_where_the_ledger_cannot_or_will_not_a_person_is_told() -> None:
    assert told(known(ended(), note(), able=False)) == [("credit_left", THERE.key)]
    asked = record(VOID, None, capability="void_credit", stopped="x")
    assert told(known(ended(), note(), asked)) == [("credit_left", THERE.key)]
    waits = record(VOID, None, capability="void_credit")
    assert told(known(ended(), note(), waits)) == []
    (found,) = credit_findings(known(ended(), note(), able=False))
    assert found.severity == "warn"
    assert found.message == "books still shows a credit of 5 that no longer counts for this order."
    assert found.next_step == "take it back by hand in books"


def test_money_that_was_paid_out_of_a_note_is_for_a_person() -> None:
    there = known(ended(document="refund"), note(), refund())
    assert of(there, "void_credit") == []
    assert told(there) == [("credit_left", THERE.key), ("credit_left", "books@b/credit/8")]
    assert told(known(ended(document="refund"), refund())) == [("credit_left", "books@b/credit/8")]


def test_what_a_person_had_undone_is_told_by_that() -> None:
    there = known(ended(), note(undone_at=NOW))
    assert of(there, "void_credit") == []
    assert told(there) == []


def test_a_system_that_keeps_the_order_is_asked_on_its_copy() -> None:
    target = Target(connection="books")
    (want,) = of(known(ended(), note(), target=target), "void_credit")
    assert want.entity == f"order:{KEY}"
