"""Writes, field by field: what is asked of a system, under which id and mark, and when it is asked again."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import LIVE, LIVE_PAYMENT, Command, Pair
from schemas.facts import Credit, Invoice, Order, Payment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.projection import digest, project
from schemas.refs import mark_of, set_id, write_id
from schemas.state import Agreed, Observation, OrderState, WriteRecord
from streams.order.derive import derive
from streams.order.plan import plan
from streams.order.plan.plan import Planned, desks
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, KEY, NOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, record, ref, state

BOOKS = Target(connection="books", document="invoice")
CRM = Target(connection="crm", order=True)
DEAL, BILL = ref("crm", "order", "7"), ref("books", "invoice", "5")
GIVER = "shop@s/order/1"
WAIT = timedelta(seconds=900)
EARLIER = NOW - timedelta(minutes=5)
LATER = NOW - timedelta(days=30)
STATES: tuple[Any, Any] = ("succeeded", "failed")


def world(*targets: Target, facts: dict[str, Any] | None = None, platforms: Any = None, **flow: Any) -> World:
    flows = (msgspec.structs.replace(FLOW, targets=targets, **flow),)
    told = msgspec.structs.replace(WORLD.facts, flows=flows, **(facts or {}))
    return World(facts=told, platforms={**PLATFORMS, **(platforms or {})})


def planned(known: OrderState, there: World, now: datetime = NOW) -> Planned:
    derived = derive(known, there)
    assert derived is not None
    return plan(known, derived, there, now)


# ------------------------------------------------------------------------------------------------------------- creates
def billed(
    *parts: Observation | WriteRecord, giver_: Any = None, there: World | None = None, **changes: Any
) -> Planned:
    """Return what is planned for the ledger that bills the shop's order."""
    return planned(state(giver_ or giver(), *parts, **changes), there or world(BOOKS))


def made(command: Command) -> dict[str, str]:
    fields = project(command.facts)
    return {name: fields[name] for name in ("currency", "payable_amount", "note", "lines")}


def test_the_first_document_is_asked_for_whole_and_remembered() -> None:
    found = billed(giver_=giver(note="ring", po_number="P-1"))
    (command,) = found.commands
    id_ = write_id("books", "b", "upsert_invoice", GIVER, 0)
    assert isinstance(command.facts, Invoice)
    assert command == msgspec.structs.replace(
        command,
        id=id_,
        kind="create",
        tenant="acme",
        connection="books",
        account="b",
        capability="upsert_invoice",
        order=KEY,
        entity=f"document:{KEY}",
        write="books|document",
        canonical=GIVER,
        mark=mark_of(KEY, id_),
        presence="absent",
        facts=command.facts,
        fields=made(command),
        digest=digest(made(command)),
        generation=0,
        bound_id="",
        changes=(),
        base={},
        links={},
        status="",
        text="",
        priority=LIVE,
        flow="main",
        source="shop",
    )
    assert (command.facts.payable_amount, command.fields["note"]) == (Decimal(24), "ring")
    assert found.writes == {
        "books|document": WriteRecord(
            key="books|document",
            connection="books",
            account="b",
            capability="upsert_invoice",
            canonical=GIVER,
            id=id_,
            digest=command.digest,
            asked=("currency", "lines", "note", "payable_amount"),
            asked_at=NOW,
            source="shop",
        )
    }
    assert (found.due_at, found.findings, found.shadow) == (NOW + WAIT, (), False)


def test_a_document_that_was_asked_for_keeps_its_canonical_object_its_generation_and_the_order_that_asked() -> None:
    known = record(
        "books|document", id="1" * 32, canonical="shop@s/order/0", generation=3, outcome="rejected", order=OTHER_ORDER
    )
    found = billed(known)
    (command,) = found.commands
    id_ = write_id("books", "b", "upsert_invoice", "shop@s/order/0", 3)
    assert (command.id, command.canonical, command.generation) == (id_, "shop@s/order/0", 3)
    assert (command.mark, command.presence) == (mark_of(OTHER_ORDER, id_), "unknown")
    (kept,) = found.writes.values()
    assert (kept.id, kept.generation, kept.order, kept.canonical) == (id_, 3, OTHER_ORDER, "shop@s/order/0")
    assert (kept.outcome, kept.asked_at, kept.digest) == (None, NOW, command.digest)


def test_a_document_that_may_be_made_anew_goes_back_to_what_it_is_for_today() -> None:
    (command,) = billed(record("books|document", id="", canonical="old", generation=1, outcome="superseded")).commands
    assert (command.canonical, command.mark) == (GIVER, mark_of(KEY, command.id))


