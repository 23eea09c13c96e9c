"""Which writes are asked for, and under which id, key and mark; for which orders, and in which order."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import LIVE, LIVE_PAYMENT, Command, Pair
from schemas.facts import Credit, Invoice, Payment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.projection import digest, project
from schemas.refs import mark_of, write_id
from schemas.state import Agreed, WriteRecord
from streams.order.derive import derive
from streams.order.plan.plan import Planned, desks
from streams.order.world import World
from tests.unit.streams.order.planning import (
    BILL,
    BOOKS,
    CRM,
    EARLIER,
    GIVER,
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
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, record, ref, state

STATES: tuple[Any, Any] = ("succeeded", "failed")


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


# --------------------------------------------------------------------------------------------------- what was reached
@pytest.mark.parametrize("outcome", ["uncertain", None])
def test_a_write_whose_effect_is_seen_is_closed(outcome: Any) -> None:
    seen = {"stale": {"note": "x"}, "base": {"note": Pair("ring", "ring")}, "asked": ("note",), "asked_at": NOW}
    waits = copied(outcome=outcome, reason="no answer", **seen)
    found = rung(waits, deal("ring"))
    assert found.commands == ()
    assert found.writes == {"crm|order": msgspec.structs.replace(waits, outcome="confirmed", reason="", stale={})}
    assert rung(msgspec.structs.replace(waits, outcome="confirmed"), deal("ring")).writes == {}


def test_a_create_that_was_answered_for_an_earlier_wish_is_closed() -> None:
    """Its copy is kept in step; of what is written once, as the word at the beginning, only the first wish counts."""
    asked = ("note", "number", "payable_amount", "status")
    known = copied(
        outcome=None, asked=asked, asked_at=NOW, digest="invoiced by then", base={"note": Pair("ring", "ring")}
    )
    assert rung(known, deal("ring")).writes["crm|order"].outcome == "confirmed"


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
