"""Fields that several systems share: whose value counts, what lost, and what a person is told."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Order, Party
from schemas.findings import Finding
from schemas.flow import Target
from schemas.state import Agreed, Conflict, Observation, WriteRecord
from streams.order.derive.derive import _with_agreed
from streams.order.derive.shared import agree, finding
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, NOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import giver, look, record, ref, state

SHOP, DEAL = "shop@s/order/1", "crm@c/order/7"
_SHARED = frozenset(("note", "po_number"))
KEEPS_BOTH = World(
    facts=WORLD.facts,
    platforms={slug: msgspec.structs.replace(one, shows={"upsert_order": _SHARED}) for slug, one in PLATFORMS.items()},
)
CRM = ref("crm", "order", "7")
EDITED = NOW - timedelta(minutes=5)


def deal(note: str, **changes: Any) -> Observation:
    values = {"digest": "d", "last_read": (1, 9), "changed_at": EDITED, **changes}
    return look(Order(number="SO-1", note=note), "crm", "7", **values)


def copy(sent: str | None = "ring", **changes: Any) -> WriteRecord:
    """Return the record of our copy of the order in the CRM, which took the note as it was sent."""
    base = {} if sent is None else {"note": Pair(sent, sent)}
    values = {"capability": "upsert_order", "outcome": "confirmed", "base": base, "look": (1, 5), **changes}
    return record("crm|order", CRM, **values)


def agreed(value: str = "ring", source: str = SHOP, **seen: str) -> dict[str, Agreed]:
    return {"note": Agreed(value, source, {SHOP: "ring", **seen})}


def note(*parts: Any, known: dict[str, Agreed] | None = None, world: World = WORLD, **flow: Any) -> Any:
    """Return the agreed note and what lost, for the shop's order with the note that its *giver* shows."""
    values, lost = agree(state(*parts, agreed=known or {}), msgspec.structs.replace(FLOW, **flow), parts[0], world)
    return values.get("note"), lost


def test_first_the_key_giver_is_right() -> None:
    assert note(giver(note="ring"), copy("knock"), deal("bell")) == (
        Agreed("ring", SHOP, {SHOP: "ring", DEAL: "bell"}),
        (),
    )


def test_an_edit_in_one_system_is_the_new_value() -> None:
    known = agreed(**{DEAL: "ring"})
    chosen = Agreed("leave it", DEAL, {SHOP: "ring", DEAL: "leave it"})
    assert note(giver(note="ring"), copy(), deal("leave it"), known=known) == (chosen, ())


def test_without_an_edit_the_value_stays_and_what_is_shown_is_remembered() -> None:
    kept = Agreed("ring", "x", {SHOP: "ring", DEAL: "ring"})
    assert note(giver(note="ring"), copy(), deal("ring"), known=agreed(source="x")) == (kept, ())


def test_both_edited_alike_is_no_conflict() -> None:
    both = note(giver(note="later"), copy(), deal("later"), known=agreed())
    assert both == (Agreed("later", SHOP, {SHOP: "later", DEAL: "later"}), ())


@pytest.mark.parametrize(
    ("ranking", "wins"),
    [({}, "shop"), ({"note": ("crm", "shop")}, "crm"), ({"note": ("crm",)}, "crm"), ({"email": ("crm",)}, "shop")],
)
def test_of_two_edits_the_ranking_of_the_field_picks_one_and_the_other_is_kept(
    ranking: dict[str, tuple[str, ...]], wins: str
) -> None:
    shop = giver(note="from shop")
    chosen, lost = note(shop, copy(), deal("from crm"), known=agreed(), ranking=ranking)
    ours, theirs = (("from shop", SHOP), ("from crm", DEAL))[:: 1 if wins == "shop" else -1]
    assert (chosen.value, chosen.source) == ours
    when = EDITED if wins == "shop" else shop.changed_at
    assert lost == (Conflict(field="note", kept=ours[0], kept_by=ours[1], lost=theirs[0], lost_by=theirs[1], at=when),)


def test_who_goes_back_to_the_agreed_value_loses_nothing_against_a_new_one() -> None:
    back = copy(base={"note": Pair("knock", "knock")})
    both = note(giver(note="later"), back, deal("ring"), known=agreed())
    assert both == (Agreed("later", SHOP, {SHOP: "later", DEAL: "ring"}), ())


def test_each_field_has_its_own_conflict() -> None:
    facts = Order(number="SO-1", note="theirs", po_number="P-2")
    copied = copy(base={"note": Pair("ring", "ring"), "po_number": Pair("P-0", "P-0")})
    known = {**agreed(), "po_number": Agreed("P-0", SHOP, {SHOP: "P-0"})}
    parts = state(giver(note="ours", po_number="P-1"), copied, look(facts, "crm", "7", last_read=(1, 9)), agreed=known)
    values, lost = agree(parts, FLOW, parts.objects[SHOP], KEEPS_BOTH)
    assert {name: one.value for name, one in values.items()} == {"note": "ours", "po_number": "P-1"}
    assert [(one.field, one.lost) for one in lost] == [("note", "theirs"), ("po_number", "P-2")]


def test_a_field_that_nobody_keeps_does_not_hide_the_next() -> None:
    keeps = {
        slug: msgspec.structs.replace(one, shows={"upsert_order": {"po_number"}}) for slug, one in PLATFORMS.items()
    }
    world = World(facts=WORLD.facts, platforms=keeps)
    shop = giver(note="ring", po_number="P-1")
    values, lost = agree(state(shop), FLOW, shop, world)
    assert (values, lost) == ({"po_number": Agreed("P-1", SHOP, {SHOP: "P-1"})}, ())