@pytest.mark.parametrize(
    ("asks", "placed", "expired", "presence"),
    [
        ("old", NOW - timedelta(hours=23), None, "absent"),
        ("old", NOW - timedelta(hours=24), None, "unknown"),
        ("old", LATER, None, "unknown"),
        ("always", NOW, None, "unknown"),
        ("never", LATER, None, "absent"),
        ("never", NOW, EARLIER, "unknown"),
        ("old", NOW, EARLIER, "unknown"),
    ],
)
def test_only_what_cannot_have_been_written_before_is_made_without_asking(
    asks: Any, placed: datetime, expired: datetime | None, presence: str
) -> None:
    there = world(msgspec.structs.replace(BOOKS, asks=asks))
    (command,) = billed(giver_=giver(placed_at=placed), there=there, expired_at=expired).commands
    assert command.presence == presence


@pytest.mark.parametrize(("changed", "presence"), [(NOW, "absent"), (LATER, "unknown"), (None, "unknown")])
def test_an_order_without_its_own_day_is_as_old_as_its_last_change(changed: datetime | None, presence: str) -> None:
    order = look(msgspec.structs.replace(giver().facts, placed_at=None), changed_at=changed)  # type: ignore[type-var]
    (command,) = billed(giver_=order).commands
    assert command.presence == presence


def test_what_falls_into_a_closed_period_is_dated_later_or_held_and_looked_at_again_in_an_hour() -> None:
    closed = {"lock_dates": {"books": "2026-03-05"}}
    (command,) = billed(there=world(BOOKS, facts=closed)).commands
    assert isinstance(command.facts, Invoice)
    assert str(command.facts.issue_date) == "2026-03-06"
    held = billed(there=world(BOOKS, facts=closed, closed_period="hold"))
    message = "A document of 2026-03-01 waits: books is closed up to 2026-03-05."
    step = "move the lock date, or set closed_period"
    assert held == Planned(
        findings=(Finding("closed_period", "warn", message, "books", step),), due_at=NOW + timedelta(hours=1)
    )


def test_nothing_is_made_in_a_system_before_its_account_was_looked_at() -> None:
    found = billed(there=world(BOOKS, CRM, facts={"unseen": frozenset(("books",))}))
    assert [command.connection for command in found.commands] == ["crm"]
    message = "A document waits: nobody has looked at the account of books yet."
    step = "run the connectors; `o2c check` says what keeps them"
    assert found.findings == (Finding("unseen_account", "warn", message, "books", step),)


def test_a_payment_goes_before_everything_else() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR", reference="R"), "shop", "p")
    known = record("books|document", BILL, outcome="confirmed")
    (command,) = billed(paid, known).commands
    assert (command.capability, command.kind, command.priority) == ("record_payment", "append", LIVE_PAYMENT)
    assert command.links == {"invoice": "5"}


def test_money_paid_back_and_money_taken_back_go_first_as_well_and_a_credit_note_does_not() -> None:
    able = {**PLATFORMS["ledgerr"].capabilities, "record_refund": Effect.RECORDS}
    there = world(BOOKS, platforms={"ledgerr": msgspec.structs.replace(PLATFORMS["ledgerr"], capabilities=able)})
    paid = look(Payment(amount=Decimal(24), currency="EUR", status="failed"), "shop", "p")
    document = record("books|document", BILL, outcome="confirmed")
    sent = record("books|payment|shop@s/payment/p", ref("books", "payment", "q"), capability="record_payment")
    (back,) = billed(paid, document, sent, there=there).commands
    assert (back.capability, back.priority) == ("reverse_payment", LIVE_PAYMENT)
    refund = look(Credit(document="refund", amount=Decimal(4), currency="EUR"), "shop", "r")
    (note,) = billed(refund, document, there=there).commands
    assert (note.capability, note.priority) == ("issue_credit", LIVE)
    credited = record("books|credit|shop@s/credit/r", ref("books", "credit", "n"), capability="issue_credit")
    (money,) = billed(refund, document, credited, there=there).commands
    assert (money.capability, money.priority) == ("record_refund", LIVE_PAYMENT)


def test_only_the_first_unmet_step_of_a_chain_is_asked_for() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "p")
    for unbound in ((), (record("books|document"),)):
        assert [one.capability for one in billed(paid, *unbound).commands] == ["upsert_invoice"]


