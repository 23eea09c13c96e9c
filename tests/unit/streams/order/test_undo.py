"""What was undone ends by what its system can, touches nothing of other people, and is wanted no more."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Allocation, Credit, Invoice, Payment, Shipment
from schemas.flow import Target
from schemas.platform import Effect
from schemas.state import Observation
from streams.order.plan.undo import ends
from streams.order.plan.want import Want
from streams.order.taken_back import end_key
from tests.unit.streams.order.ended import (
    ALL,
    BILL,
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
    told,
    undone,
    without,
)
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS
from tests.unit.streams.order.states import OTHER_ORDER, look, mark, record, ref


# ------------------------------------------------------------------------------------------------------------ documents
def test_an_unpaid_document_is_voided_by_the_write_that_a_cancelled_order_would_use() -> None:
    assert list(ends(at(DOCUMENT, bill()))) == [
        Want(
            write=f"books|void|{BILL.key}",
            connection="books",
            capability="void_invoice",
            kind="append",
            canonical=DOCUMENT.id,
            entity=f"document:{KEY}",
            facts=Invoice(currency="EUR"),
            links={"invoice": "1"},
            text="nothing else is on it",
        )
    ]


def test_a_payment_is_taken_back_before_its_document_is_voided() -> None:
    known = at(DOCUMENT, MONEY, bill(paid_amount=Decimal(24)), paid())
    assert told(known) == [
        ("reverse_payment", "", "o2c recorded it"),
        ("void_invoice", "reversal", "nothing else is on it"),
    ]
    assert left(known) == []


def test_a_reversal_that_the_document_does_not_show_yet_is_not_money_of_somebody_else() -> None:
    over = paid(status="reversed", seen={"last_read": (1, 9)})
    assert told(at(DOCUMENT, MONEY, bill(paid_amount=Decimal(24)), over)) == [
        ("void_invoice", "", "nothing else is on it")
    ]
    stayed = paid(status="reversed", seen={"last_read": (1, 3)})
    known = at(DOCUMENT, MONEY, bill(paid_amount=Decimal(24)), stayed)
    assert told(known) == [("issue_credit", "", "money stays on it")]
    assert left(known) == [f"{BILL.key} stays: 24.00 EUR on it is money that o2c did not record."]


def test_a_payment_that_is_shown_with_zero_since_it_is_void_counts_with_what_was_written() -> None:
    wrote = msgspec.structs.replace(MONEY, base={"amount": Pair("24.00", "24.00")})
    zero = paid(amount=Decimal(0), status="reversed", seen={"last_read": (1, 9)})
    known = at(DOCUMENT, wrote, bill(paid_amount=Decimal(24)), zero)
    assert told(known) == [("void_invoice", "", "nothing else is on it")]


def test_a_document_that_tells_credits_for_payments_has_no_money_of_others_where_our_credits_settled_it() -> None:
    settled = bill(paid_amount=Decimal(24))
    undoing = record(end_key(DOCUMENT, "undoing"), ref("books", "credit", "2"), capability="issue_credit")
    ours = (noted(amount=Decimal(6)), look(Credit(amount=Decimal(18), currency="EUR"), "books", "2", mirror_of=mark()))
    assert left(at(DOCUMENT, CREDITED, undoing, settled, *ours)) == []
    free = look(Credit(amount=Decimal(18), currency="EUR", remaining_amount=Decimal(8)), "books", "2", mirror_of=mark())
    stays = f"{BILL.key} stays: 8.00 EUR on it is money that o2c did not record."
    assert left(at(DOCUMENT, CREDITED, undoing, settled, ours[0], free)) == [stays]
    told_apart = bill(paid_amount=Decimal(6), credited_amount=Decimal(18))
    assert len(left(at(DOCUMENT, CREDITED, undoing, told_apart, *ours))) == 1


def test_a_payment_of_ours_that_the_document_does_not_show_yet_hides_no_money_of_somebody_else() -> None:
    later = msgspec.structs.replace(MONEY, look=(1, 9))
    known = at(DOCUMENT, later, bill(paid_amount=Decimal(24)), paid(seen={"last_read": (1, 9)}))
    assert told(known)[1] == ("issue_credit", "reversal", "money stays on it")


@pytest.mark.parametrize(
    ("parts", "can", "closed", "why"),
    [
        ((CREDITED, noted()), {}, None, "a credit note is on it"),
        ((), without("void_invoice"), None, "Ledgerr has no way to void it"),
        ((), {}, DAY, "books is closed up to 2026-03-01"),
        ((MONEY, paid()), without("reverse_payment"), None, "money stays on it"),
        ((look(Credit(amount=Decimal(1), currency="EUR"), "books", "9"),), {}, None,
         "a credit note of somebody else is on it"),
        ((record(end_key(DOCUMENT, "void"), stopped="x", outcome="rejected"),), {}, None, "books does not void it"),
    ],
)  # fmt: skip
def test_what_cannot_be_voided_is_credited(parts: tuple[Any, ...], can: Any, closed: date | None, why: str) -> None:
    found = told(at(DOCUMENT, bill(), *parts, can=can, closed=closed))
    assert ("issue_credit", why) in [(capability, text) for capability, _, text in found]
    assert "void_invoice" not in [capability for capability, *_ in found]


def test_a_credit_that_was_begun_is_not_changed_into_a_void() -> None:
    begun = record(end_key(DOCUMENT, "undoing"), capability="issue_credit")
    assert told(at(DOCUMENT, begun, bill()))[0][0] == "issue_credit"
    void = record(end_key(DOCUMENT, "void"), capability="void_invoice")
    assert told(at(DOCUMENT, void, bill(), closed=DAY))[0][0] == "void_invoice"


def test_a_credit_is_over_what_others_and_we_have_not_credited() -> None:
    theirs = look(Credit(amount=Decimal(3), currency="EUR"), "books", "9")
    (want,) = ends(at(DOCUMENT, CREDITED, bill(tax_amount=Decimal(4)), noted(), theirs))
    assert isinstance(want.facts, Credit)
    assert (want.facts.amount, want.facts.tax_amount, want.facts.lines) == (Decimal(11), Decimal("1.83"), ())
    assert (want.facts.reason, want.facts.reference, want.facts.date) == ("Undone", "SO-1", DAY)
    assert want.links == {"invoice": "1"}


def test_a_whole_credit_has_the_lines_of_the_order() -> None:
    (want,) = ends(at(DOCUMENT, bill(tax_amount=Decimal("3.99")), closed=DAY))
    assert isinstance(want.facts, Credit)
    assert ([line.sku for line in want.facts.lines], want.facts.tax_amount) == (["MUG"], Decimal(4))


def test_what_is_credited_already_gets_no_credit() -> None:
    known = at(DOCUMENT, CREDITED, bill(), noted(amount=Decimal(24)))
    assert (list(ends(known)), left(known)) == ([], [])


def test_a_credit_note_whose_refund_is_taken_back_is_used_on_its_document() -> None:
    reversal = record("books|reversal|shop@s/credit/c1", capability="reverse_refund")
    parts = (DOCUMENT, CREDITED, REFUNDED, bill(), noted(), given_back())
    first = [("reverse_refund", "", "o2c recorded it"), ("issue_credit", "reversal", "a credit note is on it")]
    assert told(at(*parts)) == first
    then = ("apply_credit", "reversal,undoing", "what it was used for is taken back")
    assert told(at(*parts, reversal)) == [*first, then]
    assert told(at(*parts, reversal, can=without("apply_credit"))) == first
    (*_, want) = ends(at(*parts, reversal))
    assert (want.links, want.write) == ({"credit": "1", "invoice": "1"}, f"books|offset|{NOTE.key}")
    assert told(at(DOCUMENT, CREDITED, bill(), noted(remaining_amount=Decimal(10))))[-1][0] == "apply_credit"


def test_each_document_of_a_corrected_one_has_its_own_credit() -> None:
    later = ref("books", "invoice", "2")
    second = undone("books|document|1", later, id="c" * 32)
    made_room = undone("books|correction|1", NOTE, capability="issue_credit")
    shows = look(
        Invoice(currency="EUR", payable_amount=Decimal(30), issue_date=DAY),
        "books",
        "2",
        mirror_of=mark(write="c" * 32),
    )
    known = at(DOCUMENT, second, made_room, bill(), shows, noted(amount=Decimal(24)))
    assert [(want.capability, want.links["invoice"]) for want in ends(known)] == [("void_invoice", "2")]


def test_a_sales_receipt_is_voided_with_the_money_that_it_is() -> None:
    receipt = bill(document="sales_receipt", paid_amount=Decimal(24))
    made = msgspec.structs.replace(DOCUMENT, capability="upsert_sales_receipt")
    (want,) = ends(at(made, receipt, target=Target(connection="books", document="sales_receipt")))
    assert (want.capability, want.facts) == ("void_invoice", Invoice(document="sales_receipt", currency="EUR"))


@pytest.mark.parametrize("status", ["void", "cancelled"])
def test_what_ended_needs_no_end(status: str) -> None:
    assert list(ends(at(DOCUMENT, bill(status=status)))) == []
    assert list(ends(at(DOCUMENT, msgspec.structs.replace(bill(), gone=(2, 1))))) == []
    assert list(ends(at(DOCUMENT))) == [], "what was never seen is not ended blindly"


@pytest.mark.parametrize("mirror", [None, mark(write="d" * 32)])
def test_what_does_not_carry_our_mark_is_left_to_a_person(mirror: str | None) -> None:
    consistency = msgspec.structs.replace(PLATFORMS["ledgerr"].consistency, mark_field={"invoice": "x", "payment": "x"})
    theirs = msgspec.structs.replace(bill(), mirror_of=mirror)
    money = msgspec.structs.replace(paid(), mirror_of=mirror)
    known = at(DOCUMENT, MONEY, theirs, money, can={"consistency": consistency})
    assert list(ends(known)) == []
    assert left(known) == [f"{one.key} stays: it does not carry our mark any more." for one in (PAID, BILL)]
    nowhere = at(DOCUMENT, msgspec.structs.replace(bill(), mirror_of=None))
    assert [want.capability for want in ends(nowhere)] == ["void_invoice"], "the type has no field for a mark"


def test_what_can_neither_be_voided_nor_credited_is_left() -> None:
    known = at(DOCUMENT, bill(), can=without("void_invoice", "issue_credit"))
    assert (list(ends(known)), left(known)) == ([], [f"{BILL.key} stays: Ledgerr has no way to void or credit it."])
    refused = record(end_key(DOCUMENT, "undoing"), stopped="x", outcome="rejected", reason="The period is closed.")
    known = at(DOCUMENT, refused, bill())
    assert (list(ends(known)), left(known)) == ([], [f"{BILL.key} stays: books refused: The period is closed."])


def test_nothing_that_moves_money_or_contacts_people_is_used_even_where_it_is_allowed() -> None:
    moves = {"capabilities": {**ALL["capabilities"], "reverse_payment": Effect.MOVES_MONEY}}
    target = Target(connection="books", document="invoice", allow=("reverse_payment",))
    assert [want.capability for want in ends(at(DOCUMENT, MONEY, bill(), paid(), can=moves, target=target))] == [
        "issue_credit"
    ]


# ---------------------------------------------------------------------------------------------------------------- money
@pytest.mark.parametrize(
    ("money", "can", "closed", "why"),
    [
        (paid(), without("reverse_payment"), None, "Ledgerr has no way to take it back"),
        (paid(), {"irreversible": frozenset(("payment",))}, None, "Ledgerr has no way to take it back"),
        (paid(seen={"share": "20.00"}), {}, None, "somebody moved it to another order"),
        (paid(), {}, DAY, "books is closed up to 2026-03-01"),
        (paid(date=None), {}, DAY, "books is closed up to 2026-03-01"),
    ],
)
def test_money_that_cannot_be_taken_back_is_named(
    money: Observation, can: dict[str, Any], closed: date | None, why: str
) -> None:
    known = at(MONEY, money, can=can, closed=closed)
    assert (list(ends(known)), left(known)) == ([], [f"{PAID.key} stays: {why}."])


def test_money_that_was_refused_is_named_with_the_reason_and_the_ledger_hears_that_it_stays() -> None:
    refused = record(f"books|reversal|{SOURCE}", stopped="x", outcome="rejected", reason="It is reconciled.")
    known = at(DOCUMENT, MONEY, refused, bill(paid_amount=Decimal(24)), paid())
    (want,) = ends(known)
    assert (want.capability, want.links) == ("issue_credit", {"invoice": "1", "payment": "1"})
    assert left(known) == [f"{PAID.key} stays: books refused: It is reconciled."]


@pytest.mark.parametrize("share", [None, "24.00"])
def test_a_payment_that_stayed_whole_is_taken_back(share: str | None) -> None:
    assert told(at(MONEY, paid(seen={"share": share}))) == [("reverse_payment", "", "o2c recorded it")]


def test_a_payment_on_another_document_does_not_hold_this_one() -> None:
    elsewhere = paid(allocations=(Allocation(type="invoice", id="7", amount=Decimal(24)),))
    known = at(DOCUMENT, MONEY, bill(), elsewhere, can=without("reverse_payment"))
    assert told(known) == [("void_invoice", "", "nothing else is on it")]
    here = paid(allocations=(Allocation(type="invoice", id="1", amount=Decimal(24)),))
    assert told(at(DOCUMENT, MONEY, bill(), here))[1] == ("void_invoice", "reversal", "nothing else is on it")


def test_a_payment_that_was_made_anew_has_a_reversal_of_its_own() -> None:
    again = msgspec.structs.replace(MONEY, generation=2)
    assert [want.write for want in ends(at(again, paid()))] == [f"books|reversal|{SOURCE}#2"]


def test_what_was_booked_beside_a_payment_is_named() -> None:
    beside = look(Payment(amount=Decimal(3), currency="EUR"), "books", "8", mirror_of=mark(write="e" * 32))
    theirs = look(Payment(amount=Decimal(3), currency="EUR"), "books", "9", mirror_of=mark(OTHER_ORDER))
    known = at(MONEY, paid(status="reversed"), beside, theirs)
    assert left(known) == [f"{beside.object.key} stays: o2c booked it beside a payment."]
    assert left(at(DOCUMENT, bill(), beside)) == [], "no money of ours was undone"


# --------------------------------------------------------------------------------------------------------------- copies
def test_the_copy_of_an_order_is_shown_as_cancelled_once() -> None:
    (want,) = ends(at(COPY, copied(), target=CRM, can=CANCELS))
    assert (want.capability, want.kind, want.status, want.bound) == ("set_status", "set", "cancelled", COPY.bound)
    assert list(ends(at(COPY, copied(stage="closedlost"), target=CRM, can=CANCELS))) == []
    done = record(end_key(COPY, "status"), capability="set_status", outcome="confirmed")
    assert list(ends(at(COPY, done, copied(), target=CRM, can=CANCELS))) == [], "whoever moved it on has his way"
    gone = msgspec.structs.replace(copied(), gone=(2, 1))
    assert list(ends(at(COPY, gone, target=CRM, can=CANCELS))) == []
    asked = record(end_key(COPY, "status"), capability="set_status", outcome="stale")
    for over in ((gone,), (copied(stage="closedlost"),), (copied(status="cancelled"),), ()):
        (want,) = ends(at(COPY, asked, *over, target=CRM, can=CANCELS))
        assert (want.write, want.status) == (asked.key, ""), "nothing is left to write: what was asked is let go"
        assert want.bound == (over[0].object if over else None)


@pytest.mark.parametrize("can", [ALL, {**without("set_status"), "stages": {"cancelled": "closedlost"}}])
def test_a_copy_that_cannot_be_cancelled_is_named(can: dict[str, Any]) -> None:
    known = at(COPY, copied(), target=CRM, can=can)
    assert list(ends(known)) == []
    assert left(known) == ["crm@c/order/1 stays: Crmm has no word for a cancelled one."]


def test_a_parcel_on_an_order_that_stays_is_named() -> None:
    parcel = undone("crm|shipment|x", ref("crm", "shipment", "1"), capability="record_shipment")
    shows = look(Shipment(), "crm", mirror_of=mark())
    assert left(at(parcel, shows, target=CRM, can=CANCELS)) == [
        "crm@c/shipment/1 stays: Crmm has no way to take it back."
    ]
    assert left(at(parcel, shows, COPY, copied(), target=CRM, can=CANCELS)) == []


def test_a_credit_note_on_a_document_of_before_is_named() -> None:
    before = record("books|document", BILL, made_at=NOW - timedelta(days=9))
    known = at(before, CREDITED, bill(), noted())
    assert left(known) == [f"{NOTE.key} stays: Ledgerr is not asked to take credit notes back."]
