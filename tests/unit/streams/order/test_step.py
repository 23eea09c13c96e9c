"""The core, played by hand against a system that does what it is told."""

from __future__ import annotations

import importlib.util
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.commands import Command
from schemas.events import ChangeEvent, Version
from schemas.facts import Credit
from schemas.refs import ObjectRef
from schemas.state import OrderState
from streams.order.step import Input, Seen, Stepped, Tick, step

_spec = importlib.util.spec_from_file_location("sample", Path(__file__).with_name("sample.py"))
assert _spec is not None
assert _spec.loader is not None
sample: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sample)
NOW, WORLD, EMPTY = sample.NOW, sample.WORLD, sample.EMPTY


def _run(state: OrderState, *inputs: Input) -> Stepped:
    return step(state, inputs, WORLD, NOW)


def _settle(state: OrderState, commands: tuple[Command, ...], start: int = 1) -> tuple[OrderState, list[Command]]:
    """Answer every command until silence; return the state and all commands."""
    asked = list(commands)
    rest = list(commands)
    offset = start
    while rest:
        command = rest.pop(0)
        result, look = sample.confirmed(command, f"{command.connection}-{offset}", offset)
        stepped = _run(state, result, look)
        state, offset = stepped.state, offset + 1
        rest += stepped.commands
        asked += stepped.commands
        assert offset < 50, "no silence"
    return state, asked


def test_an_order_becomes_a_deal_and_an_invoice_and_then_there_is_silence() -> None:
    stepped = _run(EMPTY, sample.order())
    state, asked = _settle(stepped.state, stepped.commands)
    assert sorted((one.connection, one.capability) for one in asked) == [
        ("books", "upsert_invoice"),
        ("crm", "upsert_order"),
    ]
    assert _run(state, Tick()).commands == ()


def test_a_payment_waits_for_its_invoice_and_is_recorded_once() -> None:
    stepped = _run(EMPTY, sample.order(), sample.payment())
    assert all(one.capability != "record_payment" or one.connection != "books" for one in stepped.commands)
    state, asked = _settle(stepped.state, stepped.commands)
    money = [one for one in asked if one.capability == "record_payment"]
    assert sorted(one.connection for one in money) == ["books", "crm"]
    public = _run(state, Tick()).public
    assert public is not None
    assert (public.financial, public.paid_amount, public.amount_due) == ("paid", Decimal("24.00"), Decimal("0.00"))


def test_our_own_payment_coming_back_is_no_second_one() -> None:
    stepped = _run(EMPTY, sample.order(), sample.payment())
    state, _ = _settle(stepped.state, stepped.commands)
    mirrors = [look for look in state.objects.values() if look.object.type == "payment" and look.mirror_of]
    assert mirrors
    stepped = _run(state, Tick())
    assert stepped.commands == ()
    assert stepped.public is not None
    assert stepped.public.paid_amount == Decimal("24.00")


def test_a_payment_typed_into_the_ledger_reaches_shop_and_crm_but_not_the_ledger() -> None:
    stepped = _run(EMPTY, sample.order())
    state, _ = _settle(stepped.state, stepped.commands)
    stepped = _run(state, sample.payment(system="books", id_="typed"))
    assert sorted(one.connection for one in stepped.commands) == ["crm", "shop"]
    assert {one.capability for one in stepped.commands} == {"record_payment"}


def test_a_cancelled_order_without_documents_writes_nothing() -> None:
    assert _run(EMPTY, sample.order(status="cancelled")).commands == ()


def test_cancelling_after_the_invoice_credits_it() -> None:
    stepped = _run(EMPTY, sample.order())
    state, _ = _settle(stepped.state, stepped.commands)
    stepped = _run(state, sample.order(2, status="cancelled"))
    (credit,) = [one for one in stepped.commands if one.capability == "issue_credit"]
    assert isinstance(credit.facts, Credit)
    assert (credit.connection, credit.facts.amount) == ("books", Decimal(24))