def test_what_was_agreed_about_the_order_is_no_field_of_its_payment() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "p")
    document = record("books|document", BILL, outcome="confirmed")
    agreed = {"note": Agreed("ring", GIVER), "po_number": Agreed("P-1", GIVER)}
    (command,) = billed(paid, document, giver_=giver(note="ring", po_number="P-1"), agreed=agreed).commands
    assert command.fields == dict(project(command.facts))
    assert command.fields.keys().isdisjoint(agreed)


def test_a_target_knows_how_many_of_its_own_documents_were_replaced() -> None:
    second = record("books|document|1", ref("books", "invoice", "6"))
    known, there = state(giver(), record("books|document", BILL), second), world(BOOKS, CRM)
    derived = derive(known, there)
    assert derived is not None
    assert [(one.name, one.replaced) for one in desks(known, derived, there)] == [("books", 1), ("crm", 0)]


def test_a_step_that_waits_keeps_nothing_else_waiting() -> None:
    new, failed = (
        look(Payment(amount=Decimal(24), currency="EUR", status=status), "shop", status) for status in STATES
    )
    sent = record("books|payment|shop@s/payment/failed", ref("books", "payment", "q"), capability="record_payment")
    assert "reverse_payment" in [one.capability for one in billed(new, failed, sent).commands]


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_documents_that_a_person_must_judge_are_named(mode: Any) -> None:
    theirs = look(Invoice(currency="EUR", payable_amount=Decimal(25)), "books", "7")
    assert billed(theirs, there=world(BOOKS, mode=mode)).disputed == (theirs.object.key,)
    assert billed(there=world(BOOKS, mode=mode)).disputed == ()


# ---------------------------------------------------------------------------------------------------------------- sets
WISH = digest({"note": "ring"})


def deal(note: str = "knock", **changes: Any) -> Observation:
    facts = msgspec.structs.replace(giver().facts, note=note)  # type: ignore[type-var]
    return look(facts, "crm", "7", **{"last_read": (1, 9), **changes})


def copied(**changes: Any) -> WriteRecord:
    """Return the record of the copy in the CRM, whose note was taken as it was sent."""
    values: dict[str, Any] = {
        "capability": "upsert_order", "canonical": GIVER, "id": "c" * 32, "outcome": "confirmed",
        "base": {"note": Pair("knock", "knock"), "number": Pair("SO-0", "SO-0")}, "result": (1, 4), "look": (1, 5),
        "digest": "before", "asked_at": EARLIER,
    }  # fmt: skip
    return record("crm|order", DEAL, **{**values, **changes})


def rung(
    known: WriteRecord, there: Observation | None = None, *, facts: dict[str, Any] | None = None, **flow: Any
) -> Planned:
    """Return what is planned for the CRM, whose copy shows another note than the shop's order."""
    parts = state(giver(note="ring"), there or deal(), known, agreed={"note": Agreed("ring", GIVER)})
    return planned(parts, world(CRM, facts=facts, **flow))


def test_a_set_says_what_it_changes_on_which_object_and_what_it_rests_on() -> None:
    found = rung(copied(generation=2))
    (command,) = found.commands
    base = {"note": Pair("knock", "knock")}
    assert isinstance(command.facts, Order)
    assert command.facts.note == "ring"
    assert command == msgspec.structs.replace(
        command,
        id=set_id("crm", "c", f"order:{KEY}", "upsert_order", digest({"note": "knock>knock"}), WISH),
        kind="set",
        tenant="acme",
        connection="crm",
        account="c",
        capability="upsert_order",
        order=KEY,
        entity=f"order:{KEY}",
        write="crm|order",
        canonical=GIVER,
        generation=2,
        mark=mark_of(KEY, "c" * 32),
        presence="present",
        bound_id="7",
        facts=command.facts,
        changes=("note",),
        fields={"note": "ring"},
        base=base,
        digest=WISH,
        links={},
        status="",
        text="",
        priority=LIVE,
        flow="main",
        source="shop",
    )
    # It is the create that keeps the id: the mark in the document is of that.
    expected = copied(generation=2, digest=WISH, asked=("note",), asked_at=NOW, source="shop", outcome=None)
    assert found.writes == {"crm|order": expected}
    assert found.due_at == NOW + WAIT


def test_the_mark_names_the_order_that_asked_first_and_is_left_out_where_nothing_was_created() -> None:
    (command,) = rung(copied(order=OTHER_ORDER)).commands
    assert command.mark == mark_of(OTHER_ORDER, "c" * 32)
    (command,) = rung(copied(id="")).commands
    assert command.mark == ""


