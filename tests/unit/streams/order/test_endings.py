"""A cancelled order's document: voided while no money came to it and its period is open, else credited."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Credit, Invoice, Line, Payment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.state import Observation, WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.endings import ending, findings
from streams.order.plan.want import Want
from streams.order.plan.wants import wants
from tests.unit.streams.order.sample import KEY, PLATFORMS, SHOP
from tests.unit.streams.order.states import desk, look, record, ref

BILL, DAY = ref("books", "invoice", "1"), date(2026, 3, 1)
MADE = record("books|document", BILL, base={"payable_amount": Pair("24.00", "24.00")})
VOID = f"books|void|{BILL.key}"
VOIDS = {"capabilities": {**PLATFORMS["ledgerr"].capabilities, "void_invoice": Effect.RECORDS}}


def bill(**changes: Any) -> Observation:
    facts = {"currency": "EUR", "payable_amount": Decimal(24), "issue_date": DAY, **changes}
    return look(Invoice(**facts), "books")


def ended(*parts: Any, closed: date | None = None, **more: Any) -> Desk:
    """Return the desk of a cancelled order at a ledger that can void."""
    known = desk(MADE, *parts, **{"facts": {"status": "cancelled"}, "platform": VOIDS, **more})
    return msgspec.structs.replace(known, closed=closed)


def of(known: Desk) -> list[Want]:
    return list(ending(known, [], ("before",), {"invoice": "1"}))


VOIDED = Want(
    write=VOID,
    connection="books",
    capability="void_invoice",
    kind="append",
    canonical=MADE.id,
    entity=f"document:{KEY}",
    facts=Invoice(currency="EUR"),
    links={"invoice": "1"},
    text="Order cancelled",
)
MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))
CREDITED = Want(
    write="books|cancellation",
    connection="books",
    capability="issue_credit",
    kind="append",
    canonical=f"cancel+{SHOP.key}",
    entity=f"document:{KEY}",
    after=("before",),
    links={"invoice": "1"},
    facts=Credit(
        amount=Decimal("24.00"),
        tax_amount=Decimal(4),
        lines=(MUG,),
        currency="EUR",
        reason="Order cancelled",
        reference="SO-1",
        date=DAY,
    ),
)


def test_an_unpaid_document_in_an_open_period_is_voided() -> None:
    assert of(ended(bill())) == [VOIDED]
    assert of(ended(bill(), closed=date(2026, 2, 28))) == [VOIDED]


def test_a_void_keeps_the_kind_of_document() -> None:
    (want,) = of(ended(bill(document="payment_request")))
    assert want.facts == Invoice(document="payment_request", currency="EUR")


MONEY = [f"books|{what}|x" for what in ("payment", "credit", "correction", "refund", "application")]


@pytest.mark.parametrize(
    "known",
    [
        ended(bill(), closed=DAY),
        ended(bill(issue_date=None), closed=date(2026, 2, 28)),
        ended(bill(), flow={"cancelled_invoice": "credit"}),
        ended(bill(), platform={}),
        ended(bill(paid_amount=Decimal(1))),
        ended(bill(credited_amount=Decimal(1))),
        ended(bill(document="sales_receipt")),
        ended(bill(), look(Payment(amount=Decimal(1), currency="EUR"), "pay")),
        ended(bill(), look(Credit(amount=Decimal(1), currency="EUR"), "pay")),
        ended(bill(), record("books|cancellation")),
        ended(bill(), record(VOID, stopped="refused")),
        *(ended(bill(), record(key)) for key in MONEY),
        ended(),
    ],
)
def test_any_other_is_credited(known: Desk) -> None:
    assert of(known) == [CREDITED]


def test_a_void_that_was_asked_for_stays_asked_for_whatever_comes() -> None:
    money = look(Payment(amount=Decimal(1), currency="EUR"), "pay")
    assert of(ended(bill(), record(VOID), money, closed=DAY)) == [VOIDED]


def test_only_what_is_left_is_credited() -> None:
    known = ended(bill(paid_amount=Decimal(1)), look(Credit(amount=Decimal(5), currency="EUR"), "shop"))
    (want,) = ending(known, list(known.derived.credits), (), {})
    assert isinstance(want.facts, Credit)
    assert want.facts.amount == Decimal("19.00")
    whole = ended(bill(paid_amount=Decimal(1)), look(Credit(amount=Decimal(24), currency="EUR"), "shop"))
    assert list(ending(whole, list(whole.derived.credits), (), {})) == []


@pytest.mark.parametrize(
    "known",
    [
        ended(bill(), facts={}),
        desk(
            bill(), facts={"status": "cancelled"}, platform=VOIDS, target=Target(connection="books", document="invoice")
        ),
    ],
)
def test_nothing_ends_while_the_order_lives_or_where_the_document_is_a_persons(known: Desk) -> None:
    assert of(known) == []


def test_a_void_that_was_asked_for_stays_asked_for_and_nothing_is_credited_beside_it() -> None:
    asked = record(VOID, capability="void_invoice")
    credit = look(Credit(amount=Decimal(5), currency="EUR"), "shop", "c")
    here = [want for want in wants(ended(bill(), credit, asked)) if want.write.startswith("books|")]
    assert [want for want in here if want.kind != "set"] == [VOIDED]


@pytest.mark.parametrize("now", [{"flow": {"cancelled_invoice": "credit"}}, {"platform": {}}])
def test_nor_is_it_when_the_flow_or_the_ledger_would_credit_it_today(now: dict[str, Any]) -> None:
    asked = record(VOID, capability="void_invoice")
    assert [want for want in wants(ended(bill(), asked, **now)) if want.capability == "issue_credit"] == []
    refused = msgspec.structs.replace(asked, outcome="rejected", stopped="x")
    credited = [want for want in wants(ended(bill(), refused, **now)) if want.capability == "issue_credit"]
    assert [want.links for want in credited] == [{"invoice": "1"}]


CORRECTION, NOTE = "books|correction|1", ref("books", "credit", "9")
MONEY_BACK = Credit(document="refund", amount=Decimal(5), currency="EUR")


@pytest.mark.parametrize("outcome", [None, "confirmed", "deferred"])
def test_money_goes_back_out_of_the_credit_that_was_to_make_room_for_the_next_document(outcome: Any) -> None:
    """That note is over all that was billed: another one over what is paid back would be over more than that."""
    paid = record("books|payment|x", ref("books", "payment", "1"), outcome="confirmed")
    correction = record(CORRECTION, NOTE if outcome else None, capability="issue_credit", outcome=outcome)
    if outcome == "deferred":
        correction = msgspec.structs.replace(correction, bound=None)
    target = Target(connection="books", document="invoice", credits=True, payments=True, allow=("record_refund",))
    platform = {"capabilities": {**VOIDS["capabilities"], "record_refund": Effect.MOVES_MONEY}}
    known = ended(bill(paid_amount=Decimal(24)), paid, correction, look(MONEY_BACK), target=target, platform=platform)
    found = {want.write: want for want in wants(known)}
    refund = found["books|refund|shop@s/credit/1"]
    if outcome == "deferred":
        assert {"books|credit|shop@s/credit/1", "books|cancellation"} <= found.keys()
        return
    assert not {"books|credit|shop@s/credit/1", "books|cancellation"} & found.keys()
    assert refund.after[-1] == CORRECTION
    assert refund.links.get("credit") == (NOTE.id if outcome else None)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (record(VOID, BILL, capability="void_invoice", outcome="confirmed"), True),
        (record(VOID, capability="void_invoice", outcome="rejected", stopped="x"), False),
        (record(CORRECTION, NOTE, capability="issue_credit", outcome="confirmed"), True),
        (record(CORRECTION, capability="issue_credit"), False),
    ],
)
def test_a_document_that_was_taken_back_twice_is_told(other: WriteRecord, *, told: bool) -> None:
    note = record("books|cancellation", ref("books", "credit", "2"), capability="issue_credit", outcome="confirmed")
    assert list(findings(ended(bill(), note))) == list(findings(ended(bill(), other))) == []
    message = "books took the document of the cancelled order back twice: books@b/credit/2 no longer counts."
    double = Finding("credit_left", "warn", message, "books@b/credit/2", "take it back by hand in books")
    assert list(findings(ended(bill(), note, other))) == [double] * told