@pytest.mark.parametrize("outcome", [None, "uncertain"])
def test_while_our_own_write_of_the_field_is_under_way_what_is_shown_is_no_edit(outcome: str | None) -> None:
    flying = copy(outcome=outcome, asked=("note",))
    assert note(giver(note="ring"), flying, deal("leave it"), known=agreed())[0].value == "ring"
    other = copy(outcome=outcome, asked=("email",))
    assert note(giver(note="ring"), other, deal("leave it"), known=agreed())[0].value == "leave it"


def test_a_look_from_before_our_last_write_is_no_edit() -> None:
    old = deal("leave it", last_read=(1, 4))
    assert note(giver(note="ring"), copy(), old, known=agreed())[0] == Agreed(
        "ring", SHOP, {SHOP: "ring", DEAL: "ring"}
    )


def test_what_a_system_makes_of_a_value_is_no_edit() -> None:
    made = copy(base={"note": Pair("ring", "RING")})
    assert note(giver(note="ring"), made, deal("RING"), known=agreed())[0].value == "ring"


@pytest.mark.parametrize("key_giver", ["deleted", "mute"])
def test_where_the_key_giver_shows_nothing_what_was_asked_for_comes_first_and_then_what_is_shown(
    key_giver: str,
) -> None:
    platforms = PLATFORMS
    parts = giver(note="ring")
    if key_giver == "deleted":
        parts = msgspec.structs.replace(parts, gone=(9, 9))
    else:
        mute = msgspec.structs.replace(PLATFORMS["shopp"], shows={})
        platforms = {**PLATFORMS, "shopp": mute}
    world = World(facts=WORLD.facts, platforms=platforms)
    assert note(parts, copy("asked"), deal("shown"), world=world)[0] == Agreed("asked", SHOP, {DEAL: "shown"})
    assert note(parts, copy(None), deal("shown"), world=world)[0] == Agreed("shown", DEAL, {DEAL: "shown"})


def test_a_write_that_is_shown_before_its_answer_says_nothing_yet() -> None:
    gone = msgspec.structs.replace(giver(note="ring"), gone=(9, 9))
    waits = copy(None, outcome=None)
    assert note(gone, waits, deal("shown")) == (None, ())
    assert note(gone, copy(None, outcome=None, id=""), deal("shown"))[0].value == "shown"
    # Once something was agreed it takes part like every other.
    assert note(gone, waits, deal("shown"), known=agreed(**{DEAL: "ring"}))[0].value == "shown"


def test_an_agreed_value_outlives_those_who_showed_it() -> None:
    gone = msgspec.structs.replace(giver(note="ring"), gone=(9, 9))
    assert note(gone, known=agreed()) == (agreed()["note"], ())


def test_only_the_targets_that_keep_the_field_take_part() -> None:
    without = (Target(connection="crm", order=True, fields=("email",)),)
    known = agreed(**{DEAL: "ring"})
    assert note(giver(note="ring"), copy(), deal("leave it"), known=known, targets=without)[0].value == "ring"
    unknown = copy(capability="record_payment")
    assert note(giver(note="ring"), unknown, deal("leave it"), known=known)[0].value == "ring"


def test_a_key_giver_that_nothing_is_written_to_is_believed_as_it_is() -> None:
    mute = msgspec.structs.replace(PLATFORMS["shopp"], shows={}, capabilities={})
    world = World(facts=WORLD.facts, platforms={**PLATFORMS, "shopp": mute})
    assert note(giver(note="ring"), world=world)[0] == Agreed("ring", SHOP, {SHOP: "ring"})
    lost = World(facts=WORLD.facts, platforms={})
    assert note(giver(note="ring"), world=lost) == (None, ())


def test_a_conflict_is_told_with_both_values_and_how_to_get_the_other_one_back() -> None:
    told = finding(Conflict(field="note", kept="bell", kept_by=SHOP, lost="ring", lost_by=DEAL))
    assert told == Finding(
        "conflict",
        "warn",
        f"note was edited in two systems; 'bell' of {SHOP} was kept, {DEAL} said 'ring'.",
        "note",
        "`o2c orders revert` with the field note gives it back",
    )


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("note", "knock", {"note": "knock"}),
        ("po_number", "P-9", {"po_number": "P-9"}),
        ("email", "b@b.b", {"customer": Party(name="Ada", email="b@b.b")}),
        ("due_date", "2026-05-01", {"due_date": date(2026, 5, 1)}),
        ("due_date", "", {"due_date": None}),
    ],
)
def test_everybody_shows_the_agreed_values(name: str, value: str, changes: dict[str, Any]) -> None:
    order = Order(
        number="SO-1",
        note="ring",
        po_number="P-1",
        due_date=date(2026, 4, 1),
        customer=Party(name="Ada", email="a@a.a"),
    )
    assert _with_agreed(order, {name: Agreed(value, DEAL)}) == msgspec.structs.replace(order, **changes)


def test_an_order_without_a_customer_gets_one_from_an_address() -> None:
    assert _with_agreed(Order(), {"email": Agreed("b@b.b", DEAL)}).customer == Party(email="b@b.b")
    assert _with_agreed(Order(), {"email": Agreed("", DEAL)}).customer is None


def test_what_is_agreed_already_leaves_the_order_as_it_is() -> None:
    order = Order(note="ring", customer=Party(email="a@a.a"))
    same = {"note": Agreed("ring", SHOP), "email": Agreed("a@a.a", SHOP)}
    assert _with_agreed(order, same) is order
