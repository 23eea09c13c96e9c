"""What waits, in which order it goes, and what replaces what."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import BACKFILL, LIVE, LIVE_PAYMENT, Command
from schemas.facts import Payment
from sinks.delivery.inbox import Inbox, Stored


def command(id_: str, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": id_, "kind": "append", "tenant": "t", "connection": "c", "account": "a", "capability": "record_payment",
        "order": "o", "entity": id_, "write": "w", "canonical": "x",
        "facts": Payment(amount=Decimal(1), currency="EUR"),
    }  # fmt: skip
    return Command(**{**values, **changes})


def taken(inbox: Inbox, now: float = 0.0) -> list[str]:
    found = []
    while (waiting := inbox.take(now)) is not None:
        found.append(waiting.command.id)
        inbox.remove(waiting.command.id)
        inbox.release(waiting.command.entity)
    return found


def test_live_payments_go_before_live_before_backfill() -> None:
    inbox = Inbox()
    for id_, priority in (("b", BACKFILL), ("l", LIVE), ("p", LIVE_PAYMENT)):
        inbox.add(command(id_, priority=priority))
    assert taken(inbox) == ["p", "l", "b"]


def test_what_may_not_leave_holds_nothing_of_its_entity_that_may() -> None:
    stopped = {"web"}
    inbox = Inbox(lambda command: command.flow not in stopped)
    inbox.add(command("w", entity="e", flow="web"))
    inbox.add(command("undo", entity="e"))
    inbox.add(command("then", entity="e"))
    assert taken(inbox) == ["undo", "then"]
    stopped.clear()
    inbox.begin_anew("web")
    assert taken(inbox) == ["w"]


def test_what_waits_behind_a_write_of_a_flow_that_is_stopped_goes_when_the_inbox_looks_again() -> None:
    stopped = set[str]()
    inbox = Inbox(lambda command: command.flow not in stopped)
    inbox.add(command("w", entity="e", flow="web"))
    inbox.add(command("undo", entity="e"))
    stopped.add("web")
    assert taken(inbox) == []
    inbox.look_again()
    assert taken(inbox) == ["undo"]


def test_a_set_takes_the_place_of_the_one_that_it_supersedes_so_that_nothing_planned_after_it_overtakes() -> None:
    inbox = Inbox()
    for id_ in ("first", "set", "money", "more"):
        inbox.add(command(id_, entity="e", **({"kind": "set", "capability": "upsert_invoice"} if id_ == "set" else {})))
    inbox.add(command("other", entity="f"))
    (old,) = inbox.add(command("newer", entity="e", kind="set", capability="upsert_invoice"))
    assert old.id == "set"
    assert [one for one in taken(inbox) if one != "other"] == ["first", "newer", "money", "more"]
    assert len(inbox) == 0


def test_what_was_kept_has_its_place_again_whatever_comes_first_and_what_came_without_one_is_last() -> None:
    inbox = Inbox()
    for id_ in ("a", "b", "c"):
        inbox.add(command(id_, entity="e"))
    rows = [msgspec.json.encode(inbox.stored(one)) for one in inbox.commands()]
    successor = Inbox()
    for row in (rows[2], rows[0], rows[1], msgspec.json.encode(command("of an older version", entity="e"))):
        successor.add(msgspec.json.decode(row, type=Stored))
    successor.add(command("new", entity="e"))
    assert taken(successor) == ["a", "b", "c", "of an older version", "new"]


def test_a_write_that_is_under_way_stays_as_it_is_but_for_the_flow_that_wants_it() -> None:
    inbox = Inbox()
    inbox.add(command("a", flow="web", text="first"))
    inbox.add(command("a", text="second"), lambda _id: True)
    assert [(one.text, one.flow) for one in inbox.commands()] == [("first", "")]


def test_what_may_not_leave_lets_the_others_pass_and_goes_when_it_may() -> None:
    stopped = {"web"}
    inbox = Inbox(lambda command: command.flow not in stopped)
    for id_, flow in (("w1", "web"), ("o", "other"), ("w2", "web")):
        inbox.add(command(id_, flow=flow))
    assert taken(inbox) == ["o"]
    stopped.clear()
    assert taken(inbox) == []
    inbox.begin_anew("web")
    assert taken(inbox) == ["w1", "w2"]


def test_the_newest_set_wins_and_appends_never_collapse() -> None:
    inbox = Inbox()
    inbox.add(command("a1", entity="e"))
    inbox.add(command("a2", entity="e"))
    inbox.add(command("s1", entity="e", kind="set"))
    assert [old.id for old in inbox.add(command("s2", entity="e", kind="set"))] == ["s1"]
    assert taken(inbox) == ["a1", "a2", "s2"]


def test_a_later_command_of_the_same_id_replaces_a_waiting_one_but_no_fixed_one() -> None:
    inbox = Inbox()
    inbox.add(command("a", text="first"))
    inbox.add(command("a", text="second"))
    inbox.add(command("a", text="third"), lambda id_: id_ == "a")
    assert [waiting.text for waiting in inbox.commands()] == ["second"]


def test_what_replaces_an_unsent_create_is_as_sure_that_nothing_is_there() -> None:
    inbox = Inbox()
    for id_, presence in (("a", "absent"), ("b", "unknown"), ("c", "absent")):
        inbox.add(command(id_, presence=presence))
    for id_ in "ab":
        inbox.add(command(id_, presence="unknown"))
    inbox.add(command("c", presence="unknown"), lambda id_: id_ == "c")
    assert {one.id: one.presence for one in inbox.commands()} == {"a": "absent", "b": "unknown", "c": "absent"}


def test_a_postponed_command_holds_its_followers_and_nobody_else() -> None:
    inbox = Inbox()
    inbox.add(command("a1", entity="e"))
    inbox.add(command("a2", entity="e"))
    inbox.add(command("b"))
    head = inbox.take(0.0)
    assert head is not None
    inbox.change(msgspec.structs.replace(head, not_before=5.0))
    inbox.release("e")
    assert taken(inbox, 1.0) == ["b"]
    assert inbox.next_at() == 5.0
    assert taken(inbox, 5.0) == ["a1", "a2"]


def test_a_held_entity_waits_and_stays() -> None:
    inbox = Inbox()
    inbox.add(command("a1", entity="e"))
    assert inbox.take(0.0) is not None
    inbox.add(command("a2", entity="e"))
    inbox.remove("a1")
    assert inbox.take(0.0) is None
    inbox.release("e")
    assert taken(inbox) == ["a2"]


def test_what_suits_one_request_is_found_among_others_and_the_rest_stays() -> None:
    inbox = Inbox()
    for number in range(6):
        inbox.add(command(f"p{number}"))
        inbox.add(command(f"i{number}", capability="upsert_invoice"))
        inbox.add(command(f"u{number}", presence="unknown"))
    first = inbox.take(0.0)
    assert first is not None
    assert first.command.id == "p0"
    more = inbox.take_like(first, 0.0, 3, lambda one: one.command.id != "p2")
    assert [one.command.id for one in more] == ["p1", "p3", "p4"]
    assert taken(inbox) == ["i0", "u0", "i1", "u1", "p2", "i2", "u2", "i3", "u3", "i4", "u4", "p5", "i5", "u5"]


def test_what_does_not_suit_stays_in_its_lane_although_nobody_else_is_left_there() -> None:
    inbox = Inbox()
    for id_ in ("p0", "p1", "p2"):
        inbox.add(command(id_))
    first = inbox.take(0.0)
    assert first is not None
    assert [one.command.id for one in inbox.take_like(first, 0.0, 3, lambda one: one.command.id != "p2")] == ["p1"]
    assert taken(inbox) == ["p2"]


def test_a_lane_that_may_not_go_holds_nobody_else_and_a_replaced_command_changes_lanes() -> None:
    inbox = Inbox()
    inbox.add(command("p"))
    inbox.add(command("i", capability="upsert_invoice"))
    waiting = inbox.take(0.0, lambda lane: lane != ("record_payment", True))
    assert waiting is not None
    assert waiting.command.id == "i"
    inbox.add(command("p", presence="present"))
    assert inbox.depth(("record_payment", False)) == 1
    waiting = inbox.take(0.0, lambda lane: lane != ("record_payment", True))
    assert waiting is not None
    assert waiting.command.id == "p"


def test_what_was_put_off_is_not_lost_when_an_outage_let_everything_go() -> None:
    inbox = Inbox()
    for id_ in "ab":
        inbox.add(command(id_))
        inbox.change(msgspec.structs.replace(inbox.take(0.0), not_before=5.0))  # type: ignore[type-var]
        inbox.release(id_)
    told = inbox.take(math.inf)
    assert told is not None
    inbox.remove(told.command.id)
    assert inbox.take(1.0) is None
    assert taken(inbox, 5.0) == ["b"]


@given(st.lists(st.tuples(st.sampled_from("efg"), st.sampled_from((LIVE_PAYMENT, LIVE, BACKFILL))), max_size=30))
def test_everything_goes_once_and_in_order_per_entity(arrivals: list[tuple[str, int]]) -> None:
    inbox = Inbox()
    for number, (entity, priority) in enumerate(arrivals):
        inbox.add(command(f"{number}", entity=entity, priority=priority))
    went = [int(id_) for id_ in taken(inbox)]
    assert sorted(went) == list(range(len(arrivals)))
    for entity in "efg":
        own = [number for number in went if arrivals[number][0] == entity]
        assert own == sorted(own)
    assert len(inbox) == 0
