"""What somebody changed on what we wrote: repaired or told, and when it is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from schemas.commands import Pair
from schemas.facts import Invoice
from schemas.findings import Finding
from schemas.state import Agreed
from streams.order.plan.plan import Planned
from tests.unit.streams.order.planning import BILL, BOOKS, CRM, GIVER, copied, deal, planned, rung, world
from tests.unit.streams.order.states import giver, look, record, state


def drifted(total: str = "20", **flow: Any) -> Planned:
    """Return what is planned when the ledger shows another total than was written."""
    facts = Invoice(currency="EUR", payable_amount=Decimal(total))
    bill = look(facts, "books", "5", last_read=(1, 9))
    known = record(
        "books|document", BILL, id="1" * 32, outcome="confirmed", look=(1, 5), result=(1, 4),
        base={"payable_amount": Pair("24.00", "24.00"), "note": Pair("", "")},
    )  # fmt: skip
    target = msgspec.structs.replace(BOOKS, fields=("note",))
    return planned(state(giver(), bill, known), world(target, **flow))


def test_what_somebody_changed_is_repaired_where_the_flow_says_so() -> None:
    found = drifted()
    assert [(one.fields, one.changes) for one in found.commands] == [({"payable_amount": "24.00"}, ("payable_amount",))]
    assert found.findings == ()


def test_or_a_person_is_told() -> None:
    found = drifted(drift="report")
    message = "payable_amount in books is '20.00', we wrote '24.00'."
    step = "repair it by hand or set drift to repair"
    assert found == Planned(findings=(Finding("drift", "warn", message, "books|document", step),))
    assert drifted("24", drift="report") == Planned()


def test_each_system_tells_only_its_own_drift() -> None:
    bill = look(Invoice(currency="EUR", payable_amount=Decimal(20)), "books", "5", last_read=(1, 9))
    known = record("books|document", BILL, outcome="confirmed", base={"payable_amount": Pair("24.00", "24.00")})
    found = planned(state(giver(), bill, known, deal(), copied(base={})), world(BOOKS, CRM, drift="report"))
    assert [(one.code, one.subject) for one in found.findings] == [("drift", "books|document")]


def test_a_look_from_before_our_last_write_is_no_drift() -> None:
    bill = look(Invoice(currency="EUR", payable_amount=Decimal(20)), "books", "5", last_read=(1, 4))
    sent = {"payable_amount": Pair("24.00", "24.00")}
    known = record("books|document", BILL, outcome="confirmed", look=(1, 5), base=sent)
    assert planned(state(giver(), bill, known), world(BOOKS, drift="report")) == Planned()


def test_an_order_that_changed_is_no_drift() -> None:
    facts = Invoice(currency="EUR", payable_amount=Decimal(20))
    bill = look(facts, "books", "5", last_read=(1, 9))
    known = record(
        "books|document", BILL, outcome="confirmed", base={"payable_amount": Pair("20.00", "20.00")}, result=(1, 4)
    )
    found = planned(state(giver(), bill, known), world(BOOKS, drift="report"))
    assert [one.fields for one in found.commands] == [{"payable_amount": "24.00"}]
    assert found.findings == ()


def test_an_edit_of_a_shared_field_is_no_drift_and_is_overwritten_where_another_one_won() -> None:
    edited = copied(base={"note": Pair("ring", "RING")})
    assert rung(edited, drift="report") == Planned()
    both = state(giver(note="ring"), deal(), edited, agreed={"note": Agreed("bell", GIVER, {GIVER: "bell"})})
    found = planned(both, world(CRM, drift="report"))
    assert [one.fields for one in found.commands] == [{"note": "ring"}]
    assert found.findings == ()


def test_a_value_that_the_system_made_of_ours_is_no_drift() -> None:
    made_ = copied(base={"payable_amount": Pair("24.00", "24"), "number": Pair("so-1", "x")})
    shown = deal("ring")
    (told,) = rung(made_, shown, drift="report").findings
    assert told.message == "number in crm is 'SO-1', we wrote 'so-1'."
