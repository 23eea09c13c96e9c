"""What waits, in which order it goes, and what replaces what."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import BACKFILL, LIVE, LIVE_PAYMENT, Command
from schemas.facts import Payment
from sinks.delivery.inbox import Inbox

NOTHING: frozenset[str] = frozenset()


def command(id_: str, **changes: Any) -> Command:
    values: dict[str, Any] = {
        "id": id_, "kind": "append", "tenant": "t", "connection": "c", "account": "a", "capability": "record_payment",
        "order": "o", "entity": id_, "write": "w", "canonical": "x",
        "facts": Payment(amount=Decimal(1), currency="EUR"),
    }  # fmt: skip
    return Command(**{**values, **changes})


def taken(inbox: Inbox, now: float = 0.0) -> list[str]:
    found = []
    while (waiting := inbox.ready(now, NOTHING)) is not None:
        found.append(waiting.command.id)
        inbox.remove(waiting.command.id)
    return found


def test_live_payments_go_before_live_before_backfill() -> None:
    inbox = Inbox()
    for id_, priority in (("b", BACKFILL), ("l", LIVE), ("p", LIVE_PAYMENT)):
        inbox.add(command(id_, priority=priority))
    assert taken(inbox) == ["p", "l", "b"]


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


def test_a_postponed_command_holds_its_followers_and_nobody_else() -> None:
    inbox = Inbox()
    inbox.add(command("a1", entity="e"))
    inbox.add(command("a2", entity="e"))
    inbox.add(command("b"))
    head = inbox.ready(0.0, NOTHING)
    assert head is not None
    inbox.change(msgspec.structs.replace(head, not_before=5.0))
    assert taken(inbox, 1.0) == ["b"]
    assert inbox.next_at() == 5.0
    assert taken(inbox, 5.0) == ["a1", "a2"]


def test_a_locked_entity_waits_and_stays() -> None:
    inbox = Inbox()
    inbox.add(command("a"))
    assert inbox.ready(0.0, frozenset(["a"])) is None
    assert taken(inbox) == ["a"]


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
