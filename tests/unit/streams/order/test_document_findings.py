"""What a person is told of an order's document, and asked about those that people made."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Invoice, Payment
from schemas.findings import Finding
from schemas.platform import Effect
from streams.order.plan.desk import Desk
from streams.order.plan.documents import documents, findings
from tests.unit.streams.order.billed import BILL, MONEY, changed_order, made, shown, target
from tests.unit.streams.order.sample import PLATFORMS
from tests.unit.streams.order.states import desk, look, record, ref


def warn(code: str, message: str, step: str) -> Finding:
    return Finding(code, "warn", message, "books", step)


def test_an_order_in_order_has_nothing_to_say() -> None:
    assert list(findings(desk(made(), shown(), MONEY))) == []
    assert list(findings(desk(target=target(document="none"), platform={"capabilities": {}}))) == []


def test_a_document_that_the_platform_lacks_or_the_flow_forbids_is_told() -> None:
    asked = target(document="payment_request")
    assert list(findings(desk(target=asked))) == [
        warn("unsupported", "Ledgerr has no payment_request.", "write it by hand")
    ]
    contacts = {"capabilities": {"request_payment": Effect.CONTACTS_CUSTOMER}}
    assert list(findings(desk(target=asked, platform=contacts))) == [
        warn("not_allowed", "request_payment is not allowed.", "name it in the target's allow list")
    ]
    allowed = msgspec.structs.replace(asked, allow=("request_payment",))
    assert list(findings(desk(target=allowed, platform=contacts))) == []


def test_a_document_that_ended_is_told_unless_its_order_did() -> None:
    ended = (made(), shown(status="void"))
    message = "The document in books was voided or deleted; it is not made anew."
    assert list(findings(desk(*ended))) == [
        warn("document_ended", message, "cancel the order or ask for a new document")
    ]
    assert list(findings(desk(*ended, facts={"status": "cancelled"}))) == []


def test_a_document_that_ended_with_its_order_is_told_while_money_waits_for_it() -> None:
    ended, cancelled = (made(), shown(status="void")), {"status": "cancelled"}
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "pay")
    recorded = record("books|payment|pay@p/payment/1", ref("books", "payment", "m"))
    here = look(Payment(amount=Decimal(24), currency="EUR"), "books", "p")
    second = look(Payment(amount=Decimal(1), currency="EUR"), "pay", "2")
    for parts, told in (((paid,), 1), ((paid, recorded), 0), ((here,), 0), ((paid, recorded, second), 1)):
        found = list(findings(desk(*ended, *parts, facts=cancelled)))
        assert [one.code for one in found] == ["document_ended"] * told


def test_so_is_one_that_made_room_for_a_document_that_never_follows() -> None:
    """The money came between a change and the cancellation: no document here ever takes it."""
    room = record("books|room|1", BILL, capability="void_invoice", outcome="confirmed")
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "pay")
    known = (made(), shown(status="void"), room, paid)
    assert [one.code for one in findings(desk(*known, facts={"status": "cancelled"}))] == ["document_ended"]
    assert list(findings(desk(*known))) == [], "the next one follows"
    assert list(findings(desk(*known[:3], facts={"status": "cancelled"}))) == []


def test_a_paid_edit_that_is_not_corrected_by_itself_is_told() -> None:
    message = "The order changed after payment, books bills the old total."
    told = [warn("paid_edit", message, "credit it and write a new one")]
    assert list(findings(changed_order(flow={"paid_edit": "ask"}))) == told
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "issue_credit"}
    assert list(findings(changed_order(platform={"capabilities": lacks}))) == told
    assert list(findings(changed_order())) == []


def _credited(total: str, *amounts: str, **changes: Any) -> list[Finding]:
    """Return what is told of an order over *total* whose document of 24.00 has credits of these amounts."""
    given = [
        look(Credit(amount=Decimal(amount), currency="EUR"), "shop", f"c{place}")
        for place, amount in enumerate(amounts)
    ]
    known = desk(made(), shown(), MONEY, *given, facts={"payable_amount": Decimal(total), "lines": (), **changes})
    return list(findings(known))


@pytest.mark.parametrize(
    ("total", "amounts"), [("24", ("5",)), ("19", ("5",)), ("19", ("5", "3")), ("16.00", ("5", "3"))]
)
def test_a_total_that_credits_lowered_or_left_is_no_edit(total: str, amounts: tuple[str, ...]) -> None:
    assert _credited(total, *amounts) == []


@pytest.mark.parametrize(("total", "amounts"), [("20", ("5",)), ("29", ("5",)), ("17", ("5", "3"))])
def test_an_edit_after_a_credit_is_told(total: str, amounts: tuple[str, ...]) -> None:
    message = "The order changed after it was credited, books bills the old total."
    told = [warn("paid_edit", message, "credit the difference by hand, or write a document over it")]
    assert _credited(total, *amounts) == told
    assert _credited(total, *amounts, status="cancelled") == []


def test_an_adopted_document_of_another_total_is_told() -> None:
    theirs = look(Invoice(currency="EUR", payable_amount=Decimal("25.50")), "books", "7")
    told = [warn("adopted_differs", "books@b/invoice/7 bills 25.50, the order is 24.", "correct one of them")]
    assert list(findings(desk(theirs, said_of={theirs.object.key: True}))) == told
    assert list(findings(desk(theirs, MONEY))) == told
    assert list(findings(desk(theirs, target=target(document="none")))) == []
    same = look(Invoice(currency="EUR", payable_amount=Decimal("24.00")), "books", "7")
    assert list(findings(desk(same))) == []


def _typed(total: str, id_: str = "7", **changes: Any) -> Any:
    return look(Invoice(currency="EUR", payable_amount=Decimal(total), **changes), "books", id_)


def _asks(known: Desk) -> list[str]:
    return [one.subject for one in findings(known) if one.code == "ambiguous_document"]


def test_a_document_that_a_person_made_over_another_amount_is_put_before_a_person() -> None:
    known = desk(_typed("25.50"))
    (finding,) = findings(known)
    message = "books@b/invoice/7 bills 25.50 EUR, the order is 24.00 EUR; it names the order."
    step = "say `o2c parked link` if it belongs to this order, `o2c parked dismiss` if not, or correct it there"
    assert finding == Finding("ambiguous_document", "warn", message, "books@b/invoice/7", step)
    assert (known.adopted, known.document, list(documents(known))) == (None, None, [])


@pytest.mark.parametrize("theirs", [_typed("24"), _typed("24.00"), _typed("24.000")])
def test_one_over_the_same_amount_is_adopted(theirs: Any) -> None:
    known = desk(theirs)
    assert (known.adopted, _asks(known), list(documents(known))) == (theirs.object, [], [])


def test_another_currency_is_another_amount() -> None:
    other = look(Invoice(currency="USD", payable_amount=Decimal(24)), "books", "7")
    assert _asks(desk(other)) == ["books@b/invoice/7"]


def test_of_two_that_name_the_order_a_person_names_one() -> None:
    both = (_typed("24"), _typed("24", "8"))
    assert _asks(desk(*both)) == ["books@b/invoice/7", "books@b/invoice/8"]
    chosen = desk(*both, said_of={"books@b/invoice/8": True})
    assert (chosen.adopted, _asks(chosen)) == (both[1].object, [])
    left = desk(*both, said_of={"books@b/invoice/8": False})
    assert (left.adopted, _asks(left)) == (both[0].object, [])


def test_what_is_another_ones_or_ended_hinders_no_document() -> None:
    assert len(list(documents(desk(_typed("25.50"), said_of={"books@b/invoice/7": False})))) == 1
    assert len(list(documents(desk(_typed("25.50", status="void"))))) == 1
    assert len(list(documents(desk(msgspec.structs.replace(_typed("25.50"), share="0"))))) == 1
    elsewhere = msgspec.structs.replace(_typed("25.50"), object=ref("crm", "invoice", "7"))
    assert len(list(documents(desk(elsewhere)))) == 1


def test_a_document_of_people_beside_one_of_ours_is_told() -> None:
    (finding,) = findings(desk(made(), shown(), _typed("24")))
    message = "books@b/invoice/7 names the order as well: it is billed twice in books."
    step = "void the one that is wrong there, or say `o2c parked dismiss` if it bills something else"
    assert finding == Finding("double", "warn", message, "books@b/invoice/7", step)


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((shown(), _typed("24", status="void")), {}),
        ((shown(), _typed("24")), {"said_of": {"books@b/invoice/7": False}}),
        ((shown(status="void"), _typed("24")), {"facts": {"status": "cancelled"}}),
        ((shown(), msgspec.structs.replace(_typed("24"), mirror_of="o2c1:x")), {}),
        ((shown(), _typed("24"), record("books|document|1", ref("books", "invoice", "7"))), {}),
        ((shown(),), {}),
    ],
)
def test_otherwise_the_order_is_billed_once(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert [one for one in findings(desk(made(), *parts, **more)) if one.code == "double"] == []


def test_a_document_of_ours_is_never_put_before_a_person() -> None:
    assert _asks(desk(made(), shown(), _typed("25.50"))) == []


def test_a_paid_document_that_somebody_edited_is_told() -> None:
    message = "books bills 25.00, we wrote 24.00: somebody edited a paid document."
    told = [warn("document_edited", message, "decide which total holds")]
    assert list(findings(desk(made(), shown("25"), MONEY))) == told
    for unremarkable in (desk(made(), shown("25")), desk(made(base={}), shown("25"), MONEY), desk(made(), MONEY)):
        assert list(findings(unremarkable)) == []


def test_a_payment_at_the_ledger_freezes_as_well() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "books", "p")
    there = shown(paid_amount=Decimal(24))
    assert [
        want.write for want in documents(desk(made(), there, paid, facts={"payable_amount": Decimal(30), "lines": ()}))
    ] == [
        "books|document",
        "books|correction|1",
        "books|document|1",
    ]
