"""When a write is asked for again, and what waits for its answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Invoice, Order, Payment
from schemas.findings import Finding
from schemas.platform import Effect
from schemas.projection import digest
from streams.order.plan.asking import is_change
from streams.order.plan.plan import Planned
from tests.unit.streams.order.planning import (
    BILL,
    BOOKS,
    CRM,
    DEAL,
    EARLIER,
    LATER,
    WAIT,
    WISH,
    billed,
    copied,
    deal,
    planned,
    rung,
    world,
)
from tests.unit.streams.order.sample import NOW, PLATFORMS
from tests.unit.streams.order.states import giver, look, record, ref, state


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"outcome": "confirmed"}, True),
        ({"outcome": "superseded"}, True),
        ({"outcome": "rejected", "stopped": "other"}, True),
        ({"outcome": "unsupported", "stopped": WISH}, False),
        ({"outcome": None, "digest": WISH}, False),
        ({"outcome": None, "digest": WISH, "asked_at": NOW - WAIT}, True),
        ({"outcome": None, "digest": WISH, "asked_at": NOW - WAIT + timedelta(seconds=1)}, False),
        ({"outcome": None, "digest": WISH, "asked_at": None}, True),
        ({"outcome": None, "digest": "other"}, True),
        ({"outcome": None, "digest": "other", "result": (1, 0)}, True),
        ({"outcome": None, "digest": "other", "result": (0, 1)}, True),
        # The result of the create says what was sent: until then what is shown may be just that.
        ({"outcome": None, "digest": "other", "result": (0, 0)}, False),
        ({"outcome": None, "digest": "other", "result": (0, 0), "asked_at": NOW - WAIT}, True),
        ({"outcome": None, "digest": "other", "result": (0, 0), "stopped": WISH, "asked_at": NOW - WAIT}, True),
        ({"outcome": "uncertain", "digest": "other"}, False),
        ({"outcome": "uncertain", "digest": "other", "result": (0, 0)}, False),
        ({"outcome": "uncertain", "asked_at": NOW - WAIT}, True),
        ({"outcome": "confirmed", "result": (0, 0)}, True),
        ({"outcome": "stale", "digest": WISH, "stale": {"note": "knock"}}, True),
        ({"outcome": "stale", "digest": WISH, "stale": {"note": "bell"}}, False),
        ({"outcome": "stale", "digest": WISH, "stale": {"note": "knock", "number": "SO-9"}}, False),
        ({"outcome": "stale", "digest": WISH, "stale": {}}, False),
        ({"outcome": "stale", "digest": "other", "stale": {"note": "bell"}}, True),
        ({"outcome": "stale", "digest": WISH, "stale": {"note": "bell"}, "asked_at": NOW - WAIT}, True),
    ],
)
def test_when_a_write_is_asked_for_again(changes: dict[str, Any], *, asked: bool) -> None:
    known = copied(**changes)
    found = rung(known)
    assert [one.fields for one in found.commands] == ([{"note": "ring"}] if asked else [])
    if not asked:
        waits = None if known.stopped or known.asked_at is None else known.asked_at + WAIT
        assert (found.writes, found.due_at) == ({}, waits)


@pytest.mark.parametrize(
    ("up", "result", "outage", "asked"),
    [
        ({}, (1, 4), 3, False),
        ({"crm": (1, 3)}, (1, 4), 3, True),
        ({"crm": (1, 3)}, (1, 4), 2, True),
        ({"crm": (1, 3)}, (1, 4), 4, False),
        ({"crm": (1, 3)}, (2, 0), 1, False),
        ({"crm": (2, 0)}, (1, 4), 9, True),
        ({"books": (9, 9)}, (1, 4), 3, False),
    ],
)
def test_what_was_put_off_is_asked_for_when_that_outage_is_over(
    up: dict[str, tuple[int, int]], result: tuple[int, int], outage: int, *, asked: bool
) -> None:
    known = copied(outcome="deferred", digest="other", result=result, outage=outage)
    assert bool(rung(known, facts={"up": up}).commands) is asked
    late = copied(outcome="deferred", digest="other", result=result, outage=outage, asked_at=NOW - WAIT)
    assert rung(late, facts={"up": up}).commands


@pytest.mark.parametrize("shown", ["ring", "knock"])
def test_a_create_that_was_put_off_goes_on_although_what_it_half_made_was_seen(shown: str) -> None:
    """A draft that carries our mark is no document yet, whether or not it already shows what is wanted."""
    put_off = copied(outcome="deferred", base={}, id="c" * 32, result=(1, 4), outage=3)
    waits = rung(put_off, deal(shown))
    assert (waits.commands, waits.writes) == ((), {})
    found = rung(put_off, deal(shown), facts={"up": {"crm": (1, 3)}})
    (again,) = found.commands
    assert (again.kind, again.presence, again.bound_id) == ("create", "unknown", "")
    after = found.writes["crm|order"]
    assert (after.id, after.bound, after.outcome) == (again.id, put_off.bound, None)


@pytest.mark.parametrize("shown", ["ring", "knock"])
def test_nothing_else_is_asked_for_while_a_create_that_was_put_off_is_under_way_again(shown: str) -> None:
    """A set that overtook it would settle the record with its own answer, whatever became of the create."""
    put_off = copied(outcome="deferred", base={}, id="c" * 32, result=(1, 4), outage=3)
    under_way = rung(put_off, deal(shown), facts={"up": {"crm": (1, 3)}}).writes["crm|order"]
    waits = rung(under_way, deal(shown))
    assert (waits.commands, waits.writes, waits.due_at) == ((), {}, NOW + WAIT)
    late = msgspec.structs.replace(under_way, asked_at=NOW - WAIT)
    (again,) = rung(late, deal(shown)).commands
    assert (again.kind, again.id) == ("create", under_way.id)


@pytest.mark.parametrize(("shows", "asked"), [("knock", True), ("older", False)])
def test_a_look_from_before_our_last_write_does_not_say_that_a_stale_write_may_go_now(
    shows: str, *, asked: bool
) -> None:
    known = copied(outcome="stale", digest=WISH, stale={"note": shows})
    assert bool(rung(known, deal("older", last_read=(1, 4))).commands) is asked


def test_what_made_a_write_stale_is_forgotten_when_it_is_asked_for_again() -> None:
    found = rung(copied(outcome="stale", digest=WISH, stale={"note": "knock"}))
    assert found.writes["crm|order"].stale == {}


@pytest.mark.parametrize(("up", "asked"), [((1, 3), True), ((1, 2), False)])
def test_a_status_that_was_put_off_goes_when_the_outage_is_over(up: tuple[int, int], *, asked: bool) -> None:
    able = {"set_status": Effect.RECORDS, "upsert_order": Effect.RECORDS}
    platform = msgspec.structs.replace(PLATFORMS["crmm"], capabilities=able, stages={"open": "won"})
    shown = look(Order(headline="draft", currency="EUR", number="SO-1"), "crm", "7", last_read=(1, 9))
    waits = record(
        "crm|status", DEAL, capability="set_status", outcome="deferred", digest=digest({"status": "open"}),
        asked_at=EARLIER, result=(1, 1), outage=3,
    )  # fmt: skip
    there = world(msgspec.structs.replace(CRM, fields=()), platforms={"crmm": platform}, facts={"up": {"crm": up}})
    found = planned(state(giver(), shown, copied(base={}), waits), there)
    assert [one.status for one in found.commands if one.capability == "set_status"] == ["open"] * asked


def test_how_long_an_answer_is_waited_for_is_the_flows() -> None:
    known = copied(outcome=None, digest=WISH, asked_at=NOW - timedelta(seconds=60))
    assert rung(known, replan_seconds=60).commands
    assert rung(known, replan_seconds=61).due_at == NOW + timedelta(seconds=1)


def test_a_create_waits_for_its_answer_like_a_set() -> None:
    asked = billed()
    known = msgspec.structs.replace(asked.writes["books|document"], asked_at=EARLIER)
    assert billed(known) == Planned(due_at=EARLIER + WAIT)
    refused = msgspec.structs.replace(known, outcome="rejected", stopped=known.digest, reason="no such account")
    told = Finding(
        "rejected",
        "warn",
        "books refused upsert_invoice: no such account",
        "books|document",
        "correct the cause, then retry",
    )
    assert billed(refused) == Planned(findings=(told,))
    changed = billed(refused, giver_=giver(note="ring"))
    assert [one.fields["note"] for one in changed.commands] == ["ring"]


def test_a_refusal_of_another_system_is_told_by_that_system() -> None:
    refused = copied(outcome="unsupported", stopped=WISH, reason="no notes")
    assert billed(refused, record("books|document", BILL, outcome="confirmed")).findings == ()
    (told,) = rung(refused).findings
    assert (told.code, told.message) == ("unsupported", "crm refused upsert_order: no notes")
    assert rung(msgspec.structs.replace(refused, outcome=None)).findings[0].code == "rejected"


def test_a_refusal_is_told_whatever_other_systems_were_asked_for_before() -> None:
    refused = record("books|document", outcome="rejected", stopped="x", reason="no such account")
    assert [one.subject for one in billed(copied(), refused).findings] == ["books|document"]


def test_a_document_that_nobody_looked_at_since_we_wrote_it_is_corrected_before_money_is_put_on_it() -> None:
    there = world(msgspec.structs.replace(BOOKS, payments=True))
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    old = record("books|document", BILL, outcome="confirmed", base={"payable_amount": Pair("8.00", "8.00")})
    found = planned(state(giver(), paid, old), there)
    assert [(command.capability, command.kind) for command in found.commands] == [("upsert_invoice", "set")]
    assert found.commands[0].base == {"payable_amount": Pair("8.00", "8.00")}
    answered = {**found.writes["books|document"].base, "payable_amount": Pair("24.00", "24.00")}
    corrected = msgspec.structs.replace(found.writes["books|document"], outcome="confirmed", base=answered)
    later = planned(state(giver(), paid, corrected), there)
    assert [(command.capability, command.kind) for command in later.commands] == [("record_payment", "append")]


@pytest.mark.parametrize(
    ("outcome", "money"), [(None, False), ("stale", False), ("deferred", False), ("rejected", True)]
)
def test_money_waits_while_a_total_is_to_be_asked_again(outcome: Any, money: bool) -> None:  # noqa: FBT001 - a parameter
    there = world(msgspec.structs.replace(BOOKS, payments=True))
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    shows = msgspec.structs.replace(look(Invoice(currency="EUR", payable_amount=Decimal(8)), "books", "5"), object=BILL)
    base = {"payable_amount": Pair("8.00", "8.00")}
    before = record("books|document", BILL, base=base, outcome="confirmed", result=(1, 1))
    (known,) = planned(state(giver(), shows, before), there).writes.values()
    stopped = known.digest if outcome == "rejected" else ""
    known = msgspec.structs.replace(known, outcome=outcome, asked_at=EARLIER, stopped=stopped, outage=9, result=(1, 2))
    found = planned(state(giver(), paid, shows, known), there)
    assert ("record_payment" in [command.capability for command in found.commands]) is money


@pytest.mark.parametrize(
    ("fixed", "total", "asked", "ago", "commands"),
    [
        (False, "8.00", "24.00", EARLIER, []),
        (False, "24.00", "24.00", EARLIER, ["record_payment"]),
        (False, "24.00", "8.00", EARLIER, []),
        (False, "24.00", "8.00", NOW - WAIT, ["record_payment"]),
        (True, "8.00", "24.00", EARLIER, []),
        (True, "24.00", "24.00", EARLIER, ["record_payment"]),
        (True, "24.00", "8.00", EARLIER, ["record_payment"]),
        (True, "8.00", "24.00", NOW - WAIT, ["record_payment"]),
    ],
)
def test_no_money_is_put_on_a_document_that_is_seen_before_its_answer_and_is_not_as_wanted(
    total: str, asked: str, ago: datetime, commands: list[str], *, fixed: bool
) -> None:
    ledger = msgspec.structs.replace(PLATFORMS["ledgerr"], fixed_amounts=fixed)
    there = world(msgspec.structs.replace(BOOKS, payments=True), platforms={"ledgerr": ledger})
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    seen = msgspec.structs.replace(
        look(Invoice(currency="EUR", payable_amount=Decimal(total)), "books", "5"), object=BILL
    )
    wish = digest({"payable_amount": asked})
    unanswered = record("books|document", BILL, asked_at=ago, digest=wish, asked=("payable_amount",))
    found = planned(state(giver(), paid, seen, unanswered), there)
    assert found.due_at == (NOW if commands else ago) + WAIT
    assert [command.capability for command in found.commands] == commands


@pytest.mark.parametrize(
    ("document", "payment", "commands"),
    [
        (None, None, []),
        ("uncertain", None, []),
        ("deferred", "deferred", ["upsert_invoice"]),
        ("rejected", None, ["issue_credit"]),
        ("confirmed", None, ["issue_credit"]),
        (None, "confirmed", []),
    ],
)
def test_a_total_that_was_asked_for_before_the_money_is_no_edit_after_payment(
    document: Any, payment: Any, commands: list[str]
) -> None:
    there = world(msgspec.structs.replace(BOOKS, payments=True, credits=True), paid_edit="credit_and_new")
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    shows = msgspec.structs.replace(look(Invoice(currency="EUR", payable_amount=Decimal(8)), "books", "5"), object=BILL)
    base = {"payable_amount": Pair("8.00", "8.00")}
    before = record("books|document", BILL, base=base, outcome="confirmed", result=(1, 1))
    (asked,) = planned(state(giver(), shows, before), there).writes.values()
    after = msgspec.structs.replace(shows, facts=Invoice(currency="EUR", payable_amount=Decimal(24)))
    (hung,) = planned(state(giver(), paid, after, before), there).writes.values()
    total, money = (
        msgspec.structs.replace(
            one, outcome=outcome, result=(1, 1), asked_at=LATER if outcome == "deferred" else EARLIER
        )
        for one, outcome in ((asked, document), (hung, payment))
    )
    if document == "rejected":
        total = msgspec.structs.replace(total, stopped=total.digest)
    if payment == "confirmed":
        money = msgspec.structs.replace(money, bound=ref("books", "payment", "3"))
    found = planned(state(giver(), paid, shows, total, money), there)
    assert [command.capability for command in found.commands] == commands


@pytest.mark.parametrize(("asked_at", "again"), [(EARLIER, False), (NOW - WAIT, True)])
@pytest.mark.parametrize(
    ("total", "asked", "wants"), [("24.00", "8.00", True), ("24.00", "24.00", False), ("8.00", "24.00", False)]
)
def test_a_change_of_a_total_is_asked_for_until_it_is_answered(
    total: str, asked: str, asked_at: datetime, *, wants: bool, again: bool
) -> None:
    """What shows may be from before it: where the order is back at that, the change would stay."""
    there = world(msgspec.structs.replace(BOOKS, payments=True))
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    shows = msgspec.structs.replace(
        look(Invoice(currency="EUR", payable_amount=Decimal(total)), "books", "5"), object=BILL
    )
    wish, base = digest({"payable_amount": asked}), {"payable_amount": Pair("24.00", "24.00")}
    values: dict[str, Any] = {"base": base, "digest": wish, "asked": ("payable_amount",), "result": (1, 1)}
    found = planned(state(giver(), paid, shows, record("books|document", BILL, asked_at=asked_at, **values)), there)
    expected = ["upsert_invoice"] if wants or again else []
    assert [command.capability for command in found.commands] == expected, "no money beside it"
    assert [command.fields["payable_amount"] for command in found.commands] == ["24.00"] * len(expected)


@pytest.mark.parametrize(
    ("outcome", "asked_at", "commands"),
    [(None, EARLIER, []), (None, NOW - WAIT, ["issue_credit"]), ("confirmed", EARLIER, ["issue_credit"])],
)
def test_a_cancelled_order_is_credited_once_the_change_of_its_bill_is_answered(
    outcome: Any, asked_at: datetime, commands: list[str]
) -> None:
    there = world(msgspec.structs.replace(BOOKS, payments=True, credits=True))
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    money = record(
        "books|payment|shop@s/payment/9", ref("books", "payment", "3"), capability="record_payment", outcome="confirmed"
    )
    shows = msgspec.structs.replace(
        look(Invoice(currency="EUR", payable_amount=Decimal(30)), "books", "5"), object=BILL
    )
    wish, base = digest({"payable_amount": "24.00"}), {"payable_amount": Pair("30.00", "30.00")}
    values: dict[str, Any] = {"base": base, "digest": wish, "asked": ("payable_amount",), "result": (1, 1)}
    changed = record("books|document", BILL, outcome=outcome, asked_at=asked_at, **values)
    found = planned(state(giver(status="cancelled"), paid, shows, changed, money), there)
    assert [command.capability for command in found.commands] == commands


@pytest.mark.parametrize(
    ("asked", "changes"), [(("note",), True), (("lines", "note"), True), (("lines", "note", "number"), False)]
)
def test_a_create_names_more_than_the_fields_that_are_kept_in_step(asked: tuple[str, ...], *, changes: bool) -> None:
    assert is_change(record("books|document", asked=asked), ("note", "lines")) is changes
