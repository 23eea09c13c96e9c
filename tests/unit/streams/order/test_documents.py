"""Which document an order becomes, and how one that may no longer change is corrected."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment
from schemas.platform import Effect
from streams.order.plan.desk import Desk
from streams.order.plan.documents import billed, documents, findings, invoice
from streams.order.plan.want import Want
from tests.unit.streams.order.billed import BILL, BOOKS, MONEY, NEXT, changed_order, made, shown, target
from tests.unit.streams.order.sample import KEY, SHOP
from tests.unit.streams.order.states import desk, giver, look, record, ref

DAY = date(2026, 3, 1)
MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))


def _old() -> Any:
    return msgspec.structs.replace(shown("25"), last_read=(1, 1))


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


def test_what_a_bank_holds_is_billed_all_the_same() -> None:
    known = desk()
    held = msgspec.structs.replace(known.derived.public, life_cycle="on_hold", financial="paid", headline="paid")
    derived = msgspec.structs.replace(known.derived, public=held)
    assert list(documents(msgspec.structs.replace(known, derived=derived))) == [wanted()]


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
        (made(outcome="confirmed"), shown(status="void")),
        (made(outcome="confirmed"), msgspec.structs.replace(shown(), presence="deleted")),
    ],
)
def test_none_is_made_beside_one_of_a_person_or_after_its_end(parts: tuple[Any, ...]) -> None:
    assert list(documents(desk(*parts))) == []


@pytest.mark.parametrize("outcome", [None, "stale", "rejected"])
@pytest.mark.parametrize(
    "parts",
    [
        (shown(status="void"),),
        (shown(), record(f"books|void|{BILL.key}", capability="void_invoice")),
    ],
)
def test_what_was_asked_of_one_that_ends_is_let_go(outcome: Any, parts: tuple[Any, ...]) -> None:
    (left,) = documents(desk(made(outcome=outcome), *parts))
    assert (left.write, left.connection, left.kind, left.status) == ("books|document", "books", "set", "")
    unmade = msgspec.structs.replace(made(outcome=outcome), bound=None)
    assert left not in documents(desk(unmade, *parts))


def test_none_is_made_where_the_platform_cannot() -> None:
    assert list(documents(desk(platform={"capabilities": {}}))) == []


@pytest.mark.parametrize("key", ["books|payment|x", "books|credit|x"])
def test_money_on_it_freezes_its_amounts(key: str) -> None:
    money = record(key, ref("books", "payment", "1"), outcome="confirmed")
    (want,) = documents(desk(made(), shown(), money))
    assert want.shared == BOOKS.fields


def test_a_paid_invoice_is_credited_and_then_written_anew() -> None:
    credit, again = list(documents(changed_order()))[1:]
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
        facts=invoice(changed_order()),
        after=("books|correction|1",),
    )


def test_a_correction_is_booked_on_the_day_of_the_change_else_of_the_order() -> None:
    placed = {"placed_at": datetime(2026, 2, 1, 12, tzinfo=UTC)}
    unknown = msgspec.structs.replace(giver(payable_amount=Decimal(30), lines=(), **placed), changed_at=None)
    for known, day in ((changed_order(facts=placed), DAY), (changed_order(unknown), date(2026, 2, 1))):
        facts = list(documents(known))[1].facts
        assert isinstance(facts, Credit)
        assert facts.date == day


def test_once_it_was_credited_the_new_one_is_named_after_the_credit() -> None:
    wants = list(documents(changed_order(NOTE)))
    assert [want.canonical for want in wants] == [SHOP.key, made().id, "books@b/credit/9"]
    begun = desk(made(), shown(), NOTE)
    assert [want.write for want in documents(begun)] == ["books|document", "books|correction|1", "books|document|1"]
    assert billed(begun) == 0


def test_after_the_replacement_the_newest_document_counts() -> None:
    second = record("books|document|1", NEXT, base={"payable_amount": Pair("30.00", "30.00")})
    done = changed_order(NOTE, second, look(Invoice(currency="EUR", payable_amount=Decimal(30)), "books", "2"))
    (*_, want) = documents(done)
    assert (want.write, want.canonical) == ("books|document|1", "books@b/credit/9")
    assert billed(done) == Decimal("30.00")
    unread = desk(second, made(), record("books|correction|1"))
    assert list(documents(unread))[-1].canonical == SHOP.key


@pytest.mark.parametrize(
    "known",
    [
        desk(made(), shown(), facts={"payable_amount": Decimal(30), "lines": ()}),
        changed_order(facts={"payable_amount": Decimal("24.004")}),
        changed_order(look(Credit(amount=Decimal(6), currency="EUR"), "shop", "cr")),
        changed_order(flow={"paid_edit": "ask"}),
        changed_order(facts={"status": "cancelled"}),
        changed_order(NOTE, facts={"status": "cancelled"}),
        changed_order(platform={"capabilities": {"upsert_invoice": Effect.RECORDS}}),
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
