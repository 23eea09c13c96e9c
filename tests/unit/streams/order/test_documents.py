"""Which document an order becomes, and how one that may no longer change is corrected."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.state import WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.documents import billed, documents, findings, invoice
from streams.order.plan.want import Want
from tests.unit.streams.order.sample import KEY, PLATFORMS, SHOP
from tests.unit.streams.order.states import desk, giver, look, record, ref

BOOKS = Target(connection="books", document="invoice")
BILL, NEXT = ref("books", "invoice", "1"), ref("books", "invoice", "2")
DAY = date(2026, 3, 1)
MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))
SENT = {"payable_amount": Pair("24.00", "24.00")}


def target(**changes: Any) -> Target:
    return msgspec.structs.replace(BOOKS, **changes)


def made(**changes: Any) -> WriteRecord:
    return record("books|document", BILL, **{"base": SENT, **changes})


def shown(total: str = "24.00", **changes: Any) -> Any:
    return look(Invoice(currency="EUR", payable_amount=Decimal(total), **changes), "books", mirror_of=None)


def _old() -> Any:
    return msgspec.structs.replace(shown("25"), last_read=(1, 1))


MONEY = record("books|payment|x", ref("books", "payment", "1"), outcome="confirmed")
NOTE = record("books|correction|1", ref("books", "credit", "9"))


def wanted(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "books|document",
        "connection": "books",
        "capability": "upsert_invoice",
        "kind": "create",
        "canonical": SHOP.key,
        "entity": f"document:{KEY}",
        "facts": Invoice(
            currency="EUR",
            customer=Party(name="Ada", email="ada@example.com"),
            lines=(MUG,),
            payable_amount=Decimal(24),
            issue_date=DAY,
            due_date=DAY,
            reference="SO-1",
        ),
        "shared": (*BOOKS.fields, "payable_amount", "lines"),
    }
    return Want(**{**values, **changes})


# ------------------------------------------------------------------------------------------- the document


def test_an_open_order_becomes_an_invoice() -> None:
    assert list(documents(desk())) == [wanted()]


def test_the_invoice_says_all_that_the_order_says() -> None:
    more = {
        "net_amount": Decimal(20),
        "tax_amount": Decimal(4),
        "prices_include_tax": True,
        "due_date": date(2026, 4, 1),
        "note": "gift",
        "po_number": "PO 7",
    }
    assert invoice(desk(facts=more)) == msgspec.structs.replace(wanted().facts, **more)


def test_an_order_without_a_time_has_no_day() -> None:
    assert (invoice(desk(facts={"placed_at": None})).issue_date, invoice(desk(facts={"placed_at": None})).due_date) == (
        None,
        None,
    )


def test_a_small_gap_is_a_rounding_line_and_a_large_one_makes_it_one_line() -> None:
    small = invoice(desk(facts={"payable_amount": Decimal("24.05")}))
    assert small.lines == (MUG, Line(kind="rounding", name="Rounding", net_amount=Decimal("0.05")))
    for total in (Decimal("24.06"), Decimal("23.94")):
        large = invoice(desk(facts={"payable_amount": total}))
        assert large.lines == (Line(name="Order SO-1", unit_price=total, net_amount=total),)
        assert large.payable_amount == total
    assert invoice(desk(facts={"lines": ()})).lines == (
        Line(name="Order SO-1", unit_price=Decimal(24), net_amount=Decimal(24)),
    )


@pytest.mark.parametrize(
    ("document", "capability"),
    [("sales_receipt", "upsert_sales_receipt"), ("payment_request", "request_payment")],
)
def test_other_kinds_of_document(document: Any, capability: Any) -> None:
    platform = {"capabilities": {capability: Effect.RECORDS}}
    (want,) = documents(desk(target=target(document=document), platform=platform))
    assert (want.capability, want.facts) == (
        capability,
        msgspec.structs.replace(wanted().facts, document=document),
    )


def test_where_no_document_is_kept_the_order_is_still_an_invoice_to_compare_with() -> None:
    none = desk(target=target(document="none"))
    assert list(documents(none)) == []
    assert invoice(none).document == "invoice"


@pytest.mark.parametrize(
    ("facts", "when", "due"),
    [
        ({}, ("open",), True),
        ({"status": "closed"}, ("open",), True),
        ({"status": "closed"}, ("closed",), True),
        ({"status": "draft"}, ("open",), False),
        ({"status": "draft"}, ("draft",), True),
        ({}, ("paid",), False),
        ({"fulfilment": "fulfilled"}, ("fulfilled",), True),
        ({"status": "on_hold"}, ("on_hold",), True),
        ({"stage": "won"}, ("stage:shop:won",), True),
        ({"stage": "won"}, ("stage:crm:won",), False),
        ({}, ("stage:shop:",), False),
        ({"status": "cancelled"}, ("open", "cancelled"), False),
        ({"payable_amount": Decimal(0)}, ("open",), False),
        ({"payable_amount": Decimal("0.01"), "lines": ()}, ("open",), True),
    ],
)
def test_it_is_made_when_the_order_is_due_alive_and_worth_something(
    facts: dict[str, Any], when: tuple[str, ...], *, due: bool
) -> None:
    assert bool(list(documents(desk(facts=facts, target=target(when=when))))) is due


def test_money_makes_it_due_as_well() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"))
    held = {"status": "on_hold"}
    assert len(list(documents(desk(paid, facts=held, target=target(when=("paid",)))))) == 1
    assert list(documents(desk(facts=held, target=target(when=("paid",))))) == []


def test_a_closed_order_was_open_whatever_else_it_is() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"))
    for status in ("open", "closed"):
        assert len(list(documents(desk(paid, facts={"status": status})))) == 1


def test_a_look_from_before_our_last_write_is_no_edit() -> None:
    dearer = {"payable_amount": Decimal(30), "lines": ()}
    known = desk(made(look=(1, 5)), _old(), MONEY, facts=dearer)
    assert [want.write for want in documents(known)][1:] == ["books|correction|1", "books|document|1"]
    assert list(findings(desk(made(look=(1, 5)), _old(), MONEY))) == []


def test_less_than_a_yen_is_no_other_total() -> None:
    yen = {"currency": "JPY", "payable_amount": Decimal("24.4"), "lines": ()}
    assert [want.write for want in documents(desk(made(), shown(), MONEY, facts=yen))] == ["books|document"]


@pytest.mark.parametrize("amounts", [("24.01",), ("24.00", "10.00"), ("24.00", "24.00")])
def test_what_was_paid_too_much_or_paid_back_before_it_was_made_is_due_all_the_same(amounts: tuple[str, ...]) -> None:
    paid = look(Payment(amount=Decimal(amounts[0]), currency="EUR"))
    back = [look(Credit(document="refund", amount=Decimal(one), currency="EUR"), id_="r") for one in amounts[1:]]
    assert len(list(documents(desk(paid, *back, target=target(when=("paid",)))))) == 1


def test_a_stage_of_the_deal_makes_it_due() -> None:
    deal = look(Order(currency="EUR", stage="won"), "crm")
    when = target(when=("stage:crm:won",))
    assert list(documents(desk(deal, target=when))) == [wanted()]


def test_the_stage_of_an_order_that_was_merged_into_this_one_says_nothing() -> None:
    other, merged = look(Order(currency="EUR", stage="won"), "shop", "2"), {"aliases": ("a" * 32,)}
    won = target(when=("stage:shop:won",))
    assert len(list(documents(desk(other, target=won)))) == 1
    assert list(documents(desk(other, target=won, **merged))) == []
    assert len(list(documents(desk(target=won, facts={"stage": "won"}, **merged)))) == 1
    deal = look(Order(currency="EUR", stage="won"), "crm")
    assert len(list(documents(desk(deal, target=target(when=("stage:crm:won",)), **merged)))) == 1


@pytest.mark.parametrize("facts", [{"payable_amount": Decimal(0), "lines": ()}, {"status": "draft"}])
def test_one_that_is_made_is_kept_in_step_whatever_happens(facts: dict[str, Any]) -> None:
    (want,) = documents(desk(made(), shown(), facts=facts))
    assert (want.write, want.shared) == ("books|document", wanted().shared)


@pytest.mark.parametrize(
    "parts",
    [
        (look(Invoice(currency="EUR", payable_amount=Decimal(24)), "books", "7"),),
        (made(), shown(status="void")),
        (made(), msgspec.structs.replace(shown(), presence="deleted")),
    ],
)
def test_none_is_made_beside_one_of_a_person_or_after_its_end(parts: tuple[Any, ...]) -> None:
    assert list(documents(desk(*parts))) == []


def test_none_is_made_where_the_platform_cannot() -> None:
    assert list(documents(desk(platform={"capabilities": {}}))) == []


@pytest.mark.parametrize("key", ["books|payment|x", "books|credit|x"])
def test_money_on_it_freezes_its_amounts(key: str) -> None:
    money = record(key, ref("books", "payment", "1"), outcome="confirmed")
    (want,) = documents(desk(made(), shown(), money))
    assert want.shared == BOOKS.fields


# ----------------------------------------------------------------------------------------- the correction


def _changed(*parts: Any, **changes: Any) -> Desk:
    """Return the desk of an order that became dearer after money was recorded."""
    dearer = {"payable_amount": Decimal(30), "lines": (), "status": "open"}
    return desk(made(), shown(), MONEY, *parts, facts={**dearer, **changes.pop("facts", {})}, **changes)


def test_a_paid_invoice_is_credited_and_then_written_anew() -> None:
    credit, again = list(documents(_changed()))[1:]
    assert credit == Want(
        write="books|correction|1",
        connection="books",
        capability="issue_credit",
        kind="append",
        canonical=made().id,
        entity=f"document:{KEY}",
        facts=Credit(
            amount=Decimal("24.00"),
            currency="EUR",
            reason="Order changed after payment",
            reference="SO-1",
            date=DAY,
        ),
        after=("books|document",),
        links={"invoice": "1"},
    )
    assert again == Want(
        write="books|document|1",
        connection="books",
        capability="upsert_invoice",
        kind="create",
        canonical=SHOP.key,
        entity=f"document:{KEY}",
        facts=invoice(_changed()),
        after=("books|correction|1",),
    )


def test_a_correction_is_booked_on_the_day_of_the_change_else_of_the_order() -> None:
    placed = {"placed_at": datetime(2026, 2, 1, 12, tzinfo=UTC)}
    unknown = msgspec.structs.replace(giver(payable_amount=Decimal(30), lines=(), **placed), changed_at=None)
    for known, day in ((_changed(facts=placed), DAY), (_changed(unknown), date(2026, 2, 1))):
        facts = list(documents(known))[1].facts
        assert isinstance(facts, Credit)
        assert facts.date == day


def test_once_it_was_credited_the_new_one_is_named_after_the_credit() -> None:
    wants = list(documents(_changed(NOTE)))
    assert [want.canonical for want in wants] == [SHOP.key, made().id, "books@b/credit/9"]
    begun = desk(made(), shown(), NOTE)
    assert [want.write for want in documents(begun)] == ["books|document", "books|correction|1", "books|document|1"]
    assert billed(begun) == 0


def test_after_the_replacement_the_newest_document_counts() -> None:
    second = record("books|document|1", NEXT, base={"payable_amount": Pair("30.00", "30.00")})
    done = _changed(NOTE, second, look(Invoice(currency="EUR", payable_amount=Decimal(30)), "books", "2"))
    (want,) = documents(done)
    assert (want.write, want.canonical) == ("books|document|1", "books@b/credit/9")
    assert billed(done) == Decimal("30.00")
    unread = desk(second, made(), record("books|correction|1"))
    assert next(documents(unread)).canonical == SHOP.key


@pytest.mark.parametrize(
    "known",
    [
        desk(made(), shown(), facts={"payable_amount": Decimal(30), "lines": ()}),
        _changed(facts={"payable_amount": Decimal("24.004")}),
        _changed(look(Credit(amount=Decimal(6), currency="EUR"), "shop", "cr")),
        _changed(flow={"paid_edit": "ask"}),
        _changed(facts={"status": "cancelled"}),
        _changed(NOTE, facts={"status": "cancelled"}),
        _changed(platform={"capabilities": {"upsert_invoice": Effect.RECORDS}}),
        desk(made(base={}), shown(), MONEY, facts={"payable_amount": Decimal(30), "lines": ()}),
        desk(made(), shown("25"), MONEY, facts={"payable_amount": Decimal(30), "lines": ()}),
    ],
)
def test_otherwise_nothing_is_corrected(known: Desk) -> None:
    assert [want.write for want in documents(known)] == ["books|document"]


def test_a_correction_that_began_needs_to_know_what_was_sent() -> None:
    assert [want.write for want in documents(desk(made(base={}), shown(), NOTE))] == ["books|document"]


def test_what_is_billed_is_what_was_sent_else_what_is_owed() -> None:
    dearer = {"payable_amount": Decimal(30), "lines": ()}
    assert billed(desk(facts=dearer)) == billed(desk(made(base={}), facts=dearer)) == Decimal(30)
    assert billed(desk(made(), facts=dearer)) == Decimal(24)


def test_a_document_that_was_not_looked_at_yet_shows_what_it_was_made_with() -> None:
    unseen = desk(made(), MONEY, facts={"payable_amount": Decimal(30), "lines": ()})
    assert [want.write for want in documents(unseen)][1:] == ["books|correction|1", "books|document|1"]


# ------------------------------------------------------------------------------------------- the findings


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


def test_a_paid_edit_that_is_not_corrected_by_itself_is_told() -> None:
    message = "The order changed after payment, books bills the old total."
    told = [warn("paid_edit", message, "credit it and write a new one")]
    assert list(findings(_changed(flow={"paid_edit": "ask"}))) == told
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "issue_credit"}
    assert list(findings(_changed(platform={"capabilities": lacks}))) == told
    assert list(findings(_changed())) == []


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
