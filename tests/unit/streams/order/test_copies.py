"""Systems that keep a copy of the order: what they are told, and what a person does to the copy."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Credit, Order
from schemas.platform import Effect
from schemas.refs import ObjectRef
from schemas.state import OrderState
from streams.order.step import Input, Seen, Stepped, step
from streams.order.world import World

_spec = importlib.util.spec_from_file_location("sample", Path(__file__).with_name("sample.py"))
assert _spec is not None
assert _spec.loader is not None
sample: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sample)


def world(**changes: Any) -> World:
    """Return the world with another CRM: *changes* go to its platform."""
    known: World = sample.WORLD
    crm = msgspec.structs.replace(known.platforms["crmm"], **changes)
    return msgspec.structs.replace(known, platforms={**known.platforms, "crmm": crm})


def run(state: OrderState, there: World, *inputs: Input) -> Stepped:
    return step(state, inputs, there, sample.NOW)


def begun(there: World) -> OrderState:
    """Return the state of an order whose copies were made."""
    stepped = run(sample.EMPTY, there, sample.order())
    state = stepped.state
    for offset, command in enumerate(stepped.commands, start=1):
        state = run(state, there, *sample.confirmed(command, f"{command.connection}-1", offset)).state
    return state


def credit(document: str) -> Seen:
    ref = ObjectRef("books", "b", "credit", "c1")
    facts = Credit(document=document, amount=Decimal(4), currency="EUR")  # type: ignore[arg-type]
    anchors = (Anchor("order", sample.SHOP),)
    return Seen(ChangeEvent(tenant="acme", object=ref, facts=facts, version=Version(1), anchors=anchors))


@pytest.mark.parametrize(("document", "capability"), [("refund", "record_refund"), ("credit_note", "issue_credit")])
def test_a_credit_of_the_ledger_is_told_once(document: str, capability: str) -> None:
    there = world(capabilities={**sample.PLATFORMS["crmm"].capabilities, "record_refund": Effect.RECORDS})
    stepped = run(begun(there), there, credit(document))
    asked = [one for one in stepped.commands if one.connection == "crm"]
    assert [(one.capability, one.links) for one in asked] == [(capability, {"order": "crm-1"})]
    result, look = sample.confirmed(asked[0], "note-1", 9)
    assert [one for one in run(stepped.state, there, result, look).commands if one.connection == "crm"] == []


@pytest.mark.parametrize(
    ("end", "words"), [("void", "INV-1 was voided in books."), ("gone", "INV-1 was deleted in books.")]
)
def test_a_document_that_somebody_ended_in_the_ledger_is_noted_once(end: str, words: str) -> None:
    there = world(capabilities={**sample.PLATFORMS["crmm"].capabilities, "add_note": Effect.RECORDS})
    state = begun(there)
    bill = state.objects["books@b/invoice/books-1"]
    facts = msgspec.structs.replace(bill.facts, number="INV-1", status="void" if end == "void" else "invoiced")
    seen = [ChangeEvent(tenant="acme", object=bill.object, facts=facts, version=Version(read=True, epoch=1, seq=9))]
    if end == "gone":
        gone = Version(read=True, epoch=1, seq=10)
        seen.append(ChangeEvent(tenant="acme", object=bill.object, facts=None, presence="deleted", version=gone))
    stepped = run(state, there, *map(Seen, seen))
    asked = [one for one in stepped.commands if one.capability == "add_note"]
    assert [(one.connection, one.text, one.links) for one in asked] == [("crm", words, {"order": "crm-1"})]
    result, _ = sample.confirmed(asked[0], "note-1", 11)
    assert [one for one in run(stepped.state, there, result).commands if one.capability == "add_note"] == []


def test_money_is_not_paid_back_where_nobody_allowed_it() -> None:
    there = world()
    assert [one for one in run(begun(there), there, credit("refund")).commands if one.connection == "crm"] == []


def test_a_draft_is_made_only_where_there_is_a_word_for_it() -> None:
    for stages, connections in (({}, set()), ({"draft": "new"}, {"crm"})):
        stepped = run(sample.EMPTY, world(stages=stages), sample.order(status="draft"))
        assert {one.connection for one in stepped.commands} == connections


def test_a_copy_that_somebody_moved_further_is_a_finding() -> None:
    words = {word: word for word in ("open", "invoiced", "cancelled")}
    kept = {**sample.PLATFORMS["crmm"].capabilities, "set_status": Effect.RECORDS}
    statuses = {f"order:{word}": word for word in words}
    there = world(stages=words, capabilities=kept, statuses=statuses)
    state = begun(there)
    copy = state.objects["crm@c/order/crm-1"]
    assert isinstance(copy.facts, Order)
    lost = msgspec.structs.replace(copy.facts, stage="cancelled", headline="cancelled")
    moved = ChangeEvent(
        tenant="acme", object=copy.object, facts=lost, mirror_of=copy.mirror_of, version=Version(read=True, epoch=1, seq=9)
    )  # fmt: skip
    stepped = run(state, there, Seen(moved))
    assert [one for one in stepped.commands if one.connection == "crm"] == []
    assert stepped.public is not None
    assert [finding.code for finding in stepped.public.findings] == ["status_differs"]