def test_what_a_field_was_sent_as_is_part_of_what_a_set_rests_on() -> None:
    (command,) = rung(copied(base={"note": Pair("sent", "knock")})).commands
    assert command.base == {"note": Pair("sent", "knock")}
    (command,) = rung(copied(base={})).commands
    assert command.base == {"note": Pair("", "knock")}


def test_a_look_from_before_our_last_write_shows_what_that_write_made() -> None:
    old = deal("older", last_read=(1, 4))
    (command,) = rung(copied(), old).commands
    assert command.base == {"note": Pair("knock", "knock")}
    assert rung(copied(base={"note": Pair("ring", "ring")}), old).commands == ()


def test_the_key_givers_own_order_is_set_without_a_record() -> None:
    known = state(giver(note="ring"), deal("bell"), copied(), agreed={"note": Agreed("bell", "crm@c/order/7")})
    found = planned(known, world(Target(connection="shop"), CRM))
    (command,) = found.commands
    assert (command.connection, command.kind, command.bound_id, command.mark) == ("shop", "set", "1", "")
    assert (command.fields, command.base) == ({"note": "bell"}, {"note": Pair("", "ring")})
    assert (command.generation, command.presence) == (0, "present")
    assert found.writes == {
        "shop|order": WriteRecord(
            key="shop|order",
            connection="shop",
            account="s",
            capability="upsert_order",
            canonical=GIVER,
            digest=digest({"note": "bell"}),
            asked=("note",),
            asked_at=NOW,
            source="crm",
            bound=ref("shop", "order", "1"),
        )
    }


def test_a_status_rests_on_nothing_but_what_was_acknowledged() -> None:
    parts = {"base": {"status": Pair("draft", "draft")}}
    shown = look(Order(headline="draft", currency="EUR", number="SO-1"), "crm", "7", last_read=(1, 9))
    able = {"set_status": Effect.RECORDS, "upsert_order": Effect.RECORDS}
    platform = msgspec.structs.replace(PLATFORMS["crmm"], capabilities=able, stages={"open": "won"}, shows={})
    known = record("crm|status", DEAL, capability="set_status", outcome="confirmed", **parts)
    there = world(msgspec.structs.replace(CRM, fields=()), platforms={"crmm": platform})
    found = planned(state(giver(), shown, copied(base={}), known), there)
    (command,) = [one for one in found.commands if one.capability == "set_status"]
    wish = digest({"status": "open"})
    assert (command.status, command.fields, command.base, command.digest) == ("open", {"status": "open"}, {}, wish)
    entity = f"order:{KEY}"
    assert command.id == set_id("crm", "c", entity, "set_status", digest({"status": "draft>draft"}), wish)
    first = planned(state(giver(), shown, copied(base={})), there)
    (command,) = [one for one in first.commands if one.capability == "set_status"]
    assert command.id == set_id("crm", "c", entity, "set_status", digest({}), wish)


def test_what_a_system_makes_of_our_value_is_not_written_again() -> None:
    assert rung(copied(base={"note": Pair("ring", "RING")}), deal("RING")) == Planned()
    (command,) = rung(copied(base={"note": Pair("bell", "RING")}), deal("RING")).commands
    assert command.fields == {"note": "ring"}


# ------------------------------------------------------------------------------------------------- what is asked again
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


# --------------------------------------------------------------------------------------------------- what is taken back
@pytest.mark.parametrize(
    ("changes", "reverted"),
    [
        ({"digest": WISH}, (WISH,)),
        ({"digest": WISH, "reverted": (WISH,)}, (WISH, WISH)),
        ({"digest": WISH, "reverted": ("x", "y", "z")}, ("y", "z", WISH)),
        ({"digest": WISH, "reverted": ("x", "y", WISH)}, ("y", WISH, WISH)),
        ({"digest": "other", "reverted": (WISH, WISH)}, (WISH, WISH)),
        ({"digest": "other"}, ()),
        ({"digest": WISH, "outcome": "rejected", "reverted": (WISH, WISH)}, (WISH, WISH)),
    ],
)
def test_a_value_that_was_taken_back_is_written_again_and_counted(
    changes: dict[str, Any], reverted: tuple[str, ...]
) -> None:
    found = rung(copied(**changes))
    assert len(found.commands) == 1
    assert found.writes["crm|order"].reverted == reverted


