"""Sets, field by field: what is changed on an object that is there, what that rests on, and what is taken back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from schemas.commands import LIVE, Command, Pair
from schemas.facts import Order, Shipment
from schemas.findings import Finding
from schemas.flow import Target
from schemas.platform import Effect
from schemas.projection import digest
from schemas.refs import mark_of, set_id
from schemas.state import Agreed, WriteRecord
from streams.order.plan.plan import Planned
from tests.unit.streams.order.planning import (
    CRM,
    DEAL,
    EARLIER,
    GIVER,
    WAIT,
    WISH,
    copied,
    deal,
    planned,
    rung,
    world,
)
from tests.unit.streams.order.sample import KEY, NOW, PLATFORMS
from tests.unit.streams.order.states import OTHER_ORDER, giver, look, record, ref, state


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


def test_a_status_rests_on_what_the_system_showed_last() -> None:
    parts = {"base": {"status": Pair("draft", "draft")}}
    shown = look(Order(headline="draft", currency="EUR", number="SO-1"), "crm", "7", last_read=(1, 9))
    able = {"set_status": Effect.RECORDS, "upsert_order": Effect.RECORDS}
    platform = msgspec.structs.replace(PLATFORMS["crmm"], capabilities=able, stages={"open": "won"}, shows={})
    known = record("crm|status", DEAL, capability="set_status", outcome="confirmed", **parts)
    there = world(msgspec.structs.replace(CRM, fields=()), platforms={"crmm": platform})
    found = planned(state(giver(), shown, copied(base={}), known), there)
    (command,) = [one for one in found.commands if one.capability == "set_status"]
    wish = digest({"status": "open"})
    assert (command.status, command.fields, command.digest) == ("open", {"status": "open"}, wish)
    assert command.base == {"status": Pair("draft", "draft")}
    entity = f"order:{KEY}"
    assert command.id == set_id("crm", "c", entity, "set_status", digest({"status": "draft>draft"}), wish)
    first = planned(state(giver(), shown, copied(base={})), there)
    (command,) = [one for one in first.commands if one.capability == "set_status"]
    assert command.base == {"status": Pair("", "draft")}
    assert command.id == set_id("crm", "c", entity, "set_status", digest({"status": ">draft"}), wish)


def test_what_a_system_makes_of_our_value_is_not_written_again() -> None:
    assert rung(copied(base={"note": Pair("ring", "RING")}), deal("RING")) == Planned()
    (command,) = rung(copied(base={"note": Pair("bell", "RING")}), deal("RING")).commands
    assert command.fields == {"note": "ring"}


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


def parcelled(number: str, base: dict[str, Pair], **changes: Any) -> list[Command]:
    """Return what is asked of a CRM that keeps a parcel of UPS as a note, which it does not show again."""
    parcel = look(Shipment(carrier="UPS", tracking_numbers=(number,) if number else (), **changes), "shop", "p")
    wrote = record(
        "crm|shipment|shop@s/shipment/p", ref("crm", "note", "n1"), capability="record_shipment", canonical="c",
        id="d" * 32, outcome="confirmed", base=base, result=(1, 4), look=(1, 5), digest="before", asked_at=EARLIER,
    )  # fmt: skip
    found = planned(state(giver(), deal(), copied(base={}), parcel, wrote), world(CRM))
    return [command for command in found.commands if command.capability == "record_shipment"]


def test_a_tracking_number_that_was_not_told_or_was_put_right_is_told() -> None:
    told = {"carrier": Pair("UPS", "UPS"), "tracking": Pair("", ""), "status": Pair("shipped", "shipped")}
    (command,) = parcelled("1Z1", told)
    assert (command.kind, command.capability, command.changes) == ("set", "record_shipment", ("tracking",))
    assert (command.bound_id, command.fields, command.links) == ("n1", {"tracking": "1Z1"}, {"order": "7"})
    assert command.base == {"tracking": Pair("", "")}, "which is not shown there"
    before = {**told, "tracking": Pair("1Z1", "1Z1")}
    assert [one.fields for one in parcelled("1Z2", before)] == [{"tracking": "1Z2"}]
    assert parcelled("1Z1", before) == []


def test_otherwise_a_parcel_is_not_told_again() -> None:
    told = {"carrier": Pair("UPS", "UPS"), "tracking": Pair("1Z1", "1Z1"), "status": Pair("shipped", "shipped")}
    assert parcelled("1Z1", told, status="delivered") == []
    assert parcelled("", told) == [], "a number is never taken back"
    assert parcelled("1Z2", {}) == [], "nobody knows what was told"
