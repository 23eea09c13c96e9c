"""What is published of an order: its amounts, what each system shows, what waits; and orders that start in a ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.events import Anchor, ChangeEvent
from schemas.facts import Credit, Invoice, Line, Order, Party, Payment, Shipment
from schemas.flow import Target
from schemas.order_state import PublicOrder, Shown, Waiting
from schemas.refs import ObjectRef, order_key
from schemas.state import Agreed, Observation, OrderState, WriteRecord
from streams.order.derive import Derived, derive
from streams.order.derive.derive import as_order
from streams.order.link import route
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, KEY, WORLD
from tests.unit.streams.order.states import giver, look, mark, record, ref, state


def derived(*parts: Observation | WriteRecord, world: World = WORLD, **changes: Any) -> Derived:
    found = derive(state(*parts, **changes), world)
    assert found is not None
    return found


def public(*parts: Observation | WriteRecord, order: dict[str, Any] | None = None, **changes: Any) -> PublicOrder:
    return derived(giver(**(order or {})), *parts, **changes).public


def paid(amount: str, id_: str = "p", **changes: Any) -> Observation:
    return look(Payment(amount=Decimal(amount), currency="EUR"), id_=id_, **changes)


def credit(amount: str, document: Any = "credit_note", id_: str = "c", **changes: Any) -> Observation:
    return look(Credit(document=document, amount=Decimal(amount), currency="EUR"), id_=id_, **changes)


def bill(total: str, system: str = "books", id_: str = "1", **changes: Any) -> Observation:
    return look(Invoice(currency="EUR", payable_amount=Decimal(total), **changes), system, id_)


# -------------------------------------------------------------------------------------------------------------- amounts
def test_an_order_that_just_arrived() -> None:
    shown = Shown(connection="shop", account="s", type="order", id="1", kind="order", status="open", amount=Decimal(24))
    assert public() == PublicOrder(
        key=KEY, tenant="acme", flow="main", number="SO-1", life_cycle="open", financial="none", fulfilment="none",
        headline="open", currency="EUR", payable_amount=Decimal(24), amount_due=Decimal(24), shown=(shown,),
    )  # fmt: skip


def amounts(found: PublicOrder) -> tuple[str, ...]:
    names = ("invoiced_amount", "paid_amount", "credited_amount", "refunded_amount", "amount_due")
    return tuple(str(getattr(found, name)) for name in names)


@pytest.mark.parametrize(
    ("parts", "expected", "word"),
    [
        ((bill("24"),), ("24", "0", "0", "0", "24"), "invoiced"),
        ((bill("24"), paid("10")), ("24", "10", "0", "0", "14"), "partially_paid"),
        ((bill("24"), paid("10"), paid("14", "q")), ("24", "24", "0", "0", "0"), "paid"),
        ((paid("30"),), ("0", "30", "0", "0", "0"), "overpaid"),
        # A credit note lowers what is owed, money paid back does not.
        ((bill("24"), paid("10"), credit("4")), ("24", "10", "4", "0", "10"), "partially_paid"),
        ((paid("24"), credit("4", "refund")), ("0", "24", "4", "4", "0"), "partially_refunded"),
        ((paid("10"), credit("4", "refund"), credit("5", id_="d")), ("0", "10", "9", "4", "9"), "partially_refunded"),
        # Two ledgers that bill one order do not bill it twice; two documents of one ledger do.
        ((bill("24"), bill("20", "crm")), ("24", "0", "0", "0", "24"), "invoiced"),
        ((bill("14"), bill("12", id_="2"), bill("24", "crm")), ("26", "0", "0", "0", "24"), "invoiced"),
        ((bill("24", status="void"),), ("0", "0", "0", "0", "24"), "none"),
    ],
)
def test_what_was_billed_paid_credited_and_is_still_owed(
    parts: tuple[Observation, ...], expected: tuple[str, ...], word: str
) -> None:
    found = public(*parts)
    assert amounts(found) == expected
    assert found.financial == word


def test_a_cancelled_order_owes_nothing() -> None:
    found = public(bill("24"), paid("10"), order={"status": "cancelled"})
    assert (found.life_cycle, found.amount_due, found.invoiced_amount) == ("cancelled", Decimal(0), Decimal(24))
    unpaid = public(bill("24"), order={"status": "cancelled"})
    assert (unpaid.financial, unpaid.headline) == ("void", "cancelled")


def test_an_order_without_a_total_is_worth_nothing_yet() -> None:
    found = derived(giver(payable_amount=None, lines=()))
    assert (found.payable, found.public.payable_amount, found.public.amount_due) == (0, 0, 0)


@pytest.mark.parametrize(("late", "overdue"), [((False, True), True), ((False, False), False), ((True, True), True)])
def test_an_order_is_overdue_when_one_of_its_documents_is(late: tuple[bool, bool], *, overdue: bool) -> None:
    first, second = late
    assert public(bill("10", overdue=first), bill("14", id_="2", overdue=second)).overdue is overdue
    assert not public(bill("10", overdue=True, status="void")).overdue


@pytest.mark.parametrize(
    ("late", "money", "overdue"), [(True, "0", True), (True, "9", True), (True, "24", False), (False, "0", False)]
)
def test_an_order_is_overdue_when_it_says_so_and_something_is_owed(money: str, *, late: bool, overdue: bool) -> None:
    received = [paid(money)] if money != "0" else []
    assert public(*received, order={"overdue": late}).overdue is overdue
    assert not public(order={"overdue": late, "status": "cancelled"}).overdue


def test_parcels_show_their_numbers_once_and_in_order() -> None:
    one = look(Shipment(tracking_numbers=("T2", "T1")), id_="s1")
    two = look(Shipment(tracking_numbers=("T1", "T3"), status="delivered"), "crm", "s2")
    lost = look(Shipment(tracking_numbers=("T9",), status="cancelled"), id_="s3")
    found = public(one, two, lost)
    assert found.tracking_numbers == ("T1", "T2", "T3")
    assert found.fulfilment == "fulfilled"


def test_what_counts_is_handed_on_with_the_findings_in_order() -> None:
    found = derived(
        giver(payable_amount=Decimal("24.01")), paid("10"), credit("4"), look(Shipment(), id_="s"),
        msgspec.structs.replace(bill("24"), facts=Invoice(currency="USD", payable_amount=Decimal(24))),
    )  # fmt: skip
    assert [one.key for one in found.payments] == ["shop@s/payment/p"]
    assert [one.key for one in found.credits] == ["shop@s/credit/c"]
    assert [one.key for one in found.shipments] == ["shop@s/shipment/s"]
    assert (found.flow, found.giver.object.key, found.payable) == (FLOW, "shop@s/order/1", Decimal("24.01"))
    assert [one.code for one in found.public.findings] == ["currency_differs", "rounding"]
    assert not found.blocked
    assert not found.cancelled


def test_a_blocked_or_a_cancelled_order_says_so() -> None:
    assert derived(giver(stage="engraving")).blocked
    assert derived(giver(status="cancelled")).cancelled


def test_two_edits_of_one_field_are_a_finding_and_a_conflict() -> None:
    deal = look(Order(number="SO-1", note="theirs"), "crm", "7")
    copy = record("crm|order", deal.object, capability="upsert_order", outcome="confirmed")
    seen = {"shop@s/order/1": "old", deal.object.key: "old"}
    found = derived(giver(note="ours"), deal, copy, agreed={"note": Agreed("old", "x", seen)})
    assert (found.order.note, found.agreed["note"].value) == ("ours", "ours")
    assert [one.lost for one in found.conflicts] == ["theirs"]
    assert [one.code for one in found.public.findings] == ["conflict"]


# ---------------------------------------------------------------------------------------------- what each system shows
def test_what_each_system_shows_is_listed_in_the_order_of_their_names() -> None:
    sent = record("books|document", ref("books", "invoice", "1"), generation=2, id="1" * 32)
    parts = (
        giver(headline="on_hold"),
        bill("20", status="paid"),
        bill("5", id_="0", status="draft"),
        sent,
        credit("4", system="crm"),
        paid("10", gone=(1, 9)),
        look(Shipment(status="delivered"), id_="s"),
        look(Payment(amount=Decimal(3), currency="EUR"), "books", "m", mirror_of=mark()),
        Observation(object=ref("crm", "order", "9"), last_read=(1, 1)),
    )
    names = {"shop": "s", "crm": "c", "books": "b"}

    def shown(system: str, type_: str, id_: str, status: str, amount: int | None, **changes: Any) -> Shown:
        worth = None if amount is None else Decimal(amount)
        values = {"kind": type_, "status": status, "amount": worth, **changes}
        return Shown(connection=system, account=names[system], type=type_, id=id_, **values)

    assert derived(*parts).public.shown == (
        shown("books", "invoice", "0", "draft", 5),
        shown("books", "invoice", "1", "paid", 20, ours=True, write="books|document", generation=2),
        shown("books", "payment", "m", "succeeded", 3, ours=True),
        shown("crm", "credit", "c", "issued", 4),
        shown("crm", "order", "9", "", None, kind=""),
        shown("shop", "order", "1", "on_hold", 24),
        shown("shop", "payment", "p", "deleted", 10),
        shown("shop", "shipment", "s", "delivered", None),
    )


def test_what_is_not_confirmed_waits() -> None:
    done = record("crm|order", outcome="confirmed", capability="upsert_order")
    asked = record("crm|note|1", capability="add_note")
    refused = record("books|document", outcome="rejected", reason="no such account", stopped="d1")
    assert public(refused, asked, done).waiting == (
        Waiting(
            connection="books", capability="upsert_invoice", outcome="rejected", reason="no such account",
            write="books|document", digest="d1",
        ),
        Waiting(connection="crm", capability="add_note", write="crm|note|1"),
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- whether it is one
@pytest.mark.parametrize(
    "known",
    [
        state(),
        state(look(Order(), id_="2")),
        state(look(None)),
        state(giver(), key="9" * 32),
        state(msgspec.structs.replace(giver(), share="0")),
        state(msgspec.structs.replace(giver(), facts=None)),
    ],
)
def test_an_order_whose_own_object_was_not_seen_or_went_elsewhere_means_nothing_yet(known: OrderState) -> None:
    assert derive(known, WORLD) is None


BILL = Invoice(
    number="INV-9",
    reference="R-9",
    currency="EUR",
    customer=Party(name="Ada"),
    lines=(Line(name="Mug", net_amount=Decimal(20), tax_amount=Decimal(4)),),
    net_amount=Decimal(20),
    tax_amount=Decimal(4),
    payable_amount=Decimal(24),
    prices_include_tax=True,
    issue_date=date(2026, 3, 1),
    due_date=date(2026, 3, 15),
    note="ring",
    po_number="P-1",
)


def test_an_accounting_entry_without_an_order_stands_for_one() -> None:
    assert as_order(BILL) == Order(
        number="INV-9",
        status="open",
        currency="EUR",
        customer=Party(name="Ada"),
        lines=BILL.lines,
        net_amount=Decimal(20),
        tax_amount=Decimal(4),
        payable_amount=Decimal(24),
        prices_include_tax=True,
        placed_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
        due_date=date(2026, 3, 15),
        note="ring",
        po_number="P-1",
    )


@pytest.mark.parametrize(
    ("status", "life"),
    [
        ("draft", "draft"),
        ("on_hold", "on_hold"),
        ("void", "cancelled"),
        ("cancelled", "cancelled"),
        ("invoiced", "open"),
        ("paid", "open"),
    ],
)
def test_its_status_follows_the_entrys(status: Any, life: str) -> None:
    assert as_order(msgspec.structs.replace(BILL, status=status)).status == life


def test_without_a_number_or_a_day_it_has_the_reference_and_no_day() -> None:
    bare = as_order(msgspec.structs.replace(BILL, number="", issue_date=None))
    assert (bare.number, bare.placed_at) == ("R-9", None)


@pytest.mark.parametrize(
    ("flow", "known"),
    [
        ({"orphan": "create_order"}, True),
        ({"orphan": "list"}, False),
        ({"orphan": "create_order", "targets": (Target(connection="crm"), Target(connection="shop"))}, False),
        ({"orphan": "create_order", "targets": (Target(connection="books"),)}, True),
        ({"orphan": "create_order", "tenant": "zeta"}, False),
    ],
)
def test_it_becomes_an_order_where_the_flow_says_so_and_hears_that_ledger(flow: dict[str, Any], *, known: bool) -> None:
    flows = (msgspec.structs.replace(FLOW, **flow),)
    world = msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, flows=flows))
    entry = look(BILL, "books", "9")
    found = derive(state(entry, key=order_key("acme", entry.object)), world)
    assert (found is not None) is known
    if found is not None:
        assert (found.order, found.public.number, found.payable) == (as_order(BILL), "INV-9", Decimal(24))


@pytest.mark.parametrize(
    ("flow", "known"),
    [
        ({"key_giver": "books", "order_type": "invoice"}, True),
        ({"key_giver": "books"}, False),
        ({"key_giver": "books", "order_type": "order"}, False),
        ({"key_giver": "shop", "order_type": "invoice"}, False),
    ],
)
def test_an_invoice_is_the_order_where_the_flow_names_its_type(flow: dict[str, Any], *, known: bool) -> None:
    flows = (msgspec.structs.replace(FLOW, targets=(), **flow),)
    world = msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, flows=flows))
    entry = look(BILL, "books", "9")
    key = order_key("acme", entry.object)
    event = ChangeEvent(
        tenant="acme", object=entry.object, facts=BILL, anchors=(Anchor("number", ObjectRef("", "", "number", "R-9")),)
    )
    found = derive(state(entry, key=key), world)
    assert (route(event, world), found is not None) == (key if known else "", known)
    assert found is None or (found.order, found.payable) == (as_order(BILL), Decimal(24))


def test_only_an_invoice_becomes_an_order() -> None:
    flows = (msgspec.structs.replace(FLOW, orphan="create_order"),)
    world = msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, flows=flows))
    entry = look(Payment(amount=Decimal(1), currency="EUR"), "books", "9")
    assert derive(state(entry, key=order_key("acme", entry.object)), world) is None