def test_the_third_time_a_person_is_told_and_nothing_is_written() -> None:
    found = rung(copied(digest=WISH, reverted=("x", WISH, WISH)))
    message = "crm took back the same value 3 times; it is not written again."
    told = Finding("reverted", "warn", message, "crm|order", "find out what changes it there")
    assert found == Planned(findings=(told,))


# ---------------------------------------------------------------------------------------------------------------- drift
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


# --------------------------------------------------------------------------------------------------- what was reached
def test_a_write_whose_effect_is_seen_is_closed() -> None:
    waits = copied(outcome="uncertain", reason="no answer", stale={"note": "x"}, base={"note": Pair("ring", "ring")})
    found = rung(waits, deal("ring"))
    assert found.commands == ()
    assert found.writes == {"crm|order": msgspec.structs.replace(waits, outcome="confirmed", reason="", stale={})}
    assert rung(msgspec.structs.replace(waits, outcome="confirmed"), deal("ring")).writes == {}


def test_an_append_that_is_bound_is_never_written_again() -> None:
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "p")
    document = record("books|document", BILL, outcome="confirmed")
    sent = record("books|payment|shop@s/payment/p", ref("books", "payment", "q"), outcome="uncertain", reason="?")
    found = billed(paid, document, sent)
    assert found.commands == ()
    assert [one.outcome for one in found.writes.values()] == ["confirmed"]


# ------------------------------------------------------------------------------------------------------- which orders
@pytest.mark.parametrize("mode", ["stopped", "shadow", "live"])
def test_the_mode_that_was_set_at_run_time_rules(mode: str) -> None:
    found = billed(there=world(BOOKS, facts={"modes": {"main": mode}}))
    assert bool(found.commands) is (mode != "stopped")
    assert found.shadow is (mode == "shadow")
    assert bool(found.writes) is bool(found.due_at) is (mode == "live")


def test_a_flow_that_is_not_live_writes_nothing_but_tells() -> None:
    refused = record("books|document", outcome="rejected", stopped="x", reason="no")
    found = billed(refused, there=world(BOOKS, mode="shadow"))
    assert ([one.code for one in found.findings], found.shadow, found.writes) == (["rejected"], True, {})


@pytest.mark.parametrize(
    ("order", "changes"),
    [({"test": True}, {}), ({"stage": "engraving"}, {}), ({}, {"alias_of": OTHER_ORDER})],
)
def test_tests_blocked_orders_and_aliases_are_left_alone(order: dict[str, Any], changes: dict[str, Any]) -> None:
    assert billed(giver_=giver(**order), **changes) == Planned()


def test_targets_that_are_not_configured_any_more_are_left_out() -> None:
    gone = Target(connection="old", document="invoice")
    assert [one.connection for one in billed(there=world(gone, BOOKS)).commands] == ["books"]
    lost = world(CRM, BOOKS)
    without = World(facts=lost.facts, platforms={key: one for key, one in PLATFORMS.items() if key != "crmm"})
    assert [one.connection for one in billed(there=without).commands] == ["books"]


def test_the_earliest_time_counts() -> None:
    waits = copied(outcome=None, digest=WISH, asked_at=EARLIER)
    parts = state(giver(note="ring"), deal(), waits, agreed={"note": Agreed("ring", GIVER)})
    found = planned(parts, world(BOOKS, CRM))
    assert [one.connection for one in found.commands] == ["books"]
    assert found.due_at == EARLIER + WAIT


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


@pytest.mark.parametrize(("total", "commands"), [("8.00", []), ("24.00", ["record_payment"])])
def test_no_money_is_put_on_a_document_that_is_seen_before_its_answer_and_is_not_as_wanted(
    total: str, commands: list[str]
) -> None:
    there = world(msgspec.structs.replace(BOOKS, payments=True))
    paid = look(Payment(amount=Decimal(24), currency="EUR"), "shop", "9")
    seen = msgspec.structs.replace(
        look(Invoice(currency="EUR", payable_amount=Decimal(total)), "books", "5"), object=BILL
    )
    unanswered = record("books|document", BILL, asked_at=EARLIER, digest="d", asked=("payable_amount",))
    found = planned(state(giver(), paid, seen, unanswered), there)
    assert [command.capability for command in found.commands] == commands


@pytest.mark.parametrize(
    ("document", "payment", "commands"),
    [
        (None, None, []),
        ("uncertain", None, []),
        ("deferred", "deferred", ["upsert_invoice"]),
        ("rejected", None, ["issue_credit"]),
        ("confirmed", None, ["issue_credit"]),
        (None, "confirmed", ["issue_credit"]),
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
