"""What each target should show of an order, want by want."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Allocation, Credit, Facts, Invoice, Line, Order, Party, Payment, Shipment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.projection import digest
from schemas.state import Observation, WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.want import Want, write_key
from streams.order.plan.wants import lowers, payment_findings, shown_word, status_findings, wants
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS, SHOP
from tests.unit.streams.order.states import OTHER_ORDER, desk, look, mark, record, ref

BOOKS = Target(connection="books", document="invoice")
CRM = Target(connection="crm", order=True)
OWN = Target(connection="shop")
BILL = ref("books", "invoice", "1")
DAY = date(2026, 3, 1)
DEAL = ref("crm", "order", "d1")
MADE = record("books|document", BILL, base={"payable_amount": Pair("24.00", "24.00")})
DEALT = record("crm|order", DEAL)
CAN = dict(PLATFORMS["crmm"].capabilities)
REFUNDS = Target(connection="books", document="invoice", allow=("record_refund",))


def of(known: Desk, *capabilities: str) -> list[Want]:
    """Return the wants of those capabilities, without the looks that they come from."""
    found = [want for want in wants(known) if want.capability in capabilities]
    return [msgspec.structs.replace(want, source=None) for want in found]


def test_what_is_told_of_a_payment_credit_or_parcel_names_it() -> None:
    parcel = look(Shipment(), "shop", "s")
    told = (payment(), credit(), parcel)
    found = [want.source for want in wants(desk(MADE, *told)) if want.source is not None]
    assert found == list(told)


def paid(amount: str = "24.00", **changes: Any) -> Payment:
    return Payment(**{"amount": Decimal(amount), "currency": "EUR", "paid_at": NOW, **changes})


def payment(system: str = "pay", id_: str = "1", facts: Payment | None = None, **changes: Any) -> Observation:
    return look(facts or paid(), system, id_, **changes)


def credit(document: Any = "credit_note", system: str = "shop", id_: str = "c", **changes: Any) -> Observation:
    facts = Credit(document=document, amount=Decimal(5), currency="EUR", number="7", reason="Broken")
    return look(facts, system, id_, **changes)


def invoice(**changes: Any) -> Observation:
    return look(Invoice(currency="EUR", payable_amount=Decimal(24), **changes), "books")


def test_a_key_names_the_system_the_kind_and_what_it_is_for() -> None:
    assert write_key("books", "payment", "x") == "books|payment|x"
    assert write_key("books", "document") == "books|document"


# ---------------------------------------------------------------------------------------------- the order


def _order(**changes: Any) -> Order:
    facts = Order(
        number="SO-1",
        headline="open",
        currency="EUR",
        payable_amount=Decimal(24),
        placed_at=NOW,
        customer=Party(name="Ada", email="ada@example.com"),
        lines=(Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4)),),
    )
    return msgspec.structs.replace(facts, **changes)


def _kept(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "crm|order",
        "connection": "crm",
        "capability": "upsert_order",
        "kind": "create",
        "canonical": SHOP.key,
        "entity": f"order:{KEY}",
        "facts": _order(),
        "shared": (*CRM.fields, "payable_amount", "lines", "currency"),
    }
    return Want(**{**values, **changes})


def test_a_crm_keeps_the_whole_order() -> None:
    assert of(desk(target=CRM), "upsert_order") == [_kept()]


def test_the_key_giver_is_only_told_what_others_typed() -> None:
    assert of(desk(target=OWN), "upsert_order") == [
        _kept(write="shop|order", connection="shop", bound=SHOP, shared=OWN.fields)
    ]


@pytest.mark.parametrize(
    ("target", "more"),
    [
        (Target(connection="crm"), {}),
        (CRM, {"platform": {"capabilities": {}}}),
        (CRM, {"facts": {"status": "cancelled"}}),
    ],
)
def test_otherwise_no_order_is_made(target: Target, more: dict[str, Any]) -> None:
    assert of(desk(target=target, **more), "upsert_order") == []


def test_a_cancelled_order_that_is_there_is_kept_in_step() -> None:
    cancelled = {"status": "cancelled"}
    assert len(of(desk(DEALT, target=CRM, facts=cancelled), "upsert_order")) == 1
    assert len(of(desk(target=OWN, facts=cancelled), "upsert_order")) == 1


# --------------------------------------------------------------------------------------------- the payments


def _recorded(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "books|payment|pay@p/payment/1",
        "connection": "books",
        "capability": "record_payment",
        "kind": "append",
        "canonical": f"pay@p/payment/1+{SHOP.key}",
        "entity": f"document:{KEY}",
        "facts": paid(date=DAY),
        "after": ("books|document",),
        "links": {"invoice": "1"},
    }
    return Want(**{**values, **changes})


def test_a_payment_from_elsewhere_is_put_on_our_invoice() -> None:
    assert of(desk(MADE, payment()), "record_payment") == [_recorded()]


def test_a_payment_waits_for_its_invoice() -> None:
    assert of(desk(payment()), "record_payment") == [_recorded(links={})]


def test_a_payment_on_an_adopted_invoice_waits_for_nothing() -> None:
    assert of(desk(invoice(), payment()), "record_payment") == [_recorded(after=())]


def test_what_is_recorded_is_the_share_without_what_only_its_system_knows() -> None:
    allocated = (Allocation(type="invoice", id="x", amount=Decimal(1)),)
    day = {"paid_at": None, "date": date(2026, 2, 1)}
    facts = paid(fee=Decimal(1), allocations=allocated, customer=Party(name="Ada"), **day)
    (want,) = of(desk(MADE, payment(facts=facts, share="3")), "record_payment")
    assert want.facts == paid("3", **day)


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((payment("books"),), {}),
        ((payment(),), {"target": msgspec.structs.replace(BOOKS, payments=False)}),
        ((payment(),), {"platform": {"capabilities": {}}}),
        ((payment(), invoice(status="void")), {}),
        ((payment(), invoice(document="sales_receipt")), {}),
        ((payment(facts=paid(status="pending")),), {}),
        ((payment(),), {"target": Target(connection="books")}),
    ],
)
def test_otherwise_no_payment_is_recorded(parts: tuple[Observation, ...], more: dict[str, Any]) -> None:
    assert of(desk(MADE, *parts, **more), "record_payment") == []


def test_a_payment_is_put_on_the_order_where_no_document_is_kept() -> None:
    on_order = {"entity": f"order:{KEY}", "connection": "crm", "write": "crm|payment|pay@p/payment/1"}
    made = of(desk(DEALT, payment(), target=CRM), "record_payment")
    assert made == [_recorded(**on_order, after=("crm|order",), links={"order": "d1"})]
    waiting = of(desk(payment(), target=CRM), "record_payment")
    assert waiting == [_recorded(**on_order, after=("crm|order",), links={})]
    own = of(desk(payment(), target=OWN), "record_payment")
    there = {"connection": "shop", "write": "shop|payment|pay@p/payment/1"}
    assert own == [_recorded(**{**on_order, **there}, after=(), links={"order": "1"})]


def test_every_payment_is_recorded() -> None:
    known = desk(MADE, payment("books", "0"), payment(), payment(id_="2"))
    assert [want.write[-1] for want in of(known, "record_payment")] == ["1", "2"]


# --------------------------------------------------------------------------------------------- the reversals

FAILED = payment(facts=paid(status="reversed"))
MIRROR = payment("books", "m", mirror_of=None)
WROTE = record("books|payment|pay@p/payment/1", MIRROR.object, capability="record_payment", id="e" * 32)


def test_a_payment_that_was_made_anew_has_a_reversal_of_its_own() -> None:
    again = msgspec.structs.replace(WROTE, generation=1)
    (want,) = of(desk(MADE, FAILED, MIRROR, again), "reverse_payment")
    assert want.write == "books|reversal|pay@p/payment/1#1"


def test_a_payment_that_no_longer_counts_is_taken_back() -> None:
    assert of(desk(MADE, FAILED, MIRROR, WROTE), "reverse_payment") == [
        Want(
            write="books|reversal|pay@p/payment/1",
            connection="books",
            capability="reverse_payment",
            kind="append",
            canonical=WROTE.id,
            entity=f"document:{KEY}",
            facts=paid(status="reversed"),
            links={"payment": "m"},
        )
    ]


def test_a_mirror_that_was_not_seen_is_taken_back_all_the_same() -> None:
    assert len(of(desk(MADE, FAILED, WROTE), "reverse_payment")) == 1


def test_a_mirror_that_was_placed_as_a_whole_is_taken_back() -> None:
    placed = msgspec.structs.replace(MIRROR, share="24")  # a sweep saw it on its invoice before its result
    assert len(of(desk(MADE, FAILED, placed, WROTE), "reverse_payment")) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (payment(), MIRROR, WROTE),
        (FAILED, MIRROR, msgspec.structs.replace(WROTE, bound=None)),
        (FAILED, msgspec.structs.replace(MIRROR, share="3"), WROTE),
        (FAILED, msgspec.structs.replace(MIRROR, presence="deleted"), WROTE),
        (MIRROR, WROTE),
        (FAILED, MIRROR, msgspec.structs.replace(WROTE, key="books|paid|pay@p/payment/1")),
        (msgspec.structs.replace(FAILED, facts=None, presence="deleted"), MIRROR, WROTE),
    ],
)
def test_nothing_else_is_taken_back(parts: tuple[Any, ...]) -> None:
    assert of(desk(MADE, *parts), "reverse_payment") == []


def test_each_of_several_is_looked_at() -> None:
    moved = record("books|payment|pay@p/payment/0", ref("books", "payment", "m0"), capability="record_payment")
    there = payment("books", "m0", share="0")
    zero = payment(id_="0", facts=paid(status="reversed"))
    assert len(of(desk(MADE, zero, moved, there, FAILED, MIRROR, WROTE), "reverse_payment")) == 1
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "reverse_payment"}
    assert of(desk(MADE, FAILED, MIRROR, WROTE, platform={"capabilities": lacks}), "reverse_payment") == []
    assert of(desk(MADE, FAILED, MIRROR, WROTE, target=msgspec.structs.replace(BOOKS, payments=False))) == []


def test_where_no_payment_can_be_taken_back_it_is_told_which_one_stays() -> None:
    lacks = {name: effect for name, effect in PLATFORMS["ledgerr"].capabilities.items() if name != "reverse_payment"}
    stays = desk(MADE, FAILED, MIRROR, WROTE, platform={"capabilities": lacks})
    (found,) = payment_findings(stays)
    assert (found.code, found.severity, found.subject) == ("payment_left", "warn", str(WROTE.bound and WROTE.bound.key))
    assert "books still shows a payment of 24.00" in found.message
    assert found.next_step
    still = desk(MADE, payment(), MIRROR, WROTE, platform={"capabilities": lacks})
    assert list(payment_findings(still)) == [], "it still counts"
    assert list(payment_findings(desk(MADE, FAILED, MIRROR, WROTE))) == [], "it is taken back"


def test_a_payment_is_taken_back_from_a_document_that_ended() -> None:
    assert len(of(desk(MADE, invoice(status="void"), FAILED, MIRROR, WROTE), "reverse_payment")) == 1


# ----------------------------------------------------------------------------------------------- the credits


BROKEN = Credit(amount=Decimal(5), tax_amount=Decimal("0.83"), currency="EUR", reason="Broken")


def _credited(**changes: Any) -> Want:
    values: dict[str, Any] = {
        "write": "books|credit|shop@s/credit/c",
        "connection": "books",
        "capability": "issue_credit",
        "kind": "append",
        "canonical": f"shop@s/credit/c+{SHOP.key}",
        "entity": f"document:{KEY}",
        "facts": BROKEN,
        "after": ("books|document",),
        "links": {"invoice": "1"},
    }
    return Want(**{**values, **changes})


def test_a_credit_from_elsewhere_is_written_on_our_invoice() -> None:
    assert of(desk(MADE, credit()), "issue_credit") == [_credited()]


def test_a_credit_waits_for_the_payments_and_names_the_oldest() -> None:
    newer = record("books|payment|a", ref("books", "payment", "m"), capability="record_payment")
    older = record("books|payment|b", ref("books", "payment", "k"), capability="record_payment")
    unbound = record("books|payment|c", None, capability="record_payment")
    (want,) = of(desk(MADE, credit(), payment(), newer, older, unbound), "issue_credit")
    assert want == _credited(
        after=("books|document", "books|payment|pay@p/payment/1"), links={"invoice": "1", "payment": "k"}
    )


def test_on_an_adopted_invoice_it_waits_for_the_payments_alone() -> None:
    (want,) = of(desk(invoice(), credit(), payment()), "issue_credit")
    assert want == _credited(after=("books|payment|pay@p/payment/1",))


def test_a_share_of_a_credit_is_credited_without_what_only_its_system_knows() -> None:
    allocated = (Allocation(type="invoice", id="x", amount=Decimal(1)),)
    there = credit(share="2")
    facts = msgspec.structs.replace(there.facts, allocations=allocated)
    (want,) = of(desk(MADE, msgspec.structs.replace(there, facts=facts)), "issue_credit")
    assert want.facts == Credit(amount=Decimal(2), tax_amount=Decimal("0.33"), currency="EUR", reason="Broken")


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((MADE, credit(system="books")), {}),
        ((credit(),), {}),
        ((MADE, credit()), {"target": msgspec.structs.replace(BOOKS, credits=False)}),
        ((MADE, credit()), {"platform": {"capabilities": {"upsert_invoice": Effect.RECORDS}}}),
        ((MADE, invoice(status="void"), credit()), {}),
    ],
)
def test_otherwise_no_credit_is_written(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert of(desk(*parts, **more), "issue_credit", "record_refund") == []


def test_a_refund_is_a_credit_note_and_where_it_is_allowed_money_paid_back() -> None:
    refund = credit("refund")
    assert of(desk(MADE, refund), "issue_credit", "record_refund") == [_credited()]
    noted = record("books|credit|shop@s/credit/c", ref("books", "credit", "n"))
    back = _credited(
        write="books|refund|shop@s/credit/c",
        capability="record_refund",
        facts=msgspec.structs.replace(BROKEN, document="refund"),
        after=("books|document", "books|credit|shop@s/credit/c"),
    )
    assert of(desk(MADE, refund, target=REFUNDS), "record_refund") == [back]
    linked = msgspec.structs.replace(back, links={"invoice": "1", "credit": "n"})
    assert of(desk(MADE, refund, noted, target=REFUNDS), "record_refund") == [linked]
    assert of(desk(MADE, credit(), target=REFUNDS), "record_refund") == []


def test_a_sales_receipt_is_refunded_straight() -> None:
    receipt = invoice(document="sales_receipt")
    (back,) = of(desk(MADE, receipt, credit("refund"), target=REFUNDS), "issue_credit", "record_refund")
    assert (back.capability, back.after, back.links) == ("record_refund", ("books|document",), {"invoice": "1"})
    (note,) = of(desk(MADE, receipt, credit(), target=REFUNDS), "issue_credit", "record_refund")
    assert note.capability == "issue_credit"
    (noted,) = of(desk(MADE, receipt, credit("refund")), "issue_credit", "record_refund")
    assert noted.capability == "issue_credit"


# ------------------------------------------------------------------------------------------- the cancellation

ENDED: dict[str, Any] = {"status": "cancelled"}
MUG = Line(id="l1", sku="MUG", net_amount=Decimal(20), tax_amount=Decimal(4))
CANCELLED = record("books|cancellation", ref("books", "credit", "x"))


def _cancelled(amount: str = "24.00", tax: str = "4", lines: Any = (MUG,), **changes: Any) -> Want:
    said = {"tax_amount": Decimal(tax), "lines": lines, "reason": "Order cancelled", "reference": "SO-1", "date": DAY}
    facts = Credit(amount=Decimal(amount), currency="EUR", **said)
    values = {"write": "books|cancellation", "canonical": f"cancel+{SHOP.key}", "facts": facts, **changes}
    return _credited(**values)


def _ended(*parts: Any, **more: Any) -> Desk:
    """Return the desk of a cancelled order on whose invoice money lies."""
    return desk(MADE, invoice(paid_amount=Decimal(1)), *parts, facts=ENDED, **more)


def test_what_is_open_of_a_cancelled_order_is_credited() -> None:
    assert of(_ended(), "issue_credit") == [_cancelled()]


def test_what_was_credited_already_is_not_credited_again() -> None:
    assert of(_ended(credit()), "issue_credit") == [_credited(), _cancelled("19.00", "3.17", ())]
    whole = look(Credit(amount=Decimal(24), currency="EUR"), "shop", "c")
    assert [want.write for want in of(_ended(whole), "issue_credit")] == ["books|credit|shop@s/credit/c"]


def test_a_credit_that_comes_after_the_cancellation_is_part_of_it() -> None:
    assert of(_ended(CANCELLED, credit()), "issue_credit") == [_cancelled()]
    noted = record("books|credit|shop@s/credit/c", ref("books", "credit", "n"))
    assert of(_ended(CANCELLED, noted, credit()), "issue_credit") == [_credited(), _cancelled("19.00", "3.17", ())]


def test_a_refund_after_the_cancellation_is_paid_out_of_it() -> None:
    (back,) = of(_ended(CANCELLED, credit("refund"), target=REFUNDS), "record_refund")
    assert (back.after, back.links) == (("books|document", "books|cancellation"), {"invoice": "1", "credit": "x"})


@pytest.mark.parametrize("known", [desk(MADE, invoice(paid_amount=Decimal(1))), desk(invoice(), facts=ENDED)])
def test_only_our_own_invoice_of_a_cancelled_order_is_credited(known: Desk) -> None:
    assert of(known, "issue_credit") == []


# ---------------------------------------------------------------------------------------------- the parcels

PARCEL = look(Shipment(carrier="UPS"), "shop", "p")


def _shipped(**changes: Any) -> Want:
    values = {
        "write": "books|shipment|shop@s/shipment/p",
        "capability": "record_shipment",
        "canonical": f"shop@s/shipment/p+{SHOP.key}",
        "facts": Shipment(carrier="UPS"),
    }
    return _credited(**{**values, **changes})


def test_a_parcel_is_told_where_its_order_is_kept() -> None:
    assert of(desk(MADE, PARCEL), "record_shipment") == [_shipped()]
    on_order = {"write": "crm|shipment|shop@s/shipment/p", "connection": "crm", "entity": f"order:{KEY}"}
    (want,) = of(desk(DEALT, PARCEL, target=CRM), "record_shipment")
    assert want == _shipped(**on_order, after=("crm|order",), links={"order": "d1"})


def test_every_parcel_of_another_system_is_told() -> None:
    own, second = look(Shipment(), "books", "a"), look(Shipment(), "shop", "q")
    assert [want.write[-1] for want in of(desk(MADE, own, PARCEL, second), "record_shipment")] == ["p", "q"]


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((MADE, PARCEL), {"target": msgspec.structs.replace(BOOKS, shipments=False)}),
        ((MADE, PARCEL), {"platform": {"capabilities": {}}}),
        ((MADE, PARCEL), {"target": Target(connection="books")}),
        ((MADE, look(Shipment(status="pending"), "shop", "p")), {}),
    ],
)
def test_otherwise_no_parcel_is_told(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert of(desk(*parts, **more), "record_shipment") == []


# ----------------------------------------------------------------------------------------------- the status

SETS = {"capabilities": {**CAN, "set_status": Effect.RECORDS}, "stages": {"open": "s-open", "paid": "s-paid"}}


def deal(**changes: Any) -> Observation:
    return look(Order(**{"currency": "EUR", "headline": "draft", "stage": "s-draft", **changes}), "crm", "d1")


def _told(known: Desk) -> list[Want]:
    return of(known, "set_status")


def test_the_headline_word_is_shown() -> None:
    assert _told(desk(DEALT, deal(), target=CRM, platform=SETS)) == [
        Want(
            write="crm|status",
            connection="crm",
            capability="set_status",
            kind="set",
            canonical=SHOP.key,
            entity=f"order:{KEY}",
            facts=_order(headline=""),
            bound=DEAL,
            status="open",
        )
    ]


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((DEALT, deal()), {"target": msgspec.structs.replace(CRM, status=False)}),
        ((DEALT, deal()), {"platform": {**SETS, "capabilities": CAN}}),
        ((DEALT, deal()), {"platform": {**SETS, "stages": {"paid": "s-paid"}}}),
        ((msgspec.structs.replace(deal(), mirror_of=mark(OTHER_ORDER)),), {}),
        ((DEALT,), {}),
        ((DEALT, msgspec.structs.replace(deal(), presence="deleted")), {}),
        ((DEALT, deal(stage="s-open")), {}),
        ((DEALT, deal(headline="open")), {}),
        ((DEALT, deal(headline="", status="open")), {}),
    ],
)
def test_otherwise_no_status_is_set(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert _told(desk(*parts, **{"target": CRM, "platform": SETS, **more})) == []


def _wrote(**changes: Any) -> WriteRecord:
    return record("crm|status", DEAL, capability="set_status", **changes)


@pytest.mark.parametrize(
    ("write", "seen", "asks"),
    [
        (_wrote(base={"status": Pair("open", "draft")}), {}, False),
        (_wrote(base={"status": Pair("paid", "draft")}), {}, True),
        (_wrote(base={"status": Pair("open", "won")}), {}, True),
        (_wrote(outcome="confirmed", digest=digest({"status": "open"}), look=(1, 2)), {"last_read": (1, 1)}, False),
        (_wrote(outcome="confirmed", digest=digest({"status": "open"}), look=(1, 2)), {"last_read": (1, 2)}, True),
        (_wrote(outcome="confirmed", digest=digest({"status": "paid"}), look=(1, 2)), {"last_read": (1, 1)}, True),
        (_wrote(outcome="uncertain", digest=digest({"status": "open"}), look=(1, 2)), {"last_read": (1, 1)}, True),
    ],
)
def test_a_word_that_the_system_took_in_its_own_way_is_not_repeated(
    write: WriteRecord, seen: dict[str, Any], *, asks: bool
) -> None:
    there = msgspec.structs.replace(deal(), **seen)
    assert bool(_told(desk(DEALT, write, there, target=CRM, platform=SETS))) is asks


BACK = {"base": {"status": Pair("paid", "paid")}}


@pytest.mark.parametrize(
    ("there", "parts", "lowered"),
    [
        ("paid", (), False),
        ("paid", (_wrote(**BACK),), False),
        ("paid", (_wrote(**BACK), FAILED), True),
        ("paid", (FAILED,), False),
        ("paid", (_wrote(base={"status": Pair("open", "fulfilled")}), FAILED), False),
        ("paid", (_wrote(base={"status": Pair("fulfilled", "paid")}), FAILED), True),
        ("paid", (_wrote(base={"status": Pair("paid", "fulfilled")}), FAILED), True),
        ("paid", (_wrote(**BACK), msgspec.structs.replace(payment(), presence="deleted")), True),
        ("paid", (_wrote(**BACK), payment(share="0")), True),
        ("paid", (_wrote(**BACK), look(Shipment(status="returned"), "shop", "p")), True),
        ("paid", (_wrote(**BACK), look(Credit(amount=Decimal(1), currency="EUR", status="void"), "pay")), True),
        ("cancelled", (_wrote(base={"status": Pair("cancelled", "cancelled")}),), True),
        ("void", (_wrote(base={"status": Pair("void", "void")}),), True),
        ("paid", (_wrote(**BACK), look(Invoice(currency="EUR", status="void"), "books")), False),
        ("paid", (_wrote(**BACK), look(Credit(amount=Decimal(1), currency="EUR", status="pending"), "pay")), False),
        ("own word", (), True),
        ("draft", (), True),
    ],
)
def test_a_shown_status_is_lowered_only_for_a_cause(there: str, parts: tuple[Any, ...], *, lowered: bool) -> None:
    shown = deal(headline=there, stage=f"s-{there}")
    assert bool(_told(desk(DEALT, shown, *parts, target=CRM, platform=SETS))) is lowered


@pytest.mark.parametrize("there", ["paid", "overpaid", "refunded"])
def test_counting_the_money_again_is_a_cause(there: str) -> None:
    stages = {**SETS, "stages": {"partially_paid": "s-part", "open": "s-open"}}
    part = payment(facts=paid("10"))
    shown = deal(headline=there, stage="s-full")
    wrote = _wrote(base={"status": Pair(there, there)})
    assert [want.status for want in _told(desk(DEALT, shown, part, wrote, target=CRM, platform=stages))] == [
        "partially_paid"
    ]
    assert _told(desk(DEALT, shown, wrote, target=CRM, platform=stages)) == []


FURTHER = deal(headline="paid", stage="s-paid")


def test_a_status_that_somebody_moved_further_is_told() -> None:
    known = desk(DEALT, FURTHER, target=CRM, platform=SETS)
    step = "move it back, or change the order in shop"
    assert list(status_findings(known)) == [
        Finding("status_differs", "warn", "crm shows paid, the order is open.", DEAL.key, step)
    ]
    ours = _wrote(base={"status": Pair("open", "paid")})
    taken = _wrote(outcome="confirmed", digest=digest({"status": "open"}), look=(1, 2))
    for parts in ((ours,), (taken,), (_wrote(**BACK), FAILED)):
        assert list(status_findings(desk(DEALT, FURTHER, *parts, target=CRM, platform=SETS))) == []


@pytest.mark.parametrize(
    ("parts", "more"),
    [
        ((msgspec.structs.replace(FURTHER, mirror_of=mark(OTHER_ORDER)),), {}),
        ((DEALT,), {}),
        ((DEALT, msgspec.structs.replace(FURTHER, presence="deleted")), {}),
        ((DEALT, msgspec.structs.replace(FURTHER, facts=None)), {}),
        ((DEALT, FURTHER), {"platform": {**SETS, "capabilities": CAN}}),
        ((DEALT, deal()), {}),
        ((), {"target": OWN, "facts": {"headline": "paid"}}),
    ],
)
def test_no_other_status_is_told(parts: tuple[Any, ...], more: dict[str, Any]) -> None:
    assert list(status_findings(desk(*parts, **{"target": CRM, "platform": SETS, **more}))) == []


@pytest.mark.parametrize(
    ("there", "word", "is_so"),
    [("paid", "open", True), ("open", "paid", False), ("paid", "paid", False), ("own word", "open", False)],
)
def test_a_word_further_back_lowers(there: str, word: str, *, is_so: bool) -> None:
    assert lowers(Order(headline=there), word) is is_so


def test_the_shown_word_is_the_headline_else_the_status() -> None:
    assert shown_word(Order(headline="paid", status="open")) == "paid"
    assert shown_word(Order(status="draft")) == "draft"


def test_parents_come_before_what_hangs_on_them() -> None:
    everything = desk(
        DEALT,
        deal(),
        payment(),
        credit(),
        PARCEL,
        target=msgspec.structs.replace(CRM, document="invoice"),
        platform=SETS,
    )
    found: list[type[Facts]] = [type(want.facts) for want in wants(everything)]
    assert found == [Order, Invoice, Payment, Shipment]


# ---------------------------------------------------------------------------------------------- money without a document


@pytest.mark.parametrize("facts", [{"payable_amount": Decimal(0), "lines": ()}, {"status": "cancelled"}])
def test_money_of_an_order_that_is_never_billed_goes_to_the_customers_account(facts: dict[str, Any]) -> None:
    (want,) = of(desk(payment(), target=BOOKS, facts=facts, platform={"advance_payments": True}), "record_payment")
    assert want.after == ()
    assert want.links == {}
    assert isinstance(want.facts, Payment)
    assert want.facts.customer is not None
    assert want.facts.amount == 24


def test_money_waits_for_the_document_where_one_was_asked_for_or_the_ledger_keeps_no_accounts() -> None:
    asked = record("books|document", None)
    unbilled = {"payable_amount": Decimal(0), "lines": ()}
    for known in (
        desk(payment(), asked, target=BOOKS, facts=unbilled, platform={"advance_payments": True}),
        desk(payment(), target=BOOKS, facts=unbilled, platform={"advance_payments": False}),
        desk(payment(), target=BOOKS, platform={"advance_payments": True}),
    ):
        (want,) = of(known, "record_payment")
        assert want.after == ("books|document",)


# ------------------------------------------------------------------------------------------- orders that people typed
def test_a_deal_that_a_person_typed_is_the_copy_and_is_shown_the_status_but_no_fields() -> None:
    known = desk(deal(), target=CRM, platform=SETS)
    assert (known.order_ref, known.disputed_copies) == (DEAL, ())
    assert of(known, "upsert_order") == []


def test_money_is_told_on_the_deal_that_a_person_typed() -> None:
    (told,) = of(desk(deal(), payment(), target=CRM, platform=SETS), "record_payment")
    assert (told.after, told.links) == ((), {"order": "d1"})


@pytest.mark.parametrize(
    "other",
    [
        {"facts": msgspec.structs.replace(deal().facts, payable_amount=Decimal(25))},
        {"facts": msgspec.structs.replace(deal().facts, currency="USD", payable_amount=Decimal(24))},
    ],
)
def test_a_deal_over_another_amount_is_put_before_a_person(other: dict[str, Any]) -> None:
    known = desk(msgspec.structs.replace(deal(), **other), target=CRM, platform=SETS)
    assert (known.order_ref, [one.object for one in known.disputed_copies]) == (None, [DEAL])
    assert list(wants(known)) == []


def test_where_no_order_is_kept_nobody_is_asked_whose_a_deal_is() -> None:
    known = desk(deal(), target=Target(connection="crm"), platform=SETS)
    assert (known.order_ref, known.their_copies) == (None, ())
