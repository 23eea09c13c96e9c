"""A status that was asked for and that nobody wants any more: its write is closed, once it is answered or out of time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.commands import Pair
from schemas.facts import Order
from schemas.platform import Effect
from schemas.projection import digest
from schemas.state import WriteRecord
from streams.order.plan.plan import Planned
from streams.order.step import Tick, step
from streams.order.world import World
from tests.unit.streams.order.planning import CRM, DEAL, WAIT, copied, planned, world
from tests.unit.streams.order.sample import NOW, PLATFORMS
from tests.unit.streams.order.states import giver, look, record, state

WISH = digest({"status": "open"})
ASKED: dict[str, Any] = {"capability": "set_status", "digest": WISH, "asked": ("status",), "asked_at": NOW - WAIT}
"""When the status was asked for; it was waited for long enough."""


def there() -> World:
    able = {"set_status": Effect.RECORDS, "upsert_order": Effect.RECORDS}
    platform = msgspec.structs.replace(PLATFORMS["crmm"], capabilities=able, stages={"open": "won"}, shows={})
    return world(msgspec.structs.replace(CRM, fields=()), platforms={"crmm": platform})


def moved(write: WriteRecord, shown: str = "open") -> Planned:
    """Return what is planned once the CRM shows *shown* by itself."""
    seen = look(Order(headline=shown, currency="EUR", number="SO-1"), "crm", "7", last_read=(1, 9))
    return planned(state(giver(), seen, copied(base={}), write), there())


@pytest.mark.parametrize(
    "answer",
    [
        {"outcome": "stale", "stale": {"status": "paid"}, "reason": "status was edited there meanwhile."},
        {"outcome": "deferred", "reason": "down"},
        {"outcome": "uncertain", "reason": "given up"},
        {"outcome": "rejected", "stopped": WISH, "reason": "no such stage"},
        {"outcome": "unsupported", "stopped": WISH, "reason": "no such stage"},
        {"outcome": None},
    ],
)
@pytest.mark.parametrize("shown", ["open", "paid"])
@pytest.mark.parametrize("ago", [WAIT, timedelta(0)])
def test_a_status_that_shows_or_was_moved_further_is_not_waited_for(
    answer: dict[str, Any], shown: str, ago: timedelta
) -> None:
    asked = {**ASKED, "asked_at": NOW - (ago if answer["outcome"] else WAIT)}
    write = record("crm|status", DEAL, base={"status": Pair("draft", "draft")}, **asked, **answer)
    found = moved(write, shown)
    assert (found.commands, found.due_at) == ((), None)
    closed = {"outcome": "confirmed", "reason": "", "stale": {}, "stopped": "", "digest": "", "asked": ()}
    assert found.writes == {"crm|status": msgspec.structs.replace(write, **closed)}
    assert moved(found.writes["crm|status"], shown).writes == {}


def test_what_was_refused_before_it_was_asked_again_is_let_go_at_once() -> None:
    under_way = {**ASKED, "asked_at": NOW}
    found = moved(record("crm|status", DEAL, outcome=None, stopped=WISH, **under_way))
    assert (found.writes["crm|status"].outcome, found.due_at) == ("confirmed", None)


def test_what_is_under_way_is_waited_for() -> None:
    under_way = {**ASKED, "asked_at": NOW - WAIT + timedelta(seconds=1)}
    found = moved(record("crm|status", DEAL, outcome=None, **under_way))
    assert (found.commands, found.writes, found.due_at) == ((), {}, NOW + timedelta(seconds=1))


def test_what_was_let_go_is_asked_for_again_once_it_is_wanted() -> None:
    write = record("crm|status", DEAL, outcome="rejected", stopped=WISH, **ASKED)
    assert moved(write, "draft").commands == ()
    (command,) = moved(moved(write).writes["crm|status"], "draft").commands
    assert (command.capability, command.status) == ("set_status", "open")


def test_what_is_let_go_waits_in_nobodys_eyes() -> None:
    write = record("crm|status", DEAL, outcome="stale", stale={"status": "paid"}, **ASKED)
    seen = look(Order(headline="open", currency="EUR", number="SO-1"), "crm", "7", last_read=(1, 9))
    stepped = step(state(giver(), seen, copied(base={}), write), [Tick()], there(), NOW)
    assert stepped.public is not None
    assert stepped.public.waiting == ()