def test_a_note_edited_in_the_crm_reaches_the_two_others_and_then_silence() -> None:
    stepped = _run(EMPTY, sample.order(note="ring twice"))
    state, _ = _settle(stepped.state, stepped.commands)
    (deal,) = [look for look in state.objects.values() if look.object.connection == "crm"]
    edited = msgspec.structs.replace(deal.facts, note="leave at the door")  # type: ignore[type-var]  # an Order
    event = ChangeEvent(
        tenant="acme",
        object=deal.object,
        facts=edited,
        mirror_of=deal.mirror_of,
        version=Version(read=True, epoch=1, seq=99),
    )
    stepped = _run(state, Seen(event))
    assert sorted((one.connection, one.fields["note"]) for one in stepped.commands) == [
        ("books", "leave at the door"),
        ("shop", "leave at the door"),
    ]
    assert _run(stepped.state, Seen(event)).commands == ()


def test_planning_twice_plans_nothing_until_the_deadline() -> None:
    stepped = _run(EMPTY, sample.order())
    assert stepped.commands
    assert _run(stepped.state, sample.order(), Tick()).commands == ()
    late = step(stepped.state, [Tick()], WORLD, NOW + timedelta(seconds=901))
    assert {one.id for one in late.commands} == {one.id for one in stepped.commands}
    assert {one.presence for one in late.commands} == {"unknown"}


def test_a_rejected_write_is_not_asked_again_until_its_content_changes() -> None:
    stepped = _run(EMPTY, sample.order())
    (bill,) = [one for one in stepped.commands if one.capability == "upsert_invoice"]
    result, _ = sample.confirmed(bill, "x", 1)
    refused = msgspec.structs.replace(result, outcome="rejected", bound=None, made={})
    state = _run(stepped.state, refused).state
    assert not any(one.connection == "books" for one in step(state, [Tick()], WORLD, NOW + timedelta(days=1)).commands)
    changed = _run(state, sample.order(2, note="other")).commands
    assert [one.id for one in changed if one.connection == "books"] == [bill.id]


def test_an_unmapped_status_word_quarantines_the_order() -> None:
    stepped = _run(EMPTY, sample.order(stage="awaiting-engraving"))
    assert stepped.commands == ()
    assert stepped.public is not None
    assert [finding.code for finding in stepped.public.findings] == ["unmapped_status"]


def test_shadow_shows_the_plan_and_remembers_nothing() -> None:
    facts = msgspec.structs.replace(WORLD.facts, modes={"main": "shadow"})
    stepped = step(EMPTY, [sample.order()], msgspec.structs.replace(WORLD, facts=facts), NOW)
    assert stepped.shadow
    assert stepped.commands
    assert stepped.state.writes == {}


def test_a_404_is_final_until_a_read_revives_the_object() -> None:
    ref = ObjectRef("books", "b", "invoice", "7")
    gone = ChangeEvent(
        tenant="acme", object=ref, facts=None, presence="deleted", version=Version(read=True, epoch=1, seq=5)
    )
    late = msgspec.structs.replace(
        sample.payment(system="books").event, object=ref, version=Version(read=True, epoch=1, seq=4)
    )
    for inputs in ([Seen(gone), Seen(late)], [Seen(late), Seen(gone)]):
        look = step(EMPTY, inputs, WORLD, NOW).state.objects[ref.key]
        assert look.gone > look.last_read


HISTORY = [
    sample.order(1), sample.order(2, note="x"), sample.payment("10.00", "p1"), sample.payment("14.00", "p2"),
    sample.order(3, fulfilment="fulfilled"), sample.payment("14.00", "p2", status="failed"),
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_order_and_repeats_do_not_matter(data: st.DataObject) -> None:
    again = data.draw(st.permutations(HISTORY + data.draw(st.lists(st.sampled_from(HISTORY), max_size=4))))
    cut = data.draw(st.integers(0, len(again)))
    whole = step(EMPTY, HISTORY, WORLD, NOW).state.objects
    parts = _run(_run(EMPTY, *again[:cut]).state, *again[cut:]).state.objects
    assert msgspec.json.encode(whole, order="sorted") == msgspec.json.encode(parts, order="sorted")
