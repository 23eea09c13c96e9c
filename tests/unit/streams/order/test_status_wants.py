"""Which status a system is to show, and when it is lowered or told instead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Credit, Invoice, Order, Shipment
from schemas.findings import Finding
from schemas.projection import digest
from schemas.state import WriteRecord
from streams.order.plan.desk import Desk
from streams.order.plan.want import Want
from streams.order.plan.wants import lowers, shown_word, status_findings
from tests.unit.streams.order.sample import KEY, SHOP
from tests.unit.streams.order.states import OTHER_ORDER, desk, look, mark, record
from tests.unit.streams.order.wanted import CAN, CRM, DEAL, DEALT, FAILED, OWN, SETS, deal, of, paid, payment, sold


def _told(known: Desk) -> list[Want]:
    return [want for want in of(known, "set_status") if want.status]


def test_the_headline_word_is_shown() -> None:
    assert _told(desk(DEALT, deal(), target=CRM, platform=SETS)) == [
        Want(
            write="crm|status",
            connection="crm",
            capability="set_status",
            kind="set",
            canonical=SHOP.key,
            entity=f"order:{KEY}",
            facts=sold(headline=""),
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
