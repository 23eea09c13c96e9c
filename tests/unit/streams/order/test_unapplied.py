"""What a correction's credit left over is used on the new document, or told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Invoice, Payment
from schemas.findings import Finding
from schemas.platform import Effect
from schemas.state import Observation
from streams.order.plan.desk import Desk
from streams.order.plan.unapplied import applications, findings
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import KEY, PLATFORMS
from tests.unit.streams.order.states import desk, look, record, ref

OLD, NEW, NOTE = ref("books", "invoice", "1"), ref("books", "invoice", "2"), ref("books", "credit", "9")
CORRECTED = (
    record("books|document", OLD, id="1" * 32),
    record("books|correction|1", NOTE, id="2" * 32),
    record("books|document|1", NEW, id="3" * 32),
)
APPLIES = {"capabilities": {**PLATFORMS["ledgerr"].capabilities, "apply_credit": Effect.RECORDS}}
USED = "books|application|1|1"


def note(left: str | None = "4.00", **changes: Any) -> Observation:
    remaining = None if left is None else Decimal(left)
    return look(Credit(amount=Decimal(26), currency="EUR", remaining_amount=remaining), "books", "9", **changes)


def bill(due: str | None = "3", **changes: Any) -> Observation:
    asked = None if due is None else Decimal(due)
    return look(Invoice(currency="EUR", payable_amount=Decimal(30), amount_due=asked, **changes), "books", "2")


def corrected(*parts: Any, platform: dict[str, Any] | None = None) -> Desk:
    return desk(*CORRECTED, *parts, platform=APPLIES if platform is None else platform)


WANTED = Want(
    write=USED,
    connection="books",
    capability="apply_credit",
    kind="append",
    canonical=f"{'2' * 32}+{'3' * 32}",
    entity=f"document:{KEY}",
    facts=Credit(amount=Decimal(26), currency="EUR"),
    links={"credit": "9", "invoice": "2"},
)


def test_what_is_left_is_used_on_the_newest_document() -> None:
    assert list(applications(corrected(note(), bill()))) == [WANTED]
    assert list(applications(corrected(note(), bill(None)))) == [WANTED]
    assert list(applications(corrected(note()))) == [WANTED]


@pytest.mark.parametrize(
    "parts",
    [
        (note("0"), bill()),
        (note(None), bill()),
        (note(), bill("0")),
        (bill(),),
        (note(), bill(status="void")),
        (note(), bill(), record(f"books|void|{NEW.key}")),
    ],
)
def test_otherwise_nothing_is_used(parts: tuple[Any, ...]) -> None:
    assert list(applications(corrected(*parts))) == []


def test_what_was_asked_for_stays_asked_for() -> None:
    assert list(applications(corrected(note("0"), bill("0"), record(USED)))) == [WANTED]
    unseen = corrected(record(USED))
    (want,) = applications(unseen)
    assert want.facts == Credit(amount=Decimal(24), currency="EUR")
    assert unseen.derived.payable == 24


def test_the_credit_of_a_correction_that_has_not_led_to_its_document_yet_is_not_used_on_the_old_one() -> None:
    begun = record("books|correction|2", ref("books", "credit", "10"), id="4" * 32)
    left = look(Credit(amount=Decimal(30), currency="EUR", remaining_amount=Decimal(1)), "books", "10")
    assert list(applications(corrected(note(), bill(), begun, left))) == [WANTED]


def test_each_correction_is_used_on_the_newest_document() -> None:
    second = ref("books", "credit", "10")
    more = (
        record("books|correction|2", second, id="4" * 32),
        record("books|document|2", ref("books", "invoice", "3"), id="5" * 32),
        look(Credit(amount=Decimal(30), currency="EUR", remaining_amount=Decimal(1)), "books", "10"),
    )
    wants = list(applications(corrected(note(), bill(), *more)))
    assert [(want.write, want.links) for want in wants] == [
        ("books|application|1|2", {"credit": "9", "invoice": "3"}),
        ("books|application|2|2", {"credit": "10", "invoice": "3"}),
    ]


def test_a_credit_that_is_used_up_does_not_hide_the_next() -> None:
    more = (
        record("books|correction|2", ref("books", "credit", "10"), id="4" * 32),
        record("books|document|2", ref("books", "invoice", "3"), id="5" * 32),
        look(Credit(amount=Decimal(30), currency="EUR", remaining_amount=Decimal(1)), "books", "10"),
    )
    assert [want.links["credit"] for want in applications(corrected(note("0"), bill(), *more))] == ["10"]


def test_where_the_ledger_cannot_a_person_is_told() -> None:
    message = "4.00 of books@b/credit/9 is left, Ledgerr cannot use it by itself."
    told = Finding("credit_unapplied", "warn", message, NOTE.key, f"use the credit on {NEW.key}")
    plain: dict[str, Any] = {}
    for known in (corrected(note(), bill(), platform=plain), corrected(note(), bill(None), platform=plain)):
        assert list(findings(known)) == [told]
        assert list(applications(known)) == []
    for known in (
        corrected(note(), bill()),
        corrected(note("0"), bill(), platform=plain),
        corrected(note(), bill("0"), platform=plain),
        desk(note(), bill()),
    ):
        assert list(findings(known)) == []


@pytest.mark.parametrize(
    ("due", "outcome", "asked"),
    [("24", "confirmed", "24"), ("0", "confirmed", None), ("24", None, None), (None, "confirmed", None)],
)
def test_money_that_the_credit_took_for_returned_is_told(due: Any, outcome: Any, asked: Any) -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    sent = record(f"books|payment|{paid.object.key}", ref("books", "payment", "5"), outcome=outcome)
    known = corrected(note("0"), bill(due), paid, sent, platform={})
    message = f"{NEW.key} asks for {asked} that was paid on the document before it, which was credited."
    told = Finding("credit_unapplied", "warn", message, NEW.key, "settle it in books")
    assert list(findings(known)) == ([told] if asked else [])
    assert list(findings(desk(CORRECTED[0], bill(due), paid, sent))) == []


def test_without_a_correction_there_is_nothing_to_use() -> None:
    known = desk(record("books|document", NEW), note(), bill(), platform=APPLIES)
    assert list(applications(known)) == []
    unbound = desk(*CORRECTED[::2], msgspec.structs.replace(CORRECTED[1], bound=None), note(), platform=APPLIES)
    assert list(applications(unbound)) == []
